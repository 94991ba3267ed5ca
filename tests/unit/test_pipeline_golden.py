"""The pipeline against the bridge of a live cluster's node."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testbed.openflow import Flow, Table, parse_dump
from testbed.pipeline import node_flows
from testbed.topology import load

if TYPE_CHECKING:
    from collections.abc import Iterable

    from testbed.model import Cluster

TESTS = Path(__file__).parents[1]
FOUR_NODE_TOPOLOGY = TESTS.parent / "topologies" / "four-node.yaml"
LIVE = tuple(
    dumped.flow for dumped in parse_dump((TESTS / "golden" / "oc-04.flows").read_text())
)


@pytest.fixture(params=["shipped", "built"])
def cluster(request: pytest.FixtureRequest, four_nodes: Cluster) -> Cluster:
    return (
        load(FOUR_NODE_TOPOLOGY).cluster if request.param == "shipped" else four_nodes
    )


def without_cookies(flows: Iterable[Flow]) -> set[Flow]:
    return {replace(flow, cookie=0) for flow in flows}


def by_cookie(flows: Iterable[Flow]) -> dict[int, frozenset[Flow]]:
    groups = defaultdict(set)
    for flow in flows:
        groups[flow.cookie].add(replace(flow, cookie=0))
    return {cookie: frozenset(group) for cookie, group in groups.items()}


def test_the_golden_dump_is_a_whole_bridge() -> None:
    tables = {flow.table for flow in LIVE}

    assert len(LIVE) == 65
    assert tables == set(Table) - {Table.FROM_POD_VIA_SERVICE}


def test_oc_04_is_programmed_as_the_live_cluster_had_it(cluster: Cluster) -> None:
    flows = node_flows(cluster, cluster.node("oc-04"))

    assert len(flows) == len(LIVE)
    assert without_cookies(flows) == without_cookies(LIVE)


def test_cookies_group_the_flows_by_peer_as_the_live_cluster_had_it(
    cluster: Cluster,
) -> None:
    groups = by_cookie(node_flows(cluster, cluster.node("oc-04")))

    live = by_cookie(LIVE)
    assert groups[0] == live[0]
    assert set(groups.values()) == set(live.values())
