"""Objects that are right one by one and make no cluster, and what follows from none.

Each file here has one mistake, and exactly one problem for it.
"""

from __future__ import annotations

import pytest

from testbed.errors import TopologyError
from testbed.topology import loads
from testbed.topology.shipped import shipped

FOUR_NODES = shipped("four-node.yaml").read_text()
TWO_NODES = shipped("two-node.yaml").read_text()
NETWORK, UNDERLAY, *REST = TWO_NODES.split("---\n")


def problems(*documents: str) -> tuple[str, ...]:
    with pytest.raises(TopologyError) as caught:
        loads("---\n".join(documents), "c.yaml")
    return caught.value.problems


def replaced(old: str, new: str, text: str = FOUR_NODES) -> str:
    """The text with one change, which must be possible in one place only."""
    assert text.count(old) == 1
    return text.replace(old, new)


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        (
            "hostIP: 172.16.1.16",
            "hostIP: 172.16.1.15",
            (
                "HostSubnet oc-02.test: hostIP: "
                "172.16.1.15 is that of HostSubnet oc-01.test already"
            ),
        ),
        (
            "hostIP: 172.16.1.16",
            "hostIP: 10.129.0.9",
            (
                "HostSubnet oc-02.test: hostIP: "
                "10.129.0.9 is inside the cluster's own 10.128.0.0/14"
            ),
        ),
        (
            "hostIP: 172.16.1.16",
            "hostIP: 172.30.0.1",
            (
                "HostSubnet oc-02.test: hostIP: "
                "172.30.0.1 is inside the cluster's own 172.30.0.0/16"
            ),
        ),
        (
            "hostIP: 172.16.1.16",
            "hostIP: 172.17.0.2",
            (
                "HostSubnet oc-02.test: hostIP: "
                "172.17.0.2 is inside the cluster's own 172.17.0.0/16"
            ),
        ),
        (
            "hostIP: 172.16.1.16",
            "hostIP: 172.16.2.16",
            (
                "HostSubnet oc-02.test: hostIP: "
                "172.16.2.16 is no host address of 172.16.1.0/24"
            ),
        ),
        (
            "hostIP: 172.16.1.16",
            "hostIP: 172.16.1.253",
            "HostSubnet oc-02.test: hostIP: 172.16.1.253 is the gateway's",
        ),
        (
            "ip: 172.16.1.66",
            "ip: 172.16.1.16",
            "Underlay: rogues[0].ip: 172.16.1.16 is oc-02.test's already",
        ),
        (
            "ip: 172.16.1.66",
            "ip: 172.16.1.253",
            "Underlay: rogues[0].ip: 172.16.1.253 is the gateway's already",
        ),
        (
            "gateway: 172.16.1.253",
            "gateway: 172.16.1.255",
            "Underlay: gateway: 172.16.1.255 is no host address of 172.16.1.0/24",
        ),
        (
            "externalGateway: 198.51.100.254",
            "externalGateway: 198.51.101.254",
            (
                "Underlay: externalGateway: "
                "198.51.101.254 is no host address of 198.51.100.0/24"
            ),
        ),
        (
            "subnet: 10.129.0.0/23",
            "subnet: 10.128.0.0/23",
            (
                "HostSubnet oc-02.test: subnet: "
                "10.128.0.0/23 is that of HostSubnet oc-01.test already"
            ),
        ),
        (
            "subnet: 10.129.0.0/23",
            "subnet: 10.128.0.0/22",
            (
                "HostSubnet oc-02.test: subnet: "
                "10.128.0.0/22 must be a /23, as hostSubnetLength 9 says"
            ),
        ),
        (
            "subnet: 10.129.0.0/23",
            "subnet: 10.0.0.0/8",
            (
                "HostSubnet oc-02.test: subnet: "
                "10.0.0.0/8 must be a /23, as hostSubnetLength 9 says"
            ),
        ),
        (
            "subnet: 10.129.0.0/23",
            "subnet: 10.132.0.0/23",
            (
                "HostSubnet oc-02.test: subnet: "
                "10.132.0.0/23 is in none of the clusterNetworks"
            ),
        ),
        (
            "podIP: 10.128.0.17",
            "podIP: 10.129.0.17",
            (
                "Pod shop/web-1-4wq8n: status.podIP: "
                "10.129.0.17 is no host address of 10.128.0.0/23 on oc-01.test"
            ),
        ),
        (
            "podIP: 10.128.0.17",
            "podIP: 10.128.0.0",
            (
                "Pod shop/web-1-4wq8n: status.podIP: "
                "10.128.0.0 is no host address of 10.128.0.0/23 on oc-01.test"
            ),
        ),
        (
            "podIP: 10.128.0.17",
            "podIP: 10.128.1.255",
            (
                "Pod shop/web-1-4wq8n: status.podIP: "
                "10.128.1.255 is no host address of 10.128.0.0/23 on oc-01.test"
            ),
        ),
        (
            "podIP: 10.128.0.17",
            "podIP: 10.128.0.1",
            "Pod shop/web-1-4wq8n: status.podIP: 10.128.0.1 is tun0's on oc-01.test",
        ),
        (
            "podIP: 10.128.0.17",
            "podIP: 10.128.0.4",
            (
                "Pod shop/web-1-4wq8n: status.podIP: "
                "10.128.0.4 is that of Pod default/docker-registry-1-7xk2p already"
            ),
        ),
        (
            'testbed/ofport: "28"',
            'testbed/ofport: "3"',
            (
                "Pod kube-service-catalog/apiserver-x5nq4: "
                "metadata.annotations.testbed/ofport: "
                "3 is that of Pod logging/rsyslog-0 already"
            ),
        ),
        (
            "clusterIP: 172.30.31.182",
            "clusterIP: 172.30.69.140",
            (
                "Service logging/rsyslog: spec.clusterIP: "
                "172.30.69.140 is that of Service kube-service-catalog/apiserver "
                "already"
            ),
        ),
        (
            "clusterIP: 172.30.31.182",
            "clusterIP: 172.31.0.1",
            (
                "Service logging/rsyslog: spec.clusterIP: "
                "172.31.0.1 is no host address of 172.30.0.0/16"
            ),
        ),
        (
            "externalNetwork: 198.51.100.0/24",
            "externalNetwork: 172.16.0.0/16",
            "Underlay: externalNetwork: 172.16.0.0/16 overlaps subnet 172.16.1.0/24",
        ),
        (
            "subnet: 172.16.1.0/24",
            "subnet: 10.128.0.0/16",
            "Underlay: subnet: 10.128.0.0/16 overlaps clusterNetworks 10.128.0.0/14",
        ),
        (
            "subnet: 172.16.1.0/24",
            "subnet: 172.17.1.0/24",
            "Underlay: subnet: 172.17.1.0/24 overlaps docker0's 172.17.0.0/16",
        ),
        (
            "serviceNetwork: 172.30.0.0/16",
            "serviceNetwork: 10.131.0.0/16",
            (
                "ClusterNetwork default: serviceNetwork: "
                "10.131.0.0/16 overlaps clusterNetworks 10.128.0.0/14"
            ),
        ),
        (
            "- CIDR: 10.128.0.0/14",
            "- CIDR: 172.17.0.0/16",
            (
                "ClusterNetwork default: clusterNetworks[0].CIDR: "
                "172.17.0.0/16 overlaps docker0's 172.17.0.0/16"
            ),
        ),
        (
            "  ip: 198.51.100.1\n",
            "  ip: 198.51.101.1\n",
            (
                "Underlay: externalHosts[0].ip: "
                "198.51.101.1 is no host address of 198.51.100.0/24"
            ),
        ),
    ],
)
def test_one_mistake_is_one_problem(old: str, new: str, problem: str) -> None:
    text = replaced(old, new)
    line = FOUR_NODES[: FOUR_NODES.index(old)].count("\n") + 1

    assert problems(text) == (f"c.yaml:{line}: {problem}",)


