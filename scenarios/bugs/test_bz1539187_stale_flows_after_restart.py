"""Flows of objects that are gone survive a restart of the SDN.

Reference: BZ1539187, openshift/origin#18634
Family: restart
Symptom: The SDN was restarted to get rid of wrong flows, and sets the bridge up anew,
    but they are all still there: a service that was deleted meanwhile still takes
    packets.
Mechanism: The SDN deleted br0 and made it again in a single transaction of OVSDB. To
    ovs-vswitchd nothing happened: before and after there is a br0, and it keeps its
    flows. In two transactions it is gone in between, and so are its flows.
Fixed in: Before 3.11 was released.
Diagnosis: Flows that follow from no object: addresses that no service has.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from testbed.gallery.remains import FlowsStale
from testbed.openflow import Table, parse_flow
from testbed.ovs import Switch
from testbed.probe import send_udp

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.probe import LiveCluster, Node

pytestmark = pytest.mark.plugins("multitenant")

CLIENT, SERVICE, PORT = "bank/api-2-m4xjt", "bank/rates", 7000
DELETED = "{kind: Service, metadata: {namespace: bank, name: rates}}"
BRIDGE = "br-again"


@contextmanager
def second_bridge(cluster: LiveCluster, node: Node) -> Iterator[Switch]:
    """Have another bridge in the node's Open vSwitch, with a flow."""
    node.run("ovs-vsctl", *add_bridge(cluster))
    try:
        switch = Switch(run_dir=node.switch.run_dir, bridge=BRIDGE)
        switch.add_flow(parse_flow("table=60,priority=100,ip actions=drop"))
        yield switch
    finally:
        node.run("ovs-vsctl", "--if-exists", "del-br", BRIDGE)


def add_bridge(cluster: LiveCluster) -> tuple[str, ...]:
    """What the SDN asks ovs-vsctl for."""
    columns = (
        f"datapath_type={cluster.datapath}",
        "fail_mode=secure",
        "protocols=OpenFlow13",
    )
    return ("add-br", BRIDGE, "--", "set", "Bridge", BRIDGE, *columns)


def keeps_its_flows(cluster: LiveCluster, node: Node, *, transactions: int) -> bool:
    """Whether a bridge that is deleted and made again has the flows that it had."""
    with second_bridge(cluster, node) as switch:
        before = [item.flow for item in switch.dump_flows()]
        delete, add = ("--if-exists", "del-br", BRIDGE), add_bridge(cluster)
        steps = [(*delete, "--", *add)] if transactions == 1 else [delete, add]
        for step in steps:
            node.run("ovs-vsctl", *step)
        after = [item.flow for item in switch.dump_flows()]
    assert after in (before, [])
    return after == before


@pytest.mark.symptom
def test_a_service_deleted_before_the_restart_still_takes_packets(
    cluster: LiveCluster,
) -> None:
    """As a bridge that is made again in one transaction keeps its flows."""
    pod, ip = cluster.pod(CLIENT), cluster.service(SERVICE).cluster_ip
    assert ip is not None
    assert keeps_its_flows(cluster, pod.node, transactions=1)
    kept = FlowsStale.of(
        cluster.objects, pod.node.name, Table.IP_TO_SERVICE, f"nw_dst={ip}"
    )
    with cluster.broken(kept):
        cluster.delete(DELETED)

        send_udp(cluster, pod, ip, PORT).arrives(pod.node)


@pytest.mark.fix
def test_what_is_sent_to_a_deleted_service_is_dropped(cluster: LiveCluster) -> None:
    """As a bridge that is made again in two transactions has no flows."""
    pod, ip = cluster.pod(CLIENT), cluster.service(SERVICE).cluster_ip
    assert ip is not None
    assert not keeps_its_flows(cluster, pod.node, transactions=2)
    cluster.delete(DELETED)

    send_udp(cluster, pod, ip, PORT).is_dropped(pod.node, Table.IP_TO_SERVICE)
