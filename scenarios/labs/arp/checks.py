"""What the packets of lab.yaml cannot say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.labs.claims import tables_passed

if TYPE_CHECKING:
    from testbed.labs.exam import Exam


def gateway(exam: Exam) -> None:
    """The MAC that tun0 has now."""
    exam.is_word(exam.live.node("oc-01").mac)


def way(exam: Exam) -> None:
    """The tables that oc-01's br0 says a request would pass."""
    passed = tables_passed(exam, "lab/client", "lab/far", "arp", node="oc-01")
    exam.are_numbers(passed)


def stale(exam: Exam) -> None:
    """Pings through the pods' own kernels are answered, both ways."""
    exam.pings("lab/client", "lab/web")
    exam.pings("lab/web", "lab/client")
    exam.pings("lab/client", "lab/far")
