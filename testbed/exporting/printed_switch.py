"""What Open vSwitch's tools print on a node where all is as it should be. Pure.

Source: ovs-ofctl(8), ovs-vsctl(8); the forms are those of Open vSwitch 2.9.
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import NAMESPACE_DNS, uuid5

from testbed.exporting.printed_links import veth_mac
from testbed.host.names import underlay_mac, veth_name
from testbed.openflow import DumpedFlow, OFPort

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from testbed.model import Cluster, HostSubnet
    from testbed.openflow import Flow

_HOUR = 3600.0


def dump_flows(flows: Sequence[Flow]) -> str:
    """What ``dump-flows`` prints of flows that were hit by nothing, after an hour."""
    lines = (
        f" {DumpedFlow(flow=flow, n_packets=0, n_bytes=0, duration=_HOUR)}\n"
        for flow in flows
    )
    return f"OFPST_FLOW reply (OF1.3) (xid=0x2):\n{''.join(lines)}"


def _ports(cluster: Cluster, node: HostSubnet) -> Iterator[tuple[str, str]]:
    """The ports of br0 as ``ovs-ofctl`` numbers them, with their MACs."""
    yield f"{OFPort.VXLAN0.value}(vxlan0)", underlay_mac(node.host_ip)
    yield f"{OFPort.TUN0.value}(tun0)", node.tun0_mac
    for pod in cluster.pods_on(node):
        yield f"{pod.ofport}({veth_name(pod)})", veth_mac(pod)
    yield "LOCAL(br0)", underlay_mac(node.gateway)


def _described(cluster: Cluster, node: HostSubnet, xid: int) -> str:
    lines = [f"OFPST_PORT_DESC reply (OF1.3) (xid={xid:#x}):"]
    for name, mac in _ports(cluster, node):
        is_down = name.startswith("LOCAL")
        lines += [
            f" {name}: addr:{mac}",
            f"     config:     {'PORT_DOWN' if is_down else 0}",
            f"     state:      {'LINK_DOWN' if is_down else 0}",
            "     current:    10GB-FD COPPER",
            "     speed: 10000 Mbps now, 0 Mbps max",
        ]
    return "".join(f"{line}\n" for line in lines)


def show_bridge(cluster: Cluster, node: HostSubnet) -> str:
    """What ``ovs-ofctl show`` prints of br0."""
    dpid = underlay_mac(node.gateway).replace(":", "")
    return (
        f"OFPT_FEATURES_REPLY (OF1.3) (xid=0x2): dpid:0000{dpid}\n"
        "n_tables:254, n_buffers:0\n"
        "capabilities: FLOW_STATS TABLE_STATS PORT_STATS GROUP_STATS QUEUE_STATS\n"
        f"{_described(cluster, node, 3)}"
        "OFPT_GET_CONFIG_REPLY (OF1.3) (xid=0x5): frags=nx-match miss_send_len=0\n"
    )


def dump_ports(cluster: Cluster, node: HostSubnet) -> str:
    """What ``dump-ports-desc`` prints of br0."""
    return _described(cluster, node, 2)


def show_database(cluster: Cluster, node: HostSubnet) -> str:
    """What ``ovs-vsctl show`` prints."""
    ports = [("br0", "internal"), ("vxlan0", "vxlan"), ("tun0", "internal")]
    ports += [(veth_name(pod), "") for pod in cluster.pods_on(node)]
    lines = ["    Bridge br0", "        fail_mode: secure"]
    for name, kind in ports:
        lines += [f"        Port {name}", f"            Interface {name}"]
        lines += [f"                type: {kind}"] if kind else []
        if kind == "vxlan":
            port = cluster.network.vxlan_port
            options = f'dst_port="{port}", key=flow, remote_ip=flow'
            lines.append(f"                options: {{{options}}}")
    text = "".join(f"{line}\n" for line in lines)
    return f'{uuid5(NAMESPACE_DNS, node.name)}\n{text}    ovs_version: "2.9.0"\n'
