"""API objects in YAML and JSON, as `oc` prints them and as people collect them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from testbed.importing import Sort
from testbed.importing.readers.api import ApiReader
from testbed.importing.remarks import Place
from testbed.topology.objects import KINDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from testbed.model import Cluster
    from tests.unit.importing.conftest import Dumper, Importer


@pytest.fixture(params=["four-node", "multitenant", "networkpolicy"])
def objects(request: pytest.FixtureRequest, dump: Dumper) -> list[dict[str, object]]:
    """A shipped cluster's objects, with all that was handed out to them."""
    text = dump.shipped(request.param).text()
    return [json.loads(document) for document in text.split("---\n") if document]


@pytest.fixture
def cluster(objects: list[dict[str, object]], importer: Importer) -> Cluster:
    documents = "".join(f"---\n{json.dumps(item)}\n" for item in objects)
    return importer.text(documents, "as-it-is.yaml").cluster


def bulky(item: dict[str, object]) -> dict[str, object]:
    """The object with what a customer's has besides."""
    full: dict[str, Any] = json.loads(json.dumps(item))
    full.setdefault("metadata", {"name": "underlay"})
    full["metadata"] |= {
        "creationTimestamp": "2019-05-12T09:41:07Z",
        "resourceVersion": "8123",
        "selfLink": "/api/v1/namespaces/x",
    }
    if item["kind"] == "Pod":
        environment = [{"name": f"A{n}", "value": "env:\n  - b"} for n in range(9)]
        full["metadata"]["ownerReferences"] = [{"kind": "ReplicaSet", "name": "x"}]
        full["spec"]["volumes"] = [{"name": "a", "secret": {"secretName": "env"}}]
        for container in full["spec"].setdefault("containers", [{"name": "c"}]):
            container["env"] = environment
            container["args"] = ["--kind: Pod", "- apiVersion: v1"]
            container["livenessProbe"] = {"httpGet": {"port": 80}}
        full["status"]["conditions"] = [{"type": "Ready", "status": "True"}]
        full["status"]["containerStatuses"] = [{"name": "c", "state": {"running": {}}}]
    return full


def oc_yaml(items: list[dict[str, object]]) -> str:
    """As ``oc get -o yaml`` prints a list."""
    listed = {"apiVersion": "v1", "kind": "List", "items": items}
    return yaml.safe_dump(listed | {"metadata": {"resourceVersion": ""}})


def oc_json(items: list[dict[str, object]]) -> str:
    return json.dumps({"apiVersion": "v1", "items": items, "kind": "List"}, indent=4)


def one_line(items: list[dict[str, object]]) -> str:
    """As ``oc get --raw`` or ``jq -c`` print it, on a line of any length."""
    return json.dumps({"kind": "List", "apiVersion": "v1", "items": items})


def documents(items: list[dict[str, object]]) -> str:
    return "---\n".join(map(yaml.safe_dump, items))


def one_after_the_other(items: list[dict[str, object]]) -> str:
    """Several lists in a row, with nothing between them."""
    half = len(items) // 2
    return oc_yaml(items[:half]) + oc_yaml(items[half:])


def debug_sh(items: list[dict[str, object]]) -> str:
    return f"> oc get all -o yaml\n\n{oc_yaml(items)}"


def with_warnings(items: list[dict[str, object]]) -> str:
    """stderr and stdout in one file."""
    half = len(items) // 2
    return (
        "Warning: the server is old\nerror: the server doesn't have a resource type\n"
        f"{oc_yaml(items[:half])}"
        'Error from server (NotFound): hostsubnets "oc-09" not found\n'
        f"W0512 09:41:07.123456    1234 reflector.go:1] watch closed\n"
        f"{oc_yaml(items[half:])}"
    )


def with_a_warning_inside(items: list[dict[str, object]]) -> str:
    """stderr is not buffered, and so comes in the middle of anything."""
    lines = oc_yaml(items).splitlines(keepends=True)
    inside = next(n for n, line in enumerate(lines) if line.startswith("    uid: "))
    return "".join([*lines[:inside], "Warning: slow: API\n", *lines[inside:]])


def mixed(items: list[dict[str, object]]) -> str:
    """JSON after YAML after JSON, prose between."""
    third = len(items) // 3
    return (
        f"first:\n{oc_json(items[:third])}\nthen, as YAML:\n"
        f"{oc_yaml(items[third:-third])}\nand the rest\n{one_line(items[-third:])}\n"
    )


def indented_items(items: list[dict[str, object]]) -> str:
    """Lists as other YAML tools indent them."""
    lines = oc_yaml(items).splitlines()
    inside = [f"  {line}" if line[:1] in "- " else line for line in lines]
    return "\n".join(inside)


WRITTEN = (
    oc_yaml,
    oc_json,
    one_line,
    documents,
    one_after_the_other,
    debug_sh,
    with_warnings,
    with_a_warning_inside,
    mixed,
    indented_items,
)


