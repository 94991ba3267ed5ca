"""What is exported can be imported: the same flows, and the same objects."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import pytest

from testbed.exporting import Format
from testbed.importing import Sort
from testbed.openflow import Deviation
from testbed.pipeline import node_flows
from tests.unit.exporting.conftest import SHIPPED, contradictions

if TYPE_CHECKING:
    from testbed.model import Cluster, Pod
    from tests.unit.exporting.conftest import Exporter

LAYOUTS = tuple(Format)
COLLECTED = {
    Format.DEBUG_SH: ("ClusterNetwork", "HostSubnet", "NetNamespace", "Pod", "Service"),
    Format.NETWORK_CHECK: (
        "ClusterNetwork",
        "HostSubnet",
        "NetNamespace",
        "Pod",
        "Service",
    ),
    Format.SOS: ("ClusterNetwork", "HostSubnet"),
}
"""The kinds that each tool collects as objects, and that nothing is added to.

sos collects NetNamespaces, too. Under ovs-subnet there is one more, for its pods:
nothing says where they belong.
"""

FIELDS = {
    "ClusterNetwork": "network",
    "HostSubnet": "host_subnets",
    "NetNamespace": "net_namespaces",
    "Pod": "pods",
    "Service": "services",
}


def values(cluster: Cluster, field: str) -> object:
    """A field of a cluster, in an order that does not depend on the file's."""
    found = getattr(cluster, field)
    return sorted(found, key=repr) if isinstance(found, tuple) else found


def unlabelled(cluster: Cluster, field: str) -> object:
    """The same, without the labels by which inferred policies select pods."""

    def without(pod: Pod) -> Pod:
        own = {k: v for k, v in pod.labels.items() if not k.startswith("testbed/")}
        return dataclasses.replace(pod, labels=own)

    pods = tuple(without(pod) for pod in cluster.pods)
    return values(dataclasses.replace(cluster, pods=pods), field)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", SHIPPED)
def test_what_a_tool_collects_makes_the_same_flows_on_every_node(
    name: str, layout: Format, exporter: Exporter
) -> None:
    collection = exporter.collection(name)

    imported = exporter.imported(collection, layout)

    before, after = collection.cluster, imported.topology.cluster
    for node in before.nodes:
        again = node_flows(after, after.node(node.name))
        assert set(again) == set(node_flows(before, node))
    assert contradictions(imported) == []


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", SHIPPED)
def test_what_a_tool_collects_is_found_as_the_topology_had_it(
    name: str, layout: Format, exporter: Exporter
) -> None:
    collection = exporter.collection(name)

    imported = exporter.imported(collection, layout)

    before, after = collection.cluster, imported.topology.cluster
    for kind in COLLECTED[layout]:
        assert unlabelled(after, FIELDS[kind]) == values(before, FIELDS[kind])
        sorts = {made.sort for made in imported.objects if made.kind == kind}
        assert sorts == {Sort.FOUND}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", SHIPPED)
def test_a_complete_export_is_the_cluster_that_was(
    name: str, layout: Format, exporter: Exporter
) -> None:
    collection = exporter.collection(name)

    imported = exporter.imported(collection, layout, complete=True)

    before, after = collection.cluster, imported.topology.cluster
    for field in dataclasses.fields(before):
        assert values(after, field.name) == values(before, field.name)
    assert {made.sort for made in imported.objects} == {Sort.FOUND}
    assert contradictions(imported) == []


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_flows_of_an_export_are_those_that_the_switch_has(
    layout: Format, exporter: Exporter
) -> None:
    cluster = exporter.collection("multitenant").cluster
    node = cluster.nodes[1]
    lost = node_flows(cluster, node)[:-1]
    collection = exporter.collection("multitenant", {node.name: lost})

    imported = exporter.imported(collection, layout, complete=True)

    (broken,) = (n for n in imported.nodes if any(n.deviations.values()))
    assert broken.name == node.name
    assert broken.deviations[str(Deviation.MISSING)] == 1
    assert set(broken.flows) == set(lost)


@pytest.mark.parametrize("layout", [Format.DEBUG_SH, Format.NETWORK_CHECK])
def test_every_text_of_a_node_is_known_to_be_that_nodes(
    layout: Format, exporter: Exporter
) -> None:
    imported = exporter.imported(exporter.collection("four-node"), layout)

    assert imported.unassigned == ()
    for node in imported.nodes:
        kinds = {text.kind for pod, text in node.texts if not pod}
        assert {"addresses", "routes", "iptables", "ports", "sysctl"} <= kinds
