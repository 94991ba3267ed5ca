"""What the packets of lab.yaml cannot say."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from testbed.openflow import Table
from testbed.probe import ip_between, udp_between, vxlan

if TYPE_CHECKING:
    from testbed.labs.exam import Exam


def outside(exam: Exam) -> None:
    """A packet is sent, and its envelope looked at on oc-01's wire."""
    client, far = exam.live.pod("lab/client"), exam.live.pod("lab/far")
    crossed = exam.live.send(client, udp_between(client, far))
    envelope = crossed.crosses(client.node.wire)
    exam.is_word(envelope["IP"].dst)


def size(exam: Exam) -> None:
    """A ping of this size is answered, and one of a byte more is not."""
    far = exam.live.pod("lab/far").ip
    digits = exam.answer if exam.answer.isdecimal() else "0"
    wanted = min(int(digits), 65_000)
    for bytes_sent, should in ((wanted, True), (wanted + 1, False)):
        options = ("-M", "do", "-s", str(bytes_sent))
        exam.pings("lab/client", str(far), *options, should=should)


def moved(exam: Exam) -> None:
    """What a stranger puts into an envelope gets nowhere on oc-03."""
    far, third = exam.live.pod("lab/far"), exam.live.pod("lab/third")
    stranger = IPv4Address("172.16.1.66")
    packet = vxlan(ip_between(far, third), source=stranger, node=third.node)
    exam.live.send(exam.live.rogue, packet).is_dropped(third.node, Table.FROM_VXLAN)
    exam.note(passed=True, text="a stranger's envelope: dropped by oc-03 in table 10")
