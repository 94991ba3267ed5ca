"""A bridge that was changed again and again is the bridge of a cluster built fresh."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from testbed.host.egress import egress_addresses
from testbed.host.iptables import node_rules
from testbed.ovs import Switch
from testbed.ovs.dummy import start_dummy_switches
from testbed.pipeline import cluster_flows, node_flows
from testbed.topology import Topology, loads

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.ovs.dummy import DummySwitches
    from testbed.pipeline import ClusterFlows

pytestmark = pytest.mark.switch

PLUGINS = ("ovs-networkpolicy",) * 3 + ("ovs-multitenant", "ovs-subnet")
NETWORK = """\
kind: ClusterNetwork
metadata: {{name: default}}
clusterNetworks: [{{CIDR: 10.128.0.0/14, hostSubnetLength: 9}}]
serviceNetwork: 172.30.0.0/16
pluginName: redhat/openshift-{plugin}
---
kind: Underlay
subnet: 172.16.1.0/24
externalHosts: [{{name: www, ip: 198.51.100.1, dnsNames: [www.example.com]}}]
---
kind: HostSubnet
metadata: {{name: n1}}
hostIP: 172.16.1.1
---
kind: HostSubnet
metadata: {{name: n2}}
hostIP: 172.16.1.2
---
kind: Pod
metadata: {{name: a, namespace: shop, labels: {{app: web}}}}
spec: {{nodeName: n1}}
---
kind: Pod
metadata: {{name: b, namespace: shop, labels: {{app: db}}}}
spec: {{nodeName: n2}}
---
kind: Pod
metadata: {{name: a, namespace: bank, labels: {{app: web}}}}
spec: {{nodeName: n1}}
---
kind: Namespace
metadata: {{name: bank, labels: {{x: '1'}}}}
"""
NAMESPACES = ("shop",) * 3 + ("bank",) * 2 + ("default",)
LABELS = ("{app: web}", "{app: db}", "{}")

namespaces = st.sampled_from(NAMESPACES)
names = st.sampled_from(["a", "b"])
selectors = st.sampled_from(
    ["{}", "{matchLabels: {app: web}}", "{matchLabels: {x: '1'}}"]
)


@st.composite
def pods(draw: st.DrawFn) -> str:
    node = draw(st.sampled_from(["n1", "n2"]))
    labels = draw(st.sampled_from(LABELS))
    return (
        f"kind: Pod\nmetadata: {{name: {draw(names)}, namespace: {draw(namespaces)}, "
        f"labels: {labels}}}\nspec: {{nodeName: {node}}}\n"
    )


@st.composite
def services(draw: st.DrawFn) -> str:
    kind = draw(st.sampled_from(["ClusterIP", "NodePort"]))
    return (
        f"kind: Service\nmetadata: {{name: {draw(names)}, "
        f"namespace: {draw(namespaces)}}}\n"
        f"spec: {{type: {kind}, selector: {draw(st.sampled_from(LABELS))}, "
        f"ports: [{{port: {draw(st.sampled_from([80, 443]))}}}]}}\n"
    )


@st.composite
def network_policies(draw: st.DrawFn) -> str:
    peers = [
        "",
        f"from: [{{podSelector: {draw(selectors)}}}]",
        f"from: [{{namespaceSelector: {draw(selectors)}}}]",
        f"from: [{{podSelector: {{}}, namespaceSelector: {draw(selectors)}}}]",
    ]
    ports = ["", "", "ports: [{port: 80}]", "ports: [{port: 53, protocol: UDP}]"]
    ports += ["ports: [{port: http}]"]
    parts = (draw(st.sampled_from(peers)), draw(st.sampled_from(ports)))
    rule = ", ".join(part for part in parts if part)
    types = draw(st.sampled_from([""] * 5 + [", policyTypes: [Egress]"]))
    return (
        f"kind: NetworkPolicy\nmetadata: {{name: {draw(names)}, "
        f"namespace: {draw(namespaces)}}}\n"
        f"spec: {{podSelector: {draw(selectors)}, ingress: [{{{rule}}}]{types}}}\n"
    )


@st.composite
def egress_network_policies(draw: st.DrawFn) -> str:
    to = draw(
        st.sampled_from(
            [
                "{cidrSelector: 198.51.100.0/24}",
                "{cidrSelector: 0.0.0.0/0}",
                "{dnsName: www.example.com}",
            ]
        )
    )
    kind = draw(st.sampled_from(["Allow", "Deny"]))
    return (
        f"kind: EgressNetworkPolicy\nmetadata: {{name: {draw(names)}, "
        f"namespace: {draw(namespaces)}}}\n"
        f"spec: {{egress: [{{type: {kind}, to: {to}}}]}}\n"
    )


@st.composite
def net_namespaces(draw: st.DrawFn) -> str:
    change = draw(st.sampled_from(["global", "isolate", "join:shop", "join:bank"]))
    annotations = [
        "",
        "netnamespace.network.openshift.io/multicast-enabled: 'true'",
        f"pod.network.openshift.io/multitenant.change-network: '{change}'",
    ]
    ips = draw(st.sampled_from(["", "172.16.1.100", "172.16.1.100, 172.16.1.101"]))
    return (
        f"kind: NetNamespace\nmetadata: {{name: {draw(namespaces)}, "
        f"annotations: {{{draw(st.sampled_from(annotations))}}}}}\negressIPs: [{ips}]\n"
    )


@st.composite
def host_subnets(draw: st.DrawFn) -> str:
    number = draw(st.sampled_from([1, 2]))
    ip = draw(st.sampled_from([number, number + 10]))
    ips = draw(st.sampled_from(["", "172.16.1.100", "172.16.1.101", "192.0.2.1"]))
    ranges = draw(st.sampled_from(["", "egressCIDRs: [172.16.1.96/28]\n"]))
    return (
        f"kind: HostSubnet\nmetadata: {{name: n{number}}}\nhostIP: 172.16.1.{ip}\n"
        f"egressIPs: [{ips}]\n{ranges}"
    )


@st.composite
def labelled_namespaces(draw: st.DrawFn) -> str:
    labels = draw(st.sampled_from(["{x: '1'}", "{app: web}", "{}"]))
    return (
        f"kind: Namespace\nmetadata: {{name: {draw(namespaces)}, labels: {labels}}}\n"
    )


@st.composite
def settings_of_the_testbed(draw: st.DrawFn) -> str:
    quirk = draw(
        st.sampled_from(["egressOnlyPolicyBreaksNamespace", "combinedSelectorsIgnored"])
    )
    value = draw(st.sampled_from(["true", "false"]))
    offline = draw(st.sampled_from(["", "n1", "n2"]))
    return f"kind: Underlay\nquirks: {{{quirk}: {value}}}\nofflineNodes: [{offline}]\n"


class Change(NamedTuple):
    """An object, to be applied or, where it is there, deleted."""

    text: str
    deletes: bool


objects = st.one_of(
    pods(),
    pods(),
    services(),
    network_policies(),
    network_policies(),
    network_policies(),
    egress_network_policies(),
    net_namespaces(),
    host_subnets(),
    labelled_namespaces(),
    settings_of_the_testbed(),
)
changes = st.builds(Change, objects, st.sampled_from([False, False, True]))


def changed(topology: Topology, change: Change) -> Topology:
    if not change.deletes:
        return topology.applied(change.text, "change.yaml")
    kind = change.text.split("\n", 1)[0].removeprefix("kind: ")
    there = [
        source
        for source in topology.objects
        if source.kind == kind and source.key != "default"  # which nobody can delete
    ]
    if kind in ("HostSubnet", "Underlay") or not there:
        return topology
    namespace, _, name = there[-1].key.rpartition("/")
    where = f", namespace: {namespace}" if namespace else ""
    return topology.deleted(
        f"kind: {kind}\nmetadata: {{name: {name}{where}}}\n", "change.yaml"
    )


@pytest.fixture(scope="module")
def switches(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DummySwitches]:
    run_dir = tmp_path_factory.mktemp("switches")
    with start_dummy_switches(run_dir, bridges=2, ofports=range(1, 10)) as started:
        yield started


def program(
    switches: DummySwitches, flows: ClusterFlows, earlier: ClusterFlows | None
) -> None:
    """Change the bridges of the nodes whose flows are others now, as the SDN would."""
    for bridge, (name, node) in zip(switches.bridges, flows.nodes.items(), strict=True):
        if earlier is None or node is not earlier.nodes[name]:
            Switch(run_dir=switches.run_dir, bridge=bridge).replace_flows(node.flows)


@settings(
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    plugin=st.sampled_from(PLUGINS),
    sequence=st.lists(changes, min_size=8, max_size=14),
)
def test_a_changed_cluster_is_the_one_built_fresh_from_its_objects(
    switches: DummySwitches, plugin: str, sequence: list[Change]
) -> None:
    topology = loads(NETWORK.format(plugin=plugin), "network.yaml")
    flows = cluster_flows(topology.cluster)
    program(switches, flows, None)

    for change in sequence:
        topology = changed(topology, change)
        earlier, flows = flows, cluster_flows(topology.cluster, flows)
        program(switches, flows, earlier)
        for node in topology.cluster.nodes:
            assert flows.of(node) == node_flows(topology.cluster, node)

    fresh = loads(topology.text(), "fresh.yaml").cluster
    assert fresh == topology.cluster
    for bridge, node in zip(switches.bridges, fresh.nodes, strict=True):
        installed = Switch(run_dir=switches.run_dir, bridge=bridge).dump_flows()
        assert {dumped.flow for dumped in installed} == set(node_flows(fresh, node))
        same = topology.cluster.node(node.name)
        assert node_rules(fresh, node) == node_rules(topology.cluster, same)
        assert egress_addresses(fresh, node) == egress_addresses(topology.cluster, same)
