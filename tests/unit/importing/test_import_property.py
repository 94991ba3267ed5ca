"""What is programmed can be read back: flows without objects make the same flows."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testbed.importing import Sort
from testbed.model import Plugin
from testbed.openflow import parse_dump
from testbed.pipeline import node_flows

if TYPE_CHECKING:
    from tests.unit.importing.conftest import Dumper, Importer

TESTS = Path(__file__).parents[2]
SHIPPED = sorted(path.stem for path in (TESTS.parent / "topologies").glob("*.yaml"))
GOLDEN = sorted(path.stem for path in (TESTS / "golden").glob("*.flows"))


def test_there_is_a_shipped_topology_for_every_plugin(dump: Dumper) -> None:
    plugins = {dump.shipped(name).cluster.network.plugin for name in SHIPPED}

    assert plugins == set(Plugin)


@pytest.mark.parametrize("name", SHIPPED)
def test_flows_of_every_node_make_a_cluster_with_the_same_flows(
    name: str, importer: Importer, dump: Dumper
) -> None:
    cluster = dump.shipped(name).cluster

    result = importer(dump.all(cluster))

    for node in cluster.nodes:
        again = node_flows(result.cluster, result.cluster.node(node.name))
        assert set(again) == set(node_flows(cluster, node))
    assert result.deviations == {node.name: 0 for node in cluster.nodes}
    assert result.contradictions == []


@pytest.mark.parametrize("name", SHIPPED)
def test_one_nodes_flows_alone_make_a_cluster_with_the_same_flows(
    name: str, importer: Importer, dump: Dumper
) -> None:
    cluster = dump.shipped(name).cluster

    result = importer.text(dump(cluster, cluster.nodes[-1]))

    assert list(result.deviations.values()) == [0]
    assert len(result.cluster.host_subnets) == len(cluster.host_subnets)


@pytest.mark.parametrize("name", GOLDEN)
def test_a_golden_dump_alone_makes_the_same_flows_quirks_and_fixes_included(
    name: str, importer: Importer
) -> None:
    text = (TESTS / "golden" / f"{name}.flows").read_text()

    result = importer.text(text, f"{name}.flows")

    assert list(result.deviations.values()) == [0]


def test_the_live_dump_alone_makes_oc_04_flow_by_flow_cookies_included(
    importer: Importer, live: str
) -> None:
    result = importer.text(live, "oc-04.flows")

    computed = node_flows(result.cluster, result.cluster.node("oc-04"))
    dumped = [dumped.flow for dumped in parse_dump(live)]
    assert len(computed) == len(dumped) == 65
    assert set(computed) == set(dumped)


@pytest.mark.parametrize("name", SHIPPED)
def test_objects_and_flows_together_make_the_cluster_that_was(
    name: str, importer: Importer, dump: Dumper
) -> None:
    topology = dump.shipped(name)
    cluster = topology.cluster

    result = importer({"objects.yaml": topology.text(), **dump.all(cluster)})

    for field in dataclasses.fields(cluster):
        assert getattr(result.cluster, field.name) == getattr(cluster, field.name)
    assert {made.sort for made in result.imported.objects} == {Sort.FOUND}
    assert result.contradictions == []


def test_rules_by_a_name_that_resolves_to_nothing_keep_their_place(
    importer: Importer, dump: Dumper
) -> None:
    cluster = dump.shipped("multitenant").cluster
    partner = [h for h in cluster.underlay.external_hosts if h.name == "partner"]
    underlay = dataclasses.replace(cluster.underlay, external_hosts=tuple(partner))

    result = importer(dump.all(dataclasses.replace(cluster, underlay=underlay)))

    assert set(result.deviations.values()) == {0}
    (policy,) = result.cluster.egress_network_policies
    # What the second rule named has left nothing but a gap in the priorities.
    assert [rule.dns_name is not None for rule in policy.egress] == [
        False,
        True,
        False,
        False,
    ]


def test_of_policies_only_what_they_allow_is_told_by_flows(
    importer: Importer, dump: Dumper
) -> None:
    """Table 80 has the pods and VNIDs that selectors came to, not the selectors.

    So names and selectors cannot be recovered, under ovs-networkpolicy; every other
    table, and table 80's flows themselves, can.
    """
    cluster = dump.shipped("networkpolicy").cluster

    result = importer(dump.all(cluster))

    names = {policy.key for policy in result.cluster.network_policies}
    assert names.isdisjoint(policy.key for policy in cluster.network_policies)
    (said,) = result.said(Sort.MISSING, "NetworkPolicies")
    assert "Names, selectors and what later pods would get are lost" in said


def test_an_import_of_an_import_is_the_same_cluster(
    importer: Importer, dump: Dumper
) -> None:
    flows = dump.all(dump.shipped("multitenant").cluster)
    first = importer(flows)

    second = importer({**flows, "topology.yaml": first.topology.text()})

    assert second.cluster == first.cluster
    assert second.contradictions == []
