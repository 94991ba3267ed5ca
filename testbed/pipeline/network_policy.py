"""Table 80 under ovs-networkpolicy: what each namespace's NetworkPolicies come to.

A policy is translated once, alone, into the matches it allows and the pods it selects.
A namespace's policies together then become flows, the same on every node that has a pod
of the namespace:

* priority 150: what a policy allows is delivered. A match names the namespace (reg1),
  the pod selected, who sends (reg0, the pod's address) and the port, each where the
  policy does.
* priority 100: everything else for a selected pod is dropped.
* priority 50: the other pods are open to all. Where a policy selects all pods, neither
  of these two is there and the table's last flow drops.

A namespace is known by its VNID. Where several share one, the last stands for all: the
policies of each hold for all, but find pods of that one only.

Sets are spelled out: two pods selected, three pods allowed and four ports make 24
flows. How 3.11 got it wrong is in ``testbed.model.Quirks``; each quirk has its place
here.

Source: openshift/origin release-3.11 pkg/network/node/networkpolicy.go
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, product
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from testbed.openflow import Flow, Register, Table, matches
from testbed.openflow.actions import DROP, output_register

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from ipaddress import IPv4Address, IPv4Network

    from testbed.model import (
        Cluster,
        IPBlock,
        LabelSelector,
        NetworkPolicy,
        Pod,
        PolicyPeer,
        PolicyPort,
    )

Match: TypeAlias = tuple[str, ...]

_PROTOCOLS = {"TCP": "tcp", "UDP": "udp"}
_PORTS = range(1, 65536)
_DELIVER = (output_register(Register.DESTINATION_OFPORT),)


@dataclass(frozen=True, slots=True, kw_only=True)
class TranslatedPolicy:
    """What one NetworkPolicy allows to whom.

    Attributes:
        key: the policy's namespace and name.
        allowed: the matches that are delivered.
        selected: the pods for which nothing else is; ``None`` means all pods of the
            namespace.
        is_rejected: OVS takes no flow of the policy, nor any that comes with one.
    """

    key: str
    allowed: tuple[Match, ...] = ()
    selected: frozenset[IPv4Address] | None = frozenset()
    is_rejected: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class NamespaceFlows:
    """A namespace's policies, and the flows they make together, by falling priority."""

    policies: tuple[TranslatedPolicy, ...] = ()
    allowing: tuple[Flow, ...] = ()
    isolating: tuple[Flow, ...] = ()
    opening: tuple[Flow, ...] = ()


class _Part(NamedTuple):
    """What a port or a sender adds to a match; empty is any."""

    protocol: Match = ()
    register: Match = ()
    fields: Match = ()


_ANY = _Part()


def translate(policy: NetworkPolicy, cluster: Cluster) -> TranslatedPolicy:
    """What the SDN makes of one policy, whatever others there are."""
    if not policy.affects_ingress:
        return TranslatedPolicy(
            key=policy.key,
            is_rejected=cluster.quirks.egress_only_policy_breaks_namespace,
        )
    if cluster.quirks.unsupported_port_denies_namespace and not _ports_are_supported(
        policy
    ):
        return TranslatedPolicy(key=policy.key, selected=None)
    namespace = tracked_namespace(cluster.vnid(policy.namespace), cluster)
    selected = (
        None
        if policy.pod_selector.is_empty
        else frozenset(
            pod.ip for pod in _selected(cluster.pods_in(namespace), policy.pod_selector)
        )
    )
    return TranslatedPolicy(
        key=policy.key,
        allowed=tuple(sorted(set(_allowed(policy, namespace, selected, cluster)))),
        selected=selected,
    )


def tracked_namespace(vnid: int, cluster: Cluster) -> str:
    """The namespace that the SDN takes a VNID for."""
    return cluster.net_namespaces_of(vnid)[-1].name


def namespace_flows(
    vnid: int, policies: tuple[TranslatedPolicy, ...]
) -> NamespaceFlows:
    """The flows of one namespace with all its policies; without any it is open.

    Where two policies allow the same, there is one flow.
    """
    selects_all = any(policy.selected is None for policy in policies)
    if not selects_all and any(policy.is_rejected for policy in policies):
        return NamespaceFlows(policies=policies)
    to_vnid = matches.register(Register.DESTINATION_VNID, vnid)
    allowed: dict[Match, str] = {}
    for policy in policies:
        for match in policy.allowed:
            allowed[match] = _also(allowed.get(match), policy)
    allowing = tuple(
        _flow(150, match, _DELIVER, made_by)
        for match, made_by in sorted(allowed.items())
    )
    if selects_all:
        return NamespaceFlows(policies=policies, allowing=allowing)
    isolated: dict[IPv4Address, str] = {}
    for policy in policies:
        for ip in policy.selected or ():
            isolated[ip] = _also(isolated.get(ip), policy)
    return NamespaceFlows(
        policies=policies,
        allowing=allowing,
        isolating=tuple(
            _flow(100, ("ip", to_vnid, matches.nw_dst(ip)), (DROP,), made_by)
            for ip, made_by in sorted(isolated.items())
        ),
        opening=(_flow(50, (to_vnid,), _DELIVER),),
    )


