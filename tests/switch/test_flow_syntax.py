"""Open vSwitch takes the pipeline's flows, and prints them as we wrote them."""

from __future__ import annotations

from dataclasses import fields, replace
from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testbed.model import (
    ClusterNetworkEntry,
    HostSubnet,
    IngressRule,
    IPBlock,
    LabelSelector,
    NetNamespace,
    NetworkPolicy,
    Plugin,
    PolicyPeer,
    PolicyPort,
    Quirks,
)
from testbed.openflow import Flow, parse_dump
from testbed.pipeline import node_flows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from testbed.model import Cluster
    from testbed.ovs import Switch

pytestmark = pytest.mark.switch


GOLDEN = sorted((Path(__file__).parents[1] / "golden").glob("*.flows"))


def assert_dumped_as_written(br0: Switch, cluster: Cluster) -> None:
    __tracebackhide__ = True
    assert_flows_dumped_as_written(br0, node_flows(cluster, cluster.node("oc-04")))


def assert_flows_dumped_as_written(br0: Switch, flows: Sequence[Flow]) -> None:
    __tracebackhide__ = True
    br0.replace_flows(flows)
    dumped = [dump.flow for dump in br0.dump_flows()]
    assert sorted(map(str, dumped)) == sorted(map(str, flows))


def test_the_live_clusters_flows_are_dumped_as_written(
    br0: Switch, four_nodes: Cluster
) -> None:
    assert_dumped_as_written(br0, four_nodes)


def test_the_flows_of_two_cluster_networks_are_dumped_as_written(
    br0: Switch, four_nodes: Cluster
) -> None:
    second = ClusterNetworkEntry(
        cidr=IPv4Network("10.200.0.0/16"), host_subnet_length=8
    )
    entries = (*four_nodes.network.cluster_networks, second)
    network = replace(four_nodes.network, cluster_networks=entries, vxlan_port=4790)

    assert_dumped_as_written(br0, replace(four_nodes, network=network))


def test_the_flows_of_a_lone_node_are_dumped_as_written(
    br0: Switch, four_nodes: Cluster
) -> None:
    alone = replace(four_nodes, host_subnets=four_nodes.host_subnets[3:])

    assert_dumped_as_written(br0, alone)


def test_the_flows_of_many_nodes_are_dumped_as_written(
    br0: Switch, four_nodes: Cluster
) -> None:
    more = tuple(
        HostSubnet(
            name=f"node-{number}",
            host_ip=IPv4Address(f"172.16.2.{number}"),
            subnet=IPv4Network(f"10.129.{2 * number}.0/23"),
            uid=f"uid-{number}",
        )
        for number in range(1, 101)
    )
    cluster = replace(four_nodes, host_subnets=(*four_nodes.host_subnets, *more))

    assert_dumped_as_written(br0, cluster)


@pytest.mark.parametrize("dump", GOLDEN, ids=lambda path: path.stem)
def test_the_golden_flows_are_dumped_as_written(br0: Switch, dump: Path) -> None:
    flows = [dumped.flow for dumped in parse_dump(dump.read_text())]

    assert_flows_dumped_as_written(br0, flows)


@pytest.mark.parametrize("plugin", Plugin)
def test_the_flows_of_vnid_0_are_dumped_as_written(
    br0: Switch, four_nodes: Cluster, plugin: Plugin
) -> None:
    egress_ip = IPv4Address("172.16.1.101")
    cluster = replace(
        four_nodes,
        network=replace(four_nodes.network, plugin=plugin),
        host_subnets=(
            *four_nodes.host_subnets[:3],
            replace(four_nodes.host_subnets[3], egress_ips=(egress_ip,)),
        ),
        net_namespaces=(
            NetNamespace(
                name="shop", netid=0, egress_ips=(egress_ip,), multicast_enabled=True
            ),
        ),
    )

    assert_dumped_as_written(br0, cluster)


@pytest.mark.parametrize("vnid", [0, 2**24 - 1])
def test_the_flows_of_a_ghost_are_dumped_as_written(
    br0: Switch, four_nodes: Cluster, vnid: int
) -> None:
    ghost = HostSubnet(
        name="f5",
        host_ip=IPv4Address("172.16.1.50"),
        subnet=IPv4Network("10.128.2.0/23"),
        uid="uid-of-f5",
        is_node=False,
        fixed_vnid=vnid,
    )
    hosts = (*four_nodes.host_subnets, ghost)

    assert_dumped_as_written(br0, replace(four_nodes, host_subnets=hosts))


@pytest.mark.parametrize("port", [None, 80])
@pytest.mark.parametrize("selector", [(), (("app", "web"),)])
def test_the_flows_of_every_address_are_dumped_as_written(
    br0: Switch,
    four_nodes: Cluster,
    selector: tuple[tuple[str, str], ...],
    port: int | None,
) -> None:
    everybody = PolicyPeer(ip_block=IPBlock(cidr=IPv4Network("0.0.0.0/0")))
    ports = () if port is None else (PolicyPort(port=port),)
    policy = NetworkPolicy(
        namespace="shop",
        name="open",
        pod_selector=LabelSelector(match_labels=selector),
        ingress=(IngressRule(peers=(everybody,), ports=ports),),
    )
    cluster = replace(
        four_nodes,
        network=replace(four_nodes.network, plugin=Plugin.NETWORKPOLICY),
        pods=tuple(replace(pod, labels={"app": "web"}) for pod in four_nodes.pods),
        network_policies=(policy,),
        quirks=Quirks(**{field.name: False for field in fields(Quirks)}),
    )

    assert_dumped_as_written(br0, cluster)
