"""After a restart of the SDN a closed namespace stays closed, whatever is allowed.

Reference: BZ1790440, openshift/sdn#96, BZ1694704, openshift/origin#22443
Family: network policy
Symptom: A project that denies everything gets a policy that allows something. On nodes
    whose SDN was restarted in between, nothing is allowed.
Mechanism: After a restart the SDN finds the VNIDs that are in use by the flows of table
    80 that name them (reg1). A namespace that denies all has none: it ends at the
    table's last flow. It counts as not in use, and its policies are not programmed
    until another of its pods starts on the node.
Fixed in: Open in 3.11; fixed in 4.x by openshift/sdn#96. BZ1694704, the same for all
    namespaces, was fixed by openshift/origin#22443.
Diagnosis: A node that lacks flows of table 80 that a NetworkPolicy makes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testbed.gallery.remains import FlowsStale
from testbed.openflow import Table
from testbed.probe import send_udp

if TYPE_CHECKING:
    from testbed.probe import LiveCluster

pytestmark = pytest.mark.plugins("networkpolicy")

CLIENT, ELSEWHERE, VAULT, RESTARTED = (
    "lab/client-c",
    "vault/vault-1",
    "vault/vault-0",
    "oc-01.test",
)
ALLOW_LAB = """
apiVersion: v1
kind: List
items:
- kind: Namespace
  apiVersion: v1
  metadata: {name: lab, labels: {team: lab}}
- kind: NetworkPolicy
  apiVersion: networking.k8s.io/v1
  metadata: {name: allow-lab, namespace: vault}
  spec:
    podSelector: {}
    ingress:
    - from:
      - namespaceSelector: {matchLabels: {team: lab}}
"""


@pytest.mark.symptom
def test_what_a_policy_allows_is_dropped_on_the_node_that_was_restarted(
    cluster: LiveCluster,
) -> None:
    """On another node it is delivered."""
    client, vault, elsewhere = map(cluster.pod, (CLIENT, VAULT, ELSEWHERE))
    to_vault = f"reg1={cluster.objects.vnid('vault'):#x}"
    forgotten = FlowsStale.of(cluster.objects, RESTARTED, Table.POLICY, to_vault)
    assert not forgotten.left
    with cluster.broken(forgotten):
        cluster.apply(ALLOW_LAB)

        send_udp(cluster, client, elsewhere).arrives(elsewhere)
        send_udp(cluster, client, vault).is_dropped(vault.node, Table.POLICY)


@pytest.mark.fix
def test_what_a_policy_allows_is_delivered_everywhere(cluster: LiveCluster) -> None:
    client = cluster.pod(CLIENT)
    cluster.apply(ALLOW_LAB)

    for vault in map(cluster.pod, (VAULT, ELSEWHERE)):
        send_udp(cluster, client, vault).arrives(vault)
