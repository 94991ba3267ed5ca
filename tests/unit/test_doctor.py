"""What the doctor says of machines that lack something; none of them is this one."""

from __future__ import annotations

import ast
import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testbed.doctor import Facts, Need, State, examine
from testbed.doctor.checks import complete, usable
from testbed.doctor.probe import RULES
from testbed.emulation.prerequisites import PROGRAMS
from testbed.host.egress import marks_by_sender
from testbed.host.iptables import node_rules
from testbed.topology import load
from testbed.topology.shipped import shipped

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.doctor import Check

ROOT = Path(__file__).parents[2]
NEED = Need(nodes=4, pods=28)
MIB = 1 << 20
TRIED = dict.fromkeys(
    [
        *("veth", "bridge", "tap", "conntrack", "netem", "htb"),
        *(f"iptables {name}" for name in RULES),
        *("iptables-save", "ovs-vswitchd", "kernel datapath"),
    ],
    "",
)
MODULES = dict.fromkeys(
    ("tun", "veth", "bridge", "sch_htb", "sch_netem", "nf_conntrack_netlink"),
    "loadable",
)
WELL = Facts(
    user=1000,
    kernel="6.1.0-37-amd64",
    python=(3, 11, 2),
    switch="3.1.0",
    mininet="2.3.0",
    scapy="2.8.0",
    iptables="iptables v1.8.9 (nf_tables)",
    dnsmasq="2.90",
    modules={**MODULES, "openvswitch": "loaded"},
    tried=TRIED,
    memory=8192 * MIB,
    cores=2,
    files=1024,
    neighbours=(12, 1024),
    state=Path("/run/user/1000/testbed"),
)
NOT_LOADED = replace(WELL, modules={**MODULES, "openvswitch": "loadable"})


def refusing(said: str, *attempts: str) -> Facts:
    """A machine on which attempts go wrong."""
    return replace(WELL, tried=TRIED | dict.fromkeys(attempts, said))


def the(name: str, facts: Facts, need: Need = NEED) -> Check:
    (check,) = [check for check in examine(facts, need) if check.name == name]
    return check


def test_a_machine_that_lacks_nothing_is_usable_and_complete() -> None:
    checks = examine(WELL, NEED)

    assert [check for check in checks if check.state is not State.OK] == []
    assert usable(checks)
    assert complete(checks)


