"""What is in a file stays data: it reaches no shell, no path and no line of a program.

Names of objects become arguments, names of files, and lines for ``ip -batch``,
``iptables-restore``, ``dnsmasq`` and ``ovs-ofctl``, each of which could be told more.
"""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testbed.emulation import wiring
from testbed.emulation.machines import RUN_DIR, node_run_dir
from testbed.errors import TopologyError
from testbed.host.dns import (
    dnsmasq_configuration,
    hosts_file,
    node_resolv_conf,
    pod_resolv_conf,
)
from testbed.host.egress import egress_addresses, marks_by_sender
from testbed.host.iptables import node_rules
from testbed.host.links import assign_egress_ips, node_links, pod_links
from testbed.pipeline import node_flows
from testbed.topology import loads
from testbed.topology.shipped import shipped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.model import Cluster
    from testbed.topology import Topology

PACKAGE = Path(__file__).parents[2] / "testbed"
MARK = "zq7"
HOSTILE = (
    f"{MARK}\nlink set lo down",
    f"{MARK} -j ACCEPT",
    f"{MARK};$(touch {MARK})`touch {MARK}`|{MARK}&",
    f"../../../etc/{MARK}",
    f"/etc/{MARK}",
    f"-{MARK}",
    f"--{MARK}=1",
    f"{MARK}\t\x1b[2J",
    f"{MARK}#",
    f"{MARK}'\"\\",
    f"{MARK}%s{{0}}",
    f".{MARK}",
    "..",
    f"{MARK}\u202e",
)
"""What a name might smuggle: a line, an option, a command, a path, terminal codes."""

TEXTS = {
    name: shipped(name).read_text()
    for name in ("two-node.yaml", "multitenant.yaml", "networkpolicy.yaml")
}
VALUE = re.compile(r"(?:^ *- |: )([^\s\[\]{},:|>]+)$", re.MULTILINE)
PLACES = [
    (name, match.span(1))
    for name, text in TEXTS.items()
    for match in VALUE.finditer(text)
]
PLAIN = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?")


def read(text: str) -> Topology | None:
    """The topology; where it is refused, that is in lines that name file and line."""
    problems: tuple[str, ...] = ()
    try:
        return loads(text, "it.yaml")
    except TopologyError as error:
        problems = error.problems
    assert problems
    assert all(problem.isprintable() for problem in problems)
    assert all(re.match(r"it\.yaml:\d+: ", problem) for problem in problems)
    return None


def artefacts(cluster: Cluster) -> Iterator[str]:
    """Everything a program is told of a cluster, but for names of machines."""
    yield hosts_file(cluster)
    yield dnsmasq_configuration(RUN_DIR)
    yield from (wire.creation for wire in wiring.wires(cluster, wiring.Datapath.SYSTEM))
    for node in cluster.nodes:
        yield node_links(cluster, node)
        yield node_rules(cluster, node)
        yield marks_by_sender(cluster, node)
        yield assign_egress_ips(cluster, egress_addresses(cluster, node))
        yield node_resolv_conf(node)
        yield from map(str, node_flows(cluster, node))
        for pod in cluster.pods_on(node):
            yield pod_links(cluster, node, pod)
            yield pod_resolv_conf(node, pod)


@given(place=st.sampled_from(PLACES), value=st.sampled_from(HOSTILE))
@settings(max_examples=200, deadline=None)
def test_a_hostile_value_is_refused_or_told_to_nobody(
    place: tuple[str, tuple[int, int]], value: str
) -> None:
    name, (start, end) = place
    text = TEXTS[name]

    topology = read(text[:start] + json.dumps(value) + text[end:])

    if topology is None:
        return
    assert all(str(warning).isprintable() for warning in topology.warnings)
    for _, machine in wiring.machines(topology.cluster):
        assert PLAIN.fullmatch(machine.replace(":", "_")), machine
    for node in topology.cluster.nodes:
        assert node_run_dir(node).parent == RUN_DIR
    for artefact in artefacts(topology.cluster):
        assert MARK not in artefact


def calls(path: Path) -> Iterator[ast.Call]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            yield node


def dangers(call: ast.Call) -> Iterator[str]:
    """Why a call may make a shell, or a program, of what it is given."""
    name = ast.unparse(call.func)
    if name in {"os.system", "os.popen", "eval", "exec", "compile", "__import__"}:
        yield name
    if re.fullmatch(r"(pickle|marshal|shelve)\.\w+", name):
        yield name
    if name in {"yaml.load", "yaml.unsafe_load", "yaml.full_load", "yaml.load_all"}:
        yield name
    if name.endswith(".cmd"):
        yield f"{name}: Mininet's shell"
    if any(keyword.arg == "shell" for keyword in call.keywords):
        yield f"{name}(shell=...)"
    runs = re.fullmatch(r"(subprocess\.\w+|os\.(exec|spawn|posix_spawn)\w*)", name)
    for argument in call.args[:1] if runs else ():
        if isinstance(argument, ast.JoinedStr) or (
            isinstance(argument, ast.Constant) and name.startswith("subprocess")
        ):
            yield f"{name}: a command line in one piece"
    words = [
        item.value
        for argument in call.args
        for item in ast.walk(argument)
        if isinstance(item, ast.Constant) and isinstance(item.value, str)
    ]
    for shell in ("sh", "bash", "/bin/sh"):
        if shell in words and "-c" in words:
            yield f"{name}: {shell} -c"


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.name
)
def test_nothing_is_made_a_shells_or_pythons_to_run(path: Path) -> None:
    found = [danger for call in calls(path) for danger in dangers(call)]

    if path == PACKAGE / "emulation" / "net.py":
        # Mininet's own, for whoever calls it; a shell in a machine of the sandbox.
        found.remove("super().cmd: Mininet's shell")
    assert found == []


@pytest.mark.parametrize(
    "source",
    [
        "os.system('ls')",
        "subprocess.run(f'ip link del {name}')",
        "subprocess.run('ls', check=True)",
        "subprocess.Popen(argv, shell=True)",
        "machine.run('sh', '-c', text)",
        "run(['bash', '-c', text])",
        "host.cmd('ip link del ' + name)",
        "yaml.load(text, Loader=yaml.Loader)",
        "pickle.loads(data)",
        "eval(text)",
    ],
)
def test_a_call_that_might_is_noticed(source: str) -> None:
    call = ast.parse(source, mode="eval").body

    assert isinstance(call, ast.Call)
    assert len(list(dangers(call))) == 1
