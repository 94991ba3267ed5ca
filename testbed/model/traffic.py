"""One packet as a question: does it arrive, and if not, where does it die and why."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from ipaddress import IPv4Address

    from testbed.model.network import HostSubnet
    from testbed.model.underlay import UnderlayHost
    from testbed.model.workload import Pod

Party: TypeAlias = "Pod | HostSubnet | UnderlayHost"
"""Who sends or receives: a pod, a node's kernel, or a machine outside the cluster."""


class Transport(enum.StrEnum):
    """What a packet carries; ARP asks who has the destination."""

    ARP = "arp"
    ICMP = "icmp"
    TCP = "tcp"
    UDP = "udp"
    SCTP = "sctp"


class Outcome(enum.StrEnum):
    """How a packet ends, whoever tells: objects, a trace, or what was seen.

    A rejected packet is answered, a dropped one is not. ``INCONCLUSIVE`` is neither:
    whoever was asked could not tell.
    """

    DELIVERED = "delivered"
    DROPPED = "dropped"
    REJECTED = "rejected"
    INCONCLUSIVE = "inconclusive"


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """The first packet of a conversation, sent from the sender's own address.

    A node sends from tun0's address to pods and services, from its own to the world.
    ``dport`` is the port it is sent to, ``None`` without ports (ARP, ICMP). A pod on
    the host network sends as its node does.
    """

    sender: Party
    destination: IPv4Address
    transport: Transport
    dport: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """Who receives the packet, and what it looks like there.

    ``vnid`` is the sender's VNID as the receiver's br0 knows it, or as a ghost finds it
    in the VXLAN header; ``None`` where no VNID is left: at a node and outside.
    """

    receiver: Party
    source: IPv4Address
    vnid: int | None
    destination: IPv4Address
    dport: int | None
