"""A namespace is under the policies of another that has the same NetID.

Reference: BZ1964625, BZ1928851
Family: VNIDs
Symptom: A project without policies is closed, or one with policies is open. `oc get
    netnamespaces` shows its NETID twice.
Mechanism: Under ovs-networkpolicy policies are programmed by VNID: table 80 knows a
    namespace by reg1 alone, and the SDN keeps one namespace for each VNID. Where two
    have one (a NetNamespace restored from a backup, say), the policies of the one are
    those of both.
Fixed in: Open in 3.11.
Diagnosis: Two NetNamespaces with one netid.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testbed.openflow import Table
from testbed.probe import send_udp

if TYPE_CHECKING:
    from testbed.probe import LiveCluster

pytestmark = pytest.mark.plugins("networkpolicy")

STRANGER, OPEN = "backend/api-1-x5nq4", "lab/client-d"
CLOSED = "vault"


def with_netid(netid: int) -> str:
    """The NetNamespace of lab, with that netid."""
    return (
        "{apiVersion: network.openshift.io/v1, kind: NetNamespace, "
        f"metadata: {{name: lab}}, netname: lab, netid: {netid}}}"
    )


@pytest.mark.symptom
def test_a_namespace_without_policies_is_closed_by_those_of_its_twin(
    cluster: LiveCluster,
) -> None:
    stranger, pod = cluster.pod(STRANGER), cluster.pod(OPEN)
    send_udp(cluster, stranger, pod).arrives(pod)

    cluster.apply(with_netid(cluster.objects.vnid(CLOSED)))

    send_udp(cluster, stranger, pod).is_dropped(pod.node, Table.POLICY)


@pytest.mark.fix
def test_with_a_netid_of_its_own_it_is_open_again(cluster: LiveCluster) -> None:
    stranger, pod = cluster.pod(STRANGER), cluster.pod(OPEN)
    cluster.apply(with_netid(cluster.objects.vnid(CLOSED)))

    cluster.apply(with_netid(4712))

    send_udp(cluster, stranger, pod).arrives(pod)
