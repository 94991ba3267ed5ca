"""Match fields in the text OVS prints. Source: ovs-fields(7).

OVS also prints them in an order of its own: ``ct_state`` first, then the protocol,
registers, ``tun_src``, ``in_port``, addresses, ``nw_frag`` and ports.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from testbed.openflow.names import OFPort, Register

MULTICAST = "nw_dst=224.0.0.0/4"
UNTRACKED = "ct_state=-trk"
"""A packet that has not been looked up in conntrack yet."""
REPLY = "ct_state=+rpl"
"""A packet that runs against the direction in which its connection was opened."""
LATER_FRAGMENT = "nw_frag=later"
"""A fragment without ports, under ``set-frags nx-match`` (ovs-ofctl(8))."""


def register(register: Register, value: int) -> str:
    """The register holds this value."""
    name = register.removeprefix("NXM_NX_").lower()
    return f"{name}={value:#x}" if value else f"{name}=0"


def tun_src(node_ip: IPv4Address) -> str:
    """The packet came through a tunnel from this node."""
    return f"tun_src={node_ip}"


def in_port(ofport: int | OFPort) -> str:
    """The packet entered the bridge here."""
    return f"in_port={int(ofport)}"


def nw_src(source: IPv4Address | IPv4Network) -> str:
    """IP from this address, or from anywhere in this network."""
    return f"nw_src={_addresses(source)}"


def nw_dst(destination: IPv4Address | IPv4Network) -> str:
    """IP to this address, or to anywhere in this network."""
    return f"nw_dst={_addresses(destination)}"


def arp_spa(sender: IPv4Address | IPv4Network) -> str:
    """ARP whose sender claims this address, or one in this network."""
    return f"arp_spa={_addresses(sender)}"


def arp_tpa(target: IPv4Address | IPv4Network) -> str:
    """ARP that asks for, or answers, this address or one in this network."""
    return f"arp_tpa={_addresses(target)}"


def arp_sha(sender: IPv4Address) -> str:
    """ARP whose sender's MAC ends in the four bytes of this address."""
    octets = ":".join(f"{octet:02x}" for octet in sender.packed)
    return f"arp_sha=00:00:{octets}/00:00:ff:ff:ff:ff"


def tp_dst(port: int) -> str:
    """TCP or UDP to this port; the protocol stands before it in the match."""
    return f"tp_dst={port}"


def _addresses(value: IPv4Address | IPv4Network) -> str:
    """OVS prints a network of one address as that address."""
    if isinstance(value, IPv4Network) and value.prefixlen == value.max_prefixlen:
        return str(value.network_address)
    return str(value)
