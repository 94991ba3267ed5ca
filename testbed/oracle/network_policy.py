"""NetworkPolicy as 3.11 reads it, with each misreading under its switch.

A namespace is known by its VNID. Should two share one, then only the last of them
exists for the plugin: the policies of both apply to all pods with that VNID, but a
podSelector finds pods of the last namespace only, and a namespaceSelector looks at the
last one's labels only.

Selectors mean a sender by its VNID, and by its address where pods are selected. Nodes
and the outside have VNID 0, as the pods of namespace ``default`` have.

Source: openshift/origin release-3.11 pkg/network/node/networkpolicy.go
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.model import LabelSelector, Transport
from testbed.oracle.expectation import Ruling

if TYPE_CHECKING:
    from testbed.model import (
        Cluster,
        IngressRule,
        IPBlock,
        NetworkPolicy,
        Pod,
        PolicyPeer,
        PolicyPort,
    )
    from testbed.oracle.packet import Packet

_SUPPORTED = {"TCP": Transport.TCP, "UDP": Transport.UDP}


def policies_admit(cluster: Cluster, pod: Pod, packet: Packet, vnid: int) -> Ruling:
    """Whether the policies that bear on a pod let a packet with a VNID reach it."""
    sharing = cluster.net_namespaces_of(cluster.vnid(pod.namespace))
    names = {namespace.name for namespace in sharing}
    policies = [item for item in cluster.network_policies if item.namespace in names]
    view = _View(cluster, known=sharing[-1].name)
    considered = tuple(f"NetworkPolicy {policy.key}" for policy in policies)

    if (culprit := view.breaks_namespace(policies)) is not None:
        by = f"NetworkPolicy {culprit.key} breaks its namespace"
        return Ruling(allowed=False, by=by, considered=considered)
    for policy in policies:
        number = view.allowing_rule(policy, pod, packet, vnid)
        if number is not None:
            by = f"NetworkPolicy {policy.key} rule {number}"
            return Ruling(allowed=True, by=by, considered=considered)
    for policy in policies:
        if view.isolates(policy, pod):
            by = f"NetworkPolicy {policy.key}"
            return Ruling(allowed=False, by=by, considered=considered)
    by = "no NetworkPolicy selects the pod"
    return Ruling(allowed=True, by=by, considered=considered)


class _View:
    """How the plugin reads policies of one VNID, of which it knows one namespace."""

    def __init__(self, cluster: Cluster, *, known: str) -> None:
        self._cluster = cluster
        self._known = known
        self._vnid = cluster.vnid(known)
        self._quirks = cluster.quirks

    def breaks_namespace(self, policies: list[NetworkPolicy]) -> NetworkPolicy | None:
        """The policy because of which nothing of the namespace is programmed."""
        if not self._quirks.egress_only_policy_breaks_namespace:
            return None
        if any(self._isolates_all(policy) for policy in policies):
            return None
        return next((item for item in policies if not item.affects_ingress), None)

    def isolates(self, policy: NetworkPolicy, pod: Pod) -> bool:
        """Whether the pod receives only what is allowed, because of this policy."""
        return self._isolates_all(policy) or (
            policy.affects_ingress and self._selects(policy.pod_selector, pod)
        )

    def allowing_rule(
        self, policy: NetworkPolicy, pod: Pod, packet: Packet, vnid: int
    ) -> int | None:
        """The number, from 1, of the first rule that lets the packet reach the pod."""
        if not policy.affects_ingress or self._is_misread(policy):
            return None
        if not policy.pod_selector.is_empty and not self._selects(
            policy.pod_selector, pod
        ):
            return None
        return next(
            (
                number
                for number, rule in enumerate(policy.ingress, start=1)
                if self._is_from(rule, packet, vnid) and _is_to(rule, packet)
            ),
            None,
        )

    def _isolates_all(self, policy: NetworkPolicy) -> bool:
        return policy.affects_ingress and (
            policy.pod_selector.is_empty or self._is_misread(policy)
        )

    def _is_misread(self, policy: NetworkPolicy) -> bool:
        """Whether one port it names turns the whole into "deny all to everybody"."""
        return self._quirks.unsupported_port_denies_namespace and not all(
            _is_supported(port) for rule in policy.ingress for port in rule.ports
        )

    def _selects(self, selector: LabelSelector, pod: Pod) -> bool:
        return pod.namespace == self._known and selector.selects(pod.labels)

    def _is_from(self, rule: IngressRule, packet: Packet, vnid: int) -> bool:
        return not rule.peers or any(
            self._is_peer(peer, packet, vnid) for peer in rule.peers
        )

    def _is_peer(self, peer: PolicyPeer, packet: Packet, vnid: int) -> bool:
        match peer.pod_selector, peer.namespace_selector, peer.ip_block:
            case LabelSelector() as pods, LabelSelector() as namespaces, None:
                return not self._quirks.combined_selectors_ignored and self._is_both(
                    pods, namespaces, packet, vnid
                )
            case LabelSelector() as pods, None, None:
                return vnid == self._vnid and (
                    pods.is_empty or self._is_selected(pods, packet)
                )
            case None, LabelSelector() as namespaces, None:
                return namespaces.is_empty or vnid in self._vnids(namespaces)
            case None, None, block if block is not None:
                return not self._quirks.ip_block_ignored and _is_in(block, packet)
            case _:
                return False

    def _is_selected(self, selector: LabelSelector, packet: Packet) -> bool:
        sender = self._cluster.pod_at(packet.source)
        return sender is not None and self._selects(selector, sender)

    def _is_both(
        self,
        pods: LabelSelector,
        namespaces: LabelSelector,
        packet: Packet,
        vnid: int,
    ) -> bool:
        sender = self._cluster.pod_at(packet.source)
        return (
            sender is not None
            and pods.selects(sender.labels)
            and self._vnids(namespaces).get(vnid) == sender.namespace
        )

    def _vnids(self, selector: LabelSelector) -> dict[int, str]:
        """The VNIDs of the selected namespaces, of those that the plugin knows."""
        labels = {item.name: item.labels for item in self._cluster.namespaces}
        known = {item.netid: item.name for item in self._cluster.net_namespaces}
        return {
            netid: name
            for netid, name in known.items()
            if name in labels and selector.selects(labels[name])
        }


def _is_to(rule: IngressRule, packet: Packet) -> bool:
    return not rule.ports or any(
        _is_supported(port)
        and (_SUPPORTED[port.protocol], port.port) == (packet.transport, packet.dport)
        for port in rule.ports
    )


def _is_supported(port: PolicyPort) -> bool:
    return port.protocol in _SUPPORTED and isinstance(port.port, int)


def _is_in(block: IPBlock, packet: Packet) -> bool:
    return packet.source in block.cidr and not any(
        packet.source in hole for hole in block.excepts
    )
