"""What checks of several labs look at, beside whether packets arrive."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from testbed.errors import NotFoundError
from testbed.host.names import veth_name
from testbed.model import Traffic, Transport
from testbed.openflow import Table
from testbed.parties import address, party
from testbed.probe import Pod, udp_between
from testbed.probe.observation import observe, observe_alone
from testbed.probe.witnesses import tracer
from testbed.selection import protocols

if TYPE_CHECKING:
    from collections.abc import Collection

    from testbed.labs.exam import Exam
    from testbed.probe.drops import Drop

_TIMES = 40
"""Connections after which an endpoint that is one of two has surely been chosen."""


def ofport(exam: Exam, pod: str) -> int:
    """The port of br0 that a pod hangs on, as its node's Open vSwitch tells it."""
    place = exam.live.pod(pod)
    command = ("ovs-vsctl", "get", "Interface", veth_name(place.pod), "ofport")
    return int(place.node.run(*command))


def tables_passed(
    exam: Exam, sender: str, receiver: str, send: str, *, node: str = ""
) -> list[int]:
    """The tables that a packet would pass, in order, by OVS's own ``ofproto/trace``.

    Only on a node, where one is named.
    """
    objects = exam.objects
    ((transport, dport),) = protocols(send)
    traffic = Traffic(
        sender=party(objects, sender),
        destination=address(objects, receiver),
        transport=transport,
        dport=dport,
    )
    wanted = objects.node(node).name if node else ""
    return [
        int(step.table)
        for hop in tracer(exam.live).journey(traffic).bridges
        if wanted in ("", hop.node)
        for step in hop.trace.steps
    ]


def served_by(  # noqa: PLR0913 - who, whom, where
    exam: Exam,
    sender: str,
    receiver: str,
    port: int,
    servers: Collection[str],
    *,
    at: int,
) -> None:
    """Connections of a machine are answered by each of these pods, and nobody else.

    Args:
        exam: where it is noted.
        sender: who connects, over TCP through its own kernel.
        receiver: whom it connects to: a party, service or address.
        port: the port it connects to.
        servers: who must answer, each at least once; they listen meanwhile.
        at: the port that they listen on.
    """
    expected = {exam.live.pod(name).machine.name: name for name in servers}
    answered: list[str] = []
    with exam.serving(servers, at):
        while len(answered) < _TIMES and not expected.keys() <= set(answered):
            answered.append(exam.asked(sender, receiver, port, "hostname"))
            if answered[-1] not in expected:
                break
    told = f"{sender} → {receiver} tcp:{port}"
    names = [expected.get(name, name) or "nobody" for name in dict.fromkeys(answered)]
    passed = set(answered) == expected.keys()
    exam.note(passed, f"{told}: answered by {', '.join(names)}")


def is_seen_as(exam: Exam, sender: str, receiver: str, source: object) -> None:
    """An external host sees what a machine sends come from this address."""
    seen = exam.asked(sender, receiver, 7, "whoami").partition(" ")[0]
    told = f"{sender} → {receiver} tcp:7"
    said = f"comes from {seen}" if seen else "no answer"
    wanted = "" if seen == str(source) else f"; wanted: from {source}"
    exam.note(not wanted, f"{told}: {said}{wanted}")


def is_heard_by(exam: Exam, sender: str, group: str, pods: Collection[str]) -> None:
    """What a pod sends to a multicast group comes to these pods, and to no others."""
    traffic = Traffic(
        sender=party(exam.objects, sender),
        destination=IPv4Address(group),
        transport=Transport.UDP,
        dport=5007,
    )
    (seen,) = observe(exam.live, [traffic])
    heard = sorted(set(seen.receivers))
    told = f"{sender} → {group} udp:5007: heard by {', '.join(heard) or 'nobody'}"
    wanted = ", ".join(sorted(pods)) or "nobody"
    passed = heard == sorted(pods)
    exam.note(passed, told if passed else f"{told}; wanted: {wanted}")


def drops_of(exam: Exam, sender: str, receiver: str) -> tuple[Drop, ...]:
    """The flows that count that they drop a ping, wherever in the cluster."""
    traffic = Traffic(
        sender=party(exam.objects, sender),
        destination=address(exam.objects, receiver),
        transport=Transport.ICMP,
    )
    return observe_alone(exam.live, traffic).dropped_by


def drops_forged(exam: Exam, sender: str, receiver: str, *, source: str) -> None:
    """A UDP packet that a pod sends from an address not its own dies in table 20."""
    pod, other = exam.place(sender), exam.place(receiver)
    if not isinstance(pod, Pod):
        raise NotFoundError(f"{sender} is no pod")
    packet = udp_between(pod, other)
    packet["IP"].src = source
    told = f"{sender} → {other} udp:9, sent from {source}"
    try:
        exam.live.send(pod, packet).is_dropped(on=pod.node, table=Table.FROM_POD)
    except AssertionError as error:
        said = (str(error).splitlines() or ["it was not dropped"])[0]
        exam.note(passed=False, text=f"{told}: {said}")
    else:
        where = f"dropped on {pod.node} in table {Table.FROM_POD}"
        exam.note(passed=True, text=f"{told}: {where}")
