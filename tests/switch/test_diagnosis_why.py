"""A question over collected flows, answered by real switches."""

from __future__ import annotations

import io
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testbed import faults
from testbed.diagnosis.examine import Examined, examined
from testbed.diagnosis.why import Why, why
from testbed.exporting import Collection, Computed, Format, export
from testbed.importing import gather, merge
from testbed.model import Traffic, Transport
from testbed.pipeline import node_flows
from testbed.topology import load

if TYPE_CHECKING:
    from testbed.faults import Fault

pytestmark = pytest.mark.switch
TOPOLOGY = Path(__file__).parents[2] / "topologies" / "multitenant.yaml"


def collected(directory: Path, *wrong: Fault) -> Examined:
    topology = load(TOPOLOGY)
    cluster = topology.cluster
    flows = {node.name: node_flows(cluster, node) for node in cluster.nodes}
    for fault in wrong:
        resolved = fault.resolved(cluster)
        flows[resolved.node] = resolved.flows(flows[resolved.node])
    collection = Collection(
        topology=topology,
        answers=Computed(cluster, flows=flows),
        moment=datetime(2019, 5, 12, tzinfo=UTC),
    )
    for name, text in export(collection, Format.DEBUG_SH):
        path = directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    evidence = gather([directory], io.BytesIO())
    return examined(evidence, merge(evidence))


def asked(found: Examined, sender: str, receiver: str) -> Why:
    traffic = Traffic(
        sender=found.cluster.pod(sender),
        destination=found.cluster.pod(receiver).ip,
        transport=Transport.TCP,
        dport=80,
    )
    return why(found.diagnosis, found.nodes, traffic, wiped=found.wiped)


def pair(found: Examined) -> tuple[str, str]:
    """Two pods of one namespace, on oc-02 and on another node."""
    for pod in found.cluster.pods_on(found.cluster.node("oc-02")):
        for other in found.cluster.pods_in(pod.namespace):
            if other.node != pod.node and pod.namespace == "shop":
                return pod.key, other.key
    raise LookupError


def test_a_healthy_cluster_has_nobody_to_blame(tmp_path: Path) -> None:
    found = collected(tmp_path)

    answer = asked(found, *pair(found))

    assert answer.is_as_it_must
    assert answer.blamed == ()


def test_the_finding_whose_flow_was_missed_is_blamed(tmp_path: Path) -> None:
    peer = load(TOPOLOGY).cluster
    found = collected(
        tmp_path,
        *(
            faults.HostSubnetForgotten(node="oc-02", peer=node.name)
            for node in peer.nodes
            if node.name != "oc-02.test"
        ),
        faults.NoteWrong(node="oc-01", version=6),
    )

    answer = asked(found, *pair(found))

    assert not answer.is_as_it_must
    assert answer.blamed[0].check == "host-subnet-forgotten"
    assert all(finding.check != "rule-version" for finding in answer.blamed)


def test_an_answer_that_gets_lost_is_found(tmp_path: Path) -> None:
    sender, receiver = pair(collected(tmp_path / "healthy"))
    found = collected(
        tmp_path / "ill",
        faults.FlowDeleted(node="oc-02", object=f"Pod {sender}", table=70),
    )

    answer = asked(found, sender, receiver)

    assert answer.verdict.agrees
    assert not answer.is_as_it_must
    assert answer.blamed[0].object == f"Pod {sender}"


def test_flows_that_were_wiped_are_loaded_as_none(tmp_path: Path) -> None:
    found = collected(tmp_path, faults.FlowsWiped(node="oc-02"))

    answer = asked(found, *pair(found))

    assert not answer.verdict.agrees
    assert answer.blamed[0].check == "flows-wiped"


def test_a_pod_behind_another_port_is_blamed_though_flows_lead_there(
    tmp_path: Path,
) -> None:
    sender, receiver = pair(collected(tmp_path / "healthy"))
    found = collected(tmp_path / "ill", faults.OfportWrong(pod=sender, ofport=240))

    answer = asked(found, sender, receiver)

    assert [finding.object for finding in answer.blamed] == [f"Pod {sender}"]
    json.dumps(answer.verdict.as_json())