def test_a_second_range_over_the_first_is_an_error() -> None:
    first = "- CIDR: 10.128.0.0/14\n  hostSubnetLength: 9\n"
    second = "- CIDR: 10.130.0.0/16\n  hostSubnetLength: 8\n"

    assert problems(replaced(first, first + second, TWO_NODES)) == (
        (
            "c.yaml:12: ClusterNetwork default: clusterNetworks[1].CIDR: "
            "10.130.0.0/16 overlaps clusterNetworks 10.128.0.0/14"
        ),
    )


def test_one_name_is_no_name_for_two_nodes() -> None:
    text = replaced("    name: oc-02.test\n", "    name: oc-01.test\n")
    text = replaced("  host: oc-02.test\n", "  host: oc-01.test\n", text)

    assert problems(text) == (
        "c.yaml:44: HostSubnet oc-01.test: is there twice; first in line 36",
    )


def test_a_copied_node_is_told_once() -> None:
    assert problems(TWO_NODES, REST[0]) == (
        "c.yaml:86: HostSubnet node-1.test: is there twice; first in line 21",
    )


def test_one_name_is_no_name_for_two_pods_of_a_namespace() -> None:
    text = replaced("name: client-2\n", "name: client-1\n", TWO_NODES)

    assert problems(text) == (
        "c.yaml:66: Pod lab/client-1: is there twice; first in line 46",
    )


def test_rogues_have_a_name_each() -> None:
    two = "rogues: [{name: a, ip: 192.168.10.66}, {name: a, ip: 192.168.10.67}]\n"

    assert problems(f"kind: Underlay\n{two}", NETWORK, *REST) == (
        "c.yaml:2: Underlay: rogues[1].name: 'a' is another one's name already",
    )


def test_a_cluster_has_one_network() -> None:
    assert problems(TWO_NODES, replaced("default", "other", NETWORK)) == (
        "c.yaml:90: ClusterNetwork other: is one too many; a cluster has one",
    )


def test_a_cluster_has_one_underlay() -> None:
    assert problems(TWO_NODES, UNDERLAY) == (
        "c.yaml:86: Underlay: is one too many; a cluster has one",
    )
