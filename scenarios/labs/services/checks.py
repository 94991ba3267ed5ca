"""Connections to services, through the kernels of those who take part."""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.labs.claims import served_by

if TYPE_CHECKING:
    from testbed.labs.exam import Exam

WEB = ("shop/web-1", "shop/web-2")


def source(exam: Exam) -> None:
    """A web pod says whom it sees."""
    with exam.serving(WEB, 8080):
        seen = exam.asked("shop/front", "svc:shop/web", 80, "whoami")
    exam.is_word(seen.partition(" ")[0])


def publish(exam: Exam) -> None:
    """The database answers at its service's address, to pods of both nodes."""
    for client in ("shop/front", "shop/cart-0"):
        served_by(exam, client, "172.30.0.32", 3306, ["shop/db-0"], at=5432)


def outside(exam: Exam) -> None:
    """Both web pods answer at every node's port, and at the service's address."""
    for node in ("node:oc-01", "node:oc-02"):
        served_by(exam, "external:partner", node, 30080, WEB, at=8080)
    served_by(exam, "shop/front", "172.30.0.80", 80, WEB, at=8080)


def refused(exam: Exam) -> None:
    """The cart answers."""
    for client in ("shop/front", "shop/db-0"):
        served_by(exam, client, "172.30.0.90", 80, ["shop/cart-0"], at=8080)