def _allowed(
    policy: NetworkPolicy,
    namespace: str,
    selected: frozenset[IPv4Address] | None,
    cluster: Cluster,
) -> Iterator[Match]:
    vnid = cluster.vnid(namespace)
    to_vnid = matches.register(Register.DESTINATION_VNID, vnid)
    destinations = (
        [()] if selected is None else [(matches.nw_dst(ip),) for ip in selected]
    )
    for rule in policy.ingress:
        senders = (
            chain.from_iterable(
                _senders(peer, namespace, cluster) for peer in rule.peers
            )
            if rule.peers
            else [_ANY]
        )
        ports = _ports(rule.ports) if rule.ports else [_ANY]
        for sender, port, destination in product(senders, ports, destinations):
            protocol = port.protocol or (("ip",) if destination else sender.protocol)
            yield (
                *protocol,
                *sender.register,
                to_vnid,
                *sender.fields,
                *destination,
                *port.fields,
            )


def _ports_are_supported(policy: NetworkPolicy) -> bool:
    return all(_is_supported(port) for rule in policy.ingress for port in rule.ports)


def _is_supported(port: PolicyPort) -> bool:
    return (
        port.protocol in _PROTOCOLS
        and isinstance(port.port, int)
        and port.port in _PORTS
    )


def _ports(ports: Iterable[PolicyPort]) -> Iterator[_Part]:
    for port in ports:
        if _is_supported(port) and isinstance(port.port, int):
            yield _Part(
                protocol=(_PROTOCOLS[port.protocol],),
                fields=(matches.tp_dst(port.port),),
            )


def _senders(peer: PolicyPeer, namespace: str, cluster: Cluster) -> Iterator[_Part]:
    pods, namespaces = peer.pod_selector, peer.namespace_selector
    if pods is not None and namespaces is not None:
        if not cluster.quirks.combined_selectors_ignored:
            for name in _selected_namespaces(namespaces, cluster):
                yield from _pods_as_senders(name, pods, cluster)
    elif namespaces is not None:
        if namespaces.is_empty:
            yield _ANY
        else:
            for name in _selected_namespaces(namespaces, cluster):
                yield _Part(register=_from_namespace(name, cluster))
    elif pods is not None:
        if pods.is_empty:
            yield _Part(register=_from_namespace(namespace, cluster))
        else:
            yield from _pods_as_senders(namespace, pods, cluster)
    elif peer.ip_block is not None and not cluster.quirks.ip_block_ignored:
        yield from _addresses_as_senders(peer.ip_block)


def _pods_as_senders(
    namespace: str, selector: LabelSelector, cluster: Cluster
) -> Iterator[_Part]:
    register = _from_namespace(namespace, cluster)
    for pod in _selected(cluster.pods_in(namespace), selector):
        yield _Part(
            protocol=("ip",), register=register, fields=(matches.nw_src(pod.ip),)
        )


def _addresses_as_senders(block: IPBlock) -> Iterator[_Part]:
    for network in _networks(block):
        # OVS keeps no address that matches everything.
        fields = (matches.nw_src(network),) if network.prefixlen else ()
        yield _Part(protocol=("ip",), fields=fields)


def _from_namespace(namespace: str, cluster: Cluster) -> Match:
    return (matches.register(Register.SOURCE_VNID, cluster.vnid(namespace)),)


def _selected_namespaces(selector: LabelSelector, cluster: Cluster) -> Iterator[str]:
    known = {tracked_namespace(item.netid, cluster) for item in cluster.net_namespaces}
    for namespace in cluster.namespaces:
        if namespace.name in known and selector.selects(namespace.labels):
            yield namespace.name


def _selected(pods: Iterable[Pod], selector: LabelSelector) -> Iterator[Pod]:
    return (pod for pod in pods if selector.selects(pod.labels))


def _networks(block: IPBlock) -> list[IPv4Network]:
    networks = [block.cidr]
    for excluded in block.excepts:
        networks = [
            rest for network in networks for rest in _without(network, excluded)
        ]
    return networks


def _without(network: IPv4Network, excluded: IPv4Network) -> Iterator[IPv4Network]:
    if excluded.subnet_of(network):
        yield from network.address_exclude(excluded)
    elif not network.subnet_of(excluded):
        yield network


def _also(names: str | None, policy: TranslatedPolicy) -> str:
    return f"{names}, {policy.key}" if names else f"NetworkPolicy {policy.key}"


def _flow(
    priority: int, match: Match, actions: tuple[str, ...], made_by: str = ""
) -> Flow:
    return Flow(
        table=Table.POLICY,
        priority=priority,
        match=match,
        actions=actions,
        made_by=made_by,
    )
