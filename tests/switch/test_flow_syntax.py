"""Open vSwitch takes the pipeline's flows, and prints them as we wrote them."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

import pytest

from testbed.errors import PrerequisiteError
from testbed.model import ClusterNetworkEntry, HostSubnet
from testbed.openflow import OFPort
from testbed.ovs import Bridge, Port, Switch, configure, start_daemons
from testbed.ovs.daemons import create_database
from testbed.pipeline import node_flows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from testbed.model import Cluster

pytestmark = pytest.mark.switch

BR0 = Bridge(
    name="br0",
    datapath_type="dummy",
    fail_mode="secure",
    protocols=("OpenFlow13",),
    ports=(
        Port(name="vxlan0", type="dummy", ofport=OFPort.VXLAN0),
        Port(name="tun0", type="dummy", ofport=OFPort.TUN0),
        Port(name="web", type="dummy", ofport=3),
        Port(name="db", type="dummy", ofport=28),
    ),
)


@pytest.fixture
def br0(tmp_path: Path) -> Iterator[Switch]:
    """A real ovs-vswitchd whose datapath moves no packets."""
    database = tmp_path / "empty.db"
    try:
        create_database(database)
    except PrerequisiteError as error:
        pytest.skip(str(error))
    run_dir = tmp_path / "run"
    run_dir.mkdir()
    options = ("--enable-dummy=override", "--disable-system")
    with start_daemons(run_dir, database=database, options=options) as daemons:
        configure(daemons.database_socket, [BR0], version="3.1.0")
        yield Switch(run_dir=run_dir)


def assert_dumped_as_written(br0: Switch, cluster: Cluster) -> None:
    __tracebackhide__ = True
    flows = node_flows(cluster, cluster.node("oc-04"))
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
