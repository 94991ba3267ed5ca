"""Files and command lines that are up to no good: they are told, and do nothing."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest

from testbed.topology.shipped import shipped

if TYPE_CHECKING:
    import subprocess

    from tests.emulation.conftest import Host

pytestmark = [pytest.mark.emulation, pytest.mark.usefixtures("datapath")]

TWO_NODES = shipped("two-node.yaml").read_text()
TOUCH = "$(touch touched)`touch touched`;touch touched"
PYTHON = '!!python/object/apply:os.system ["touch touched"]'


def in_work(host: Host, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command where whatever it is tricked into would be seen."""
    python = (sys.executable, "-m", "testbed")
    done = host("env", "--chdir=/srv/desk", *python, *arguments)
    assert not (host.srv / "desk" / "touched").exists()
    return done


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"kind: Pod\nmetadata: {PYTHON}\n", "2: the tag "),
        (
            TWO_NODES.replace("node-1.test", f'"{TOUCH}\\nlink del lo"', 1),
            "link del lo",
        ),
        (TWO_NODES.replace("client-1", "../../../../srv/desk/touched"), "Pod lab/"),
    ],
    ids=["python", "lines", "path"],
)
def test_a_hostile_topology_is_told_by_line_and_starts_nothing(
    host: Host, text: str, said: str
) -> None:
    (host.srv / "desk" / "hostile.yaml").write_text(text)

    with host.untouched():
        up = in_work(host, "up", "-t", "hostile.yaml")

    assert said in up.stderr
    assert all(
        line.startswith("hostile.yaml:") and line.isprintable()
        for line in up.stderr.splitlines()
    )
    assert up.returncode == 2


def test_a_file_may_have_any_name(host: Host) -> None:
    name = f"--help {TOUCH}\n.yaml"
    (host.srv / "desk" / name).write_text(TWO_NODES)

    up = in_work(host, "up", f"--topology={name}")
    status = in_work(host, "status")
    in_work(host, "down")

    assert (up.returncode, status.returncode) == (0, 0), up.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("up", f"--name={TOUCH}"),
        ("up", "--name=../desk/touched"),
        ("exec", TOUCH, "--", "true"),
        ("exec", f"--name={TOUCH}", "node-1", "--", "true"),
        ("apply", "-f", TOUCH),
    ],
    ids=lambda arguments: " ".join(arguments)[:13],
)
def test_a_hostile_argument_is_told_in_a_line(
    host: Host, arguments: tuple[str, ...]
) -> None:
    done = in_work(host, *arguments)

    assert len(done.stderr.splitlines()) == 1
    assert done.returncode == 2
