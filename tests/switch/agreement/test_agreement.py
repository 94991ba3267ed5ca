"""Two witnesses of one cluster: the oracle, and a trace through flows and iptables.

Neither knows of the other: the oracle reads objects; the switches have the pipeline's
flows, and the kernels the rules that are loaded into real ones. What they say of every
pair of machines must be the same. ``--hypothesis-profile=thorough`` makes a hundred
clusters of each kind.
"""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address, IPv4Network
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from testbed.model import (
    DOCKER_NETWORK,
    Cluster,
    HostSubnet,
    Plugin,
    Pod,
    Traffic,
    Transport,
)
from testbed.openflow import DEFAULT_PRIORITY, OFPort, Table
from testbed.oracle import expected
from testbed.ovs import DummySwitches, start_dummy_switches
from testbed.pipeline import node_flows
from testbed.topology import load
from testbed.tracing import Tracer, computed_kernels, computed_origins, render
from testbed.verdict import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from testbed.openflow import Flow

Clusters: TypeAlias = "Callable[..., st.SearchStrategy[Cluster]]"

pytestmark = pytest.mark.switch

TOPOLOGIES = sorted((Path(__file__).parents[3] / "topologies").glob("*.yaml"))
GROUP = IPv4Address("239.1.2.3")
NOBODY = IPv4Address("203.0.113.9")
LOOPBACK = IPv4Address("127.0.0.1")
SETTINGS = settings(
    # One example is some thousand comparisons.
    max_examples=settings().max_examples // 10,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def programmed(
    switches: DummySwitches,
    cluster: Cluster,
    fault: Callable[[Flow], Flow | None] = lambda flow: flow,
) -> Tracer:
    """The cluster's bridges; ``fault`` may change flows, or take them away."""
    flows = {
        node.name: [flow for item in node_flows(cluster, node) if (flow := fault(item))]
        for node in cluster.nodes
    }
    return Tracer(cluster, switches.program(flows), computed_kernels(cluster))


def all_traffic(cluster: Cluster) -> Iterator[Traffic]:
    """Every sender to every address that means something, and to some that do not."""
    world = (*cluster.underlay.external_hosts, *cluster.underlay.rogues)
    senders = (*cluster.pods, *cluster.host_subnets, *world[:1])
    destinations = [pod.ip for pod in cluster.pods]
    destinations += [
        ip for host in cluster.host_subnets for ip in (host.gateway, host.host_ip)
    ]
    destinations += [cluster.nodes[0].subnet[-2], cluster.cidrs[0][-2], GROUP, NOBODY]
    destinations += [host.ip for host in world]
    destinations += [DOCKER_NETWORK[1], DOCKER_NETWORK[9], LOOPBACK]
    destinations += [ip for host in cluster.host_subnets for ip in host.egress_ips]
    destinations += [
        ip
        for service in cluster.services
        for ip in (*service.external_ips, *service.load_balancer_ips)
    ]
    destinations += [
        service.cluster_ip for service in cluster.services if service.cluster_ip
    ]
    ports = {port.port for service in cluster.services for port in service.ports}
    to_nodes = sorted(
        {
            (Transport(port.protocol.lower()), port.node_port)
            for service in cluster.services
            for port in service.ports
            if port.node_port
        }
        | {
            (Transport(port.protocol.lower()), port.host_port)
            for pod in cluster.pods
            for port in pod.host_ports
        }
    )
    for sender, destination in product(senders, dict.fromkeys(destinations)):
        for transport in (Transport.ARP, Transport.ICMP):
            yield Traffic(sender=sender, destination=destination, transport=transport)
        for transport, dport in [
            (Transport.TCP, 80),
            (Transport.UDP, 53),
            (Transport.SCTP, 80),
            *to_nodes,
            *((Transport.TCP, port) for port in sorted(ports - {80})[:2]),
        ]:
            yield Traffic(
                sender=sender,
                destination=destination,
                transport=transport,
                dport=dport,
            )
    vxlan = cluster.network.vxlan_port
    for pod in cluster.pods:
        yield Traffic(
            sender=pod,
            destination=cluster.underlay.external_hosts[-1].ip,
            transport=Transport.UDP,
            dport=vxlan,
        )


def compared(tracer: Tracer) -> list[Verdict]:
    """All that can be compared; fails at what the witnesses do not agree in."""
    __tracebackhide__ = True
    cluster = tracer.cluster
    traffics = [item for item in all_traffic(cluster) if not is_led(cluster, item)]
    origins = computed_origins(cluster)
    verdicts = [
        Verdict(
            cluster=cluster,
            traffic=traffic,
            expected=expected(cluster, traffic),
            traced=journey,
            origins=origins,
        )
        for traffic, journey in zip(traffics, tracer.journeys(traffics), strict=True)
    ]
    disagreed = [verdict for verdict in verdicts if not verdict.agrees]
    assert not disagreed, f"{len(disagreed)} of {len(verdicts)}:\n{told(disagreed[0])}"
    return verdicts


def told(verdict: Verdict) -> str:
    """Both accounts, for a person to judge."""
    assert verdict.traced
    lines = render(verdict.cluster, verdict.traced, verdict.origins)
    return "\n".join([verdict.paragraph, *verdict.differences, *lines])


def is_led(cluster: Cluster, traffic: Traffic) -> bool:
    """Whether routers outside choose a node: to a service any, to a ghost some."""
    is_outside = not isinstance(traffic.sender, Pod) and not (
        isinstance(traffic.sender, HostSubnet) and traffic.sender.is_node
    )
    inside = [
        cluster.network.service_network,
        *(ghost.subnet for ghost in cluster.ghosts),
        *(
            IPv4Network(ip)
            for service in cluster.services
            for ip in (*service.external_ips, *service.load_balancer_ips)
        ),
    ]
    return is_outside and any(traffic.destination in network for network in inside)


