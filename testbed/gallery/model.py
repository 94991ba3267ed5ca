"""What is known of a bug."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_BUGZILLA = re.compile(r"BZ(\d+)")
_ISSUE = re.compile(r"([\w.-]+/[\w.-]+)#(\d+)")
_COMMIT = re.compile(r"([\w.-]+/[\w.-]+)@([0-9a-f]{7,40})")


class Family(enum.StrEnum):
    """The mechanisms that bugs of this data plane have."""

    ARP = "ARP"
    CONNTRACK = "conntrack"
    DNS = "DNS"
    EGRESS_IP = "egress IP"
    EGRESS_POLICY = "egress policy"
    FORWARDING = "forwarding"
    FRAGMENTS = "fragments"
    HOST_SUBNETS = "host subnets"
    IP_ADDRESSES = "IP addresses"
    IPTABLES = "iptables"
    MTU = "MTU"
    MULTICAST = "multicast"
    NETWORK_POLICY = "network policy"
    RESTART = "restart"
    SERVICES = "services"
    STALE_FLOWS = "stale flows"
    VNIDS = "VNIDs"
    VXLAN = "VXLAN"


class Half(enum.StrEnum):
    """Which half of a bug a scenario shows; the marker's name."""

    SYMPTOM = "symptom"
    FIX = "fix"


@dataclass(frozen=True, slots=True, kw_only=True)
class Showing:
    """A scenario that shows one half of a bug.

    Attributes:
        name: the function's name.
        half: which half.
        remark: the first paragraph of its docstring; may be empty.
    """

    name: str
    half: Half
    remark: str = ""

    @property
    def claim(self) -> str:
        """What it shows: its name, as a sentence."""
        return self.name.removeprefix("test_").replace("_", " ")


@dataclass(frozen=True, slots=True, kw_only=True)
class Bug:
    """One bug, as the docstring of its file tells it.

    Attributes:
        references: where it was reported and fixed; the first is its name.
        title: what went wrong, in a sentence.
        family: its mechanism's kind.
        symptom: what a user saw.
        mechanism: why, by table, rule and object.
        fixed_in: since when it is gone, or that it is not.
        diagnosis: what names it in a customer's dump; empty where nothing would.
        plugins: the SDN plugins under which it is shown.
        showings: its scenarios, in their order in the file.
        file: where all this is written.
    """

    references: tuple[str, ...]
    title: str
    family: Family
    symptom: str
    mechanism: str
    fixed_in: str
    diagnosis: str = ""
    plugins: tuple[str, ...]
    showings: tuple[Showing, ...]
    file: Path

    @property
    def name(self) -> str:
        """What it is called: ``BZ1539187``."""
        return self.references[0]

    def is_called(self, wanted: str) -> bool:
        """Whether a reference is so written, or so numbered: ``1539187``."""
        return any(
            wanted.lower() in (reference.lower(), *_short_names(reference))
            for reference in self.references
        )

    def as_json(self) -> dict[str, object]:
        """All of it for scripts."""
        return {
            "name": self.name,
            "references": [
                {"reference": reference, "url": url_of(reference)}
                for reference in self.references
            ],
            "title": self.title,
            "family": self.family.value,
            "symptom": self.symptom,
            "mechanism": self.mechanism,
            "fixed_in": self.fixed_in,
            "diagnosis": self.diagnosis or None,
            "plugins": list(self.plugins),
            "scenarios": [
                {"name": item.name, "half": item.half.value, "claim": item.claim}
                for item in self.showings
            ],
            "file": str(self.file),
        }


def is_reference(text: str) -> bool:
    """Whether it is as ``BZ1539187``, ``openshift/sdn#96`` or ``…/sdn@31017cb98``."""
    return any(shape.fullmatch(text) for shape in (_BUGZILLA, _ISSUE, _COMMIT))


def url_of(reference: str) -> str:
    """Where a reference is to be read."""
    if found := _BUGZILLA.fullmatch(reference):
        return f"https://bugzilla.redhat.com/show_bug.cgi?id={found[1]}"
    if found := _ISSUE.fullmatch(reference):
        # Pull requests are found by the same address.
        return f"https://github.com/{found[1]}/issues/{found[2]}"
    project, _, commit = reference.partition("@")
    return f"https://github.com/{project}/commit/{commit}"


def _short_names(reference: str) -> tuple[str, ...]:
    """As ``1539187`` of Bugzilla, ``sdn#96`` of an issue, ``pr19130`` of origin."""
    short = reference.lower()
    return (
        short.removeprefix("bz"),
        short.rpartition("/")[2],
        short.replace("openshift/origin#", "pr"),
    )