@pytest.mark.parametrize("written", WRITTEN)
def test_objects_are_read_however_they_are_written(
    written: Callable[[list[dict[str, object]]], str],
    objects: list[dict[str, object]],
    cluster: Cluster,
    importer: Importer,
) -> None:
    result = importer.text(written([bulky(item) for item in objects]), "objects")

    assert result.cluster == cluster
    assert result.unread == []


def test_what_is_kept_of_an_object_is_what_the_testbed_reads(
    objects: list[dict[str, object]],
) -> None:
    reader = ApiReader()
    for item in map(bulky, objects):
        (kept,) = reader.objects(item, Place("file", 1))
        model = KINDS[kept.kind].model

        assert model.model_validate(kept.values) == model.model_validate(item)


def test_of_a_large_pod_little_is_kept(objects: list[dict[str, object]]) -> None:
    pod = next(bulky(item) for item in objects if item["kind"] == "Pod")

    (kept,) = ApiReader().objects(pod, Place("file", 1))

    assert len(json.dumps(kept.values)) < len(json.dumps(pod)) / 3


def test_items_without_a_kind_are_what_their_list_is_of(
    importer: Importer, dump: Dumper
) -> None:
    topology = dump.shipped("four-node")
    items = [json.loads(text) for text in topology.text().split("---\n") if text]
    pods = [item for item in items if item["kind"] == "Pod"]
    others = [item for item in items if item["kind"] != "Pod"]
    bare = [
        {k: v for k, v in pod.items() if k not in ("kind", "apiVersion")}
        for pod in pods
    ]
    listed = {"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": bare}
    late = {"apiVersion": "v1", "items": bare, "kind": "PodList"}

    for text in (json.dumps(listed), json.dumps(late), yaml.safe_dump(late)):
        result = importer({"others.yaml": oc_yaml(others), "pods": text})

        assert len(result.cluster.pods) == len(pods)


def test_an_object_is_found_by_file_and_line(importer: Importer, dump: Dumper) -> None:
    items = [json.loads(t) for t in dump.shipped("two-node").text().split("---\n") if t]

    for written in (oc_yaml, oc_json):
        text = written(items)
        result = importer.text(text, "objects")

        for made in result.imported.objects:
            if made.sort is Sort.FOUND and made.key:
                line = made.places[0].line
                name = made.key.rpartition("/")[2]
                assert name in "".join(
                    text.splitlines(keepends=True)[line - 1 : line + 40]
                )


CLUSTER = """\
apiVersion: v1
items:
- apiVersion: network.openshift.io/v1
  clusterNetworks:
  - CIDR: 10.128.0.0/14
    hostSubnetLength: 9
  kind: ClusterNetwork
  metadata:
    name: default
  pluginName: redhat/openshift-ovs-subnet
  serviceNetwork: 172.30.0.0/16
- apiVersion: network.openshift.io/v1
  hostIP: 172.16.1.15
  kind: HostSubnet
  metadata:
    name: oc-01.test
  subnet: 10.128.0.0/23
"""
POD = """\
- apiVersion: v1
  kind: Pod
  metadata:
    name: {name}
    namespace: shop
  spec:
    nodeName: oc-01.test
  status:
    podIP: 10.128.0.{last}
"""
END = "kind: List\nmetadata: {}\n"


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        ("- apiVersion: v1\n  kind: Pod\n  metadata: {name: [\n", "broken YAML"),
        ("- &a\n  kind: Pod\n", "anchors and aliases are not accepted"),
        ("- kind: Pod\n  metadata: !!python/object/apply:os.system [x]\n", "the tag"),
        (
            "- kind: Pod\n  metadata:\n    name: " + "[" * 100 + "]" * 100 + "\n",
            "nested deeper than 64 levels",
        ),
        ("- kind: Pod\n  metadata: {}\n", "an object without a name"),
    ],
    ids=["cut", "anchor", "tag", "deep", "nameless"],
)
def test_an_object_that_is_refused_is_told_and_costs_no_other(
    broken: str, why: str, importer: Importer
) -> None:
    before, after = POD.format(name="a", last=5), POD.format(name="b", last=6)

    result = importer.text(f"{CLUSTER}{before}{broken}{after}{END}", "objects.yaml")

    assert [pod.name for pod in result.cluster.pods] == ["a", "b"]
    (said,) = result.unread
    assert why in said
    first = (CLUSTER + before).count("\n") + 1
    lines = range(first, first + 4)  # where the parser noticed it
    assert any(f"objects.yaml:{line}" in said for line in lines)


def test_billion_laughs_are_not_laughed(importer: Importer) -> None:
    bomb = "- kind: Pod\n  a: &a [x,x,x,x]\n  b: &b [*a,*a,*a]\n  c: [*b,*b,*b]\n"

    result = importer.text(f"{CLUSTER}{bomb}{END}", "objects.yaml")

    assert "anchors and aliases are not accepted" in result.unread[0]


