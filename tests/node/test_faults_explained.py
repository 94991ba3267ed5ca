"""Each kind of fault is found where one looks, and blamed for what got lost."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any

import pytest

from testbed.errors import PrerequisiteError
from testbed.faults import EgressIpStale
from testbed.probe.health import examine

if TYPE_CHECKING:
    from testbed.probe import LiveCluster
    from testbed.verdict import Verdict

pytestmark = pytest.mark.plugins("multitenant")


def told(cluster: LiveCluster, name: str) -> list[str]:
    node = cluster.node(name)
    places = (node, *cluster.pods_on(node))
    return [str(fact) for fact in examine(cluster, [place.name for place in places])]


def asked(cluster: LiveCluster, sender: str, receiver: str) -> Verdict:
    pod = cluster.pod(sender)
    match receiver.partition(":"):
        case "external", _, _:
            return cluster.probe(pod, cluster.external)
        case "svc", _, service:
            return cluster.probe(pod, cluster.service(service), tcp=80)
    return cluster.probe(pod, cluster.pod(receiver))


def test_a_fault_is_found_and_blamed(
    cluster: LiveCluster,
    case: Any,  # noqa: ANN401 - conftest's Case
) -> None:
    refused = ""
    try:
        with cluster.broken(case.fault):
            facts = told(cluster, case.fault.resolved(cluster.objects).node)
            verdict = asked(cluster, *case.costs) if case.costs else None
    except PrerequisiteError as error:
        refused = str(error)
    if refused:
        assert f"{case.fault.kind}: this machine's kernel has no netem" in refused
        return

    assert any(case.told in fact for fact in facts), facts
    if verdict:
        assert not verdict.agrees, verdict
        culprits = list(map(str, verdict.explanation.culprits))
        blamed = case.blamed or case.told
        assert any(blamed in culprit for culprit in culprits), verdict.paragraph


def test_a_stale_egress_ip_is_found(cluster: LiveCluster, egress_ip: str) -> None:
    stale = EgressIpStale(node="oc-03", ip=IPv4Address("172.16.1.102"))

    with cluster.applied(egress_ip), cluster.broken(stale):
        facts = told(cluster, "oc-03")

    assert facts == [
        "oc-03.test: it has the egress IP 172.16.1.102, which is oc-02.test's"
    ]


@pytest.mark.plugins("multitenant", "subnet", "networkpolicy")
def test_where_nothing_is_wrong_nothing_is_told(cluster: LiveCluster) -> None:
    assert [fact for node in cluster.nodes for fact in told(cluster, node.name)] == []
