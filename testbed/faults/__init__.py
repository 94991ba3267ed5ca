"""Everything that may be wrong with a node, as values.

A fault is a frozen dataclass; its class is its kind, which the command line and YAML
write as ``host-subnet-forgotten``. ``LiveCluster.broken`` has it in a cluster for the
length of a ``with`` block, ``testbed fault`` in a running testbed until it is cleared.

Two sorts: faults of *programming* are functions of what the SDN computes, so they stay
in whatever is applied (``seen``, ``flows``, ``rules``); faults of *machines* do
something to links, daemons or kernels, and undo it exactly (``inject``, ``undo``).
"""

from types import MappingProxyType
from typing import TYPE_CHECKING

from testbed.faults.addresses import ArpStale, DuplicatePodIP, EgressIpStale
from testbed.faults.daemons import (
    DnsmasqDead,
    NodeDead,
    SwitchHung,
    SwitchKilled,
    SwitchRestarted,
)
from testbed.faults.fault import Fault, PodFault, Programming
from testbed.faults.flows import (
    FlowChanged,
    FlowDeleted,
    FlowFault,
    FlowsWiped,
    NoteWrong,
)
from testbed.faults.kernel import IpForwardOff
from testbed.faults.links import LinkDown, LinkFlapping, MtuDrifted
from testbed.faults.peers import HostSubnetForgotten, HostSubnetStale
from testbed.faults.pods import OfportWrong, PodFlowsMissing, PodFlowsStale
from testbed.faults.rules import ChainReordered, IptablesFlushed, RuleDeleted
from testbed.faults.shaping import NetemDelay, NetemLoss, NetemRate, NetemReorder
from testbed.faults.tunnel import (
    Direction,
    VxlanBlocked,
    VxlanCorrupted,
    VxlanPortWrong,
)
from testbed.faults.vnids import VnidDuplicated, VnidStale, VnidSwapped

if TYPE_CHECKING:
    from collections.abc import Mapping

KINDS: "Mapping[str, type[Fault]]" = MappingProxyType(
    {
        fault.kind: fault
        for fault in (
            FlowDeleted,
            FlowChanged,
            FlowsWiped,
            NoteWrong,
            HostSubnetForgotten,
            HostSubnetStale,
            VnidSwapped,
            VnidDuplicated,
            VnidStale,
            PodFlowsStale,
            PodFlowsMissing,
            OfportWrong,
            IptablesFlushed,
            RuleDeleted,
            ChainReordered,
            SwitchRestarted,
            SwitchKilled,
            SwitchHung,
            VxlanBlocked,
            VxlanCorrupted,
            VxlanPortWrong,
            MtuDrifted,
            LinkDown,
            LinkFlapping,
            NetemLoss,
            NetemDelay,
            NetemReorder,
            NetemRate,
            DuplicatePodIP,
            ArpStale,
            EgressIpStale,
            IpForwardOff,
            DnsmasqDead,
            NodeDead,
        )
    }
)
"""Every kind of fault by its name."""

__all__ = [
    "KINDS",
    "ArpStale",
    "ChainReordered",
    "Direction",
    "DnsmasqDead",
    "DuplicatePodIP",
    "EgressIpStale",
    "Fault",
    "FlowChanged",
    "FlowDeleted",
    "FlowFault",
    "FlowsWiped",
    "HostSubnetForgotten",
    "HostSubnetStale",
    "IpForwardOff",
    "IptablesFlushed",
    "LinkDown",
    "LinkFlapping",
    "MtuDrifted",
    "NetemDelay",
    "NetemLoss",
    "NetemRate",
    "NetemReorder",
    "NodeDead",
    "NoteWrong",
    "OfportWrong",
    "PodFault",
    "PodFlowsMissing",
    "PodFlowsStale",
    "Programming",
    "RuleDeleted",
    "SwitchHung",
    "SwitchKilled",
    "SwitchRestarted",
    "VnidDuplicated",
    "VnidStale",
    "VnidSwapped",
    "VxlanBlocked",
    "VxlanCorrupted",
    "VxlanPortWrong",
]
