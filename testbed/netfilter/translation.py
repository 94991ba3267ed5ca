"""How NAT changes a packet, and how it is undone in the answer.

A translation is for a whole connection: rules of the table nat see its first packet,
and every later one is treated as that was.

Source: iptables-extensions(8); Linux net/netfilter/nf_nat_core.c,
nf_nat_masquerade.c, nf_nat_redirect.c
"""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Final

from testbed.model import Outcome, Transport
from testbed.netfilter.packet import RuleHit

if TYPE_CHECKING:
    from testbed.netfilter.branch import Branch
    from testbed.netfilter.targets import Masquerade, Nat, Redirect

_LOOPBACK_ADDRESS: Final = int(IPv4Address("127.0.0.1"))


def translate(branch: Branch, target: Nat, address: int | None) -> str:
    """Give a packet another source or destination; returns what was done, in words."""
    if target.is_source:
        return _set_source(branch, address, target.ports, is_random=target.is_random)
    return _set_destination(branch, address, target.ports, is_random=target.is_random)


def masquerade(branch: Branch, target: Masquerade) -> str:
    """Give a packet the address of the interface that it leaves by.

    It is dropped where there is no such address.
    """
    gateway = branch.hop.gateway if branch.hop else None
    address = branch.routes.select_address(
        branch.out_interface, branch.destination if gateway is None else gateway
    )
    if address is None:
        reason = f"{branch.out_interface} has no address to masquerade with"
        branch.end(Outcome.DROPPED, reason)
        return reason
    return _set_source(branch, int(address), target.ports, is_random=target.is_random)


def redirect(branch: Branch, target: Redirect) -> str:
    """Make the machine itself the destination.

    That is the address of the interface that the packet came by; without one it is
    dropped. Of the machine's own packets it is the loopback address.
    """
    address = _LOOPBACK_ADDRESS
    if branch.in_interface:
        found = branch.routes.first_address(branch.in_interface)
        if found is None:
            reason = f"{branch.in_interface} has no address to redirect to"
            branch.end(Outcome.DROPPED, reason)
            return reason
        address = int(found)
    return _set_destination(branch, address, target.ports, is_random=target.is_random)


def restore_destination(branch: Branch) -> None:
    """An answer goes to who asked, whatever the question's source was made."""
    if branch.answers is None or not branch.is_source_translated:
        return
    asked = branch.answers.original
    branch.destination = int(asked.source)
    if asked.sport is not None:
        branch.dport = asked.sport
    branch.hits.append(_remembered(f"destination back to {asked.source}"))


def restore_source(branch: Branch) -> None:
    """An answer comes from where the question was sent to."""
    if branch.answers is None or not branch.is_destination_translated:
        return
    asked = branch.answers.original
    branch.source = int(asked.destination)
    if asked.dport is not None:
        branch.sport = asked.dport
    branch.hits.append(_remembered(f"source back to {asked.destination}"))


def _remembered(effect: str) -> RuleHit:
    return RuleHit(table="conntrack", chain="", rule="", line=None, effect=effect)


def _set_source(
    branch: Branch,
    address: int | None,
    ports: tuple[int, int] | None,
    *,
    is_random: bool,
) -> str:
    if address is not None:
        branch.source = address
    branch.sport = _port(branch, branch.sport, ports, is_random=is_random)
    return f"snat to {_spelt(branch.source, branch.sport if ports else None)}"


def _set_destination(
    branch: Branch,
    address: int | None,
    ports: tuple[int, int] | None,
    *,
    is_random: bool,
) -> str:
    if address is not None:
        branch.destination = address
    # Without a range of ports, --random has nothing to choose from.
    branch.dport = _port(
        branch, branch.dport, ports, is_random=is_random and ports is not None
    )
    return f"dnat to {_spelt(branch.destination, branch.dport)}"


def _port(
    branch: Branch,
    port: int | None,
    ports: tuple[int, int] | None,
    *,
    is_random: bool,
) -> int | None:
    """A port within the range is kept; another is one of it, nobody knows which."""
    if branch.transport is Transport.ICMP:
        return port
    if ports is None:
        return None if is_random else port
    lowest, highest = ports
    if lowest == highest:
        return lowest
    is_kept = port is not None and lowest <= port <= highest and not is_random
    return port if is_kept else None


def _spelt(ip: int, port: int | None) -> str:
    address = IPv4Address(ip)
    return str(address) if port is None else f"{address}:{port}"
