"""One fault of each kind, and all that a cluster is, to be compared afterwards."""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Callable, Mapping  # noqa: TC003 - evaluated
from concurrent.futures import ThreadPoolExecutor
from ipaddress import IPv4Address
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from testbed import faults
from testbed.emulation import machines
from testbed.emulation.machines import Kind
from testbed.errors import CommandError
from testbed.faults.tunnel import Direction

if TYPE_CHECKING:
    from testbed.emulation.machines import Machine
    from testbed.faults import Fault
    from testbed.probe import LiveCluster

_COUNTED = re.compile(r"^#.*\n| \[\d+:\d+\]", re.MULTILINE)
_AGES = re.compile(r"(duration|n_packets|n_bytes|idle_age|hard_age)=[^, ]*,? ?")
_PORT_NUMBER = re.compile(r"/\d+:")
_HANDLE = re.compile(r" [0-9a-f]+: ")
_SYSCTLS = (
    "net.ipv4.ip_forward",
    "net.ipv4.conf.all.rp_filter",
    "net.ipv4.conf.all.route_localnet",
    "net.ipv4.conf.all.arp_ignore",
    "net.ipv6.conf.all.disable_ipv6",
)
_OUTSIDE = "testbed.faults."
"""What acts on a machine from outside it."""
_OF_OVSDB = {
    "Bridge": "name,fail_mode,datapath_type,protocols,other_config,ports",
    "Port": "name,interfaces,qos,external_ids",
    "Interface": "name,type,options,ofport,ofport_request,mtu,mtu_request,mac,"
    "external_ids,error,ingress_policing_rate",
    "QoS": "type,other_config,external_ids",
}


HERE, BESIDE, THERE = "shop/web-1-vh3rj", "shop/cart-1-2bhxp", "shop/web-1-4wq8n"
"""Pods that may talk with each other: on oc-03, beside it, and on oc-01."""
OUTSIDE, SERVICE = "external:", "svc:shop/web"
NODE = "oc-03"
FROM_OC_01 = "priority=100,tun_src=172.16.1.15"
PORTALS = '-A PREROUTING -m comment --comment "kubernetes service portals"'


class Case(NamedTuple):
    """A fault, and what comes of it.

    Attributes:
        fault: it.
        told: a part of what is found where one looks.
        costs: a packet that gets lost for it: sender and receiver.
        blamed: a part of what is blamed for that, if that is something else.
    """

    fault: Fault
    told: str
    costs: tuple[str, str] | None = None
    blamed: str = ""

    def __str__(self) -> str:
        fault = self.fault
        detail = getattr(fault, "device", "") or getattr(fault, "direction", "")
        return f"{fault.kind} {detail}".strip()


