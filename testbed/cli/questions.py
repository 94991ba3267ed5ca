"""``testbed probe``, ``trace``, ``expect``, ``explain``, ``matrix``: does it arrive?

All but ``expect``, and ``trace`` of a topology that does not run, are answered inside
the sandbox of a running testbed, by ``testbed.cli.answers``.
"""

import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from testbed.cli import COULD_NOT
from testbed.cli.options import (
    JsonOption,
    NameOption,
    TopologyOption,
    built_testbed,
    cluster_of,
)

if TYPE_CHECKING:
    from testbed.model import Cluster, Traffic

_PARTY = (
    "NAMESPACE/POD, node:NAME, external:NAME, rogue:NAME, ghost:NAME or its IP address"
)
SourceArgument = Annotated[
    str,
    typer.Argument(metavar="SRC", help=f"Who sends: {_PARTY}.", show_default=False),
]
DestinationArgument = Annotated[
    str,
    typer.Argument(
        metavar="DST",
        help="For whom: the same, svc:NAMESPACE/NAME, or any IP address.",
        show_default=False,
    ),
]
ProtocolOption = Annotated[
    str | None,
    typer.Option(
        "--proto",
        "-p",
        metavar="arp|icmp|udp|tcp|sctp",
        help="What the packet carries.",
        show_default="a service's first port; tcp with --dport; else icmp",
    ),
]
PortOption = Annotated[
    int | None,
    typer.Option(
        "--dport",
        metavar="PORT",
        min=1,
        max=65535,
        help="The port it is sent to.",
        show_default="a service's first port; 53 for udp, 80 for tcp, 36412 for sctp",
    ),
]
_PORTS = {"udp": 53, "tcp": 80, "sctp": 36412}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """A question on its way into the sandbox."""

    verb: str
    source: str = ""
    destination: str = ""
    protocol: str | None = None
    dport: int | None = None
    protocols: str = ""
    as_json: bool = False


