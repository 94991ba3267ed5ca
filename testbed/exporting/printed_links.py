"""What ip and tc print on a node or in a pod where all is as it should be. Pure.

Source: ip(8), tc(8); the forms are those of iproute 4.11.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.host.egress import egress_addresses
from testbed.host.links import MULTICAST
from testbed.host.names import sandbox_id, underlay_mac, veth_name
from testbed.model import DOCKER_NETWORK

if TYPE_CHECKING:
    from collections.abc import Mapping

    from testbed.model import Cluster, HostSubnet, Pod

_VXLAN_OVERHEAD = 50
"""Bytes that a tunnelled packet is longer by."""

_UP = "BROADCAST,MULTICAST,UP,LOWER_UP"
_ETHER = "link/ether {} brd ff:ff:ff:ff:ff:ff"
_FOREVER = "       valid_lft forever preferred_lft forever\n"
_LOOPBACK = (
    "1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue state UNKNOWN group default "
    "qlen 1000\n    link/loopback 00:00:00:00:00:00 brd 00:00:00:00:00:00\n"
    f"    inet 127.0.0.1/8 scope host lo\n{_FOREVER}"
)

_POD_ETH0 = 3
"""The index of eth0 in a pod; its other end's is in the node."""

_FIRST_VETH = 8
"""The index of the first pod's veth on its node."""


def pod_prints(cluster: Cluster, pod: Pod, command: str) -> str | None:
    """What a command prints in a pod's network namespace; ``None`` if it is unknown."""
    if pod.host_network:
        return None
    node = cluster.node(pod.node)
    if command == "ip addr show":
        peer = _veth_indices(cluster, node)[pod.key]
        link = f"{_POD_ETH0}: eth0@if{peer}: <{_UP}> mtu {cluster.underlay.mtu} "
        length = node.subnet.prefixlen
        broadcast = node.subnet.broadcast_address
        return (
            f"{_LOOPBACK}{link}qdisc noqueue state UP group default \n"
            f"    {_ETHER.format(pod.mac)} link-netnsid 0\n"
            f"    inet {pod.ip}/{length} brd {broadcast} scope global eth0\n{_FOREVER}"
        )
    if command == "ip route show":
        return (
            f"default via {node.gateway} dev eth0 \n"
            f"{node.subnet} dev eth0 proto kernel scope link src {pod.ip} \n"
            + "".join(f"{cidr} dev eth0 \n" for cidr in cluster.cidrs)
            + f"{MULTICAST} dev eth0 \n"
        )
    return None


def veth_mac(pod: Pod) -> str:
    """A MAC for the node's end of a pod's veth; the real one is random."""
    digits = sandbox_id(pod)[8:18]
    return ":".join(["ea", *(digits[i : i + 2] for i in range(0, 10, 2))])


def _veth_indices(cluster: Cluster, node: HostSubnet) -> Mapping[str, int]:
    """The interface index of each pod's veth on its node."""
    return {pod.key: n for n, pod in enumerate(cluster.pods_on(node), _FIRST_VETH)}


