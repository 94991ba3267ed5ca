"""The file of a scenario: Python that a person could have written. Pure.

Whatever comes from a collection (names, flows) is in it as a string or in the
docstring, and never as code.
"""

from __future__ import annotations

import re
import textwrap
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from testbed.model import HostSubnet, Outcome, Pod, Transport
from testbed.parties import name_of, party, whose
from testbed.topology.problem import printable

if TYPE_CHECKING:
    from testbed.model import Cluster, Party
    from testbed.scenario.complaint import Complaint

_WIDTH = 88
_VERBS = {
    Outcome.DELIVERED: "reaches",
    Outcome.DROPPED: "does not reach",
    Outcome.REJECTED: "is refused by",
}
_ASSERTIONS = {
    Outcome.DELIVERED: "found.delivered",
    Outcome.DROPPED: "found.dropped()",
    Outcome.REJECTED: "found.rejected",
}
_UNUSABLE = re.compile(r"[^a-z0-9]+")
_LONGEST = 74
"""Characters of a test's name."""


def scenario_text(complaint: Complaint, marker: str, path: str, file: str) -> str:
    """The whole file.

    Args:
        complaint: what it is about.
        marker: ``replay`` or ``topology``: what kind of cluster it runs in.
        path: where that is, seen from the file's directory.
        file: the file's own name.
    """
    topology = f"{path}/topology.yaml" if marker == "replay" else path
    docstring = _docstring(complaint, marker, topology, file)
    destination = _receiver(complaint)
    needs_ip = destination.startswith("IPv4Address(")
    imports = ["from __future__ import annotations", ""]
    imports += ["from ipaddress import IPv4Address"] if needs_ip else []
    imports += [
        "from typing import TYPE_CHECKING",
        "",
        "import pytest",
        "",
        "if TYPE_CHECKING:",
        "    from testbed.probe import LiveCluster",
        "",
        f"pytestmark = pytest.mark.{marker}({_literal(path)})",
    ]
    body = [
        *_head(scenario_name(complaint)),
        f"    sender = {_sender(complaint)}",
        f"    receiver = {destination}",
        "",
        f"    found = cluster.probe(sender, receiver{_transport(complaint)})",
        "",
        *(f"    {line}" for line in _assertions(complaint)),
    ]
    return "\n".join([docstring, "", *imports, "", "", *body, ""])


def scenario_name(complaint: Complaint) -> str:
    """What the scenario claims, as a name: ``shop_web_reaches_db_mysql_tcp_3306``."""
    traffic = complaint.traffic
    words = [
        complaint.source,
        _VERBS.get(complaint.expected.outcome, "is as expected to"),
        complaint.destination,
        traffic.transport.value,
        "" if traffic.dport is None else str(traffic.dport),
    ]
    name = _UNUSABLE.sub("_", " ".join(words).lower()).strip("_")
    return name[:_LONGEST].rstrip("_")


def _head(name: str) -> list[str]:
    line = f"def test_{name}(cluster: LiveCluster) -> None:"
    if len(line) <= _WIDTH:
        return [line]
    return [f"def test_{name}(", "    cluster: LiveCluster,", ") -> None:"]


def _docstring(complaint: Complaint, marker: str, topology: str, file: str) -> str:
    traffic, expected = complaint.traffic, complaint.expected
    port = "" if traffic.dport is None else f" port {traffic.dport}"
    receiver = whose(complaint.cluster, traffic.destination)
    claim = (
        f"{name_of(traffic.sender)} {_VERBS.get(expected.outcome, 'asks')} {receiver} "
        f"by {traffic.transport.value}{port}."
    )
    why = f"So it must be: {expected.decided_by}."
    state = "It was so" if complaint.agrees else "It was not so"
    if complaint.agrees and complaint.answer:
        state = "It was so, and no answer came back,"
    lines = [
        *_wrapped(claim),
        "",
        *_wrapped(f"{why} {state} in {complaint.place}:"),
        "",
        *(part for line in complaint.told.splitlines() for part in _told(line)),
        *(["", *_wrapped("The answer to it:"), ""] if complaint.answer else []),
        *(part for line in complaint.answer.splitlines() for part in _told(line)),
        "",
    ]
    if marker == "replay":
        lines += [
            f"    pytest {file}",
            f"    pytest {file} --topology {topology}",
            "",
            *_wrapped(
                "The first runs it with the flows and rules that were there, the "
                "second with those that 3.11 would program."
            ),
        ]
    else:
        lines += [f"    pytest {file}"]
    text = "\n".join(_escaped(line) for line in lines)
    return f'"""{text}\n"""'


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(
        printable(text),
        _WIDTH - len('"""'),
        break_long_words=False,
        break_on_hyphens=False,
    )


def _told(line: str) -> list[str]:
    """A line of an explanation, what does not fit below it, as far as it has blanks."""
    return textwrap.wrap(
        printable(line),
        _WIDTH,
        initial_indent="    ",
        subsequent_indent=" " * 18,
        break_long_words=False,
        break_on_hyphens=False,
        drop_whitespace=True,
    )


def _escaped(line: str) -> str:
    """A line that cannot end the docstring it is in, nor mean another character."""
    return printable(line).replace("\\", "\\\\").replace('"""', '\\"\\"\\"')


def _literal(text: str) -> str:
    """A string as Python source, in double quotes where it can be."""
    source = ascii(text)
    return f'"{source[1:-1]}"' if source[0] == "'" and '"' not in text else source


def _assertions(complaint: Complaint) -> list[str]:
    expected = complaint.expected
    if expected.may_be_lost or expected.everyone:
        return ["assert found.agrees"]
    lines = [f"assert {_ASSERTIONS.get(expected.outcome, 'found.agrees')}"]
    if expected.outcome is Outcome.DELIVERED:
        lines.append("assert found.agrees")
    if complaint.is_answered:
        lines.append("assert found.answered")
    return lines


def _transport(complaint: Complaint) -> str:
    traffic = complaint.traffic
    match traffic.transport:
        case Transport.ARP:
            return ", arp=True"
        case Transport.ICMP:
            return ""
    return f", {traffic.transport.value}={traffic.dport}"


def _sender(complaint: Complaint) -> str:
    return _place(complaint.cluster, complaint.traffic.sender)


def _receiver(complaint: Complaint) -> str:
    cluster, destination = complaint.cluster, complaint.traffic.destination
    if complaint.destination.startswith("svc:"):
        return f"cluster.service({_literal(complaint.destination[4:])})"
    if ":" in complaint.destination or "/" in complaint.destination:
        return _place(cluster, party(cluster, complaint.destination))
    return f"IPv4Address({_literal(str(IPv4Address(destination)))})"


def _place(cluster: Cluster, machine: Party) -> str:
    """How a scenario gets at a machine."""
    if isinstance(machine, Pod):
        if machine.host_network:
            return f"cluster.node({_literal(machine.node)})"
        return f"cluster.pod({_literal(machine.key)})"
    if isinstance(machine, HostSubnet) and machine.is_node:
        return f"cluster.node({_literal(machine.name)})"
    underlay = cluster.underlay
    for first, machines in (
        ("external", underlay.external_hosts[:1]),
        ("rogue", underlay.rogues[:1]),
    ):
        if machine in machines:
            return f"cluster.{first}"
    kind = "external_hosts"
    if machine in underlay.rogues:
        kind = "rogues"
    elif machine in cluster.ghosts:
        kind = "ghosts"
    name = _literal(machine.name)
    return f"next(host for host in cluster.{kind} if host.name == {name})"
