"""The objects that say who may talk to whom: NetworkPolicy, EgressNetworkPolicy."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from ipaddress import IPv4Network


class Operator(enum.StrEnum):
    """How a label requirement compares. Source: k8s.io/apimachinery labels."""

    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelRequirement:
    """One expression of a selector; ``values`` is empty for the two existences."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def is_met_by(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels qualifies; without the key, NotIn does.

        Source: kubernetes release-1.11 apimachinery/pkg/labels/selector.go
        """
        match self.operator:
            case Operator.IN:
                return self.key in labels and labels[self.key] in self.values
            case Operator.NOT_IN:
                return labels.get(self.key) not in self.values
            case Operator.EXISTS:
                return self.key in labels
            case Operator.DOES_NOT_EXIST:
                return self.key not in labels


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSelector:
    """Labels an object must have; an empty selector selects everything."""

    match_labels: tuple[tuple[str, str], ...] = ()
    match_expressions: tuple[LabelRequirement, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether it selects everything."""
        return not self.match_labels and not self.match_expressions

    def selects(self, labels: Mapping[str, str]) -> bool:
        """Whether an object with these labels is meant."""
        return all(
            labels.get(key) == value for key, value in self.match_labels
        ) and all(item.is_met_by(labels) for item in self.match_expressions)


@dataclass(frozen=True, slots=True, kw_only=True)
class IPBlock:
    """A range of addresses, and the parts of it that are not meant."""

    cidr: IPv4Network
    excepts: tuple[IPv4Network, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyPeer:
    """Who may send: pods, all pods of namespaces, or a range of addresses.

    Both selectors together mean the pods selected of the namespaces selected.
    """

    pod_selector: LabelSelector | None = None
    namespace_selector: LabelSelector | None = None
    ip_block: IPBlock | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyPort:
    """A port that may be sent to, by number or by a container port's name.

    The API admits a ``protocol`` that the SDN does not know (SCTP), and a missing
    ``port``, which means all ports of the protocol.
    """

    protocol: str = "TCP"
    port: int | str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IngressRule:
    """What one rule allows: from any of the peers to any of the ports; none is all."""

    peers: tuple[PolicyPeer, ...] = ()
    ports: tuple[PolicyPort, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkPolicy:
    """What may reach the pods it selects; 3.11 ignores ``spec.egress`` altogether.

    ``affects_ingress`` is whether ``policyTypes`` has ``Ingress``.
    """

    namespace: str
    name: str
    pod_selector: LabelSelector
    ingress: tuple[IngressRule, ...] = ()
    affects_ingress: bool = True

    @property
    def key(self) -> str:
        """``namespace/name``, as a person names it."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressRule:
    """Allow or deny a range of addresses, or those a DNS name has; one of the two."""

    allow: bool
    cidr: IPv4Network | None = None
    dns_name: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressNetworkPolicy:
    """What a namespace's pods may reach outside the cluster: the first rule decides."""

    namespace: str
    name: str
    egress: tuple[EgressRule, ...]

    @property
    def key(self) -> str:
        """``namespace/name``, as a person names it."""
        return f"{self.namespace}/{self.name}"
