"""What the packets of lab.yaml cannot say."""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.labs.claims import is_seen_as, served_by

if TYPE_CHECKING:
    from testbed.labs.exam import Exam


def world(exam: Exam) -> None:
    """The bank is answered from outside, on both nodes."""
    partner = "external:partner"
    is_seen_as(exam, "bank/api-0", partner, exam.live.node("oc-02").ip)
    is_seen_as(exam, "bank/ledger-0", partner, exam.live.node("oc-01").ip)


def sometimes(exam: Exam) -> None:
    """Both web pods answer the front end, and only they."""
    web = ("shop/web-1", "shop/web-2")
    served_by(exam, "shop/front-0", "svc:shop/web", 80, web, at=8080)
    served_by(exam, "shop/cart-0", "svc:shop/web", 80, web, at=8080)
