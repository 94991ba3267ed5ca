"""What one more object adds to a bridge and takes from it; nothing else moves."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

from testbed.model import (
    ClusterNetworkEntry,
    HostSubnet,
    NetNamespace,
    Plugin,
    Pod,
    Protocol,
    Service,
    ServicePort,
)
from testbed.pipeline import node_flows

if TYPE_CHECKING:
    from testbed.model import Cluster

NEW_POD = Pod(
    namespace="shop",
    name="cache",
    node="oc-04.test",
    ip=IPv4Address("10.131.0.42"),
    ofport=29,
)
NEW_NODE = HostSubnet(
    name="oc-05.test",
    host_ip=IPv4Address("172.16.1.30"),
    subnet=IPv4Network("10.128.2.0/23"),
    uid="abc",
)
NEW_SERVICE = Service(
    namespace="shop",
    name="dns",
    cluster_ip=IPv4Address("172.30.0.10"),
    ports=(
        ServicePort(name="udp", protocol=Protocol.UDP, port=53, target_port=5353),
        ServicePort(name="tcp", protocol=Protocol.TCP, port=53, target_port=5353),
    ),
)


def change(before: Cluster, after: Cluster) -> tuple[set[str], set[str]]:
    """What oc-04 loses and gains."""
    old = {str(flow) for flow in node_flows(before, before.node("oc-04"))}
    new = {str(flow) for flow in node_flows(after, after.node("oc-04"))}
    return old - new, new - old


def test_a_pod_adds_its_four_flows(four_nodes: Cluster) -> None:
    after = replace(four_nodes, pods=(*four_nodes.pods, NEW_POD))

    removed, added = change(four_nodes, after)

    assert removed == set()
    assert added == {
        (
            "table=20,priority=100,arp,in_port=29,arp_spa=10.131.0.42,"
            "arp_sha=00:00:0a:83:00:2a/00:00:ff:ff:ff:ff "
            "actions=load:0->NXM_NX_REG0[],goto_table:21"
        ),
        (
            "table=20,priority=100,ip,in_port=29,nw_src=10.131.0.42 "
            "actions=load:0->NXM_NX_REG0[],goto_table:21"
        ),
        "table=40,priority=100,arp,arp_tpa=10.131.0.42 actions=output:29",
        (
            "table=70,priority=100,ip,nw_dst=10.131.0.42 "
            "actions=load:0->NXM_NX_REG1[],load:0x1d->NXM_NX_REG2[],goto_table:80"
        ),
    }


def with_bank(cluster: Cluster, plugin: Plugin) -> Cluster:
    """Under another plugin, with a namespace that has no pod yet."""
    bank = NetNamespace(name="bank", netid=1171, multicast_enabled=True)
    return replace(
        cluster,
        network=replace(cluster.network, plugin=plugin),
        net_namespaces=(*cluster.net_namespaces, bank),
    )


def test_under_multitenant_a_namespaces_first_pod_opens_its_vnid(
    four_nodes: Cluster,
) -> None:
    before = with_bank(four_nodes, Plugin.MULTITENANT)
    pod = replace(NEW_POD, namespace="bank")

    removed, added = change(before, replace(before, pods=(*before.pods, pod)))

    assert removed == set()
    assert {flow for flow in added if not flow.startswith("table=20,")} == {
        "table=40,priority=100,arp,arp_tpa=10.131.0.42 actions=output:29",
        (
            "table=70,priority=100,ip,nw_dst=10.131.0.42 "
            "actions=load:0x493->NXM_NX_REG1[],load:0x1d->NXM_NX_REG2[],goto_table:80"
        ),
        ("table=80,priority=100,reg0=0x493,reg1=0x493 actions=output:NXM_NX_REG2[]"),
        "table=120,priority=100,reg0=0x493 actions=output:29",
    }


def test_under_networkpolicy_a_namespaces_first_pod_opens_its_namespace(
    four_nodes: Cluster,
) -> None:
    before = with_bank(four_nodes, Plugin.NETWORKPOLICY)
    pod = replace(NEW_POD, namespace="bank")

    removed, added = change(before, replace(before, pods=(*before.pods, pod)))

    assert removed == set()
    assert {flow for flow in added if not flow.startswith("table=20,")} == {
        (
            "table=25,priority=100,ip,nw_src=10.131.0.42 "
            "actions=load:0x493->NXM_NX_REG0[],goto_table:30"
        ),
        "table=40,priority=100,arp,arp_tpa=10.131.0.42 actions=output:29",
        (
            "table=70,priority=100,ip,nw_dst=10.131.0.42 "
            "actions=load:0x493->NXM_NX_REG1[],load:0x1d->NXM_NX_REG2[],goto_table:80"
        ),
        "table=80,priority=50,reg1=0x493 actions=output:NXM_NX_REG2[]",
        "table=120,priority=100,reg0=0x493 actions=output:29",
    }


def test_under_multitenant_a_service_opens_its_vnid_on_every_node(
    four_nodes: Cluster,
) -> None:
    before = with_bank(four_nodes, Plugin.MULTITENANT)
    service = replace(NEW_SERVICE, namespace="bank")

    removed, added = change(
        before, replace(before, services=(*before.services, service))
    )

    assert removed == set()
    assert {flow for flow in added if not flow.startswith("table=60,")} == {
        "table=80,priority=100,reg0=0x493,reg1=0x493 actions=output:NXM_NX_REG2[]"
    }


def test_under_networkpolicy_a_service_changes_nothing(four_nodes: Cluster) -> None:
    before = with_bank(four_nodes, Plugin.NETWORKPOLICY)
    after = replace(before, services=(*before.services, NEW_SERVICE))

    assert change(before, after) == (set(), set())


def test_what_is_sent_to_a_ghost_has_the_vnid_it_asked_for(four_nodes: Cluster) -> None:
    ghost = replace(NEW_NODE, is_node=False)
    before = replace(four_nodes, host_subnets=(*four_nodes.host_subnets, ghost))
    fixed = replace(ghost, fixed_vnid=42)
    after = replace(four_nodes, host_subnets=(*four_nodes.host_subnets, fixed))

    _, added = change(before, after)

    assert added == {
        (
            f"cookie=0xba7816bf,table={table},priority=100,{match} "
            "actions=load:0x2a->NXM_NX_TUN_ID[0..31],"
            "set_field:172.16.1.30->tun_dst,output:1"
        )
        for table, match in (
            (50, "arp,arp_tpa=10.128.2.0/23"),
            (90, "ip,nw_dst=10.128.2.0/23"),
        )
    }


def test_a_pod_in_the_hosts_network_changes_nothing(four_nodes: Cluster) -> None:
    pod = replace(
        NEW_POD, ip=IPv4Address("172.16.1.25"), ofport=None, host_network=True
    )
    after = replace(four_nodes, pods=(*four_nodes.pods, pod))

    assert change(four_nodes, after) == (set(), set())


def test_a_pod_on_another_node_changes_nothing_here(four_nodes: Cluster) -> None:
    pod = replace(NEW_POD, node="oc-01.test", ip=IPv4Address("10.128.0.42"))
    after = replace(four_nodes, pods=(*four_nodes.pods, pod))

    assert change(four_nodes, after) == (set(), set())


def test_a_node_adds_its_three_flows_and_joins_the_multicast_copies(
    four_nodes: Cluster,
) -> None:
    after = replace(four_nodes, host_subnets=(*four_nodes.host_subnets, NEW_NODE))
    copies = (
        "table=111,priority=100 actions=move:NXM_NX_REG0[]->NXM_NX_TUN_ID[0..31],"
        "set_field:172.16.1.15->tun_dst,output:1,"
        "set_field:172.16.1.16->tun_dst,output:1,"
        "set_field:172.16.1.22->tun_dst,output:1,"
    )

    removed, added = change(four_nodes, after)

    assert removed == {f"{copies}goto_table:120"}
    assert added == {
        # sha256("abc") begins ba7816bf (FIPS 180-2, appendix B.1).
        (
            "cookie=0xba7816bf,table=10,priority=100,tun_src=172.16.1.30 "
            "actions=goto_table:30"
        ),
        (
            "cookie=0xba7816bf,table=50,priority=100,arp,arp_tpa=10.128.2.0/23 "
            "actions=move:NXM_NX_REG0[]->NXM_NX_TUN_ID[0..31],"
            "set_field:172.16.1.30->tun_dst,output:1"
        ),
        (
            "cookie=0xba7816bf,table=90,priority=100,ip,nw_dst=10.128.2.0/23 "
            "actions=move:NXM_NX_REG0[]->NXM_NX_TUN_ID[0..31],"
            "set_field:172.16.1.30->tun_dst,output:1"
        ),
        f"{copies}set_field:172.16.1.30->tun_dst,output:1,goto_table:120",
    }


def test_a_service_adds_a_flow_for_each_port_and_one_for_fragments(
    four_nodes: Cluster,
) -> None:
    after = replace(four_nodes, services=(*four_nodes.services, NEW_SERVICE))
    actions = "load:0->NXM_NX_REG1[],load:0x2->NXM_NX_REG2[],goto_table:80"

    removed, added = change(four_nodes, after)

    assert removed == set()
    assert added == {
        f"table=60,priority=100,ip,nw_dst=172.30.0.10,nw_frag=later actions={actions}",
        f"table=60,priority=100,tcp,nw_dst=172.30.0.10,tp_dst=53 actions={actions}",
        f"table=60,priority=100,udp,nw_dst=172.30.0.10,tp_dst=53 actions={actions}",
    }


def test_a_headless_service_changes_nothing(four_nodes: Cluster) -> None:
    headless = replace(NEW_SERVICE, cluster_ip=None)
    after = replace(four_nodes, services=(*four_nodes.services, headless))

    assert change(four_nodes, after) == (set(), set())


def test_a_second_cluster_network_repeats_the_flows_of_the_first(
    four_nodes: Cluster,
) -> None:
    second = ClusterNetworkEntry(
        cidr=IPv4Network("10.200.0.0/16"), host_subnet_length=8
    )
    entries = (*four_nodes.network.cluster_networks, second)
    after = replace(
        four_nodes, network=replace(four_nodes.network, cluster_networks=entries)
    )
    from_tunnel = "move:NXM_NX_TUN_ID[0..31]->NXM_NX_REG0[],goto_table:10"

    removed, added = change(four_nodes, after)

    assert removed == set()
    assert added == {
        (
            "table=0,priority=200,arp,in_port=1,arp_spa=10.200.0.0/16,"
            f"arp_tpa=10.131.0.0/23 actions={from_tunnel}"
        ),
        f"table=0,priority=200,ip,in_port=1,nw_src=10.200.0.0/16 actions={from_tunnel}",
        f"table=0,priority=200,ip,in_port=1,nw_dst=10.200.0.0/16 actions={from_tunnel}",
        (
            "table=0,priority=200,arp,in_port=2,arp_spa=10.131.0.1,"
            "arp_tpa=10.200.0.0/16 actions=goto_table:30"
        ),
        "table=30,priority=100,arp,arp_tpa=10.200.0.0/16 actions=goto_table:50",
        "table=30,priority=100,ip,nw_dst=10.200.0.0/16 actions=goto_table:90",
    }


def test_another_vxlan_port_is_the_one_that_pods_may_not_use(
    four_nodes: Cluster,
) -> None:
    after = replace(four_nodes, network=replace(four_nodes.network, vxlan_port=4790))

    removed, added = change(four_nodes, after)

    assert removed == {"table=100,priority=300,udp,tp_dst=4789 actions=drop"}
    assert added == {"table=100,priority=300,udp,tp_dst=4790 actions=drop"}
