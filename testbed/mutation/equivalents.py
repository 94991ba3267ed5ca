"""Mutants that change nothing as far as anybody could see, but only a person can tell.

Each says for which kinds it holds, and why. ``testbed mutate --equivalents`` runs them
all the same, and complains about each that a scenario kills.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from testbed.mutation.mutant import Operator


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """That some mutants are equivalent.

    Attributes:
        kind: matches the whole of the kind.
        reason: why nobody could tell.
        operators: in which ways they are wrong; empty for all.
        change: matches the whole of the change.
        plugins: under which plugins; empty for all.
        datapath: on which datapath; empty for both.
    """

    kind: str
    reason: str
    operators: frozenset[Operator] = frozenset()
    change: str = ".*"
    plugins: frozenset[str] = frozenset()
    datapath: str = ""


_DELETED = frozenset({Operator.DELETED})
_WITHOUT_NETWORKPOLICY = frozenset({"subnet", "multitenant"})

JUDGEMENTS: tuple[Judgement, ...] = (
    Judgement(
        kind=r"table=30,priority=0,(ip|arp) actions=.*",
        operators=frozenset({Operator.WIDENED}),
        reason="only IP and ARP come to table 30; the other of the two has a flow of "
        "the same priority, and which one takes it then is undefined",
    ),
    Judgement(
        kind=r"table=30,priority=\d+,ct_state=\+rpl,ip,nw_dst=… actions=.*",
        operators=frozenset({Operator.WIDENED}),
        change=r"without nw_dst=.*",
        reason="what conntrack is told of begins at one of the node's own pods, so its "
        "replies are for these",
    ),
    Judgement(
        kind=r"table=60,priority=200,reg0=0 actions=output:2",
        operators=frozenset({Operator.DEMOTED}),
        reason="by way of a service's own flow VNID 0 leaves through tun0, too",
    ),
    Judgement(
        kind=r"table=(50|90),priority=100,.*",
        operators=frozenset({Operator.VNID}),
        change=r"move:NXM_NX_REG0\[\]->NXM_NX_TUN_ID\[0\.\.31\] → load:0->.*",
        plugins=frozenset({"subnet"}),
        reason="under ovs-subnet all that enters a tunnel has VNID 0",
    ),
    Judgement(
        kind=r"filter -A KUBE-FORWARD .* --mark 0x1/0x1 -j ACCEPT",
        operators=frozenset({Operator.DELETED, Operator.MARK}),
        reason="what has the mark is the first packet of a connection, and what comes "
        "after it refuses only what belongs to none",
    ),
    Judgement(
        kind=r"filter -A FORWARD .* -j KUBE-FORWARD",
        operators=_DELETED,
        reason="the chain lets through what has the mark: the first packet of a "
        "connection; what comes after it refuses only what belongs to none",
    ),
    Judgement(
        kind=r"filter -A OPENSHIFT-FIREWALL-ALLOW .* \"VXLAN incoming\" -j ACCEPT",
        datapath="netdev",
        reason="userspace tunnelling takes VXLAN before iptables see it",
    ),
    Judgement(
        kind=r"mangle -A PREROUTING -i tun0 -d 10\.\S+ -j ACCEPT",
        operators=_DELETED,
        datapath="netdev",
        reason="nothing for a pod comes from tun0, but for the gateway itself, where "
        "a mark means nothing",
    ),
    Judgement(
        kind=r"nat -A KUBE-(SEP|HP)-… -s … .* -j KUBE-MARK-MASQ",
        operators=_DELETED,
        plugins=_WITHOUT_NETWORKPOLICY,
        reason="OPENSHIFT-MASQUERADE masquerades all that pods send through the host",
    ),
    Judgement(
        kind=r"nat -A KUBE-NODEPORTS -s 127\.0\.0\.0/8 .* -j KUBE-MARK-MASQ",
        operators=_DELETED,
        reason="what the loopback sends is masqueraded on its way out of tun0 anyhow",
    ),
)


def judged_equivalent(
    *, plugin: str, datapath: str, kind: str, operator: Operator, change: str
) -> str:
    """The reason why a mutant is held for equivalent; empty if it is not."""
    for judgement in JUDGEMENTS:
        if (
            plugin in (judgement.plugins or {plugin})
            and datapath == (judgement.datapath or datapath)
            and operator in (judgement.operators or {operator})
            and re.fullmatch(judgement.kind, kind)
            and re.fullmatch(judgement.change, change)
        ):
            return judgement.reason
    return ""