@pytest.mark.parametrize(
    ("name", "facts", "told"),
    [
        (
            "python",
            replace(WELL, python=(3, 10, 9)),
            "3.10.9; it takes 3.11; type: ./run setup",
        ),
        (
            "kernel",
            replace(WELL, kernel="4.19.0-21-amd64"),
            "4.19.0-21-amd64; it takes 5.3",
        ),
        (
            "iproute2",
            replace(WELL, missing=("bridge",)),
            "no bridge; nothing can be built; type: sudo apt install iproute2",
        ),
        (
            "openvswitch-switch",
            replace(WELL, missing=("ovs-vswitchd", "ovs-ofctl"), switch=""),
            (
                "no ovs-vswitchd, ovs-ofctl; nothing can be built; "
                "type: sudo apt install openvswitch-switch"
            ),
        ),
        (
            "openvswitch-switch",
            replace(
                refusing('"tnl/neigh/aging" is not a valid command', "ovs-vswitchd"),
                switch="2.15.0",
            ),
            '2.15.0; none would run: "tnl/neigh/aging" is not a valid command',
        ),
        (
            "mininet",
            replace(WELL, mininet=""),
            (
                "mnexec without the Python package; "
                "this Python does not see the system's packages; type: ./run setup"
            ),
        ),
        (
            "mininet",
            replace(WELL, missing=("mnexec",), mininet=""),
            "no mnexec; nothing can be built; type: sudo apt install mininet",
        ),
        (
            "scapy",
            replace(WELL, scapy=""),
            "none; no packet can be sent; type: ./run setup",
        ),
        (
            "sandbox",
            replace(
                WELL,
                sandbox="unshare: unshare failed: Operation not permitted; "
                "type: sudo sysctl -w kernel.unprivileged_userns_clone=1",
                tried={},
            ),
            (
                "unshare: unshare failed: Operation not permitted; an ordinary user "
                "may not make the namespaces that all runs in; "
                "type: sudo sysctl -w kernel.unprivileged_userns_clone=1"
            ),
        ),
        (
            "datapath",
            refusing("ovs-dpctl add-dp probe exited 1: no", "kernel datapath"),
            (
                "system, which fails: ovs-dpctl add-dp probe exited 1: no; "
                "--datapath netdev does without; type: sudo rmmod openvswitch"
            ),
        ),
        (
            "/dev/net/tun",
            replace(
                NOT_LOADED,
                tun="this user may not open it; type: sudo chmod 666 /dev/net/tun",
            ),
            (
                "this user may not open it; the userspace datapath needs it; "
                "type: sudo chmod 666 /dev/net/tun"
            ),
        ),
        (
            "/dev/net/tun",
            replace(NOT_LOADED, tried=TRIED | {"tap": "operation not permitted"}),
            "operation not permitted; the userspace datapath makes its ports so",
        ),
        (
            "veth",
            refusing("ip link add exited 2: Error: Unknown device type.", "veth"),
            (
                "ip link add exited 2: Error: Unknown device type.; machines cannot be "
                "wired; type: sudo modprobe veth"
            ),
        ),
        (
            "iptables rules",
            refusing("no such match", "iptables recent", "iptables statistic"),
            (
                "v1.8.9 (nf_tables) refuses recent, statistic: no such match; nodes' "
                "rules cannot be loaded; "
                "type: sudo apt install linux-modules-extra-$(uname -r)"
            ),
        ),
        (
            "iptables rules",
            replace(
                refusing("Permission denied", *(f"iptables {name}" for name in RULES)),
                iptables="iptables v1.8.9 (legacy)",
            ),
            (
                f"v1.8.9 (legacy) refuses {', '.join(RULES)}: Permission denied; "
                "nodes' rules cannot be loaded; "
                "type: sudo update-alternatives --set iptables /usr/sbin/iptables-nft"
            ),
        ),
        (
            "connection tracking",
            refusing("conntrack -L exited 1: no netlink", "conntrack"),
            (
                "conntrack -L exited 1: no netlink; services cannot be changed; "
                "type: sudo modprobe nf_conntrack_netlink"
            ),
        ),
        (
            "memory",
            replace(WELL, memory=100 * MIB),
            (
                "100 MiB free; 4 nodes and 28 pods take 198; "
                "the kernel would end some of it"
            ),
        ),
        (
            "open files",
            replace(WELL, files=100),
            (
                "100 may be open; 4 nodes and 28 pods take about 124; "
                "packets of so many cannot be watched; type: ulimit -n 124"
            ),
        ),
        (
            "state directory",
            replace(WELL, state_problem="/run/x: no space left on device"),
            (
                "/run/x: no space left on device; no testbed can be noted; "
                "type: export TESTBED_STATE_DIR=$HOME/.testbed"
            ),
        ),
    ],
)
def test_what_is_needed_and_lacks_makes_a_machine_useless(
    name: str, facts: Facts, told: str
) -> None:
    check = the(name, facts)

    assert check.told == told
    assert check.state is State.MISSING
    assert not usable(examine(facts, NEED))


@pytest.mark.parametrize(
    ("name", "facts", "told"),
    [
        (
            "datapath",
            NOT_LOADED,
            (
                "netdev: the kernel module openvswitch is not loaded; pod to service "
                "under ovs-networkpolicy cannot be tried; "
                "type: sudo modprobe openvswitch"
            ),
        ),
        (
            "datapath",
            replace(WELL, modules={**MODULES, "openvswitch": "absent"}),
            (
                "netdev: the kernel module openvswitch is not there for this kernel; "
                "pod to service under ovs-networkpolicy cannot be tried"
            ),
        ),
        (
            "/dev/net/tun",
            replace(WELL, tun="no such file or directory; type: sudo modprobe tun"),
            (
                "no such file or directory; the userspace datapath needs it; "
                "type: sudo modprobe tun"
            ),
        ),
        (
            "iptables rules",
            refusing("iptables-save exited 1: Permission denied", "iptables-save"),
            (
                "v1.8.9 (nf_tables) loads them all and cannot show them: iptables-save "
                "exited 1: Permission denied; what a node's rules counted is not told; "
                "type: sudo update-alternatives --set iptables /usr/sbin/iptables-nft"
            ),
        ),
        (
            "sch_htb",
            refusing("Error: Specified qdisc kind is unknown.", "htb"),
            (
                "Error: Specified qdisc kind is unknown.; "
                "bandwidth limits of pods do not bite; type: sudo modprobe sch_htb"
            ),
        ),
        (
            "sch_netem",
            replace(
                refusing("Error: Specified qdisc kind is unknown.", "netem"),
                modules={**WELL.modules, "sch_netem": "absent"},
            ),
            (
                "Error: Specified qdisc kind is unknown.; "
                "no delay or loss can be put on a wire"
            ),
        ),
        (
            "memory",
            replace(WELL, memory=250 * MIB),
            "250 MiB free; 4 nodes and 28 pods take 198; that is little to spare",
        ),
        ("cores", replace(WELL, cores=1), "1; it runs, slowly"),
        (
            "ARP table",
            replace(WELL, neighbours=(900, 1024)),
            (
                "900 of 1024 entries are taken, in all namespaces together; "
                "4 nodes and 28 pods take up to 184; when it is full packets are lost; "
                "type: sudo sysctl -w net.ipv4.neigh.default.gc_thresh3=16384"
            ),
        ),
        (
            "testbeds",
            replace(WELL, testbeds=("mine",), orphans=(471, 1108)),
            (
                "running: mine; sandboxes that are noted nowhere: 471 1108; they take "
                "memory, and no command reaches them; type: kill 471 1108"
            ),
        ),
    ],
)
def test_what_is_wanted_and_lacks_leaves_a_machine_usable(
    name: str, facts: Facts, told: str
) -> None:
    check = the(name, facts)

    assert check.told == told
    assert check.state is State.WARNING
    assert usable(examine(facts, NEED))
    assert not complete(examine(facts, NEED))


