"""NetworkPolicy and EgressNetworkPolicy, as the API server of 3.11 admits them."""

from __future__ import annotations

import enum
from ipaddress import IPv4Network  # noqa: TC003 - pydantic reads it
from typing import Annotated, Self

from pydantic import Field, ValidationInfo, field_validator, model_validator

from testbed.model import Operator, Protocol
from testbed.topology.fields import (
    AnyRange,
    DNSName,
    LabelKey,
    Labels,
    Range,
    TargetPort,
    one_of,
)
from testbed.topology.schema.base import KnownFields, Object

MOST_EGRESS_RULES = 50
"""Source: openshift/origin release-3.11 pkg/network/apis/network/types.go"""


class PolicyType(enum.StrEnum):
    """Which direction a NetworkPolicy is about."""

    INGRESS = "Ingress"
    EGRESS = "Egress"


class EgressRuleType(enum.StrEnum):
    """What an EgressNetworkPolicy's rule does."""

    ALLOW = "Allow"
    DENY = "Deny"


class LabelRequirement(KnownFields):
    """One expression over a label."""

    key: LabelKey
    operator: Annotated[Operator, one_of(Operator)]
    values: list[str] = Field(default_factory=list)

    @model_validator(mode="after")
    def _has_the_values_it_needs(self) -> Self:
        needed = self.operator in (Operator.IN, Operator.NOT_IN)
        if needed != bool(self.values):
            article = "needs" if needed else "takes no"
            raise ValueError(f"operator {self.operator} {article} values")
        return self


class LabelSelector(KnownFields):
    """Labels to match; without any, everything matches."""

    match_labels: Labels = Field(default_factory=dict)
    match_expressions: list[LabelRequirement] = Field(default_factory=list)


class IPBlock(KnownFields):
    """A range of addresses and its exceptions."""

    cidr: AnyRange
    excepts: list[AnyRange] = Field(default_factory=list, alias="except")

    @field_validator("excepts")
    @classmethod
    def _are_inside(
        cls, excepts: list[IPv4Network], info: ValidationInfo
    ) -> list[IPv4Network]:
        cidr = info.data.get("cidr")
        for item in excepts:
            if cidr and item.network_address not in cidr:
                raise ValueError(f"{item} is no part of cidr {cidr}")
        return excepts


class PolicyPeer(KnownFields):
    """Who may send."""

    pod_selector: LabelSelector | None = None
    namespace_selector: LabelSelector | None = None
    ip_block: IPBlock | None = Field(None, alias="ipBlock")

    @model_validator(mode="after")
    def _is_somebody(self) -> Self:
        selectors = self.pod_selector, self.namespace_selector
        if self.ip_block and any(selectors):
            raise ValueError("ipBlock excludes podSelector and namespaceSelector")
        if not self.ip_block and not any(selectors):
            raise ValueError(
                "must have a podSelector, a namespaceSelector or an ipBlock"
            )
        return self


class PolicyPort(KnownFields):
    """What may be sent to; all ports where there is no ``port``."""

    protocol: Annotated[Protocol, one_of(Protocol)] = Protocol.TCP
    port: TargetPort | None = None


class IngressRule(KnownFields):
    """A rule without peers or without ports allows all of them."""

    peers: list[PolicyPeer] = Field(default_factory=list, alias="from")
    ports: list[PolicyPort] = Field(default_factory=list)


class PolicyEgressRule(KnownFields):
    """A rule that is admitted like one of ingress, and does nothing."""

    peers: list[PolicyPeer] = Field(default_factory=list, alias="to")
    ports: list[PolicyPort] = Field(default_factory=list)


class NetworkPolicySpec(KnownFields):
    """``egress`` is admitted and does nothing."""

    pod_selector: LabelSelector = LabelSelector()
    ingress: list[IngressRule] = Field(default_factory=list)
    egress: list[PolicyEgressRule] | None = None
    policy_types: list[Annotated[PolicyType, one_of(PolicyType)]] = Field(
        default_factory=list
    )

    @field_validator("policy_types")
    @classmethod
    def _are_two_at_most(cls, types: list[PolicyType]) -> list[PolicyType]:
        if len(types) > len(PolicyType):
            raise ValueError(f"has {len(types)} types; there are Ingress and Egress")
        return types


class NetworkPolicy(Object, KnownFields):
    """What may reach a namespace's pods."""

    spec: NetworkPolicySpec = NetworkPolicySpec()


class EgressPeer(KnownFields):
    """Where to: a range, or the addresses of a name."""

    cidr_selector: Range | None = None
    dns_name: DNSName | None = None

    @model_validator(mode="after")
    def _is_one_of_two(self) -> Self:
        if self.cidr_selector is None and self.dns_name is None:
            raise ValueError("must have a cidrSelector or a dnsName")
        if self.cidr_selector is not None and self.dns_name is not None:
            raise ValueError("must not have both a cidrSelector and a dnsName")
        return self


class EgressRule(KnownFields):
    """One rule; the first that matches decides."""

    type: Annotated[EgressRuleType, one_of(EgressRuleType)]
    to: EgressPeer


class EgressNetworkPolicySpec(KnownFields):
    """The rules in their order."""

    egress: list[EgressRule] = Field(default_factory=list)

    @field_validator("egress")
    @classmethod
    def _are_few(cls, rules: list[EgressRule]) -> list[EgressRule]:
        if len(rules) > MOST_EGRESS_RULES:
            raise ValueError(
                f"has {len(rules)} rules; at most {MOST_EGRESS_RULES} are allowed"
            )
        return rules


class EgressNetworkPolicy(Object, KnownFields):
    """What a namespace's pods may reach outside."""

    spec: EgressNetworkPolicySpec
