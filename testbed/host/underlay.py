"""Links of the machines that are no nodes, as input for ``ip -batch``.

Those outside know each other for good: a kernel has room for 1,024 neighbours in all
its namespaces together, and what the SDN's own ARP takes may be all of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.host.names import underlay_mac

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from ipaddress import IPv4Address, IPv4Network

    from testbed.model import Underlay


def switch_links(ports: Iterable[str]) -> str:
    """A plain switch: a bridge that floods what it has not learnt."""
    return "".join(
        [
            "link add switch0 type bridge mcast_snooping 0\n",
            *(f"link set {port} master switch0 up\n" for port in ports),
            "link set switch0 up\n",
        ]
    )


def switch_forwarding(ports: Mapping[str, str]) -> str:
    """Nail every MAC to its port, as input for ``bridge -batch``.

    A rogue that forges a MAC then cannot draw its owner's frames to itself, and no
    frame is flooded to ports it is not for.
    """
    return "".join(
        f"fdb replace {mac} dev {port} master static sticky\n"
        for port, mac in ports.items()
    )


def gateway_links(underlay: Underlay, external_ports: Iterable[str]) -> str:
    """The router between the nodes and the external network.

    What is for neither is lost beyond it without a word, as in the world.
    """
    external = underlay.external_network
    return "".join(
        [
            *_address(underlay.gateway, underlay.subnet, "eth0"),
            "link add external0 type bridge mcast_snooping 0\n",
            *(f"link set {port} master external0 up\n" for port in external_ports),
            *_address(underlay.external_gateway, external, "external0"),
            "route add blackhole default\n",
        ]
    )


def external_neighbours(underlay: Underlay) -> str:
    """The external network as the gateway knows it; its own MAC is part of that."""
    mac = underlay_mac(underlay.external_gateway)
    return f"link set external0 address {mac}\n" + "".join(
        _neighbour(host.ip, "external0") for host in underlay.external_hosts
    )


def host_links(ip: IPv4Address, network: IPv4Network, gateway: IPv4Address) -> str:
    """A machine with one interface and a default route."""
    return "".join(
        [
            "link set lo up\n",
            *_address(ip, network, "eth0"),
            f"route add default via {gateway} dev eth0\n",
            _neighbour(gateway, "eth0"),
        ]
    )


def _neighbour(ip: IPv4Address, interface: str) -> str:
    return f"neigh replace {ip} lladdr {underlay_mac(ip)} dev {interface}\n"


def _address(ip: IPv4Address, network: IPv4Network, interface: str) -> list[str]:
    return [
        f"addr add {ip}/{network.prefixlen} brd + dev {interface}\n",
        f"link set {interface} up\n",
    ]
