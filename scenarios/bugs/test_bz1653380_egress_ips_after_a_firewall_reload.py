"""After a reload of firewalld a namespace leaves by its node's address.

Reference: BZ1653380, openshift/origin#21549
Family: egress IP
Symptom: Since firewalld was reloaded on the egress node, servers outside that know the
    namespace by its egress IP refuse it; they see the node's address. And whoever
    connects to the egress IP reaches the node.
Mechanism: A reload flushes iptables. The SDN notices and writes its chains again, but
    not the rules that it had added for egress IPs: SNAT in OPENSHIFT-MASQUERADE, REJECT
    in OPENSHIFT-FIREWALL-ALLOW. What br0 has marked is masqueraded like all else.
Fixed in: An early 3.11.z, by openshift/origin#21549.
Diagnosis: A node with an egress IP and without its SNAT rule.
"""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import pytest
from scapy.layers.inet import ICMP, IP

from testbed.faults import RuleDeleted
from testbed.probe import ask, echoing, ip_between

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.probe import LiveCluster

pytestmark = pytest.mark.plugins("networkpolicy")

SENDER, EGRESS_NODE = "payments/gateway-1-v7d2c", "oc-02.test"
EGRESS_IP = IPv4Address("172.16.1.102")
PORT = 7777


@contextmanager
def reloaded(cluster: LiveCluster) -> Iterator[None]:
    """Have the egress node without the rules for its egress IP."""
    snat, reject = f"--to-source {EGRESS_IP}", f"-d {EGRESS_IP}/32 -m conntrack"
    with (
        cluster.broken(RuleDeleted(node=EGRESS_NODE, table="nat", rule=snat)),
        cluster.broken(RuleDeleted(node=EGRESS_NODE, table="filter", rule=reject)),
    ):
        yield


def leaves_as(cluster: LiveCluster) -> IPv4Address:
    """The address that the external host sees a pod's ping from."""
    pod = cluster.pod(SENDER)
    # A connection that a node knows keeps the address it once left with.
    ping = ICMP(id=secrets.randbelow(1 << 16))
    sent = cluster.send(pod, ip_between(pod, cluster.external) / ping)
    return IPv4Address(sent.arrives(cluster.external)[IP].src)


@pytest.mark.symptom
def test_it_leaves_by_the_nodes_address_and_the_egress_ip_answers_to_strangers(
    cluster: LiveCluster,
) -> None:
    node = cluster.node(EGRESS_NODE)
    with reloaded(cluster), echoing([node], [PORT]):
        assert leaves_as(cluster) == node.ip
        assert ask(cluster.rogue, EGRESS_IP, PORT, "hello") == "hello"


@pytest.mark.fix
def test_it_leaves_by_its_egress_ip_which_refuses_strangers(
    cluster: LiveCluster,
) -> None:
    assert leaves_as(cluster) == EGRESS_IP
    with (
        echoing([cluster.node(EGRESS_NODE)], [PORT]),
        pytest.raises(ConnectionRefusedError),
    ):
        ask(cluster.rogue, EGRESS_IP, PORT, "hello")
