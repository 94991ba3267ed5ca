"""How a field of a wrong type, out of range or missing is told, word for word."""

from __future__ import annotations

import pytest

from testbed.errors import TopologyError
from testbed.topology import loads
from testbed.topology.shipped import shipped

TWO_NODES = shipped("two-node.yaml").read_text()
NETWORK, UNDERLAY, *REST = TWO_NODES.split("---\n")
SUBNET_PLUGIN = "redhat/openshift-ovs-subnet"
LATER_PLUGINS = [
    "redhat/openshift-ovs-multitenant",
    "redhat/openshift-ovs-networkpolicy",
]


def problems(*documents: str) -> tuple[str, ...]:
    with pytest.raises(TopologyError) as caught:
        loads("---\n".join(documents), "c.yaml")
    return caught.value.problems


def network_problems(network: str) -> tuple[str, ...]:
    """The problems of two-node.yaml with another ClusterNetwork."""
    return problems(network, UNDERLAY, *REST)


def problem_with(kind: str, fields: str) -> str:
    """The only problem of two-node.yaml with another object in its first line."""
    obj = f"{{kind: {kind}, metadata: {{name: web, namespace: shop}}, {fields}}}\n"
    (problem,) = problems(obj, TWO_NODES)
    key = "shop/web" if kind in {"Pod", "Service", "Endpoints"} else "web"
    where = f"c.yaml:1: {kind} {key}: "
    assert problem.startswith(where)
    return problem.removeprefix(where)


def test_an_unknown_plugin_is_told_what_there_is() -> None:
    network = NETWORK.replace(SUBNET_PLUGIN, "calico")

    (problem,) = network_problems(network)

    assert problem.endswith(
        f": ClusterNetwork default: pluginName: must be {SUBNET_PLUGIN} "
        f"or {' or '.join(LATER_PLUGINS)}, not 'calico'"
    )


@pytest.mark.parametrize(
    ("cidr", "problem"),
    [
        ("10.128.1.0/14", "10.128.1.0/14 has host bits set; its network is {}"),
        ("10.128.0.0", "must be an IPv4 network such as {}, not '10.128.0.0'"),
        ("10.128.0.0/33", "must be an IPv4 network such as {}, not '10.128.0.0/33'"),
        ("10.128.0.0/255.0.0.0", "must be an IPv4 network such as {}, not "),
        ("fd01::/48", "must be an IPv4 network such as {}, not 'fd01::/48'"),
        ("10", "must be an IPv4 network such as {}, not 10"),
        ("10.128.0.0/31", "10.128.0.0/31 has no room for two addresses"),
    ],
)
def test_a_range_without_a_proper_length_is_an_error(cidr: str, problem: str) -> None:
    (told,) = network_problems(NETWORK.replace("10.128.0.0/14", cidr))

    where = "ClusterNetwork default: clusterNetworks[0].CIDR"
    assert f"{where}: {problem.format('10.128.0.0/14')}" in told


@pytest.mark.parametrize(
    ("length", "problem"),
    [
        ("19", "must be at most the host bits of 10.128.0.0/14, not 19"),
        ("1", "must be 2 to 30, not 1"),
        ("31", "must be 2 to 30, not 31"),
        ("'9'", "must be a whole number, not '9'"),
    ],
)
def test_a_node_gets_no_more_than_there_is(length: str, problem: str) -> None:
    network = NETWORK.replace("hostSubnetLength: 9", f"hostSubnetLength: {length}")

    (told,) = network_problems(network)

    assert told.endswith(f": clusterNetworks[0].hostSubnetLength: {problem}")


def test_a_network_with_neither_old_nor_new_ranges_is_an_error() -> None:
    network = "kind: ClusterNetwork\nmetadata: {name: default}\n"

    assert network_problems(network) == tuple(
        f"c.yaml:1: ClusterNetwork default: {field}: is missing"
        for field in ("clusterNetworks", "serviceNetwork", "pluginName")
    )


def test_a_wrong_old_range_is_not_missing_as_well() -> None:
    new = "clusterNetworks:\n- CIDR: 10.128.0.0/14\n  hostSubnetLength: 9\n"
    old = "network: 10.0.0.0/33\nhostsubnetlength: 9\n"

    (problem,) = network_problems(old + NETWORK.replace(new, ""))

    assert problem.startswith("c.yaml:1: ClusterNetwork default: network: must be an ")