def probe(
    source: SourceArgument,
    destination: DestinationArgument,
    protocol: ProtocolOption = None,
    dport: PortOption = None,
    name: NameOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Send one packet in a running testbed and say what became of it.

    Beside what was seen stand what flows would do and what must happen. Exit status:
    0 the three agree, 1 they do not, 2 it could not be told.
    """
    packet = source, destination, protocol, dport
    _ask(_about("probe", *packet, as_json=as_json), name)


def explain(
    source: SourceArgument,
    destination: DestinationArgument,
    protocol: ProtocolOption = None,
    dport: PortOption = None,
    name: NameOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Send one packet and explain: a line per witness, and who is to blame.

    Then its whole way, table by table. Exit status as for `testbed probe`.
    """
    packet = source, destination, protocol, dport
    _ask(_about("explain", *packet, as_json=as_json), name)


def trace(
    source: SourceArgument,
    destination: DestinationArgument,
    protocol: ProtocolOption = None,
    dport: PortOption = None,
    topology: TopologyOption = None,
    name: NameOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Follow one packet, and the answer to it, through every table; none is sent.

    In a running testbed its own switches are asked; with --topology, switches that are
    started for it and have the flows of these objects, as the faults that the file
    lists have broken them; this takes no root. Exit status: 0 as expected, 1
    otherwise, 2 it could not be told.
    """
    packet = source, destination, protocol, dport
    asked = _about("trace", *packet, as_json=as_json)
    if topology is None:
        _ask(asked, name)
        return
    if name:
        raise typer.BadParameter("--topology excludes --name")
    from testbed.cli.answers import traced_offline
    from testbed.cli.from_file import faults_of, read

    loaded = read(topology)
    raise typer.Exit(traced_offline(loaded.cluster, asked, faults_of(loaded)))


def expect(
    source: SourceArgument,
    destination: DestinationArgument,
    protocol: ProtocolOption = None,
    dport: PortOption = None,
    topology: TopologyOption = None,
    name: NameOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Say from the objects alone what must become of a packet, and which one decides.

    Faults change nothing of what must be, so those of the file do not count. Needs no
    running testbed, no switch and no root.
    """
    if topology and name:
        raise typer.BadParameter("--topology excludes --name")
    from testbed.cli.from_file import read
    from testbed.oracle import expected
    from testbed.parties import name_of, told
    from testbed.verdict.explain import expected_text

    cluster = cluster_of(built_testbed(name)) if name else read(topology).cluster
    packet = source, destination, protocol, dport
    traffic = traffic_of(cluster, _about("expect", *packet, as_json=as_json))
    expectation = expected(cluster, traffic)
    if not as_json:
        typer.echo(f"{told(cluster, traffic)}: {expected_text(expectation)}")
        for considered in expectation.considered:
            typer.echo(f"  considered: {considered}")
        for reason in expectation.may_be_lost:
            typer.echo(f"  may be lost: {reason}")
        return
    from testbed.cli.output import print_json

    print_json(
        {
            "outcome": expectation.outcome,
            "decided_by": expectation.decided_by,
            "receivers": [name_of(item.receiver) for item in expectation.deliveries],
            "everyone": expectation.everyone,
            "may_be_lost": expectation.may_be_lost,
            "considered": expectation.considered,
        }
    )


def matrix(
    senders: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="SELECTOR",
            help="NAMESPACE, NAMESPACE/POD (with * and ?), node:NAME, LABEL=VALUE or "
            "nodes; several with commas.",
            show_default="every pod",
        ),
    ] = None,
    receivers: Annotated[
        str | None,
        typer.Option(
            "--to", metavar="SELECTOR", help="The same.", show_default="every pod"
        ),
    ] = None,
    protocols: Annotated[
        str,
        typer.Option(metavar="LIST", help="What is sent from each to each."),
    ] = "icmp",
    name: NameOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """Everyone to everyone: what is expected, traced and observed, side by side.

    Disagreements are explained below the table. Exit status as for `testbed probe`.
    """
    asked = Asked(
        verb="matrix",
        source=senders or "",
        destination=receivers or "",
        protocols=protocols,
        as_json=as_json,
    )
    _ask(asked, name)


def traffic_of(cluster: "Cluster", asked: Asked) -> "Traffic":
    """The packet that a person asked about.

    Raises:
        NotFoundError: there is no such sender, receiver or protocol.
    """
    from testbed.errors import NotFoundError
    from testbed.model import Traffic, Transport
    from testbed.parties import address, default_port, party

    if asked.protocol not in (None, *Transport):
        known = ", ".join(Transport)
        raise NotFoundError(f"no protocol {asked.protocol}; there are: {known}")
    transport = Transport(asked.protocol) if asked.protocol else None
    if transport is None and asked.dport and not asked.destination.startswith("svc:"):
        transport = Transport.TCP
    if asked.dport is None:
        transport, dport = default_port(cluster, asked.destination, transport)
    else:
        transport, _ = default_port(cluster, asked.destination, transport)
        dport = asked.dport
    has_ports = transport.value in _PORTS
    if asked.dport and not has_ports:
        raise NotFoundError(f"{transport} has no ports, so no --dport {asked.dport}")
    if has_ports and dport is None:
        dport = _PORTS[transport.value]
    return Traffic(
        sender=party(cluster, asked.source),
        destination=address(cluster, asked.destination),
        transport=transport,
        dport=dport,
    )


def _about(
    verb: str,
    source: str,
    destination: str,
    protocol: str | None,
    dport: int | None,
    *,
    as_json: bool,
) -> Asked:
    return Asked(
        verb=verb,
        source=source,
        destination=destination,
        protocol=protocol,
        dport=dport,
        as_json=as_json,
    )


def _ask(asked: Asked, name: str | None) -> None:
    """Have a question answered inside; what is printed there is printed here."""
    from testbed.emulation import sandbox

    testbed = built_testbed(name)
    done = subprocess.run(
        [
            *sandbox.enter_argv(testbed.pid),
            *(sys.executable, "-m", "testbed.cli.answers", json.dumps(asdict(asked))),
        ],
        check=False,
    )
    status = done.returncode
    raise typer.Exit(status if status in (0, 1, COULD_NOT) else COULD_NOT)