CASES = (
    Case(
        faults.FlowDeleted(node=NODE, table=10, selector=FROM_OC_01),
        "missing: cookie=",
        (THERE, HERE),
    ),
    Case(
        faults.FlowDeleted(node=NODE, object=f"Pod {HERE}"),
        f"(Pod {HERE})",
        (BESIDE, HERE),
    ),
    Case(
        faults.FlowChanged(
            node=NODE, table=30, selector="priority=0,ip", actions="drop"
        ),
        "changed: table=30",
        (HERE, OUTSIDE),
    ),
    Case(faults.FlowsWiped(node=NODE), "missing: table=0", (BESIDE, HERE)),
    Case(faults.NoteWrong(node=NODE, version=6), "changed: table=253"),
    Case(
        faults.HostSubnetForgotten(node=NODE, peer="oc-01"),
        "(HostSubnet oc-01.test)",
        (HERE, THERE),
    ),
    Case(
        faults.HostSubnetStale(
            node=NODE, peer="oc-01", host_ip=IPv4Address("172.16.1.99")
        ),
        "set_field:172.16.1.99->tun_dst",
        (HERE, THERE),
    ),
    Case(
        faults.VnidSwapped(node=NODE, namespace="shop", other="bank"),
        "changed: table=70",
        (THERE, HERE),
    ),
    Case(
        faults.VnidDuplicated(node=NODE, namespace="shop", other="bank"),
        "changed: table=70",
        (THERE, HERE),
    ),
    Case(faults.VnidStale(pod=HERE, vnid=77), "changed: table=70", (THERE, HERE)),
    Case(
        faults.PodFlowsStale(node=NODE, ip=IPv4Address("10.130.0.200"), ofport=99),
        "extra: table=70,priority=100,ip,nw_dst=10.130.0.200",
    ),
    Case(faults.PodFlowsMissing(pod=HERE), f"(Pod {HERE})", (THERE, HERE)),
    Case(faults.OfportWrong(pod=HERE, ofport=99), "changed: table=70", (THERE, HERE)),
    Case(
        faults.IptablesFlushed(node=NODE, table="nat"),
        "rules missing in table nat",
        (HERE, SERVICE),
    ),
    Case(
        faults.RuleDeleted(node=NODE, table="nat", rule=PORTALS),
        "iptables: missing: nat -A PREROUTING",
        (HERE, SERVICE),
    ),
    Case(
        faults.ChainReordered(node=NODE, table="nat", chain="POSTROUTING"),
        "iptables: in another order: nat POSTROUTING",
    ),
    Case(faults.SwitchRestarted(node=NODE), "missing: table=0", (BESIDE, HERE)),
    Case(faults.SwitchKilled(node=NODE), "ovs-vswitchd does not answer", (THERE, HERE)),
    Case(faults.SwitchHung(node=NODE), "ovs-vswitchd does not answer", (THERE, HERE)),
    Case(
        faults.VxlanBlocked(node=NODE, direction=Direction.IN),
        "VXLAN (UDP 4789) does not come in",
        (THERE, HERE),
    ),
    Case(
        faults.VxlanBlocked(node=NODE, direction=Direction.OUT),
        "VXLAN (UDP 4789) does not go out",
        (HERE, THERE),
    ),
    Case(
        faults.VxlanCorrupted(node=NODE, vnid=4711),
        "vxlan0 is set up otherwise: out_key=4711",
        (HERE, THERE),
    ),
    Case(
        faults.VxlanPortWrong(node=NODE, port=4790),
        "vxlan0 is set up otherwise: dst_port=4790",
        (THERE, HERE),
    ),
    Case(
        faults.MtuDrifted(node=NODE, device="tun0", mtu=1500),
        "tun0 has an MTU of 1500, not 1450",
    ),
    Case(
        faults.MtuDrifted(node=NODE, device="eth0", mtu=1400),
        "eth0 has an MTU of 1400, not 1500",
    ),
    Case(faults.LinkDown(node=NODE, device="eth0"), " is down", (THERE, HERE)),
    Case(faults.LinkDown(node=NODE, device="tun0"), "tun0 is down", (HERE, OUTSIDE)),
    Case(
        faults.LinkDown(node=NODE, device=HERE),
        f"its end of the wire of {HERE}, is down",
        (THERE, HERE),
    ),
    Case(
        faults.LinkFlapping(node=NODE, device="eth0", period=3600),
        " is down",
        (THERE, HERE),
    ),
    Case(faults.NetemLoss(node=NODE, percent=100), "is shaped by netem", (HERE, THERE)),
    Case(faults.NetemDelay(node=NODE, milliseconds=20), "is shaped by netem"),
    Case(faults.NetemReorder(node=NODE, percent=20), "is shaped by netem"),
    Case(
        faults.NetemRate(node=NODE, device=HERE, kbit=64),
        f" to {HERE} is shaped by tbf",
    ),
    Case(
        faults.DuplicatePodIP(pod=HERE, ip=IPv4Address("10.130.0.8")),
        f"{HERE}: its address is not 10.130.0.6; it has 10.130.0.8",
        (THERE, HERE),
        f"(Pod {HERE})",
    ),
    Case(
        faults.ArpStale(
            pod=HERE, ip=IPv4Address("10.130.0.1"), mac="0a:58:0a:82:00:63"
        ),
        "it remembers 10.130.0.1 at 0a:58:0a:82:00:63",
    ),
    Case(
        faults.ArpStale(
            node=NODE, ip=IPv4Address("172.16.1.15"), mac="52:54:00:00:00:63"
        ),
        "it remembers 172.16.1.15 at 52:54:00:00:00:63",
        (HERE, THERE),
    ),
    Case(faults.IpForwardOff(node=NODE), "forwards nothing", (HERE, OUTSIDE)),
    Case(faults.DnsmasqDead(node=NODE), "its dnsmasq is dead"),
    Case(faults.NodeDead(node=NODE), "ovs-vswitchd does not answer", (THERE, HERE)),
)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run what is about a ``case`` once for each."""
    if "case" in metafunc.fixturenames:
        metafunc.parametrize("case", CASES, ids=str)


@pytest.fixture
def egress_ip() -> str:
    """The objects by which shop leaves as 172.16.1.102, from oc-02."""
    return """
apiVersion: v1
kind: List
items:
- {kind: HostSubnet, metadata: {name: oc-02.test}, host: oc-02.test,
   hostIP: 172.16.1.16, egressIPs: [172.16.1.102]}
- {kind: NetNamespace, metadata: {name: shop}, netname: shop,
   egressIPs: [172.16.1.102]}
