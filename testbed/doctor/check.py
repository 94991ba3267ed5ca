"""What is said of one thing on a machine, and of the cluster that is to run there."""

from __future__ import annotations

import enum
from dataclasses import dataclass

_MIB = 1 << 20
_BASE_MIB, _NODE_MIB, _POD_MIB = 120, 16, 0.5
"""What a testbed takes: measured, 2 to 8 nodes with 2 to 50 pods each.

Proportional set sizes of all processes (Debian 12, OVS 3.1.0): 15 MiB for a node's
ovs-vswitchd, ovsdb-server and dnsmasq, 0.16 MiB for a pod; and 0.3 MiB of the kernel's
memory for its network namespace. Keeper, builder or pytest come on top once.
"""

_BASE_FILES, _NODE_FILES, _POD_FILES = 64, 8, 1
"""What a process that watches a cluster has open: a tap each, and some per node."""


class State(enum.StrEnum):
    """How it stands: all right, something that is wanted lacks, or what is needed."""

    OK = "ok"
    WARNING = "warning"
    MISSING = "missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: what it is about, in a word or two.
        state: how it stands.
        found: what there is.
        meaning: what that means for the user; empty when all is well.
        remedy: what to type, if typing helps.
    """

    name: str
    state: State
    found: str
    meaning: str = ""
    remedy: str = ""

    @property
    def told(self) -> str:
        """All of it but the name, in a line."""
        remedy = f"type: {self.remedy}" if self.remedy else ""
        return "; ".join(part for part in (self.found, self.meaning, remedy) if part)


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """The cluster that is to run: how many nodes and pods it has."""

    nodes: int
    pods: int

    @property
    def memory(self) -> int:
        """Bytes it is going to take."""
        mib = _BASE_MIB + _NODE_MIB * self.nodes + _POD_MIB * self.pods
        return int(mib * _MIB)

    @property
    def files(self) -> int:
        """Files that a process which watches it has open."""
        return _BASE_FILES + _NODE_FILES * self.nodes + _POD_FILES * self.pods

    @property
    def neighbours(self) -> int:
        """Entries of the ARP table that it has at a time, but for probes of many."""
        return self.nodes * (self.nodes + self.pods) + 2 * self.pods

    def __str__(self) -> str:
        return f"{self.nodes} nodes and {self.pods} pods"


def ok(name: str, found: str) -> Check:
    """All is well."""
    return Check(name=name, state=State.OK, found=found)


def warning(name: str, found: str, meaning: str, *, remedy: str = "") -> Check:
    """Something lacks that is wanted."""
    return Check(
        name=name, state=State.WARNING, found=found, meaning=meaning, remedy=remedy
    )


def missing(name: str, found: str, meaning: str, *, remedy: str = "") -> Check:
    """Something lacks that is needed."""
    return Check(
        name=name, state=State.MISSING, found=found, meaning=meaning, remedy=remedy
    )