def test_json_that_is_cut_or_too_deep_counts_up_to_there(importer: Importer) -> None:
    items = yaml.safe_load(CLUSTER + POD.format(name="a", last=5) + END)["items"]
    text = oc_json([*items, {"kind": "Pod", "metadata": {"name": "late"}}])
    cut = text[: text.index("late")]
    deep = cut.rstrip().removesuffix("{").rstrip() + "[" * 200_000

    for spoiled, why in ((cut, "JSON is cut off"), (deep, "JSON is")):
        result = importer.text(spoiled, "objects.json")

        assert [pod.name for pod in result.cluster.pods] == ["a"]
        assert why in result.unread[0]


def test_a_number_may_stand_where_the_window_ends(importer: Importer) -> None:
    """A line too long comes in pieces, and a piece may end within a number."""
    tenants = CLUSTER.replace("ovs-subnet", "ovs-multitenant")
    head = '{"kind": "NetNamespace", "metadata": {"name": "shop"}, '
    text = head + '"pad": "%s", "netid": 4318200}'
    pad = (1 << 20) - text.index("318200") + len("%s")

    result = importer({"a.yaml": tenants + END, "n.json": text % ("x" * pad)})

    assert result.cluster.vnid("shop") == 4318200


def test_numbers_that_no_machine_has_are_refused(importer: Importer) -> None:
    text = oc_json([{"kind": "Pod", "metadata": {"name": "n"}}])
    huge = text.replace('"n"', "9" * 5000)

    result = importer({"a.json": huge, "b.yaml": CLUSTER + END})

    assert "JSON is refused: too deep, or too long" in result.unread[0]


def test_other_kinds_are_counted(importer: Importer) -> None:
    route = (
        "- apiVersion: v1\n  kind: Route\n  metadata:\n    name: {}\n    namespace: a\n"
    )

    result = importer.text(CLUSTER + route.format("x") + route.format("y") + END)

    (said,) = result.passed_over
    assert said == "objects of other kinds: nothing is made of them: 2 Route"


def test_pods_that_have_ended_are_counted_and_left_out(importer: Importer) -> None:
    ended = POD.format(name="job", last=7).replace(
        "podIP", "phase: Succeeded\n    podIP"
    )

    result = importer.text(CLUSTER + ended + POD.format(name="a", last=7) + END)

    assert [pod.name for pod in result.cluster.pods] == ["a"]
    assert result.passed_over == ["1 Pods: are not Running, and have no network"]


def test_a_table_counts_where_the_objects_are_not_there(importer: Importer) -> None:
    tables = """\
# oc get clusternetwork
NAME      CLUSTER NETWORKS   SERVICE NETWORK   PLUGIN NAME
default   10.128.0.0/14:9    172.30.0.0/16     redhat/openshift-ovs-multitenant

# oc get hostsubnet
NAME         HOST         HOST IP       SUBNET          EGRESS CIDRS   EGRESS IPS
oc-01.test   oc-01.test   172.16.1.15   10.128.0.0/23   []             [172.16.1.101]

# oc get netnamespaces
NAME      NETID      EGRESS IPS
default   0          []
shop      4318200    [172.16.1.101]

# oc get pods --all-namespaces -o wide
NAMESPACE   NAME     READY   STATUS      RESTARTS   AGE   IP            NODE
shop        web-1    1/1     Running     0          3d    10.128.0.17   oc-01.test
shop        job-1    0/1     Completed   0          3d    10.128.0.18   oc-01.test
default     router   1/1     Running     0          3d    172.16.1.15   oc-01.test

# oc get svc --all-namespaces
NAMESPACE   NAME   TYPE        CLUSTER-IP      EXTERNAL-IP   PORT(S)               AGE
shop        web    ClusterIP   172.30.69.140   <none>        80/TCP,53:30053/UDP   3d
"""

    cluster = importer.text(tables, "terminal.txt").cluster

    assert {pod.key: pod.host_network for pod in cluster.pods} == {
        "shop/web-1": False,
        "default/router": True,
    }
    assert cluster.vnid("shop") == 4318200
    (node,) = cluster.nodes
    assert [str(ip) for ip in node.egress_ips] == ["172.16.1.101"]
    (service,) = cluster.services
    assert [(port.protocol, port.port) for port in service.ports] == [
        ("TCP", 80),
        ("UDP", 53),
    ]


def test_what_debug_sh_lists_in_meta_counts_where_objects_are_not_there(
    importer: Importer,
) -> None:
    result = importer(
        {
            "meta/nodeinfo": "oc-01.test 172.16.1.15\noc-02.test 172.16.1.16\n",
            "meta/podinfo": (
                "oc-01.test 172.16.1.15 web-1 shop 10.128.0.17 0123456789abcdef01234\n"
                "oc-02.test    172.16.1.16    web-2    shop    10.129.0.9    0123abcd\n"
            ),
            "meta/serviceinfo": "web shop 172.30.69.140 tcp 80\n",
            "master/hostsubnets": "",
            "etc/resolv.conf": "nameserver 172.16.1.15\nsearch cluster.local\n",
        }
    )

    cluster = result.cluster
    assert [node.name for node in cluster.nodes] == ["oc-01.test", "oc-02.test"]
    assert {pod.key for pod in cluster.pods} >= {"shop/web-1"}
    assert [service.key for service in cluster.services] == ["shop/web"]