@pytest.mark.parametrize(
    ("kind", "fields", "problem"),
    [
        ("HostSubnet", "hostIP: 5", "hostIP: must be an IPv4 address, not 5"),
        ("HostSubnet", "hostIP: []", "hostIP: must be an IPv4 address, not a list"),
        ("HostSubnet", "hostIP: '::1'", "hostIP: must be an IPv4 address, not '::1'"),
        ("HostSubnet", "hostIP: 1.2.3.04", "hostIP: must be an IPv4 address, not "),
        ("HostSubnet", "subnet: 10.129.0.0/23", "hostIP: is missing"),
        (
            "HostSubnet",
            "hostIP: 192.168.10.13, host: db",
            "host: must be 'web' as metadata.name, not 'db'",
        ),
        (
            "HostSubnet",
            "hostIP: 192.168.10.13, subnet: 10.128.1.0/23",
            "subnet: 10.128.1.0/23 has host bits set; its network is 10.128.0.0/23",
        ),
        (
            "NetNamespace",
            "netname: db",
            "netname: must be 'web' as metadata.name, not 'db'",
        ),
        ("NetNamespace", "netid: 9", "netid: must be 0 or 10 to 16777215, not 9"),
        ("NetNamespace", "netid: -1", "netid: must be 0 or 10 to 16777215, not -1"),
        ("NetNamespace", "netid: 1.5", "netid: must be a whole number, not 1.5"),
        ("Pod", "", "spec: is missing"),
        ("Pod", "spec: []", "spec: must be a mapping, not a list"),
        ("Pod", "spec: {nodeName: A}", "spec.nodeName: must be lower-case letters, d"),
        ("Pod", "spec: {nodeName: 7}", "spec.nodeName: must be a string, but YAML r"),
        (
            "Pod",
            "spec: {hostNetwork: 'true'}",
            "spec.hostNetwork: must be true or false, not 'true'",
        ),
        (
            "Pod",
            "spec: {containers: [{}, {ports: [{containerPort: 0}]}]}",
            "spec.containers[1].ports[0].containerPort: must be 1 to 65535, not 0",
        ),
        (
            "Pod",
            "spec: {}, status: {phase: running}",
            "status.phase: must be Pending or Running or Succeeded or Failed or ",
        ),
        ("Service", "", "spec: is missing"),
        ("Service", "spec: {ports: [{}]}", "spec.ports[0].port: is missing"),
        ("Service", "spec: {ports: {}}", "spec.ports: must be a list, not a mapping"),
        ("Service", "spec: {ports: [5]}", "spec.ports[0]: must be a mapping, not 5"),
        (
            "Service",
            "spec: {ports: [{port: 65536}]}",
            "spec.ports[0].port: must be 1 to 65535, not 65536",
        ),
        (
            "Service",
            "spec: {ports: [{port: true}]}",
            "spec.ports[0].port: must be a whole number, not true",
        ),
        (
            "Service",
            "spec: {ports: [{port: 80, protocol: SCTP}]}",
            "spec.ports[0].protocol: must be TCP or UDP, not 'SCTP'",
        ),
        (
            "Service",
            "spec: {ports: [{port: 80, targetPort: '8080'}]}",
            (
                "spec.ports[0].targetPort: "
                "must be 1 to 65535 or the name of a container's port, not '8080'"
            ),
        ),
        (
            "Service",
            "spec: {clusterIP: none}",
            "spec.clusterIP: must be an IPv4 address, not 'none'",
        ),
        (
            "Service",
            "spec: {selector: {app: on}}",
            "spec.selector.app: must be a string, but YAML reads true; quote it",
        ),
        (
            "Endpoints",
            "subsets: [{addresses: [{ip: 'fe80::1'}]}]",
            "subsets[0].addresses[0].ip: must be an IPv4 address, not 'fe80::1'",
        ),
        (
            "Endpoints",
            "subsets: [{addresses: [{}]}]",
            "subsets[0].addresses[0].ip: is missing",
        ),
        (
            "Service",
            "apiVersion: v2, spec: {clusterIP: None}",
            "apiVersion: must be v1, not 'v2'",
        ),
    ],
)
def test_a_field_is_told_with_its_way_and_its_value(
    kind: str, fields: str, problem: str
) -> None:
    assert problem_with(kind, fields).startswith(problem)


@pytest.mark.parametrize("ofport", ["28", "'2'", "'65280'", "'0x10'", "' 5'", "''"])
def test_an_ofport_is_a_quoted_number_that_br0_may_give(ofport: str) -> None:
    pod = (
        "kind: Pod\n"
        "metadata:\n"
        "  name: web\n"
        f"  annotations: {{testbed/ofport: {ofport}}}\n"
        "spec: {nodeName: node-1.test}\n"
    )

    (problem,) = problems(pod, TWO_NODES)

    where = "c.yaml:4: Pod default/web: metadata.annotations.testbed/ofport"
    assert problem == f'{where}: must be "3" to "65279", in quotes, not {ofport}'


def test_an_object_without_a_name_is_told_by_its_kind() -> None:
    pod = "kind: Pod\nmetadata: {namespace: lab}\nspec: {nodeName: node-1.test}\n"

    assert problems(pod, TWO_NODES) == ("c.yaml:2: Pod: metadata.name: is missing",)


def test_a_problem_is_at_the_line_of_the_field_or_of_what_lacks_it() -> None:
    service = (
        "apiVersion: v1\n"
        "kind: Service\n"
        "metadata:\n"
        "  name: web\n"
        "spec:\n"
        "  ports:\n"
        "  - name: http\n"
        "    port: 0\n"
        "  - name: https\n"
        "    protocol: TCP\n"
    )

    assert problems(service, TWO_NODES) == (
        "c.yaml:8: Service default/web: spec.ports[0].port: must be 1 to 65535, not 0",
        "c.yaml:9: Service default/web: spec.ports[1].port: is missing",
    )


def test_long_keys_and_values_are_cut() -> None:
    labels = f"labels: {{{'k' * 62}: 5}}"
    pod = (
        f"kind: Pod\nmetadata: {{name: a, {labels}}}\nspec: {{nodeName: {'N' * 100}}}\n"
    )

    label, node = problems(pod, TWO_NODES)

    assert label.startswith(f"c.yaml:2: Pod default/a: metadata.labels.{'k' * 59}…: ")
    assert node.startswith("c.yaml:3: Pod default/a: spec.nodeName: ")
    assert node.endswith(f"not '{'N' * 59}…'")
