"""What the SDN's rules are for: what is broken where one of them is missing.

Source: openshift/origin release-3.11 pkg/network/node/iptables.go
"""

from __future__ import annotations

from typing import NamedTuple

from testbed.diagnosis.finding import Severity

FOR_ADMINISTRATORS = "OPENSHIFT-ADMIN-OUTPUT-RULES"
"""The chain that is theirs; the SDN leaves alone what is in it."""


class Effect(NamedTuple):
    """What a rule is for, by what its text has, and what is broken without it."""

    table: str
    has: tuple[str, ...]
    breaks: str
    bugs: tuple[str, ...] = ()
    severity: Severity = Severity.CRITICAL


_W = Severity.WARNING
EFFECTS = (
    Effect("filter", ("-A OPENSHIFT-FIREWALL-ALLOW", "VXLAN incoming"),
            "VXLAN is let in by nothing here: other nodes' pods are cut off "
            "wherever the "
            "rest of INPUT rejects", ("openshift/origin#14713",)),
    Effect("filter", ("-A OPENSHIFT-FIREWALL-ALLOW", "from SDN to localhost"),
            "pods reach nothing on the node, DNS included, where the rest of INPUT "
            "rejects"),
    Effect("filter", ("-A OPENSHIFT-FIREWALL-ALLOW", "-j REJECT"),
            "connections to an egress IP get to the node itself", ("BZ1653380",), _W),
    Effect("filter", ("-A OPENSHIFT-FIREWALL-ALLOW",), "traffic from docker0", (), _W),
    Effect("filter", ("-A OPENSHIFT-FIREWALL-FORWARD", "INVALID"),
            "packets that conntrack takes for invalid leave with pods' own addresses",
            ("BZ1438762",), _W),
    Effect("filter", ("-A OPENSHIFT-FIREWALL-FORWARD",),
            "what pods send to services and outside is not forwarded, or answers "
            "are not, "
            "where the policy of FORWARD is DROP"),
    Effect("filter", ("-A INPUT", "OPENSHIFT-FIREWALL-ALLOW"),
            "neither VXLAN nor what pods send to the node is let in by the SDN",
            ("openshift/origin#14713",)),
    Effect("filter", ("-A FORWARD", "OPENSHIFT-FIREWALL-FORWARD"),
            "what pods send to services and outside is not forwarded by the SDN's "
            "rules"),
    Effect("filter", ("-A FORWARD", FOR_ADMINISTRATORS),
            "administrators' rules have no effect", ("BZ1501855",), _W),
    Effect("filter", ("KUBE-FORWARD",),
            "node ports and external IPs, where the policy of FORWARD is DROP", (), _W),
    Effect("filter", ("KUBE-FIREWALL",), "what is marked to be dropped is "
            "not", (), _W),
    Effect("filter", ("-j KUBE-",), "services without endpoints do not answer: "
            "clients "
            "wait instead of being refused", ("openshift/origin#19597",), _W),
    Effect("nat", ("-A OPENSHIFT-MASQUERADE ", "-j SNAT"),
            "the namespace leaves from the node's address instead of its egress IP",
            ("BZ1653380",)),
    Effect("nat", ("-A OPENSHIFT-MASQUERADE-2", "-j RETURN"),
            "pods' addresses are hidden within the cluster: NetworkPolicies see the "
            "node "
            "instead of the sender"),
    Effect("nat", ("-A OPENSHIFT-MASQUERADE",),
            "what pods send outside, or to services, keeps their address: answers "
            "do not "
            "come back", ("BZ1438762",)),
    Effect("nat", ("-A POSTROUTING", "OPENSHIFT-MASQUERADE"),
            "what pods send outside, or to services, keeps their address: answers "
            "do not "
            "come back", ("BZ1653380",)),
    Effect("nat", ("KUBE-POSTROUTING",),
            "answers to node ports, external IPs and pods' own services get lost"),
    Effect("nat", ("KUBE-MARK-MASQ",),
            "answers to node ports, external IPs and pods' own services get lost"),
    Effect("nat", ("KUBE-MARK-DROP",), "load balancers' source ranges do not hold", (),
            _W),
    Effect("nat", ("-A PREROUTING", "KUBE-SERVICES"), "no service works from pods",
            ("openshift/origin#19597",)),
    Effect("nat", ("-A OUTPUT", "KUBE-SERVICES"), "no service works from the node",
            ("openshift/origin#19597",)),
    Effect("nat", ("KUBE-HOSTPORTS",), "no hostPort works", ("BZ1723924",)),
    Effect("nat", ("127.0.0.0/8",), "host ports from localhost", (), _W),
)  # fmt: skip


def effect_of(table: str, rule: str) -> Effect:
    """What is broken without a rule of a table."""
    for effect in EFFECTS:
        if effect.table == table and all(part in rule for part in effect.has):
            return effect
    return Effect(table, (), "what it is for is not done", (), _W)
