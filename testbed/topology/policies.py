"""From the API's policies to the model's."""

from __future__ import annotations

from testbed import model
from testbed.topology import schema


def network_policy(policy: schema.NetworkPolicy) -> model.NetworkPolicy:
    """A NetworkPolicy; without ``policyTypes`` it is about ingress."""
    types = policy.spec.policy_types
    return model.NetworkPolicy(
        namespace=policy.metadata.namespace,
        name=policy.metadata.name,
        pod_selector=_selector(policy.spec.pod_selector),
        ingress=tuple(_ingress_rule(rule) for rule in policy.spec.ingress),
        affects_ingress=not types or schema.PolicyType.INGRESS in types,
    )


def egress_network_policy(
    policy: schema.EgressNetworkPolicy,
) -> model.EgressNetworkPolicy:
    """An EgressNetworkPolicy."""
    return model.EgressNetworkPolicy(
        namespace=policy.metadata.namespace,
        name=policy.metadata.name,
        egress=tuple(
            model.EgressRule(
                allow=rule.type is schema.EgressRuleType.ALLOW,
                cidr=rule.to.cidr_selector,
                dns_name=rule.to.dns_name,
            )
            for rule in policy.spec.egress
        ),
    )


def _ingress_rule(rule: schema.IngressRule) -> model.IngressRule:
    return model.IngressRule(
        peers=tuple(_peer(peer) for peer in rule.peers),
        ports=tuple(
            model.PolicyPort(protocol=port.protocol, port=port.port)
            for port in rule.ports
        ),
    )


def _peer(peer: schema.PolicyPeer) -> model.PolicyPeer:
    pods, namespaces, block = peer.pod_selector, peer.namespace_selector, peer.ip_block
    return model.PolicyPeer(
        pod_selector=_selector(pods) if pods else None,
        namespace_selector=_selector(namespaces) if namespaces else None,
        ip_block=model.IPBlock(cidr=block.cidr, excepts=tuple(block.excepts))
        if block
        else None,
    )


def _selector(selector: schema.LabelSelector) -> model.LabelSelector:
    return model.LabelSelector(
        match_labels=tuple(selector.match_labels.items()),
        match_expressions=tuple(
            model.LabelRequirement(
                key=item.key, operator=item.operator, values=tuple(item.values)
            )
            for item in selector.match_expressions
        ),
    )
