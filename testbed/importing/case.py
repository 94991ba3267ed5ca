"""One import while it is being worked out: evidence in, objects and remarks out."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from testbed.importing.readers.api import INFERRED_FROM
from testbed.importing.remarks import Place, Remark, Sort
from testbed.model import Plugin

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from ipaddress import IPv4Network

    from testbed.importing.catalogue import Catalogue
    from testbed.importing.evidence import Bridge, Evidence
    from testbed.importing.machines import Machine, Machines
    from testbed.importing.readers.api import ApiObject, Values

ValueT = TypeVar("ValueT")

UNKNOWN = "unknown"
"""The namespace of what nothing is known of; under ovs-subnet all VNIDs are 0."""

ADMIN_NAMESPACE = "default"
"""The one that 3.11 gives VNID 0."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Made:
    """An object of the topology to be: found as it is, or inferred."""

    kind: str
    key: str
    values: Values
    sort: Sort
    places: tuple[Place, ...]

    def __str__(self) -> str:
        """``Kind namespace/name``."""
        return f"{self.kind} {self.key}".rstrip()


@dataclass(slots=True, kw_only=True, eq=False)
class Case:
    """What is known so far.

    Attributes:
        evidence: what was read.
        catalogue: the objects among it.
        machines: whose text is whose.
        remarks: what there is to say.
        made: the objects of the topology, by kind and key.
        plugin: the cluster's.
        ranges: the cluster network's.
        hosts: the machines that have a HostSubnet in the topology.
        namespaces: the namespace that a VNID's pods are put in, by VNID.
    """

    evidence: Evidence
    catalogue: Catalogue
    machines: Machines
    remarks: list[Remark]
    made: dict[tuple[str, str], Made] = field(default_factory=dict)
    plugin: Plugin = Plugin.SUBNET
    ranges: tuple[IPv4Network, ...] = ()
    hosts: list[Machine] = field(default_factory=list)
    namespaces: dict[int, str] = field(default_factory=dict)

    @property
    def bridges(self) -> list[tuple[Machine, Bridge]]:
        """Every node's dump of flows that counts."""
        return [(m, m.bridge) for m in self.machines.all if m.bridge is not None]

    def namespace_of(self, vnid: int | None) -> str:
        """The namespace that the pods and services of a VNID are put in."""
        if vnid is None or not self.plugin.has_vnids:
            return UNKNOWN
        return self.namespaces.get(vnid) or invented_namespace(vnid)

    def tell(self, sort: Sort, subject: str, text: str, *places: Place) -> None:
        """Add a remark."""
        self.remarks.append(
            Remark(sort=sort, subject=subject, text=text, places=tuple(places))
        )

    def take(self, item: ApiObject) -> Values:
        """Put an object that was found into the topology; its values may be changed."""
        values = {name: _copied(value) for name, value in item.values.items()}
        self.made[item.kind, item.key] = Made(
            kind=item.kind,
            key=item.key,
            values=values,
            sort=Sort.FOUND,
            places=(item.place,),
        )
        return values

    def infer(self, kind: str, key: str, fields: Values, *places: Place) -> Values:
        """Put an object that was worked out into the topology, marked as such."""
        namespace, _, name = key.rpartition("/")
        metadata: Values = {"name": name}
        if namespace:
            metadata["namespace"] = namespace
        given = fields.pop("metadata", {})
        metadata |= given if isinstance(given, dict) else {}
        if places:
            annotate(metadata, INFERRED_FROM, str(places[0]))
        values: Values = {"apiVersion": _VERSIONS.get(kind, "v1"), "kind": kind}
        values |= {"metadata": metadata, **fields}
        self.made[kind, key] = Made(
            kind=kind, key=key, values=values, sort=Sort.INFERRED, places=places
        )
        return values

    def made_of(self, kind: str) -> list[Made]:
        """The objects of a kind that the topology has by now."""
        return [made for made in self.made.values() if made.kind == kind]

    def agreed(
        self,
        subject: str,
        what: str,
        votes: Mapping[ValueT, Sequence[Place]],
    ) -> ValueT | None:
        """The value that most say; that others say otherwise is told."""
        if not votes:
            return None
        taken, *others = sorted(votes, key=lambda value: -len(votes[value]))
        if others:
            counted = ", ".join(f"{other} by {len(votes[other])}" for other in others)
            text = (
                f"{what} is {taken} by {len(votes[taken])} of the flows' dumps, "
                f"{counted}; what most say was taken"
            )
            places = (votes[taken][0], *(votes[other][0] for other in others))
            self.tell(Sort.CONTRADICTORY, subject, text, *places)
        return taken


_SDN = "network.openshift.io/v1"
_VERSIONS = {
    "ClusterNetwork": _SDN,
    "HostSubnet": _SDN,
    "NetNamespace": _SDN,
    "EgressNetworkPolicy": _SDN,
    "NetworkPolicy": "networking.k8s.io/v1",
    "Underlay": "testbed/v1",
}


def _copied(value: object) -> object:
    """A copy that may be changed, of what JSON has; ``copy.deepcopy`` takes longer."""
    match value:
        case dict():
            return {name: _copied(inner) for name, inner in value.items()}
        case list():
            return [_copied(inner) for inner in value]
    return value


def invented_namespace(vnid: int) -> str:
    """A name of ours for the namespace of a VNID."""
    return f"vnid-{vnid}" if vnid else ADMIN_NAMESPACE


def annotate(metadata: object, name: str, text: str) -> None:
    """Give an object's metadata an annotation; what is none stays, to be refused."""
    _put(metadata, "annotations", name, text)


def label(metadata: object, name: str, text: str) -> None:
    """Give an object's metadata a label; what is none stays, to be refused."""
    _put(metadata, "labels", name, text)


def _put(metadata: object, kind: str, name: str, text: str) -> None:
    mapping = metadata.setdefault(kind, {}) if isinstance(metadata, dict) else None
    if isinstance(mapping, dict):
        mapping[name] = text


def votes_of(
    values: Iterable[tuple[Bridge, Mapping[ValueT, int]]],
) -> dict[ValueT, list[Place]]:
    """Who says what: values with the places of the flows that say so."""
    votes: dict[ValueT, list[Place]] = {}
    for bridge, told in values:
        for value, line in told.items():
            votes.setdefault(value, []).append(bridge.at(line))
    return votes