@pytest.mark.parametrize("path", TOPOLOGIES, ids=lambda path: path.stem)
def test_oracle_and_switches_agree_on_a_shipped_topology(
    path: Path, tmp_path: Path
) -> None:
    cluster = load(path).cluster
    ofports = {pod.ofport for pod in cluster.pods if pod.ofport} | set(OFPort)

    with start_dummy_switches(
        tmp_path, bridges=len(cluster.nodes), ofports=sorted(ofports)
    ) as started:
        assert compared(programmed(started, cluster))


@pytest.mark.parametrize("plugin", Plugin)
@given(data=st.data())
@SETTINGS
def test_oracle_and_switches_agree_on_any_cluster(
    plugin: Plugin, switches: DummySwitches, clusters: Clusters, data: st.DataObject
) -> None:
    cluster = data.draw(clusters(plugin, shared=False))

    assert compared(programmed(switches, cluster))


@pytest.mark.parametrize("plugin", [Plugin.MULTITENANT, Plugin.NETWORKPOLICY])
@given(data=st.data())
@SETTINGS
def test_oracle_and_switches_agree_where_namespaces_share_a_vnid(
    plugin: Plugin, switches: DummySwitches, clusters: Clusters, data: st.DataObject
) -> None:
    cluster = data.draw(clusters(plugin, shared=True))

    assert compared(programmed(switches, cluster))


@pytest.mark.parametrize(
    ("plugin", "table", "priority"),
    [
        (Plugin.SUBNET, Table.DISPATCH, 200),
        (Plugin.SUBNET, Table.FROM_VXLAN, 100),
        (Plugin.SUBNET, Table.FROM_POD, 100),
        (Plugin.SUBNET, Table.ROUTING, 200),
        (Plugin.SUBNET, Table.ROUTING, 300),
        (Plugin.SUBNET, Table.ARP_TO_LOCAL_POD, 100),
        (Plugin.SUBNET, Table.ARP_TO_REMOTE_POD, 100),
        (Plugin.NETWORKPOLICY, Table.IP_TO_SERVICE, 200),
        (Plugin.SUBNET, Table.IP_TO_LOCAL_POD, 100),
        (Plugin.SUBNET, Table.POLICY, 200),
        (Plugin.SUBNET, Table.IP_TO_REMOTE_POD, 100),
        (Plugin.SUBNET, Table.EGRESS_ROUTING, 300),
        (Plugin.MULTITENANT, Table.IP_TO_SERVICE, 100),
        (Plugin.MULTITENANT, Table.POLICY, 100),
        (Plugin.MULTITENANT, Table.POLICY, 200),
        (Plugin.MULTITENANT, Table.EGRESS_ROUTING, 100),
        (Plugin.MULTITENANT, Table.EGRESS_ROUTING, 200),
        (Plugin.MULTITENANT, Table.EGRESS_NETWORK_POLICY, 1),
        (Plugin.MULTITENANT, Table.MULTICAST_FROM_POD, DEFAULT_PRIORITY),
        (Plugin.MULTITENANT, Table.MULTICAST_TO_VXLAN, 100),
        (Plugin.MULTITENANT, Table.MULTICAST_TO_LOCAL_PODS, 100),
        (Plugin.NETWORKPOLICY, Table.FROM_POD_CONNTRACK, 0),
        (Plugin.NETWORKPOLICY, Table.FROM_POD_VIA_SERVICE, 100),
        (Plugin.NETWORKPOLICY, Table.POLICY, 50),
        (Plugin.NETWORKPOLICY, Table.POLICY, 100),
        (Plugin.NETWORKPOLICY, Table.POLICY, 150),
        (Plugin.NETWORKPOLICY, Table.POLICY, 300),
    ],
)
def test_flows_that_are_missing_are_a_disagreement(
    switches: DummySwitches,
    furnished: Cluster,
    plugin: Plugin,
    table: Table,
    priority: int,
) -> None:
    network = replace(furnished.network, plugin=plugin)
    cluster = replace(furnished, network=network)
    assert compared(programmed(switches, cluster))

    def fault(flow: Flow) -> Flow | None:
        return None if (flow.table, flow.priority) == (table, priority) else flow

    with pytest.raises(AssertionError, match="expected"):
        compared(programmed(switches, cluster, fault))


@pytest.mark.parametrize(
    ("plugin", "action", "other"),
    [
        (Plugin.SUBNET, "load:0x3->NXM_NX_REG2[]", "load:0x4->NXM_NX_REG2[]"),
        (Plugin.MULTITENANT, "load:0x3e9->NXM_NX_REG0[]", "load:0x3ea->NXM_NX_REG0[]"),
        (Plugin.MULTITENANT, "load:0x3e9->NXM_NX_REG0[]", "load:0->NXM_NX_REG0[]"),
        (Plugin.MULTITENANT, "load:0x3e9->NXM_NX_REG1[]", "load:0x3ea->NXM_NX_REG1[]"),
        (
            Plugin.MULTITENANT,
            "set_field:0x10003e8->pkt_mark",
            "set_field:0x3e9->pkt_mark",
        ),
    ],
)
def test_actions_that_are_wrong_are_a_disagreement(
    switches: DummySwitches,
    furnished: Cluster,
    plugin: Plugin,
    action: str,
    other: str,
) -> None:
    network = replace(furnished.network, plugin=plugin)
    cluster = replace(furnished, network=network)

    def fault(flow: Flow) -> Flow:
        changed = [other if item == action else item for item in flow.actions]
        return replace(flow, actions=tuple(changed))

    with pytest.raises(AssertionError, match="expected"):
        compared(programmed(switches, cluster, fault))
