"""What a live cluster has and no object says: cookies, tun0 MACs; by annotation."""

from __future__ import annotations

import pytest

from testbed.errors import TopologyError
from testbed.openflow import Table
from testbed.pipeline import node_flows
from testbed.topology import loads

TOPOLOGY = """\
kind: ClusterNetwork
metadata: {name: default}
clusterNetworks: [{CIDR: 10.128.0.0/14, hostSubnetLength: 9}]
pluginName: redhat/openshift-ovs-multitenant
serviceNetwork: 172.30.0.0/16
---
kind: HostSubnet
metadata: {name: n1, uid: abc, annotations: {%s}}
hostIP: 172.16.1.1
egressIPs: [172.16.1.101]
---
kind: HostSubnet
metadata: {name: n2}
hostIP: 172.16.1.2
---
kind: NetNamespace
metadata: {name: shop}
netid: 42
egressIPs: [172.16.1.101]
"""


def test_peers_keep_a_nodes_flows_under_the_cookie_that_is_known() -> None:
    cluster = loads(TOPOLOGY % 'testbed/cookie: "0xe771f965"', "t.yaml").cluster

    flows = node_flows(cluster, cluster.node("n2"))

    cookies = {flow.cookie for flow in flows if flow.table == Table.FROM_VXLAN}
    assert cookies == {0, 0xE771F965}


def test_a_cookie_that_is_not_known_follows_from_the_uid() -> None:
    cluster = loads(TOPOLOGY % "", "t.yaml").cluster

    flows = node_flows(cluster, cluster.node("n2"))

    # The first bytes of sha256("abc"), FIPS 180-2's example.
    assert 0xBA7816BF in {flow.cookie for flow in flows}


def test_tun0_has_the_mac_that_is_known() -> None:
    annotation = 'testbed/tun0-mac: "f6:f8:76:bb:7e:e9"'
    cluster = loads(TOPOLOGY % annotation, "t.yaml").cluster

    flows = node_flows(cluster, cluster.node("n1"))

    assert cluster.node("n1").tun0_mac == "f6:f8:76:bb:7e:e9"
    assert any("set_field:f6:f8:76:bb:7e:e9->eth_dst" in flow.actions for flow in flows)


def test_what_is_known_stays_when_a_node_is_applied_anew() -> None:
    both = 'testbed/cookie: "0x1", testbed/tun0-mac: "f6:f8:76:bb:7e:e9"'
    before = loads(TOPOLOGY % both, "t.yaml")

    after = before.applied(
        "kind: HostSubnet\nmetadata: {name: n1}\nhostIP: 172.16.1.9\n", "new.yaml"
    )

    node = after.cluster.node("n1")
    assert (node.cookie, node.mac) == (1, "f6:f8:76:bb:7e:e9")


@pytest.mark.parametrize(
    ("annotation", "problem"),
    [
        ("testbed/cookie: 1", 'must be "0x0" to "0xffffffff", in quotes, not 1'),
        ('testbed/cookie: "0x123456789"', 'must be "0x0" to "0xffffffff"'),
        ('testbed/tun0-mac: "01:00:5e:00:00:01"', "must be one machine's MAC"),
        ('testbed/tun0-mac: "F6:F8:76:BB:7E:E9"', "must be one machine's MAC"),
    ],
)
def test_an_annotation_that_is_none_is_refused_by_line(
    annotation: str, problem: str
) -> None:
    with pytest.raises(TopologyError) as refused:
        loads(TOPOLOGY % annotation, "t.yaml")

    assert str(refused.value).startswith(
        "t.yaml:8: HostSubnet n1: metadata.annotations."
    )
    assert problem in str(refused.value)
