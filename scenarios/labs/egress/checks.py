"""Who is seen outside with which address."""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.labs.claims import is_seen_as

if TYPE_CHECKING:
    from testbed.labs.exam import Exam

PARTNER = "external:partner"
EGRESS_IP = "172.16.1.102"


def seen(exam: Exam) -> None:
    """Partner says whom it sees."""
    said = exam.asked("shop/web-0", PARTNER, 7, "whoami")
    exam.is_word(said.partition(" ")[0])


def address(exam: Exam) -> None:
    """The bank is seen as its egress IP from both nodes, the shop as its nodes."""
    is_seen_as(exam, "bank/api-0", PARTNER, EGRESS_IP)
    is_seen_as(exam, "bank/ledger-0", PARTNER, EGRESS_IP)
    is_seen_as(exam, "shop/web-0", PARTNER, exam.live.node("oc-01").ip)


def leak(exam: Exam) -> None:
    """The shop is seen as its nodes again, and the bank as before."""
    is_seen_as(exam, "shop/web-0", PARTNER, exam.live.node("oc-01").ip)
    is_seen_as(exam, "shop/db-0", PARTNER, exam.live.node("oc-02").ip)
    is_seen_as(exam, "bank/api-0", PARTNER, EGRESS_IP)
