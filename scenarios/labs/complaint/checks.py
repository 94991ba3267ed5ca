"""Where packets die now, asked of the packets themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.labs.claims import drops_of

if TYPE_CHECKING:
    from testbed.labs.exam import Exam


def where(exam: Exam) -> None:
    """The node whose br0 counts that it drops the cart's packet."""
    nodes = [drop.node for drop in drops_of(exam, "shop/cart-0", "shop/db-0")]
    exam.is_word(*nodes, *(node.partition(".")[0] for node in nodes))


def table(exam: Exam) -> None:
    """The table that counts it."""
    drops = drops_of(exam, "shop/cart-0", "shop/db-0")
    exam.is_word(*(drop.table for drop in drops))


def mend(exam: Exam) -> None:
    """Kernels find each other, too."""
    exam.pings("shop/cart-0", "shop/db-0")
    exam.pings("shop/db-0", "shop/web-3")
