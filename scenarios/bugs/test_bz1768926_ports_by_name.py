"""A policy with a port by name closes its whole namespace.

Reference: BZ1768926, openshift/sdn#69
Family: network policy
Symptom: An operator installs a policy for its own pods, with ports by name. All other
    pods of the project are cut off.
Mechanism: Ports by name, and ports without a number, are more than 3.11 supports. It
    takes such a policy for one that denies all, and forgets its podSelector on the way:
    it selects all pods and allows nothing.
Fixed in: Open in 3.11. More of it: scenarios/test_network_policy_quirks.py.
Diagnosis: A NetworkPolicy with a port by name, or none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testbed.openflow import Table
from testbed.probe import send_syn

if TYPE_CHECKING:
    from testbed.probe import LiveCluster

pytestmark = pytest.mark.plugins("networkpolicy")

CLIENT, OPERATED, BYSTANDER = "lab/client-a", "lab/server-b", "lab/client-d"
BY_NAME = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: kafka, namespace: lab}
spec:
  podSelector: {matchLabels: {app: server}}
  ingress:
  - ports:
    - port: clients
"""
FIXED = """
apiVersion: testbed/v1
kind: Underlay
quirks: {unsupportedPortDeniesNamespace: false}
"""


@pytest.mark.symptom
def test_pods_that_the_policy_does_not_select_are_closed(cluster: LiveCluster) -> None:
    client, bystander = cluster.pod(CLIENT), cluster.pod(BYSTANDER)
    cluster.apply(BY_NAME)

    sent = send_syn(cluster, client, bystander, 80)

    sent.is_dropped(bystander.node, Table.POLICY)


@pytest.mark.fix
def test_only_pods_that_the_policy_selects_are_closed(cluster: LiveCluster) -> None:
    client, bystander, operated = map(cluster.pod, (CLIENT, BYSTANDER, OPERATED))
    cluster.apply(FIXED)
    cluster.apply(BY_NAME)

    send_syn(cluster, client, bystander, 80).arrives(bystander)
    vnid = cluster.objects.vnid("lab")
    selected = f"priority=100,ip,reg1={vnid:#x},nw_dst={operated.ip}"
    sent = send_syn(cluster, client, operated, 80)
    sent.is_dropped(operated.node, Table.POLICY, selected)