"""


@pytest.fixture
def tried() -> frozenset[str]:
    """The kinds that there is a case for."""
    return frozenset(case.fault.kind for case in CASES)


@pytest.fixture
def snapshot(cluster: LiveCluster) -> Callable[[str], Mapping[str, str]]:
    """All that a fault of a node might change and leave changed, matter by matter.

    The node, its pods, the underlay's switch and gateway; by whose it is.
    """

    def taken(node: str) -> Mapping[str, str]:
        node = cluster.node(node).name
        pods = {pod.machine.name for pod in cluster.pods_on(node)}
        chosen = [
            machine
            for machine in machines.load()
            if machine.name in {node, *pods}
            or machine.kind in (Kind.SWITCH, Kind.GATEWAY)
        ]
        # First, for what is read runs programs there.
        processes = {
            f"{machine.name}: processes": "\n".join(sorted(_processes(machine)))
            for machine in chosen
        }
        with ThreadPoolExecutor() as pool:
            jobs = {
                f"{machine.name}: {matter}": pool.submit(read, machine)
                for machine in chosen
                for matter, read in _MATTERS.items()
                if machine.kind is not Kind.POD or matter in _OF_PODS
            }
            found = {name: job.result() for name, job in jobs.items()}
        return processes | found | _of_switch(cluster, node)

    return taken


def _addresses(machine: Machine) -> str:
    return _lines([_lasting(one) for one in _json(machine, "ip", "-json", "address")])


def _lasting(link: dict[str, Any]) -> dict[str, Any]:
    """What stays of an interface that Open vSwitch has made anew in the kernel."""
    if str(link.get("ifname", "")).startswith("vxlan_sys_"):
        return {k: v for k, v in link.items() if k not in {"address", "ifindex"}}
    return link


def _links(machine: Machine) -> str:
    links = [_lasting(link) for link in _json(machine, "ip", "-json", "-d", "link")]
    for link in links:
        # What a bridge has counted, and how long it will remember.
        about = link.get("linkinfo", {})
        for data in ("info_data", "info_slave_data"):
            for name in list(about.get(data, {})):
                if "timer" in name or name in _BRIDGE_COUNTS:
                    del about[data][name]
    return _lines(links)


_ALIKE = (("operstate", "UNKNOWN"), ("operstate", "UP"))
_BRIDGE_COUNTS = {"fdb_n_learned", "mcast_querier_state"}
_MATTERS: Mapping[str, Callable[[Machine], str]] = {
    "links": _links,
    "addresses": _addresses,
    "routes": lambda m: m.run("ip", "route", "show", "table", "all"),
    "neighbours": lambda m: m.run("ip", "neigh", "show", "nud", "permanent"),
    "qdiscs": lambda m: "\n".join(
        sorted(_HANDLE.sub(" ", m.run("tc", "qdisc", "show")).splitlines())
    ),
    "iptables": lambda m: _COUNTED.sub("", m.run("iptables-save")),
    "ports": lambda m: _lines(_json(m, "bridge", "-json", "link")),
    "forwarding": lambda m: "\n".join(sorted(m.run("bridge", "fdb").splitlines())),
    "sysctls": lambda m: str(m.read_sysctls(_SYSCTLS)),
    "names": lambda m: m.run("cat", "/etc/resolv.conf"),
}
_OF_PODS = {"links", "addresses", "routes", "neighbours", "qdiscs"}


def _of_switch(cluster: LiveCluster, name: str) -> dict[str, str]:
    node = cluster.node(name)
    appctl = cluster.appctl(node)
    ofctl = ("ovs-ofctl", "-O", "OpenFlow13")
    bridges = ("br0", "eth0") if cluster.datapath == "netdev" else ("br0",)
    found = {
        f"flows of {bridge}": "\n".join(
            sorted(
                _AGES.sub("", node.run(*ofctl, "--no-names", "dump-flows", bridge))
                .strip()
                .splitlines()
            )
        )
        for bridge in bridges
    }
    for table, columns in _OF_OVSDB.items():
        listed = node.run("ovs-vsctl", f"--columns={columns}", "list", table)
        found[f"OVSDB {table}"] = "\n\n".join(sorted(listed.strip().split("\n\n")))
    found["fragments"] = node.run(*ofctl, "get-frags", "br0")
    found["datapath"] = _PORT_NUMBER.sub(":", appctl("dpif/show").partition("\n")[2])
    if cluster.datapath == "netdev":
        # Those that it was told; it also learns what it happens to hear.
        peers = {str(peer.host_ip) for peer in cluster.objects.host_subnets}
        neighbours = appctl("tnl/neigh/show").splitlines()
        found["tunnel neighbours"] = "\n".join(
            sorted(line for line in neighbours if peers.intersection(line.split()[:1]))
        )
    return found


def _json(machine: Machine, *command: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(machine.run(*command) or "[]")
    return found


def _lines(items: list[dict[str, Any]]) -> str:
    """A line for each thing that an item says, so that what differs stands alone."""
    return "\n".join(
        f"{item['ifname']} {name}={json.dumps(value, sort_keys=True)}"
        for item in sorted(items, key=lambda item: str(item["ifname"]))
        for name, value in sorted(item.items())
        # A tap that never lost its carrier does not know that it has one.
        if (name, value) not in _ALIKE
    )


def _processes(machine: Machine) -> list[str]:
    """The command lines of what runs in a machine, and whether it is stopped."""
    own = Path(f"/proc/{machine.pid}/ns/net").readlink()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError, CommandError):
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            if (process / "ns/net").readlink() != own and _OUTSIDE not in command:
                continue
            state = (process / "stat").read_text().rpartition(")")[2].split()[0]
            found.append(f"{command} {'stopped' if state in 'Tt' else 'runs'}")
    return found
