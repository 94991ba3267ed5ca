"""What is wrong with a running cluster, as far as one can see without a packet."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from testbed.openflow import FlowDifference


class Kind(enum.IntEnum):
    """What a fact is about; the more a packet depends on it, the earlier it comes.

    ``CAPACITY`` is how much, and how large packets, a link takes; ``NAMES`` is DNS.
    """

    DAEMON = 0
    LINK = 1
    TUNNEL = 2
    FLOWS = 3
    ADDRESS = 4
    RULES = 5
    CAPACITY = 6
    NAMES = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """One thing that is not as it should be, and where.

    Attributes:
        machine: a node, a pod's key, or another machine.
        kind: what it is about.
        text: the matter in words, without the machine's name.
        difference: the flow that deviates, where it is about one.
    """

    machine: str
    kind: Kind
    text: str
    difference: FlowDifference | None = None

    def __str__(self) -> str:
        return f"{self.machine}: {self.text}"
