"""One sandbox holds one cluster after another."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from testbed.probe import LiveCluster

pytestmark = pytest.mark.plugins("subnet", "multitenant")

NEWCOMER = """\
kind: Pod
metadata: {name: newcomer, namespace: lab}
spec: {nodeName: oc-02.test}
"""


def test_a_cluster_has_its_machines_and_none_of_the_one_before(
    cluster: LiveCluster,
) -> None:
    names = {path.name for path in Path("/run/netns").iterdir()}

    machines = {place.machine.name for place in (*cluster.nodes, *cluster.pods)}
    others = {name for name in names - machines if ":" not in name}
    assert machines <= names
    assert others == set()


def test_a_pod_that_was_changed_for_another_is_no_trouble_later(
    cluster: LiveCluster,
) -> None:
    cluster.apply(NEWCOMER)
    cluster.apply(NEWCOMER.replace("oc-02", "oc-03"))

    cluster.pod("lab/newcomer").run("true")
