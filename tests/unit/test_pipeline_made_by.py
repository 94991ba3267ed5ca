"""Every flow that is there because of an object says which one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testbed.pipeline import node_flows
from testbed.topology import load

if TYPE_CHECKING:
    from testbed.model import Cluster
    from testbed.openflow import Flow

TOPOLOGIES = Path(__file__).parents[2] / "topologies"


@pytest.fixture(params=["four-node", "multitenant", "networkpolicy"])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    return load(TOPOLOGIES / f"{request.param}.yaml").cluster


def flows(cluster: Cluster) -> dict[tuple[str, Flow], str]:
    return {
        (node.name, flow): flow.made_by
        for node in cluster.nodes
        for flow in node_flows(cluster, node)
    }


def assert_gone(before: Cluster, after: Cluster, made_by: str) -> None:
    """All that the object made is gone, and nothing that another made alone."""
    had, has = flows(before), flows(after)
    gone = {flow: had[flow] for flow in had if flow not in has}
    own = {flow for flow, maker in had.items() if maker == made_by}

    assert own
    assert own <= gone.keys()
    assert not {
        maker
        for maker in gone.values()
        if maker.startswith(f"{made_by.partition(' ')[0]} ") and made_by not in maker
    }


def test_what_a_pod_adds_names_the_pod(cluster: Cluster) -> None:
    pod = next(pod for pod in cluster.pods if not pod.host_network)
    rest = tuple(item for item in cluster.pods if item != pod)

    assert_gone(cluster, replace(cluster, pods=rest), f"Pod {pod.key}")


def test_what_a_peer_adds_names_its_host_subnet(cluster: Cluster) -> None:
    peer = cluster.host_subnets[0]
    flows = node_flows(cluster, cluster.nodes[-1])
    ours = [flow for flow in flows if flow.made_by == f"HostSubnet {peer.name}"]

    assert [int(flow.table) for flow in ours] == [10, 50, 90]
    assert {flow.cookie for flow in ours} == {ours[0].cookie}
    assert all(flow.cookie != ours[0].cookie for flow in flows if flow not in ours)


def test_what_a_service_adds_names_the_service(cluster: Cluster) -> None:
    if cluster.network.plugin.tracks_connections:
        assert not any(name.startswith("Service") for name in flows(cluster).values())
        return
    service = next(item for item in cluster.services if item.cluster_ip)
    rest = tuple(item for item in cluster.services if item != service)

    assert_gone(cluster, replace(cluster, services=rest), f"Service {service.key}")


def test_what_an_egress_network_policy_adds_names_it() -> None:
    cluster = load(TOPOLOGIES / "multitenant.yaml").cluster
    policy = cluster.egress_network_policies[0]
    rest = tuple(item for item in cluster.egress_network_policies if item != policy)

    assert_gone(
        cluster,
        replace(cluster, egress_network_policies=rest),
        f"EgressNetworkPolicy {policy.key}",
    )


def test_what_several_policies_allow_names_them_all() -> None:
    cluster = load(TOPOLOGIES / "networkpolicy.yaml").cluster
    first = next(policy for policy in cluster.network_policies if policy.ingress)
    again = replace(first, name="again")
    both = replace(cluster, network_policies=(*cluster.network_policies, again))

    neither = tuple(p for p in cluster.network_policies if p != first)
    names = f"NetworkPolicy {first.key}, {again.key}"
    assert_gone(both, replace(both, network_policies=neither), names)


def test_a_flow_is_the_same_flow_whoever_made_it(cluster: Cluster) -> None:
    flow = node_flows(cluster, cluster.nodes[0])[0]

    assert replace(flow, made_by="Pod a/b") == flow
