"""Some namespaces leave by their node's address instead of their egress IP.

Reference: BZ1552869, openshift/origin#19005, openshift/origin#18121
Family: egress IP
Symptom: A namespace leaves by its egress IP, and every now and then, for half a minute,
    by the address of its egress node. Other namespaces never do.
Mechanism: kubelet and kube-proxy disagreed about the bit that means "masquerade this",
    0x4000 or 0x1, and each wrote its own into KUBE-POSTROUTING in turn. br0 marks what
    is to leave by an egress IP with its VNID, without bit 0x1 but maybe with 0x4000. If
    iptables had been flushed, KUBE-POSTROUTING came before the rule for egress IPs.
Fixed in: Before 3.11 was released: kubelet is told bit 0, too.
Diagnosis: A node whose KUBE-POSTROUTING masquerades another mark than 0x1/0x1, or comes
    before OPENSHIFT-MASQUERADE.
"""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import pytest
from scapy.layers.inet import ICMP, IP

from testbed.egress import egress_mark
from testbed.faults import ChainReordered
from testbed.host.iptables import node_rules
from testbed.mutation.fault import RuleFault
from testbed.probe import ip_between

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.probe import LiveCluster, Node

pytestmark = pytest.mark.plugins("networkpolicy")

KUBELETS_BIT = 0x4000
WITH_THE_BIT = "audit/collector-1-tb6wl"
WITHOUT_IT = "partner/sync-1-9gq4m"
PLACED, CLAIMED = IPv4Address("172.16.1.113"), IPv4Address("172.16.1.104")


@contextmanager
def kubelet_wrote_last(cluster: LiveCluster, node: Node) -> Iterator[None]:
    """Have the node's KUBE-POSTROUTING as kubelet makes it, and on top."""
    rules = node_rules(cluster.objects, cluster.objects.node(node.name))
    ours = next(
        rule for rule in rules.splitlines() if rule.startswith("-A KUBE-POSTROUTING ")
    )
    bit = f"{KUBELETS_BIT:#x}"
    kubelets = ours.replace("--mark 0x1/0x1", f"--mark {bit}/{bit}")
    assert kubelets != ours
    with (
        cluster.broken(
            ChainReordered(
                node=node.name,
                table="nat",
                chain="POSTROUTING",
                first="-j KUBE-POSTROUTING",
            )
        ),
        cluster.broken(RuleFault(node=node.name, table="nat", old=ours, new=kubelets)),
    ):
        yield


def leaves_as(cluster: LiveCluster, name: str) -> IPv4Address:
    """The address that the external host sees a pod's ping from."""
    pod = cluster.pod(name)
    # A connection that a node knows keeps the address it once left with.
    ping = ICMP(id=secrets.randbelow(1 << 16))
    sent = cluster.send(pod, ip_between(pod, cluster.external) / ping)
    return IPv4Address(sent.arrives(cluster.external)[IP].src)


@pytest.mark.symptom
def test_a_namespace_whose_vnid_has_kubelets_bit_leaves_as_the_egress_node(
    cluster: LiveCluster,
) -> None:
    """One whose VNID lacks it does not."""
    node, other = cluster.node("oc-01"), cluster.node("oc-04")
    marked = {
        name: egress_mark(cluster.objects.vnid(name)) & KUBELETS_BIT
        for name in ("audit", "partner")
    }
    assert marked == {"audit": KUBELETS_BIT, "partner": 0}

    with kubelet_wrote_last(cluster, node), kubelet_wrote_last(cluster, other):
        assert leaves_as(cluster, WITH_THE_BIT) == node.ip
        assert leaves_as(cluster, WITHOUT_IT) == CLAIMED


@pytest.mark.fix
def test_both_leave_by_their_egress_ips(cluster: LiveCluster) -> None:
    assert leaves_as(cluster, WITH_THE_BIT) == PLACED
    assert leaves_as(cluster, WITHOUT_IT) == CLAIMED
