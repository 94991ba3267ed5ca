"""What the packets of lab.yaml cannot say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.labs.claims import drops_forged, ofport, tables_passed

if TYPE_CHECKING:
    from testbed.labs.exam import Exam


def port(exam: Exam) -> None:
    """The port that br0 has for the pod's interface, as Open vSwitch tells it."""
    exam.is_number(ofport(exam, "lab/web"))


def way(exam: Exam) -> None:
    """The tables that br0 says a packet would pass."""
    exam.are_numbers(tables_passed(exam, "lab/client", "lab/web", "icmp"))


def mend(exam: Exam) -> None:
    """A forged sender dies where it must."""
    drops_forged(exam, "lab/client", "lab/web", source="10.128.0.77")
