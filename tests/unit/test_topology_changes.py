"""A cluster is changed object by object, and what stays keeps what it was given."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testbed.errors import TopologyError
from testbed.model import Plugin
from testbed.topology import Topology, loads
from testbed.topology.shipped import shipped

CLUSTER = """\
kind: ClusterNetwork
metadata: {name: default}
clusterNetworks: [{CIDR: 10.128.0.0/14, hostSubnetLength: 9}]
serviceNetwork: 172.30.0.0/16
pluginName: redhat/openshift-ovs-multitenant
---
kind: HostSubnet
metadata: {name: n1}
hostIP: 192.168.1.1
---
kind: HostSubnet
metadata: {name: n2}
hostIP: 192.168.1.2
---
kind: Namespace
metadata: {name: shop, labels: {team: a}}
---
kind: Project
metadata: {name: lab}
---
kind: Pod
metadata: {name: a, namespace: shop}
spec: {nodeName: n1}
---
kind: Pod
metadata: {name: b, namespace: shop}
spec: {nodeName: n1}
---
kind: Service
metadata: {name: web, namespace: shop}
spec: {type: NodePort, selector: {app: web}, ports: [{port: 80}]}
"""
NETWORK, *_ = CLUSTER.split("---\n")
CHANGE = "pod.network.openshift.io/multitenant.change-network"


def base(text: str = CLUSTER) -> Topology:
    return loads(text, "c.yaml")


def pod(name: str, more: str = "nodeName: n1", namespace: str = "shop") -> str:
    return (
        f"kind: Pod\nmetadata: {{name: {name}, namespace: {namespace}, "
        f"labels: {{app: web}}}}\nspec: {{{more}}}\n"
    )


def service(name: str, spec: str) -> str:
    return f"kind: Service\nmetadata: {{name: {name}, namespace: shop}}\nspec: {spec}\n"


def host(name: str, more: str = "") -> str:
    return (
        f"kind: HostSubnet\nmetadata: {{name: {name}}}\nhostIP: 192.168.1.{name[1:]}\n"
        f"{more}"
    )


def net_namespace(name: str, more: str = "", change: str = "") -> str:
    annotations = f", annotations: {{{CHANGE}: '{change}'}}" if change else ""
    return f"kind: NetNamespace\nmetadata: {{name: {name}{annotations}}}\n{more}"


def named(kind: str, name: str, namespace: str = "") -> str:
    where = f", namespace: {namespace}" if namespace else ""
    return f"kind: {kind}\nmetadata: {{name: {name}{where}}}\n"


def problems(topology: Topology, text: str, verb: str = "applied") -> tuple[str, ...]:
    with pytest.raises(TopologyError) as caught:
        getattr(topology, verb)(text, "new.yaml")
    return caught.value.problems


def ips(topology: Topology) -> dict[str, str]:
    return {pod.key: str(pod.ip) for pod in topology.cluster.pods}


def netids(topology: Topology) -> dict[str, int]:
    return {item.name: item.netid for item in topology.cluster.net_namespaces}


def keys(topology: Topology) -> list[str]:
    return [str(source) for source in topology.objects]


@pytest.mark.parametrize("name", ["two-node.yaml", "four-node.yaml", "ten-node.yaml"])
def test_a_shipped_topology_is_read_back_as_it_was_written(name: str) -> None:
    topology = loads(shipped(name).read_text(), name)

    again = loads(topology.text(), "again.yaml")

    assert again.cluster == topology.cluster
    assert again.text() == topology.text()


def test_what_was_handed_out_is_in_the_objects() -> None:
    again = loads(base().text(), "again.yaml")

    assert keys(again) == [
        "ClusterNetwork default",
        "HostSubnet n1",
        "HostSubnet n2",
        "Namespace shop",
        "Project lab",
        "Pod shop/a",
        "Pod shop/b",
        "Service shop/web",
        "NetNamespace shop",
        "NetNamespace lab",
        "Underlay",
    ]
    assert "podIP" in base().text()


def test_an_applied_object_is_added() -> None:
    after = base().applied(pod("c"), "new.yaml")

    assert ips(after) == {
        "shop/a": "10.128.0.2",
        "shop/b": "10.128.0.3",
        "shop/c": "10.128.0.4",
    }


def test_an_applied_object_replaces_that_of_its_name_and_keeps_its_place() -> None:
    after = base().applied(pod("a"), "new.yaml")

    assert [pod.name for pod in after.cluster.pods] == ["a", "b"]
    assert after.cluster.pod("shop/a").labels == {"app": "web"}
    assert ips(after) == ips(base())


def test_a_namespace_is_replaced_by_what_an_administrator_calls_it_too() -> None:
    labels = "kind: Namespace\nmetadata: {name: lab, labels: {team: b}}\n"

    after = base().applied(labels, "new.yaml")

    assert [dict(n.labels) for n in after.cluster.namespaces] == [
        {"team": "a"},
        {"team": "b"},
    ]


def test_a_pod_keeps_its_address_when_another_one_goes() -> None:
    after = base().deleted(named("Pod", "a", "shop"), "gone.yaml")

    assert ips(after) == {"shop/b": "10.128.0.3"}
    assert after.cluster.pod("shop/b").ofport == 4


def test_a_pod_on_another_node_is_another_pod() -> None:
    after = base().applied(pod("b", "nodeName: n2"), "new.yaml")

    assert ips(after) == {"shop/a": "10.128.0.2", "shop/b": "10.129.0.2"}


def test_a_pod_that_leaves_the_host_network_gets_an_address() -> None:
    host_pod = base().applied(pod("b", "nodeName: n1, hostNetwork: true"), "new.yaml")

    after = host_pod.applied(pod("b"), "new.yaml")

    assert ips(host_pod)["shop/b"] == "192.168.1.1"
    assert ips(after)["shop/b"] == "10.128.0.3"


def test_saying_that_a_pod_is_not_on_the_host_network_moves_nothing() -> None:
    before = base().deleted(named("Pod", "a", "shop"), "gone.yaml")

    after = before.applied(pod("b", "nodeName: n1, hostNetwork: false"), "new.yaml")

    assert ips(after) == {"shop/b": "10.128.0.3"}


def test_a_pod_that_ended_gives_its_address_back() -> None:
    ended = base().applied(pod("a") + "status: {phase: Succeeded}\n", "new.yaml")
    taken = ended.applied(pod("c"), "new.yaml")

    after = taken.applied(pod("a"), "new.yaml")

    assert ips(after) == {
        "shop/a": "10.128.0.4",
        "shop/b": "10.128.0.3",
        "shop/c": "10.128.0.2",
    }


def test_a_pod_that_ended_before_has_no_claim_to_its_address() -> None:
    ended = pod("x") + "status: {phase: Succeeded, podIP: 10.128.0.9}\n"

    after = base(f"{CLUSTER}---\n{ended}").applied(pod("x"), "new.yaml")

    assert ips(after)["shop/x"] == "10.128.0.4"


def test_a_pod_that_ends_is_not_told_its_address() -> None:
    ended = pod("a") + "status: {phase: Failed}\n"

    after = base().applied(ended, "new.yaml")

    assert "10.128.0.2" not in after.text()


def test_a_pod_that_is_applied_keeps_its_port_on_br0() -> None:
    before = base().deleted(named("Pod", "a", "shop"), "gone.yaml")

    after = before.applied(pod("b"), "new.yaml")

    assert after.cluster.pod("shop/b").ofport == 4


def test_a_pod_on_the_host_network_has_its_nodes_address_wherever_that_moves() -> None:
    host_pod = pod("x", "nodeName: n1, hostNetwork: true")
    before = base(f"{CLUSTER}---\n{host_pod}status: {{podIP: 192.168.1.1}}\n")

    after = before.applied(host("n1").replace("168.1.1", "168.1.11"), "new.yaml")

    assert ips(after)["shop/x"] == "192.168.1.11"


def test_a_namespace_that_is_applied_keeps_its_vnid() -> None:
    before = base().deleted(named("Namespace", "shop"), "gone.yaml")

    after = before.applied(net_namespace("lab"), "new.yaml")

    assert netids(after) == {"lab": 11}


def test_a_port_is_known_by_its_protocol_said_or_not() -> None:
    spec = "{type: NodePort, ports: [{port: 80}]}"
    two = base().applied(service("db", spec), "new.yaml")
    before = two.deleted(named("Service", "web", "shop"), "gone.yaml")

    after = before.applied(
        service("db", spec.replace("80", "80, protocol: TCP")), "new.yaml"
    )

    assert after.cluster == before.cluster
    assert [p.node_port for p in after.cluster.service("shop/db").ports] == [30001]


def test_a_service_keeps_its_address_and_the_node_ports_of_its_ports() -> None:
    ports = "{name: a, port: 443}, {name: b, port: 80}"

    after = base().applied(
        service("web", f"{{type: NodePort, ports: [{ports}]}}"), "new.yaml"
    )

    found = after.cluster.service("shop/web")
    assert str(found.cluster_ip) == "172.30.0.2"
    assert [(p.port, p.node_port) for p in found.ports] == [(443, 30001), (80, 30000)]


def test_a_service_that_is_no_longer_published_has_no_node_port() -> None:
    after = base().applied(service("web", "{ports: [{port: 80}]}"), "new.yaml")

    assert [p.node_port for p in after.cluster.service("shop/web").ports] == [None]


def test_a_service_that_becomes_an_alias_gives_its_address_back() -> None:
    alias = service("web", "{type: ExternalName, externalName: a.test}")

    after = base().applied(alias, "new.yaml")

    assert after.cluster.service("shop/web").cluster_ip is None


def test_a_services_address_cannot_be_changed() -> None:
    spec = "{clusterIP: 172.30.0.9, ports: [{port: 80}]}"

    assert problems(base(), service("web", spec)) == (
        (
            "new.yaml:3: Service shop/web: spec.clusterIP: is 172.30.0.2 and stays so; "
            "delete Service shop/web first to have '172.30.0.9'"
        ),
    )


def test_a_nodes_subnet_cannot_be_changed() -> None:
    assert problems(base(), host("n1", "subnet: 10.131.0.0/23\n")) == (
        (
            "new.yaml:4: HostSubnet n1: subnet: is 10.128.0.0/23 and stays so; "
            "delete HostSubnet n1 first to have '10.131.0.0/23'"
        ),
    )


def test_a_node_may_be_told_what_it_has_already() -> None:
    same = host("n1", "subnet: 10.128.0.0/23\n")

    assert base().applied(same, "new.yaml").cluster == base().cluster


def test_the_underlay_stays_when_a_node_comes_that_it_was_not_made_for() -> None:
    far = host("n3").replace("192.168.1.3", "192.168.2.3")

    assert problems(base(), far) == (
        (
            "new.yaml:3: HostSubnet n3: hostIP: "
            "192.168.2.3 is no host address of 192.168.1.0/24"
        ),
    )


def test_quirks_and_dead_nodes_stay_until_an_underlay_says_otherwise() -> None:
    underlay = "kind: Underlay\nquirks: {ipBlockIgnored: false}\nofflineNodes: [n2]\n"

    changed = base().applied(underlay, "new.yaml")
    kept = changed.applied("kind: Underlay\n", "new.yaml")
    after = kept.applied("kind: Underlay\nquirks: {}\nofflineNodes: []\n", "new.yaml")

    assert kept.cluster == changed.cluster
    assert changed.cluster.offline_nodes == {"n2"}
    assert not changed.cluster.quirks.ip_block_ignored
    assert changed.cluster.underlay == base().cluster.underlay
    assert after.cluster == base().cluster


def test_a_namespace_that_joined_stays_where_it_is() -> None:
    joined = base().applied(net_namespace("lab", "", "join:shop"), "new.yaml")

    after = joined.applied(net_namespace("shop", "", "isolate"), "new.yaml")

    assert netids(base()) == {"shop": 10, "lab": 11}
    assert netids(joined) == {"shop": 10, "lab": 10}
    assert netids(after) == {"shop": 11, "lab": 10}
    assert CHANGE not in joined.text()


def test_an_egress_ip_stays_with_its_node_when_another_one_could_have_it() -> None:
    cidrs = "egressCIDRs: [192.168.1.96/28]\n"
    wanting = net_namespace("shop", "egressIPs: [192.168.1.97]\n")
    before = base().applied(host("n2", cidrs) + "---\n" + wanting, "new.yaml")

    after = before.applied(host("n1", cidrs), "new.yaml")
    again = after.applied(host("n2", cidrs), "new.yaml")

    for topology in (before, after, again):
        assert [len(node.egress_ips) for node in topology.cluster.nodes] == [0, 1]


def test_a_namespace_goes_with_all_that_is_in_it() -> None:
    after = base().deleted(named("Namespace", "shop"), "gone.yaml")

    assert keys(after) == [
        "ClusterNetwork default",
        "HostSubnet n1",
        "HostSubnet n2",
        "Project lab",
        "NetNamespace lab",
        "Underlay",
    ]
    assert not after.cluster.services
    assert not after.cluster.endpoints


@pytest.mark.parametrize("kind", ["Namespace", "Project"])
def test_a_project_goes_as_a_namespace(kind: str) -> None:
    after = base().deleted(named(kind, "lab"), "gone.yaml")

    assert netids(after) == {"shop": 10}


def test_a_namespace_whose_name_only_starts_alike_stays() -> None:
    before = base().applied(pod("x", namespace="shop-2"), "new.yaml")

    after = before.deleted(named("Namespace", "shop"), "gone.yaml")

    assert list(ips(after)) == ["shop-2/x"]


def test_a_namespace_that_only_a_pod_named_is_there_and_stays() -> None:
    before = base().applied(pod("x", namespace="new"), "new.yaml")

    after = before.deleted(named("Pod", "x", "new"), "gone.yaml")

    assert keys(before)[-2:] == ["Namespace new", "NetNamespace new"]
    assert netids(after) == netids(before)
    assert (
        after.deleted(named("Namespace", "new"), "gone.yaml").cluster == base().cluster
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (named("Pod", "x", "shop"), "Pod shop/x: is not there to be deleted"),
        (named("Pod", "a"), "Pod default/a: is not there to be deleted"),
        (named("Namespace", "x"), "Namespace x: is not there to be deleted"),
        (named("Route", "x"), "Route x: is not there to be deleted"),
    ],
)
def test_what_is_not_there_cannot_be_deleted(text: str, told: str) -> None:
    assert problems(base(), text, "deleted") == (f"new.yaml:1: {told}",)


def test_some_namespaces_cannot_be_deleted() -> None:
    before = base().applied(named("Namespace", "default"), "new.yaml")

    assert problems(before, named("Namespace", "default"), "deleted") == (
        "new.yaml:1: Namespace default: may not be deleted",
    )


def test_a_cluster_keeps_a_node() -> None:
    text = f"{named('HostSubnet', 'n1')}---\n{named('HostSubnet', 'n2')}"
    empty = base().deleted(named("Namespace", "shop"), "gone.yaml")

    assert problems(empty, text, "deleted") == (
        "new.yaml:1: HostSubnet: is missing; a cluster needs one",
    )


def test_a_pod_does_not_outlive_its_node() -> None:
    assert problems(base(), named("HostSubnet", "n1"), "deleted") == tuple(
        f"c.yaml:{line}: Pod shop/{name}: spec.nodeName: "
        "must be the name of a HostSubnet, not 'n1'"
        for line, name in ((23, "a"), (27, "b"))
    )


@pytest.mark.parametrize("verb", ["applied", "deleted"])
def test_a_change_is_of_objects(verb: str) -> None:
    assert problems(base(), "", verb) == ("new.yaml:1: holds no objects",)
    assert problems(base(), "kind: Pod\n--\n", verb)[0].startswith("new.yaml:3: broken")


def test_what_is_wrong_with_a_change_is_told_of_its_own_file() -> None:
    text = f"{named('Namespace', 'x')}---\n{pod('c', 'nodeName: n3')}"

    assert problems(base(), text) == (
        (
            "new.yaml:6: Pod shop/c: spec.nodeName: "
            "must be the name of a HostSubnet, not 'n3'"
        ),
    )


def test_what_a_change_makes_wrong_elsewhere_is_told_of_the_other_file() -> None:
    network = NETWORK.replace("10.128.0.0/14", "10.0.0.0/14")

    assert problems(base(), network) == tuple(
        f"c.yaml:{line}: HostSubnet {name}: subnet: "
        f"{subnet} is in none of the clusterNetworks"
        for line, name, subnet in (
            (7, "n1", "10.128.0.0/23"),
            (11, "n2", "10.129.0.0/23"),
        )
    )


def test_what_a_new_object_was_given_before_is_told_of_the_new_one() -> None:
    # The address is kept from line 40 of the old file; the new one is shorter.
    padded = "\n" * 40 + CLUSTER
    taking = pod("b") + "---\n" + pod("c") + "status: {podIP: 10.128.0.3}\n"

    assert problems(base(padded), taking) == (
        (
            "new.yaml:8: Pod shop/c: status.podIP: "
            "10.128.0.3 is that of Pod shop/b already"
        ),
    )


def test_a_subnet_that_is_kept_is_told_of_the_node_that_is_applied() -> None:
    padded = "\n" * 40 + CLUSTER
    network = NETWORK.replace("Length: 9", "Length: 8")
    change = f"{network}---\n{host('n1')}---\n{host('n2')}"

    assert problems(base(padded), change) == tuple(
        f"new.yaml:{line}: HostSubnet {name}: subnet: "
        f"{subnet} must be a /24, as hostSubnetLength 8 says"
        for line, name, subnet in (
            (7, "n1", "10.128.0.0/23"),
            (11, "n2", "10.129.0.0/23"),
        )
    )


def test_one_name_is_no_name_for_two_applied_objects() -> None:
    assert problems(base(), f"{pod('a')}---\n{pod('a')}") == (
        "new.yaml:5: Pod shop/a: is there twice; first in line 1",
    )


def test_problems_come_file_by_file_and_line_by_line() -> None:
    text = f"{host('n3', 'subnet: 10.128.0.0/23')}\n---\n{pod('c', 'nodeName: n9')}"
    gone = base().applied(host("n4"), "a.yaml")

    found = problems(gone, text)

    assert [line.split(": ")[0] for line in found] == ["new.yaml:4", "new.yaml:8"]


def test_warnings_name_the_file_of_their_object() -> None:
    text = service("db", "{selector: {app: db}, ports: [{port: 80}]}")

    after = base().applied(text, "new.yaml")

    assert [line.split(": ")[0] for line in after.warnings] == [
        "c.yaml:31",
        "new.yaml:3",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            pod("a") + "status: []\n",
            "Pod shop/a: status: must be a mapping, not a list",
        ),
        (
            (
                "kind: Pod\nmetadata: {name: a, namespace: shop, annotations: no}\n"
                "spec: {nodeName: n1}\n"
            ),
            "Pod shop/a: metadata.annotations: must be a mapping, not false",
        ),
        (
            service("web", "{type: NodePort, ports: [{port: [80]}]}"),
            "Service shop/web: spec.ports[0].port: must be a whole number, not a list",
        ),
        (
            service("web", "{type: NodePort, ports: [80]}"),
            "Service shop/web: spec.ports[0]: must be a mapping, not 80",
        ),
        (
            service("web", "{type: [], ports: [{port: 80, protocol: {}}]}"),
            (
                "Service shop/web: spec.type: must be ClusterIP or NodePort or "
                "LoadBalancer or ExternalName, not a list"
            ),
        ),
    ],
)
def test_what_stays_does_not_hide_what_is_wrong(text: str, told: str) -> None:
    assert told in [line.split(": ", 1)[1] for line in problems(base(), text)]


# Changes at random. Each text is one object; several texts are of the same one.
TEXTS = [
    pod("a"),
    pod("b", "nodeName: n2"),
    pod("c"),
    pod("c", "nodeName: n1, hostNetwork: true"),
    pod("d", "nodeName: n2", "lab"),
    pod("e", "nodeName: n2", "new"),
    pod("f") + "status: {phase: Failed}\n",
    pod("f"),
    service("web", "{selector: {app: web}, ports: [{port: 80}]}"),
    service(
        "web", "{type: NodePort, ports: [{name: a, port: 80}, {name: b, port: 81}]}"
    ),
    service("web", "{type: ExternalName, externalName: a.test}"),
    service("db", "{type: LoadBalancer, selector: {app: db}, ports: [{port: 81}]}"),
    service("none", "{clusterIP: None, selector: {app: web}, ports: [{port: 80}]}"),
    "kind: Endpoints\nmetadata: {name: web, namespace: shop}\n",
    "kind: NetworkPolicy\nmetadata: {name: p, namespace: shop}\n",
    (
        "kind: EgressNetworkPolicy\nmetadata: {name: e, namespace: lab}\n"
        "spec: {egress: [{type: Deny, to: {dnsName: a.test}}]}\n"
    ),
    host("n1", "egressCIDRs: [192.168.1.96/28]\n"),
    host("n2", "egressIPs: [192.168.1.98]\n"),
    host("n3", "egressCIDRs: [192.168.1.96/28]\n"),
    net_namespace("shop", "egressIPs: [192.168.1.97]\n"),
    net_namespace("shop", "", "isolate"),
    net_namespace("lab", "egressIPs: [192.168.1.98]\n"),
    net_namespace("lab", "", "join:shop"),
    net_namespace("new", "", "global"),
    "kind: Namespace\nmetadata: {name: shop, labels: {team: b}}\n",
    "kind: Namespace\nmetadata: {name: lab}\n",
    "kind: Project\nmetadata: {name: new}\n",
    "kind: Underlay\nofflineNodes: [n1]\nquirks: {ipBlockIgnored: false}\n",
    "kind: Underlay\n",
]
texts = st.sampled_from(TEXTS)
plugins = st.sampled_from(Plugin)
changes = st.lists(
    st.tuples(texts, st.sampled_from(["applied", "deleted"])), max_size=8
)


def started(plugin: Plugin) -> Topology:
    return base(CLUSTER.replace(Plugin.MULTITENANT, plugin))


def changed(topology: Topology, text: str, verb: str) -> Topology:
    """The topology after a change, or as it was where that is impossible."""
    try:
        return getattr(topology, verb)(text, "new.yaml")  # type: ignore[no-any-return]
    except TopologyError:
        return topology


def handed_out(topology: Topology) -> dict[tuple[object, ...], object]:
    """What each object was given, by all that it depends on."""
    cluster = topology.cluster
    given: dict[tuple[object, ...], object] = {}
    for pod in cluster.pods:
        key = "Pod", pod.key, pod.node, pod.host_network
        given[key] = pod.ip, pod.ofport
    for item in cluster.net_namespaces:
        given["NetNamespace", item.name] = item.netid
    for node in cluster.host_subnets:
        given["HostSubnet", node.name] = node.subnet, node.uid
    for service in cluster.services:
        if service.cluster_ip:
            given["Service", service.key] = service.cluster_ip
        for port in service.ports:
            if port.node_port:
                given["Service", service.key, port.protocol, port.port] = port.node_port
    return given


@given(plugins, changes)
@settings(deadline=None)
def test_a_changed_cluster_is_read_back_as_it_was_written(
    plugin: Plugin, made: list[tuple[str, str]]
) -> None:
    topology = started(plugin)
    for text, verb in made:
        topology = changed(topology, text, verb)

        again = loads(topology.text(), "again.yaml")

        assert again.cluster == topology.cluster
        assert again.text() == topology.text()


@given(plugins, changes)
@settings(deadline=None)
def test_nothing_that_was_handed_out_moves_while_its_object_stays(
    plugin: Plugin, made: list[tuple[str, str]]
) -> None:
    topology = started(plugin)
    for text, verb in made:
        after = changed(topology, text, verb)

        had, has = handed_out(topology), handed_out(after)

        if text.startswith("kind: NetNamespace"):
            name = text.split("name: ")[1].split(",")[0].split("}")[0]
            had.pop(("NetNamespace", name), None)  # renumbered, or made anew
        assert {key: has[key] for key in had.keys() & has.keys()} == {
            key: had[key] for key in had.keys() & has.keys()
        }
        topology = after


@given(plugins, changes, texts)
@settings(deadline=None)
def test_what_is_applied_again_changes_nothing(
    plugin: Plugin, made: list[tuple[str, str]], text: str
) -> None:
    topology = started(plugin)
    for change in made:
        topology = changed(topology, *change)

    once = changed(topology, text, "applied")
    twice = changed(once, text, "applied")

    assert twice.cluster == once.cluster
    assert twice.text() == once.text()


@given(plugins, changes, texts)
@settings(deadline=None)
def test_what_is_applied_and_deleted_again_leaves_the_cluster_as_it_was(
    plugin: Plugin, made: list[tuple[str, str]], text: str
) -> None:
    topology = started(plugin)
    for change in made:
        topology = changed(topology, *change)

    after = changed(topology, text, "applied")
    is_new = len(after.objects) == len(topology.objects) + 1
    # With a namespace its NetNamespace goes, even one that was there before.
    if is_new and not text.startswith(("kind: Namespace", "kind: Project")):
        assert after.deleted(text, "gone.yaml").cluster == topology.cluster


def test_a_namespace_that_is_applied_and_deleted_again_leaves_nothing() -> None:
    text = named("Namespace", "new")

    after = base().applied(text, "new.yaml")

    assert netids(after) == {"shop": 10, "lab": 11, "new": 12}
    assert after.deleted(text, "gone.yaml").cluster == base().cluster
