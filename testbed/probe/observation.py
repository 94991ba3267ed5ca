"""The observed witness: what really becomes of packets, thousands at once.

A packet is *delivered* where somebody's tap or kernel has it, *rejected* where nobody
has it and its sender is told so, and *dropped* where neither is so although controls
that followed it the same way were heard. All else is inconclusive, and says why.

How a drop is proven depends on the way. A bridge handles the frames of a port in order,
one batch after another. So when a sender's control was heard, and then a second and a
third that were each sent after the one before was heard, both bridges on the way have
finished with the batch that a probe before them was in; nothing is waited for. That is
so with Open vSwitch's userspace datapath. In the kernel's, the first packet of a flow
takes a detour on which later ones pass it, and what crosses kernels may wait there for
ARP: such packets have one settling time together, from the last control on, and only
where one of them, or an answer, is still missing.

What is missing where taps lost frames, or the machine's ARP table was full, is sent
again, and inconclusive if that helps nothing.
"""

from __future__ import annotations

import contextlib
import os
import time
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from testbed.emulation.neighbours import (
    forget_neighbours,
    neighbour_table,
    wait_for_room,
)
from testbed.errors import DeadlineError
from testbed.garbage import without_collecting
from testbed.model import Outcome
from testbed.patience import patience
from testbed.probe.answers import Answer
from testbed.probe.batches import batches
from testbed.probe.directory import Directory
from testbed.probe.drops import ATTEMPTS, COUNTER_TIMEOUT, Drop, dropped_since
from testbed.probe.frames import FrameBuilder, source_ports
from testbed.probe.judgement import Judge
from testbed.probe.observed import Observation
from testbed.probe.passage import Passage
from testbed.probe.paths import PathFinder
from testbed.probe.pump import Pump
from testbed.probe.recorder import muted
from testbed.probe.stacks import stacks
from testbed.probe.templates import BATCH_SIZE
from testbed.probe.watches import watches

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from testbed.model import Traffic
    from testbed.probe.live import LiveCluster
    from testbed.probe.places import Place
    from testbed.probe.routes import Route

__all__ = ["Answer", "Drop", "Observation", "Passage", "observe", "observe_alone"]

WINDOW = 64
"""Probes under way at a time; twice as many overflow a queue here and there."""

SETTLING = 0.25
"""Seconds that what crosses kernels may take, unless the controls took longer."""

_ANSWERING = 0.05
"""The same for the answer to what has arrived; some servers answer nothing."""

_SLOWER_THAN_A_CONTROL = 10
"""How many times a control's time others may take on a machine that is so loaded."""

_AT_ONCE = 16_384
"""Probes of one batch: fewer than there are ports for them."""

_ROUNDS = 2
"""Controls after the first, which finish a batch on each of two bridges."""

_AGAIN = 2
"""How often a packet is sent once more, with a smaller window, where there is doubt."""

_MANY = 64
"""Probes of one batch after which pods' kernels are made to forget their neighbours.

All pairs of a hundred pods would take ten times the room that the machine has for all.
"""

_OURS = 0.75
"""The share of the room left there that a batch may take; nodes and others learn, too.
"""


def observe(
    cluster: LiveCluster,
    traffics: Sequence[Traffic],
    *,
    window: int = WINDOW,
    settling: float = SETTLING,
    wires: bool = False,
) -> tuple[Observation, ...]:
    """Send packets and see what becomes of them, in the order asked.

    Args:
        cluster: where.
        traffics: which packets.
        window: how many may be under way at a time.
        settling: seconds that what crosses kernels may take after the last control.
        wires: whether to look at the nodes' wires, too, where tunnels show; it takes a
            third more time. ARP on the wire looks there anyhow.

    Raises:
        NotFoundError: a sender is no part of the cluster.
    """
    table = neighbour_table()
    room = int((table.limit - table.entries) * _OURS)
    found: dict[int, Observation] = {}
    for batch in batches(traffics, most=_AT_ONCE, room=room):
        seen = _observe_well(
            cluster,
            [traffics[number] for number in batch],
            window=window,
            settling=settling,
            wires=wires,
        )
        found.update(zip(batch, seen, strict=True))
    return tuple(found[number] for number in range(len(traffics)))


def observe_alone(
    cluster: LiveCluster, traffic: Traffic, *, settling: float = SETTLING
) -> Observation:
    """Send one packet, see its way in full, and which flows counted that they drop it.

    Where something else is dropped in the same moment (a kernel's own ARP, say), the
    packet is sent again. Not where the controls, too, got lost: then the flows that
    counted drops are told, whichever of these it was.
    """
    for _ in range(ATTEMPTS):
        before = cluster.read_counters()
        (seen,) = observe(cluster, [traffic], settling=settling, wires=True)
        timeout = COUNTER_TIMEOUT if _was_dropped_at_once(seen) else 0.0
        drops = dropped_since(cluster, before, timeout=timeout)
        if sum(drops.values()) <= 1 or seen.outcome is Outcome.INCONCLUSIVE:
            break
    return replace(seen, dropped_by=tuple(Drop(*where) for where in drops))


