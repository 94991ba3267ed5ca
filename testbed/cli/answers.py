"""The answers to ``testbed probe``, ``trace``, ``explain`` and ``matrix``.

Run inside the sandbox as ``python -m testbed.cli.answers QUESTION``, in JSON.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from testbed.cli import COULD_NOT, explain
from testbed.cli.options import TOPOLOGY
from testbed.cli.output import print_json
from testbed.cli.questions import Asked, traffic_of
from testbed.errors import SDNError
from testbed.model import HostSubnet, Traffic, Transport

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import NoReturn

    from testbed.faults import Fault
    from testbed.model import Cluster
    from testbed.probe import LiveCluster
    from testbed.tracing import Tracer
    from testbed.tracing.render import Origins
    from testbed.verdict import Verdict

AGREED, DISAGREED = 0, 1
_EXPLAINED = 20
"""Disagreements that are explained below a matrix; the rest is counted."""


def main() -> NoReturn:
    """Answer the question in argv and exit with the answer's status."""
    asked = Asked(**json.loads(sys.argv[1]))
    try:
        sys.exit(_answer(asked))
    except SDNError as error:
        sys.exit(explain(error))


def _answer(asked: Asked) -> int:
    from testbed.probe import LiveCluster
    from testbed.topology import load

    with LiveCluster.attach(load(TOPOLOGY)) as live:
        match asked.verb:
            case "matrix":
                return _matrix(live, asked)
            case "trace":
                from testbed.probe.witnesses import tracer

                return _trace(tracer(live), asked, live.origins)
            case _:
                return _verdict(live, asked)


def status_of(verdicts: Sequence[Verdict]) -> int:
    """0 all agree, 1 some do not, 2 some could not be told and the others agree."""
    disagreed = [verdict for verdict in verdicts if not verdict.agrees]
    if not disagreed:
        return AGREED
    inconclusive = all(verdict.is_inconclusive for verdict in disagreed)
    return COULD_NOT if inconclusive else DISAGREED


def _verdict(live: LiveCluster, asked: Asked) -> int:
    from testbed.probe.witnesses import verdict

    found = verdict(live, traffic_of(live.objects, asked))
    if asked.as_json:
        print_json(found.as_json() | {"paragraph": found.paragraph})
    elif asked.verb == "probe":
        typer.echo(found.line)
    else:
        typer.echo(found.paragraph)
        typer.echo("\n".join(_way(found)))
    return status_of([found])


def _way(found: Verdict) -> Iterator[str]:
    """What the taps saw, and the whole trace."""
    from testbed.tracing import render

    yield ""
    yield "seen:"
    passages = found.observed.passages if found.observed else ()
    for passage in passages:
        yield f"  {passage}"
    if not passages:
        yield "  nothing"
    if found.traced is not None:
        yield ""
        yield "traced:"
        for line in render(found.cluster, found.traced, found.origins):
            yield f"  {line}"


def _trace(tracer: Tracer, asked: Asked, origins: Origins) -> int:
    from testbed.oracle import expected
    from testbed.tracing import journey_json, render
    from testbed.verdict import Verdict

    cluster = tracer.cluster
    traffic = traffic_of(cluster, asked)
    journey = tracer.journey(traffic)
    reply = tracer.reply(journey)
    found = Verdict(
        cluster=cluster,
        traffic=traffic,
        expected=expected(cluster, traffic),
        traced=journey,
        origins=origins,
    )
    if asked.as_json:
        answer = None if reply is None else journey_json(reply, origins)
        print_json(found.as_json() | {"reply": answer})
        return status_of([found])
    typer.echo("\n".join(render(cluster, journey, origins)))
    if reply is not None:
        typer.echo("\nand the answer:")
        typer.echo("\n".join(render(cluster, reply, origins)))
    typer.echo(f"\n{found.line}")
    return status_of([found])


def traced_offline(cluster: Cluster, asked: Asked, faults: Sequence[Fault] = ()) -> int:
    """Trace in switches that have a cluster's computed flows, and no ports in use.

    Flows and iptables rules are as these faults leave them.
    """
    from testbed.cli.from_file import programmed
    from testbed.openflow import OFPort
    from testbed.ovs import start_dummy_switches
    from testbed.tracing import Tracer, computed_kernels, computed_origins

    traffic_of(cluster, asked)  # a wrong question needs no switch
    ofports = {pod.ofport for pod in cluster.pods if pod.ofport} | set(OFPort)
    flows, rules = programmed(cluster, faults)
    with (
        tempfile.TemporaryDirectory(prefix="testbed-") as directory,
        start_dummy_switches(
            Path(directory), bridges=len(cluster.nodes), ofports=sorted(ofports)
        ) as switches,
    ):
        kernels = computed_kernels(cluster, rules)
        tracer = Tracer(cluster, switches.program(flows), kernels)
        return _trace(tracer, asked, computed_origins(cluster))


def _matrix(live: LiveCluster, asked: Asked) -> int:
    from testbed.probe.witnesses import verdicts
    from testbed.selection import protocols, selected

    objects = live.objects
    senders = selected(objects, asked.source)
    receivers = selected(objects, asked.destination)
    traffics = [
        Traffic(
            sender=sender,
            destination=receiver.host_ip
            if isinstance(receiver, HostSubnet)
            else receiver.ip,
            transport=transport,
            dport=dport,
        )
        for transport, dport in protocols(asked.protocols)
        for sender in senders
        for receiver in receivers
        if sender != receiver
        and not (transport is Transport.ARP and isinstance(receiver, HostSubnet))
    ]
    start = time.monotonic()
    found = verdicts(live, traffics)
    seconds = time.monotonic() - start
    if asked.as_json:
        print_json([verdict.as_json() for verdict in found])
    else:
        _print_matrix(found, seconds)
    return status_of(found)


def _print_matrix(found: Sequence[Verdict], seconds: float) -> None:
    from rich.console import Console

    from testbed.cli.matrix_table import LEGEND, grids, key, summary

    console = Console(highlight=False, soft_wrap=True)
    for grid in grids(found):
        console.print(grid)
        console.print()
    for line in key(found):
        console.print(line, markup=False)
    console.print(LEGEND, markup=False)
    console.print(summary(found, seconds), markup=False)
    disagreed = [verdict for verdict in found if not verdict.agrees]
    for verdict in disagreed[:_EXPLAINED]:
        console.print(f"\n{verdict.paragraph}", markup=False)
    if len(disagreed) > _EXPLAINED:
        console.print(f"\n… and {len(disagreed) - _EXPLAINED} more", markup=False)


if __name__ == "__main__":
    main()
