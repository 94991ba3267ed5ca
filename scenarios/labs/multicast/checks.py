"""What names mean, and who hears what is for many."""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.labs.claims import is_heard_by

if TYPE_CHECKING:
    from testbed.labs.exam import Exam

GROUP = "239.1.2.3"
CACHES = {"shop/web-0", "shop/cart-0", "shop/db-0"}


def name(exam: Exam) -> None:
    """The pod asks its node's DNS, as its programs do."""
    said = exam.place("shop/web-0").run("getent", "hosts", "db.shop.svc.cluster.local")
    exam.is_word(said.split()[0])


def enable(exam: Exam) -> None:
    """Every cache hears every other, and nobody else does."""
    for sender in ("shop/web-0", "shop/db-0"):
        is_heard_by(exam, sender, GROUP, CACHES - {sender})


def joined(exam: Exam) -> None:
    """Who is joined hears each other."""
    is_heard_by(exam, "stage/band-0", GROUP, {"promo/crowd-0"})
    is_heard_by(exam, "promo/crowd-0", GROUP, {"stage/band-0"})


def half(exam: Exam) -> None:
    """All hear the shop again, and those that are joined as before."""
    enable(exam)
    joined(exam)