@pytest.mark.parametrize(
    ("name", "facts", "told"),
    [
        (
            "other switches",
            replace(WELL, switches=("ovsdb-server", "ovs-vswitchd")),
            "1 ovsdb-server, 1 ovs-vswitchd; no conflict, for ours are private",
        ),
        (
            "testbeds",
            replace(WELL, testbeds=("mine",), stale=("default",)),
            "running: mine; forgotten, for they are gone: default",
        ),
        ("sandbox", replace(WELL, user=0), "made as root"),
    ],
)
def test_what_does_no_harm_is_told_and_all_right(
    name: str, facts: Facts, told: str
) -> None:
    check = the(name, facts)

    assert (check.told, check.state) == (told, State.OK)


@pytest.mark.parametrize(
    ("need", "state"),
    [
        (Need(nodes=4, pods=28), State.OK),
        (Need(nodes=300, pods=1000), State.WARNING),
        (Need(nodes=500, pods=1000), State.MISSING),
    ],
)
def test_memory_is_judged_by_the_cluster_that_is_to_run(
    need: Need, state: State
) -> None:
    assert the("memory", WELL, need).state is state


def test_a_check_of_every_name_is_told_once() -> None:
    names = [check.name for check in examine(WELL, NEED)]

    assert len(names) == len(set(names))
    assert {*PROGRAMS.values()} <= set(names)


def rules_of_shipped_clusters() -> Iterator[str]:
    for name in ("four-node.yaml", "multitenant.yaml", "networkpolicy.yaml"):
        cluster = load(shipped(name)).cluster
        for node in cluster.nodes:
            yield node_rules(cluster, node)
            yield marks_by_sender(cluster, node)
    yield (ROOT / "tests" / "golden" / "services.iptables").read_text()


def test_every_match_and_target_of_a_nodes_rules_is_tried() -> None:
    text = "\n".join(rules_of_shipped_clusters())
    chains = set(re.findall(r"^:(\S+)", text, re.MULTILINE)) | {"ACCEPT", "DROP"}
    used = set(re.findall(r" -[mj] (\S+)", text)) - chains - {"RETURN"}

    assert used == set(RULES)


@pytest.mark.parametrize("name", RULES)
def test_a_rule_that_is_tried_has_what_it_is_there_for(name: str) -> None:
    _, rule = RULES[name]

    assert f"-{'j' if name.isupper() else 'm'} {name} " in f"{rule} "


def programs_run() -> Iterator[str]:
    """The names of programs in the product's command lines: `[..., "name", "-x"]`."""
    for path in (ROOT / "testbed").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case ast.Call(
                    func=ast.Name(id="run") | ast.Attribute(attr="run"),
                    args=[
                        ast.List(elts=[ast.Constant(value=str(program)), *_])
                        | ast.Constant(value=str(program)),
                        *_,
                    ],
                ):
                    yield program


def test_every_program_that_is_run_is_looked_for() -> None:
    tried_only = {"tc", "ovs-dpctl", "modprobe"}
    found = set(programs_run())

    assert {"ip", "iptables-restore", "conntrack", "bridge"} <= found
    assert found - tried_only <= set(PROGRAMS) | {"true"}
