"""Where a bridge's flows are not what the SDN would have programmed."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from testbed.openflow.flow import Flow

_PROTOCOLS = {"arp", "icmp", "tcp", "udp", "sctp"}
_ADDRESSES = {"nw_src", "nw_dst", "arp_spa", "arp_tpa", "tun_src", "tun_dst"}


class Deviation(enum.StrEnum):
    """How one flow deviates."""

    MISSING = "missing"
    CHANGED = "changed"
    EXTRA = "extra"


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowDifference:
    """One flow that is not as computed.

    ``computed`` is ``None`` for an extra flow, ``installed`` for a missing one; both
    are there, with the same table, priority and match, for a changed one.
    """

    computed: Flow | None
    installed: Flow | None

    @property
    def deviation(self) -> Deviation:
        """Which of the three it is."""
        if self.installed is None:
            return Deviation.MISSING
        return Deviation.EXTRA if self.computed is None else Deviation.CHANGED

    @property
    def flow(self) -> Flow:
        """The flow that it is about, as computed where it was."""
        flow = self.computed or self.installed
        if flow is None:
            raise ValueError("a difference is about some flow")
        return flow

    @property
    def made_by(self) -> str:
        """The API object that the flow follows from, where one is known."""
        return self.computed.made_by if self.computed else ""

    def __str__(self) -> str:
        """The flow, what became of it, and whose it is."""
        whose = f" ({self.made_by})" if self.made_by else ""
        if self.computed and self.installed:
            now = ",".join(self.installed.actions)
            return f"{self.deviation}: {self.computed}{whose}, but has actions={now}"
        return f"{self.deviation}: {self.flow}{whose}"


def flow_differences(
    computed: Iterable[Flow], installed: Iterable[Flow], *, cookies: bool = True
) -> Iterator[FlowDifference]:
    """Yield what deviates: computed flows in their order, then what is extra.

    By ``cookies`` the SDN finds a HostSubnet's flows again; no packet sees them, and
    ``ovs-appctl bridge/dump-flows`` does not print them.
    """
    found = {(int(flow.table), flow.selector): flow for flow in installed}
    for flow in computed:
        other = found.pop((int(flow.table), flow.selector), None)
        if (
            other is None
            or other.actions != flow.actions
            or (cookies and other.cookie != flow.cookie)
        ):
            yield FlowDifference(computed=flow, installed=other)
    for flow in found.values():
        yield FlowDifference(computed=None, installed=flow)


def could_match(flow: Flow, packet: Mapping[str, str]) -> bool:
    """Whether a packet's fields, in OVS's text, contradict no item of a flow's match.

    Only what the packet says counts: a register that it does not name fits anything.
    For telling which flow a packet misses, not for switching packets.
    """
    return all(_fits(item, packet) for item in flow.match)


def _fits(item: str, packet: Mapping[str, str]) -> bool:
    name, equals, wanted = item.partition("=")
    if not equals:
        is_arp = "arp" in packet
        return not is_arp if name == "ip" else name in packet or name not in _PROTOCOLS
    if name not in packet:
        return True
    if name in _ADDRESSES:
        return IPv4Address(packet[name]) in IPv4Network(wanted)
    return packet[name] == wanted
