"""What 3.11 did that no one would ask for, each with a switch of its own.

Every switch is on by default, which is 3.11 as it was released in April 2019. Turned
off, the pipeline programs what a later version does, or what the API promises, so that
a bug can be shown and its fix beside it. Only what follows from the objects is here:
what depended on the order of events (a restart, a missed update) is a fault instead.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Quirks:
    """The behaviours of 3.11 that can be switched off.

    Attributes:
        egress_only_policy_breaks_namespace: a NetworkPolicy that is not about ingress
            yields a flow that OVS rejects, and with it every T80 flow of its
            namespace, which so is denied all; unless another policy selects all pods.
            Off: the policy has no effect. BZ1905761.
        unsupported_port_denies_namespace: a policy with a port by name, a port without
            a number or a protocol but TCP and UDP selects all pods of its namespace
            and allows nothing. Off: such a port alone allows nothing, and the policy
            selects the pods it says. BZ1768926.
        combined_selectors_ignored: a peer with podSelector and namespaceSelector
            allows nobody. Off: the pods selected of the namespaces selected.
            openshift/origin#21196.
        ip_block_ignored: a peer with ipBlock allows nobody. Off: its range, but for
            its exceptions.
        dispatch_overlaps: in table 0, what tun0 forwards from a local pod and what is
            not tracked yet have one priority, so which flow a packet that is both hits
            is undefined. Off: tracking has priority 1000. openshift/sdn 31017cb98.
        replies_take_egress_ip: a pod whose namespace has an egress IP answers, too,
            from it. Off: replies leave as they came. BZ1903414.
        remote_egress_not_committed: a connection that leaves from another node's
            egress IP is not tracked, so that policies drop its replies. Off: it is
            committed before it is tunnelled. BZ1741477.
        commit_keeps_source_port: two connections of one tuple, one through a service
            and one not, collide in conntrack. Off: the commit may choose another
            source port. BZ1910378.
        dns_endpoints_aliased: where EgressNetworkPolicy hides endpoints, a rule by DNS
            name checks the last address of the name only. Off: all of them. pkg/
            network/proxy/proxy.go.
    """

    egress_only_policy_breaks_namespace: bool = True
    unsupported_port_denies_namespace: bool = True
    combined_selectors_ignored: bool = True
    ip_block_ignored: bool = True
    dispatch_overlaps: bool = True
    replies_take_egress_ip: bool = True
    remote_egress_not_committed: bool = True
    commit_keeps_source_port: bool = True
    dns_endpoints_aliased: bool = True
