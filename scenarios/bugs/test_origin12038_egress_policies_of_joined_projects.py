"""Joined projects reach nothing outside, once one has an EgressNetworkPolicy.

Reference: openshift/origin#12038
Family: egress policy
Symptom: A project with an EgressNetworkPolicy was joined to another. Neither reaches
    anything outside, whatever the policy allows.
Mechanism: Table 101 knows projects by VNID. Where several share one, the SDN cannot
    tell whose policy holds, and drops all that leaves any of them, by a flow of
    priority 1 without an address.
Fixed in: Never: it is by design. Isolate the project, or take its policy away.
Diagnosis: An EgressNetworkPolicy in a project that shares its VNID.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testbed.openflow import Table
from testbed.probe import send_udp

if TYPE_CHECKING:
    from testbed.probe import LiveCluster

pytestmark = pytest.mark.plugins("multitenant")

POLICED, OTHER = "bank/ledger-0", "shop/db-0"
POLICY = """
apiVersion: network.openshift.io/v1
kind: EgressNetworkPolicy
metadata: {name: default, namespace: bank}
"""


def changed(cluster: LiveCluster, wish: str) -> str:
    """The NetNamespace of bank as `oc adm pod-network` annotates it."""
    return f"""
apiVersion: network.openshift.io/v1
kind: NetNamespace
metadata:
  name: bank
  annotations: {{pod.network.openshift.io/multitenant.change-network: "{wish}"}}
netname: bank
netid: {cluster.objects.vnid("bank")}
"""


@pytest.mark.symptom
def test_both_projects_are_denied_what_the_policy_allows(cluster: LiveCluster) -> None:
    allowed = cluster.external_hosts[0]
    cluster.apply(changed(cluster, "join:shop"))
    denies = f"priority=1,reg0={cluster.objects.vnid('shop'):#x}"

    for pod in map(cluster.pod, (POLICED, OTHER)):
        sent = send_udp(cluster, pod, allowed)

        sent.is_dropped(pod.node, Table.EGRESS_NETWORK_POLICY, denies)


@pytest.mark.fix
def test_once_isolated_each_goes_by_its_own_policy(cluster: LiveCluster) -> None:
    policed, other = cluster.pod(POLICED), cluster.pod(OTHER)
    allowed, _, denied = cluster.external_hosts
    cluster.apply(changed(cluster, "join:shop"))

    cluster.apply(changed(cluster, "isolate"))

    send_udp(cluster, policed, allowed).arrives(allowed)
    send_udp(cluster, other, denied).arrives(denied)
    sent = send_udp(cluster, policed, denied)
    sent.is_dropped(
        policed.node,
        Table.EGRESS_NETWORK_POLICY,
        f"priority=3,ip,reg0={cluster.objects.vnid('bank'):#x},nw_dst={denied.ip}",
    )


@pytest.mark.fix
def test_without_the_policy_both_reach_everything(cluster: LiveCluster) -> None:
    cluster.apply(changed(cluster, "join:shop"))

    cluster.delete(POLICY)

    for pod in map(cluster.pod, (POLICED, OTHER)):
        for host in cluster.external_hosts:
            send_udp(cluster, pod, host).arrives(host)
