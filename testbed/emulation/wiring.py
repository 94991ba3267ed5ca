"""Which machines a cluster needs and which wires run between them. Pure.

::

    pod eth0 ── veth… ┐
    pod eth0 ── veth… ┴ br0 (node) uplink ── port0 ┐
                        br0 (node) uplink ── port1 ┤ underlay switch
                                rogue eth0 ── port2 ┤
                              gateway eth0 ── port3 ┘
                                   gateway external0 ── eth0 external host
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

from testbed.emulation.machines import Kind
from testbed.host.names import underlay_mac, veth_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from ipaddress import IPv4Address

    from testbed.model import Cluster, Pod, UnderlayHost

VXLAN_OVERHEAD = 50
"""Bytes that VXLAN puts around an inner packet: 14 + 20 + 8 + 8."""

SWITCH = "underlay:switch"
GATEWAY = "underlay:gateway"


class Datapath(enum.StrEnum):
    """Who forwards the packets: the kernel's module, or ovs-vswitchd itself."""

    SYSTEM = "system"
    NETDEV = "netdev"

    @property
    def uplink(self) -> str:
        """The node's interface on the wire.

        Userspace tunnelling needs the route to a peer to point at a bridge, so there
        eth0 is a bridge and the wire is plugged into it (OVS native tunnelling).
        """
        return "eth0" if self is Datapath.SYSTEM else "uplink0"


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """One end of a wire; the kernel chooses the MAC where none is given."""

    machine: str
    interface: str
    mtu: int
    mac: str | None = None


@dataclass(frozen=True, slots=True)
class Wire:
    """A veth pair."""

    near: End
    far: End

    @property
    def creation(self) -> str:
        """The line of ``ip -batch`` that creates it."""
        near, far = (
            " ".join(
                [
                    f"{end.interface} mtu {end.mtu}",
                    *([f"address {end.mac}"] if end.mac else []),
                    f"netns {end.machine}",
                ]
            )
            for end in (self.near, self.far)
        )
        return f"link add {near} type veth peer {far}\n"


def pod_machine(pod: Pod) -> str:
    """A machine name for a pod; no OpenShift name contains an underscore."""
    return f"{pod.namespace}_{pod.name}"


def external_machine(host: UnderlayHost) -> str:
    """The machine of an external host, as a person writes it."""
    return f"external:{host.name}"


def rogue_machine(rogue: UnderlayHost) -> str:
    """The machine of a rogue VTEP."""
    return f"rogue:{rogue.name}"


def machines(cluster: Cluster) -> Iterator[tuple[Kind, str]]:
    """Yield kind and name of every machine; pods on the host network need none."""
    yield Kind.SWITCH, SWITCH
    yield Kind.GATEWAY, GATEWAY
    for host in cluster.underlay.external_hosts:
        yield Kind.EXTERNAL, external_machine(host)
    for rogue in cluster.underlay.rogues:
        yield Kind.ROGUE, rogue_machine(rogue)
    for ghost in cluster.ghosts:
        yield Kind.GHOST, ghost.name
    for node in cluster.nodes:
        yield Kind.NODE, node.name
    for pod in cluster.pods:
        if not pod.host_network:
            yield Kind.POD, pod_machine(pod)


def switch_ports(cluster: Cluster) -> dict[str, str]:
    """The MAC address behind each port of the underlay switch."""
    return {
        f"port{number}": underlay_mac(ip)
        for number, (_, ip) in enumerate(_on_the_switch(cluster))
    }


def wires(cluster: Cluster, datapath: Datapath) -> Iterator[Wire]:
    """Yield every wire of the cluster."""
    underlay = cluster.underlay
    mtu = underlay.mtu + VXLAN_OVERHEAD
    nodes = {node.name for node in cluster.nodes}
    for number, (machine, ip) in enumerate(_on_the_switch(cluster)):
        bridged = machine in nodes and datapath is Datapath.NETDEV
        yield Wire(
            End(
                machine=machine,
                interface=datapath.uplink if bridged else "eth0",
                mtu=mtu,
                mac=None if bridged else underlay_mac(ip),
            ),
            End(machine=SWITCH, interface=f"port{number}", mtu=mtu),
        )
    for number, host in enumerate(underlay.external_hosts):
        yield Wire(
            End(
                machine=external_machine(host),
                interface="eth0",
                mtu=mtu,
                mac=underlay_mac(host.ip),
            ),
            End(machine=GATEWAY, interface=f"external{number + 1}", mtu=mtu),
        )
    for pod in cluster.pods:
        if not pod.host_network:
            yield pod_wire(cluster, pod)


def pod_wire(cluster: Cluster, pod: Pod) -> Wire:
    """The veth pair of a pod, one end to be plugged into its node's br0."""
    mtu = cluster.underlay.mtu
    return Wire(
        End(machine=pod_machine(pod), interface="eth0", mtu=mtu, mac=pod.mac),
        End(machine=pod.node, interface=veth_name(pod), mtu=mtu),
    )


def _on_the_switch(cluster: Cluster) -> list[tuple[str, IPv4Address]]:
    return [
        *((node.name, node.host_ip) for node in cluster.host_subnets),
        *((rogue_machine(rogue), rogue.ip) for rogue in cluster.underlay.rogues),
        (GATEWAY, cluster.underlay.gateway),
    ]
