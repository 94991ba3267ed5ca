"""Lists are taken apart; what is not read yet is passed over with a warning."""

from __future__ import annotations

from textwrap import indent

import pytest

from testbed.topology import Topology, loads
from testbed.topology.shipped import shipped

TWO_NODES = shipped("two-node.yaml").read_text()
PODS = """\
- metadata: {name: a}
  spec: {nodeName: node-1.test}
- metadata: {name: b}
  spec: {nodeName: node-2.test}
"""


def topology(*documents: str) -> Topology:
    return loads("---\n".join((TWO_NODES, *documents)), "c.yaml")


def added_pods(document: str) -> list[str]:
    pods = topology(document).cluster.pods
    return [pod.key for pod in pods if pod.namespace == "default"]


@pytest.mark.parametrize(
    "document",
    [
        f"kind: PodList\nitems:\n{PODS}",
        "kind: List\nitems:\n" + PODS.replace("- meta", "- kind: Pod\n  meta"),
        "kind: List\nitems:\n- kind: PodList\n  items:\n" + indent(PODS, "  "),
    ],
)
def test_a_list_is_its_items(document: str) -> None:
    assert added_pods(document) == ["default/a", "default/b"]


@pytest.mark.parametrize("items", ["items: []", "items:", "metadata: {}"])
def test_an_empty_list_is_nothing(items: str) -> None:
    assert topology(f"kind: List\n{items}\n") == topology()


def test_a_kind_that_is_not_read_gets_one_warning_that_names_the_first() -> None:
    route = "kind: Route\nmetadata: {name: a, namespace: shop}\n"
    routes = [route, "kind: Route\nspec: 5\n"]

    found = topology(*routes, "kind: Secret\n")

    assert found.cluster == topology().cluster
    assert found.warnings == (
        (
            "c.yaml:86: Route shop/a: is passed over, and 1 more; "
            "nothing is made of this kind"
        ),
        "c.yaml:92: Secret: is passed over; nothing is made of this kind",
    )


@pytest.mark.parametrize("phase", ["Pending", "Succeeded", "Failed", "Unknown"])
def test_a_pod_that_does_not_run_is_passed_over(phase: str) -> None:
    pod = f"kind: Pod\nmetadata: {{name: a}}\nspec: {{}}\nstatus: {{phase: {phase}}}\n"

    found = topology(pod)

    assert found.cluster == topology().cluster
    assert found.warnings == (
        f"c.yaml:89: Pod default/a: status.phase: is {phase}, not Running; passed over",
    )


def test_warnings_come_in_the_order_of_the_file() -> None:
    pending = "kind: Pod\nmetadata: {name: a}\nspec: {}\nstatus: {phase: Pending}\n"

    found = topology(pending, "kind: Route\n")

    assert [warning.split(": ")[0] for warning in found.warnings] == [
        "c.yaml:89",
        "c.yaml:91",
    ]


def test_a_project_and_its_namespace_are_one_thing() -> None:
    text = shipped("two-node.yaml").read_text()
    both = "---\nkind: Namespace\nmetadata: {name: lab}\n"
    both += "---\nkind: Project\nmetadata: {name: lab}\n"

    namespaces = loads(text + both, "both.yaml").cluster.namespaces

    assert [namespace.name for namespace in namespaces] == ["lab"]
