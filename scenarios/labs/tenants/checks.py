"""What the packets of lab.yaml cannot say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.probe import udp_between

if TYPE_CHECKING:
    from testbed.labs.exam import Exam


def number(exam: Exam) -> None:
    """The VNID in the envelope of a packet that is sent."""
    web, database = exam.live.pod("shop/web-0"), exam.live.pod("shop/db-0")
    sent = exam.live.send(web, udp_between(web, database))
    exam.is_number(sent.crosses(web.node.wire)["VXLAN"].vni)