def _was_dropped_at_once(seen: Observation) -> bool:
    """Whether a bridge must have dropped it that nothing waited for: counters lag."""
    return seen.outcome is Outcome.DROPPED and not any(
        passage.tap.interface == "tun0" for passage in seen.passages
    )


def _observe_well(
    cluster: LiveCluster,
    traffics: Sequence[Traffic],
    *,
    window: int,
    settling: float,
    wires: bool,
) -> list[Observation]:
    """Once more, in smaller steps, where a limit of the machine may be what is seen."""
    found, doubt = _observe_batch(
        cluster, traffics, window=window, settling=settling, wires=wires
    )
    for attempt in range(1, _AGAIN + 1):
        again = [
            number
            for number, item in enumerate(found)
            if doubt
            and (
                not item.receivers
                or item.answer is None
                or item.traffic.destination.is_multicast
            )
        ]
        if not again:
            break
        with contextlib.suppress(DeadlineError):  # then it stays in doubt
            wait_for_room()
        repeated, doubt = _observe_batch(
            cluster,
            [found[number].traffic for number in again],
            window=max(window >> 3 * attempt, 1),
            settling=settling,
            wires=wires,
        )
        for number, item in zip(again, repeated, strict=True):
            found[number] = item
    return found


def _observe_batch(
    cluster: LiveCluster,
    traffics: Sequence[Traffic],
    *,
    window: int,
    settling: float,
    wires: bool,
) -> tuple[list[Observation], str]:
    """What was observed, and why what is missing may be so for another reason."""
    overflows = neighbour_table().overflows
    builder = FrameBuilder(cluster.objects, os.urandom(BATCH_SIZE))
    directory = Directory(cluster.places)
    vxlan_port = cluster.objects.network.vxlan_port
    first = cluster.recorder.take_numbers(len(traffics))
    ports = source_ports(first, len(traffics))
    routes = [builder.route(traffic) for traffic in traffics]
    taken = set(routes)
    # With ARP from outside the pods' network, nothing but a wire shows who is asked.
    wires = wires or any(route.is_arp and route.meets_kernels for route in taken)
    with ExitStack() as stack:
        stack.enter_context(without_collecting())
        kernels = stack.enter_context(
            stacks(
                _kernels(directory, taken),
                {traffic.transport for traffic in traffics},
                vxlan_port=vxlan_port,
            )
        )
        receiver = stack.enter_context(cluster.recorder.lent())
        if not wires:
            stack.enter_context(muted(node.wire for node in cluster.nodes))
        finder = PathFinder(directory, builder, kernels)
        watched = tuple(
            watches(
                cluster.places,
                builder.router.whereabouts,
                kernels,
                askers={directory.place(route.party).name for route in taken},
                wires=wires,
            )
        )
        pump = stack.enter_context(
            Pump(
                cluster.recorder,
                receiver,
                batch=builder.templates.batch,
                count=len(traffics),
                watches=watched,
                window=window,
                patience=cluster.patience,
            )
        )
        for number, traffic in enumerate(traffics):
            launch = builder.packet(
                routes[number],
                traffic.transport,
                number=number,
                port=ports[number],
                dport=traffic.dport or 0,
            )
            pump.send(finder.probe(launch))
        judge = Judge(
            pump,
            traffics,
            ports,
            watches=watched,
            vxlan_port=vxlan_port,
            is_ordered=cluster.datapath == "netdev",
        )
        pump.prove(finder.found)
        for _ in range(_ROUNDS):
            pump.prove(judge.unproven())
        now = time.monotonic()
        slow = pump.slowest * _SLOWER_THAN_A_CONTROL
        pump.wait(judge.has_arrived, now + max(patience(settling), slow))
        pump.wait(judge.is_answered, now + max(patience(_ANSWERING), slow))
        table = neighbour_table()
        doubts = []
        if lost := pump.lost():
            doubts.append(f"not all was seen that passed {', '.join(lost)}")
        if table.overflows != overflows:
            doubts.append(
                f"the machine's ARP table, {table.limit} entries for all that runs on "
                "it, was full"
            )
        if len(traffics) > _MANY:
            for pod in cluster.pods:
                forget_neighbours(pod.tap.socket, pod.tap.interface)
        doubt = " and ".join(doubts)
        return judge.observations(doubt), doubt


def _kernels(directory: Directory, routes: Iterable[Route]) -> list[Place]:
    """Whose kernels send, or may take what is for no pod: those of all nodes."""
    concerned = [route for route in routes if route.meets_kernels]
    if not concerned:
        return []
    places = (
        *directory.places.nodes,
        *(directory.place(route.party) for route in concerned),
    )
    return list({place.machine.name: place for place in places}.values())
