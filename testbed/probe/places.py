"""The places of a cluster that packets are sent from and seen at, by their meaning."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from testbed.emulation.machines import load_datapath, node_run_dir
from testbed.emulation.services import serving
from testbed.emulation.wiring import (
    Datapath,
    external_machine,
    pod_machine,
    rogue_machine,
)
from testbed.host.names import underlay_mac
from testbed.ovs import Switch
from testbed.patience import patience
from testbed.probe.recorder import Tap

if TYPE_CHECKING:
    import contextlib
    import subprocess
    from collections.abc import Iterable, Mapping
    from ipaddress import IPv4Address, IPv4Network

    from testbed import model
    from testbed.emulation.machines import Machine

_CONNECT_TIMEOUT = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A machine with an address, and the tap where its packets go in and out."""

    name: str
    ip: IPv4Address
    tap: Tap
    machine: Machine

    @property
    def mac(self) -> str:
        """The MAC address of its interface."""
        return self.tap.mac

    def run(self, *command: str, stdin: str = "") -> str:
        """Run a command there and return what it wrote.

        Raises:
            CommandError: it is not installed, or exited with an error.
        """
        return self.machine.run(*command, stdin=stdin)

    def connect(self, ip: IPv4Address, port: int) -> socket.socket:
        """Open a TCP connection from there, through its kernel.

        Raises:
            OSError: nobody answers, or somebody refuses.
        """
        return self.machine.call(
            lambda: socket.create_connection(
                (str(ip), port), patience(_CONNECT_TIMEOUT)
            )
        )

    def serve(
        self, *command: str, port: int, udp: bool = False
    ) -> contextlib.AbstractContextManager[subprocess.Popen[bytes]]:
        """Run a server there for the length of a ``with`` block.

        The block begins when the server listens on the TCP ``port``, and on the UDP
        port too where ``udp`` says so.
        """
        return serving(self.machine, command, ports=[port], udp=udp)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Node(Place):
    """A node; its ``tap`` is tun0, where its kernel meets br0.

    ``wire`` is its interface on the underlay: what is seen there has its VXLAN header.
    ``gateway`` is tun0's address, ``ip`` the node's own.
    """

    wire: Tap
    subnet: IPv4Network
    gateway: IPv4Address
    vxlan_port: int
    switch: Switch

    @property
    def wire_mac(self) -> str:
        """The MAC address that the node's own IP address has on the underlay."""
        return underlay_mac(self.ip)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pod(Place):
    """A pod; its ``tap`` is its eth0."""

    node: Node
    pod: model.Pod


@dataclass(frozen=True, slots=True, kw_only=True)
class Host(Place):
    """A machine that is no node: an external host, a rogue VTEP or a ghost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Every place of a cluster, its taps open."""

    nodes: tuple[Node, ...]
    pods: tuple[Pod, ...]
    external_hosts: tuple[Host, ...]
    rogues: tuple[Host, ...]
    ghosts: tuple[Host, ...]

    @classmethod
    def open(
        cls,
        objects: model.Cluster,
        machines: Mapping[str, Machine],
        *,
        already: Iterable[Tap] = (),
    ) -> Places:
        """Open the taps of all machines, in the order of the objects.

        Those that are ``already`` open are used again.
        """
        taps = _Taps({(tap.machine, tap.interface): tap for tap in already})
        nodes = {
            node.name: _node(objects, node, machines[node.name], taps)
            for node in objects.nodes
        }
        return cls(
            nodes=tuple(nodes.values()),
            pods=tuple(
                _pod(pod, nodes[pod.node], machines[pod_machine(pod)], taps)
                for pod in objects.pods
                if not pod.host_network
            ),
            external_hosts=tuple(
                _host(host.name, host.ip, machines[external_machine(host)], taps)
                for host in objects.underlay.external_hosts
            ),
            rogues=tuple(
                _host(rogue.name, rogue.ip, machines[rogue_machine(rogue)], taps)
                for rogue in objects.underlay.rogues
            ),
            ghosts=tuple(
                _host(ghost.name, ghost.host_ip, machines[ghost.name], taps)
                for ghost in objects.ghosts
            ),
        )

    @property
    def taps(self) -> tuple[Tap, ...]:
        """Every tap there is."""
        places = (
            *self.nodes,
            *self.pods,
            *self.external_hosts,
            *self.rogues,
            *self.ghosts,
        )
        return (
            *(place.tap for place in places),
            *(node.wire for node in self.nodes),
        )


@dataclass(frozen=True, slots=True)
class _Taps:
    already: Mapping[tuple[Machine, str], Tap]

    def open(self, machine: Machine, interface: str, label: str) -> Tap:
        if (machine, interface) in self.already:
            return self.already[machine, interface]
        return Tap.open(machine, interface, label)


def _node(
    objects: model.Cluster, node: model.HostSubnet, machine: Machine, taps: _Taps
) -> Node:
    uplink = Datapath(load_datapath()).uplink
    return Node(
        name=node.name,
        ip=node.host_ip,
        tap=taps.open(machine, "tun0", f"{node.name} tun0"),
        wire=taps.open(machine, uplink, f"{node.name} {uplink}"),
        machine=machine,
        subnet=node.subnet,
        gateway=node.gateway,
        vxlan_port=objects.network.vxlan_port,
        switch=Switch(run_dir=node_run_dir(node)),
    )


def _pod(pod: model.Pod, node: Node, machine: Machine, taps: _Taps) -> Pod:
    return Pod(
        name=pod.key,
        ip=pod.ip,
        tap=taps.open(machine, "eth0", pod.key),
        machine=machine,
        node=node,
        pod=pod,
    )


def _host(name: str, ip: IPv4Address, machine: Machine, taps: _Taps) -> Host:
    return Host(
        name=name,
        ip=ip,
        tap=taps.open(machine, "eth0", machine.name),
        machine=machine,
    )
