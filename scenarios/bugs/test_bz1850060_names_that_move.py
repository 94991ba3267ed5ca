"""A server that is allowed by name is denied since it has another address.

Reference: BZ1850060, BZ1933711, BZ1502602
Family: egress policy
Symptom: An EgressNetworkPolicy allows a server by its name. The server moved, its name
    leads to the new address, and pods reach the old one only.
Mechanism: A rule by name is a flow of table 101 for each address that the name had when
    it was last resolved. One loop resolves all names of all policies, one after the
    other: a server that does not answer, or a name with a long TTL, keeps all others
    waiting.
Fixed in: In part before 3.11 was released (BZ1502602); open in 3.11 otherwise.
Diagnosis: A flow of table 101 for an address that no rule's name has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testbed.gallery.remains import FlowsStale
from testbed.openflow import Table
from testbed.probe import send_udp

if TYPE_CHECKING:
    from testbed.probe import LiveCluster

pytestmark = pytest.mark.plugins("multitenant")

POD = "bank/api-2-m4xjt"
BY_NAME = """
apiVersion: network.openshift.io/v1
kind: EgressNetworkPolicy
metadata: {name: default, namespace: bank}
spec:
  egress:
  - {type: Allow, to: {dnsName: partner.example.com}}
  - {type: Deny, to: {cidrSelector: 0.0.0.0/0}}
"""
MOVED = """
apiVersion: testbed/v1
kind: Underlay
externalHosts:
- {name: partner, ip: 198.51.100.1}
- {name: mirror, ip: 198.51.100.9, dnsNames: [partner.example.com]}
- {name: mirror-2, ip: 198.51.100.20}
"""


@pytest.mark.symptom
def test_the_new_address_is_denied_and_the_old_one_allowed(
    cluster: LiveCluster,
) -> None:
    pod, (old, new, *_) = cluster.pod(POD), cluster.external_hosts
    from_bank = f"reg0={cluster.objects.vnid('bank'):#x}"
    cluster.apply(BY_NAME)
    unresolved = FlowsStale.of(
        cluster.objects, pod.node.name, Table.EGRESS_NETWORK_POLICY, from_bank
    )
    with cluster.broken(unresolved):
        cluster.apply(MOVED)

        send_udp(cluster, pod, old).arrives(old)
        sent = send_udp(cluster, pod, new)
        denies = f"priority=1,ip,{from_bank}"
        sent.is_dropped(pod.node, Table.EGRESS_NETWORK_POLICY, denies)


@pytest.mark.fix
def test_the_new_address_is_allowed_and_the_old_one_denied(
    cluster: LiveCluster,
) -> None:
    pod, (old, new, *_) = cluster.pod(POD), cluster.external_hosts
    cluster.apply(BY_NAME)
    cluster.apply(MOVED)

    send_udp(cluster, pod, new).arrives(new)
    denies = f"priority=1,ip,reg0={cluster.objects.vnid('bank'):#x}"
    sent = send_udp(cluster, pod, old)
    sent.is_dropped(pod.node, Table.EGRESS_NETWORK_POLICY, denies)