def addresses(cluster: Cluster, node: HostSubnet) -> str:
    """What ``ip addr`` prints on a node."""
    mtu = cluster.underlay.mtu
    length = cluster.underlay.subnet.prefixlen
    broadcast = cluster.underlay.subnet.broadcast_address
    docker = DOCKER_NETWORK
    eth0 = (
        f"    inet {node.host_ip}/{length} brd {broadcast} scope global noprefixroute "
        f"dynamic eth0\n{_FOREVER}"
    ) + "".join(
        f"    inet {ip}/{length} brd {broadcast} scope global secondary eth0\n"
        f"{_FOREVER}"
        for ip in egress_addresses(cluster, node)
    )
    tun0 = (
        f"    inet {node.gateway}/{node.subnet.prefixlen} brd "
        f"{node.subnet.broadcast_address} scope global tun0\n{_FOREVER}"
    )
    docker0 = (
        f"    inet {docker[1]}/{docker.prefixlen} brd {docker.broadcast_address} "
        f"scope global docker0\n{_FOREVER}"
    )
    mac = underlay_mac
    down = "BROADCAST,MULTICAST"
    links = [
        _LOOPBACK,
        _link(
            2, "eth0", _UP, mtu + _VXLAN_OVERHEAD, "pfifo_fast", mac(node.host_ip), eth0
        ),
        _link(3, "docker0", _UP, 1500, "noqueue", "02:42:ac:11:00:01", docker0),
        _link(4, "ovs-system", down, 1500, "noop", mac(node.subnet[0])),
        _link(5, "br0", down, mtu, "noop", mac(node.gateway)),
        _link(6, _tunnel(cluster), _UP, 65000, "noqueue", mac(node.host_ip)),
        _link(7, "tun0", _UP, mtu, "noqueue", node.tun0_mac, tun0),
    ]
    indices = _veth_indices(cluster, node)
    for number, pod in enumerate(cluster.pods_on(node)):
        name = f"{veth_name(pod)}@if{_POD_ETH0}"
        link = _link(
            indices[pod.key],
            name,
            _UP,
            mtu,
            "noqueue master ovs-system",
            veth_mac(pod),
        )
        links.append(f"{link.rstrip()} link-netnsid {number}\n")
    return "".join(links)


def _tunnel(cluster: Cluster) -> str:
    """The device that the kernel's datapath makes for VXLAN."""
    return f"vxlan_sys_{cluster.network.vxlan_port}"


def addresses_on_lines(cluster: Cluster, node: HostSubnet) -> str:
    """The same as ``ip -o addr`` prints it: a line for each address."""
    lines, name = [], ""
    for line in addresses(cluster, node).splitlines():
        if not line.startswith(" "):
            index, name, *_ = line.split(": ")
        elif line.lstrip().startswith("inet "):
            device = name.partition("@")[0]
            lines.append(f"{index}: {device}{line}\\{_FOREVER}")
    return "".join(lines)


def _link(  # noqa: PLR0913, PLR0917 - the columns of a line
    index: int, name: str, flags: str, mtu: int, qdisc: str, mac: str, more: str = ""
) -> str:
    state = "UP" if "LOWER_UP" in flags else "DOWN"
    return (
        f"{index}: {name}: <{flags}> mtu {mtu} qdisc {qdisc} state {state} group "
        f"default qlen 1000\n    {_ETHER.format(mac)}\n{more}"
    )


def routes(cluster: Cluster, node: HostSubnet) -> str:
    """What ``ip route`` prints on a node."""
    underlay, docker = cluster.underlay, DOCKER_NETWORK
    kernel = "proto kernel scope link src"
    lines = (
        f"default via {underlay.gateway} dev eth0 proto dhcp metric 100",
        *(f"{cidr} dev tun0 scope link" for cidr in cluster.cidrs),
        f"{underlay.subnet} dev eth0 {kernel} {node.host_ip} metric 100",
        f"{docker} dev docker0 {kernel} {docker[1]}",
        f"{cluster.network.service_network} dev tun0",
    )
    return "".join(f"{line} \n" for line in lines)


def queues(cluster: Cluster, node: HostSubnet) -> str:
    """What ``tc qdisc`` prints on a node."""
    devices = [("noqueue", "lo"), ("pfifo_fast", "eth0"), ("noqueue", "docker0")]
    devices += [("noqueue", _tunnel(cluster)), ("noqueue", "tun0")]
    devices += [("noqueue", veth_name(pod)) for pod in cluster.pods_on(node)]
    bands = " bands 3 priomap  1 2 2 2 1 2 0 0 1 1 1 1 1 1 1 1"
    return "".join(
        f"qdisc {kind} 0: dev {name} root refcnt 2"
        f"{bands if kind == 'pfifo_fast' else ''} \n"
        for kind, name in devices
    )
