"""The emulated cluster and the machine it runs on know nothing of each other.

On machines of their own (``conftest``), where nothing else sends, listens or writes.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testbed.emulation.machines import Kind
from testbed.process import wait_until
from testbed.topology import load
from testbed.topology.shipped import shipped

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from tests.emulation.conftest import Host

    BornWith = Callable[..., AbstractContextManager[Host]]

pytestmark = [pytest.mark.emulation, pytest.mark.usefixtures("datapath")]

FOUR_NODES = shipped("four-node.yaml")
TWO_NODES = shipped("two-node.yaml")
PORT = 4711
HOST, GATEWAY, INTERNET = "192.0.2.10", "192.0.2.1", "198.18.0.1"
TIMEOUT = 60.0

KNOCK = str(Path(__file__).with_name("knock.py"))

INSIDE = """
import os, sys
from testbed.emulation import sandbox
pid, *command = sys.argv[1:]
argv = [*sandbox.enter_argv(int(pid)), *command]
os.execvp(argv[0], argv)
"""


@pytest.fixture(scope="module")
def listening(host: Host) -> Iterator[Host]:
    """A machine with a service, and a testbed of four nodes."""
    service = host.start(sys.executable, KNOCK, "listen", "/srv/desk/heard")
    wait_until((host.srv / "desk" / "heard").exists, timeout=TIMEOUT, what="it listens")
    up = host.testbed("up", "-t", str(FOUR_NODES))
    assert up.returncode == 0, up.stderr
    yield host
    host.testbed("down")
    service.kill()
    service.communicate()


def heard(host: Host) -> int:
    return (host.srv / "desk" / "heard").read_text().count("heard")


def sent_by(host: Host) -> str:
    """How much has left the machine, by its wire or to itself."""
    return host.as_root("cat /sys/class/net/{eth0,lo}/statistics/tx_packets")


def test_no_machine_of_the_cluster_reaches_the_machine_it_runs_on(
    listening: Host,
) -> None:
    (testbed,) = json.loads(listening.testbed("list", "--json").stdout)
    external = load(FOUR_NODES).cluster.underlay.external_hosts[0]
    outside = [(where, PORT) for where in ("127.0.0.1", HOST, GATEWAY, INTERNET)]
    # So that nobody let in means something: in the cluster they are.
    inside = [(str(external.ip), 80)]
    before = heard(listening), sent_by(listening)

    done = listening(
        *(sys.executable, "-c", INSIDE, str(testbed["pid"])),
        *(sys.executable, KNOCK, "from", "all", json.dumps(outside + inside)),
    )

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {tuple(target) for _, target in found["let in"]} == set(inside)
    assert len(found["let in"]) > len(load(FOUR_NODES).cluster.nodes)
    assert found["named"] == []
    assert set(found["kinds"]) >= {*Kind} - {Kind.GHOST}
    assert (heard(listening), sent_by(listening)) == before


def test_the_machine_reaches_nothing_of_the_cluster(listening: Host) -> None:
    cluster = load(FOUR_NODES).cluster
    addresses = [
        *(pod.ip for pod in cluster.pods),
        *(node.host_ip for node in cluster.nodes),
        *(service.cluster_ip for service in cluster.services if service.cluster_ip),
        cluster.underlay.gateway,
        *(host.ip for host in cluster.underlay.external_hosts),
    ]
    theirs = [(str(ip), port) for ip in addresses for port in (53, 80, 8080)]
    own = [(HOST, PORT), ("127.0.0.1", PORT)]

    done = listening(sys.executable, KNOCK, "from", "here", json.dumps(theirs + own))

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert {tuple(target) for _, target in found["let in"]} == set(own)
    assert found["named"] == ["here"]


CONFIGURATION = {
    "sysctls": "find /proc/sys -type f -perm /222 ! -name ns_last_pid "
    "! -path '*/random/*' -exec grep -sH . {} +",
    "etc": "find /etc /run/etc -printf '%p %y %m %U %s %T@ %l\\n' | sort",
    "modules": "cut -d' ' -f1 /proc/modules 2>/dev/null | sort",
    "domain": "hostname; cat /proc/sys/kernel/{domainname,osrelease}",
}
"""What of a machine is set, besides what every test looks at."""

FAILING = """
import pytest
from scapy.layers.inet import UDP
from testbed.probe import ip_between

@pytest.mark.parametrize("_", [1], ids=["../../../tmp/$(touch x);\\\\n"])
def test_it_fails_and_leaves_a_capture(cluster, _):
    sender, receiver = cluster.pods_on(cluster.nodes[0])[:2]
    sent = cluster.send(sender, ip_between(sender, receiver) / UDP(sport=1, dport=9))
    sent.arrives(cluster.external, timeout=0.1)
"""
NEWCOMER = """\
kind: Pod
metadata: {name: newcomer, namespace: lab}
spec: {nodeName: node-1.test}
"""


def configuration(host: Host) -> dict[str, list[str]]:
    return {
        what: host.as_root(script).splitlines()
        for what, script in CONFIGURATION.items()
    }


def written(host: Host) -> set[str]:
    """Where there are files by now, by the three uppermost directories of each."""
    find = "find /srv /tmp -xdev -mindepth 2 ! -type d -printf '%H/%P\\n'"
    return {"/".join(path.split("/")[1:4]) for path in host.as_root(find).splitlines()}


def test_all_is_done_without_a_change_to_the_machine_or_a_file_elsewhere(
    born_with: BornWith,
) -> None:
    """Only /run and /srv can be written to there, and /etc, which would show."""
    with born_with(readonly=True) as host, host.untouched():
        (host.srv / "desk" / "newcomer.yaml").write_text(NEWCOMER)
        (host.srv / "desk" / "test_it.py").write_text(FAILING)
        before = configuration(host)
        had = written(host)

        changes = "sysctl -w net.ipv4.ip_forward=0; echo nameserver x >/etc/resolv.conf"
        commands = [
            ("up", "-t", str(TWO_NODES)),
            ("exec", "node-1", "--", "sh", "-c", f"{changes}; ip link del eth0; true"),
            ("apply", "-f", "/srv/desk/newcomer.yaml"),
            ("down",),
        ]
        for command in commands:
            done = host.testbed(*command)
            assert done.returncode == 0, (command, done.stderr)
        run = host(
            *(sys.executable, "-m", "pytest", "--topology", str(TWO_NODES)),
            *("-o", "cache_dir=/srv/desk/cache", "--captures", "/srv/desk/captures"),
            "/srv/desk/test_it.py",
        )

        assert "1 failed" in run.stdout, run.stdout + run.stderr
        assert "capture of all taps: /srv/desk/captures/" in run.stdout
        assert written(host) - had == {
            "srv/home/.cache",
            "srv/desk/cache",
            "srv/desk/captures",
        }
        after = configuration(host)
        for what in ("sysctls", "etc", "domain"):
            assert set(before[what]) <= set(after[what]), what
            assert before[what] == after[what] or what == "sysctls"
        # The kernel may load some for veth, bridge or iptables of its own accord.
        assert set(before["modules"]) <= set(after["modules"])
        host.as_root("rm -rf /srv/desk/* /srv/state /srv/home/.cache")
