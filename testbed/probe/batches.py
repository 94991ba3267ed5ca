"""Which packets are sent together, so that this machine's ARP table is not overrun.

Two machines that talk learn each other's address, and the kernel has room for some
thousand neighbours, of all namespaces together: a hundred pods have 4,950 pairs. So the
packets of a pair, both ways, go in one batch, and a batch has as many pairs as fit.
After it the neighbours are forgotten.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.model import HostSubnet

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from testbed.model import Traffic

_NEIGHBOURS = 2
"""What a pair takes: each learns the other."""

_LEAST = 32
"""Pairs of a batch, however little room there is: others may leave some meanwhile."""


def batches(traffics: Sequence[Traffic], *, most: int, room: int) -> list[list[int]]:
    """Sort packets into batches, and tell which packets, by number, each has.

    Without need the order stays.

    Args:
        traffics: which packets.
        most: how many packets a batch may have.
        room: for how many neighbours the machine has room.
    """
    pairs = [_pair(traffic) for traffic in traffics]
    order = list(range(len(traffics)))
    fitting = max(room // _NEIGHBOURS, _LEAST)
    if len(set(pairs)) > fitting:
        order.sort(key=lambda number: pairs[number])
    return list(_cut(order, pairs, most=most, fitting=fitting))


def _cut(
    order: Sequence[int], pairs: Sequence[tuple[int, int]], *, most: int, fitting: int
) -> Iterator[list[int]]:
    batch: list[int] = []
    taken: set[tuple[int, int]] = set()
    for number in order:
        full = pairs[number] not in taken and len(taken) == fitting
        if full or len(batch) == most:
            yield batch
            batch, taken = [], set()
        batch.append(number)
        taken.add(pairs[number])
    if batch:
        yield batch


def _pair(traffic: Traffic) -> tuple[int, int]:
    """The two addresses, the lower first."""
    sender, other = traffic.sender, int(traffic.destination)
    own = int(sender.host_ip if isinstance(sender, HostSubnet) else sender.ip)
    return (own, other) if own < other else (other, own)
