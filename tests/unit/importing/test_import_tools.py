"""What the real collecting tools leave in their files, oddities included."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testbed.importing import Sort
from testbed.importing.readers.flows import FlowReader
from testbed.openflow import Table, parse_flow

if TYPE_CHECKING:
    from tests.unit.importing.conftest import Dumper, Importer

DUMP = "> ovs-ofctl -O OpenFlow13 dump-flows br0\n\n"
TRACE = """\
LOCAL POD, SAME NAMESPACE:

syslog-0 -> apiserver-x5nq4
> ovs-appctl ofproto/trace br0 in_port=3,ip,nw_src=10.131.1.241,nw_dst=10.131.0.16

Flow: ip,reg0=0x0,in_port=3,vlan_tci=0x0000,nw_src=10.131.1.241,nw_dst=10.131.0.16

bridge("br0")
-------------
 0. ip, priority 100, cookie 0x0
    goto_table:20
20. ip,in_port=3,nw_src=10.131.1.241, priority 100, cookie 0x0
    load:0->NXM_NX_REG0[]
    goto_table:21

Final flow: unchanged
Megaflow: recirc_id=0,eth,ip,in_port=3,nw_src=10.131.1.241,nw_dst=10.131.0.16,nw_frag=no
Datapath actions: 4

ping 10.131.0.16  ->  success


"""


def test_debug_shs_traces_beside_the_flows_are_no_flows(
    importer: Importer, live: str
) -> None:
    top = "openshift-sdn-debug/nodes/oc-04.test"
    whole = importer({f"{top}/flows": DUMP + live, f"{top}/pod-connectivity": TRACE})

    node = whole.node("oc-04.test")
    assert node.bridge is not None
    assert node.bridge.facts.count == 65
    assert whole.contradictions == []


@pytest.mark.parametrize(
    "said",
    [
        "sh: ovs-ofctl: command not found\n",
        f"{DUMP}meta/debug.sh: line 21: ovs-ofctl: command not found\n",
        "timeout: failed to run command 'ovs-ofctl': No such file or directory\n",
        f"{DUMP}ovs-ofctl: br0 is not a bridge or a socket\n",
    ],
)
def test_a_command_that_was_not_there_costs_its_node_nothing_else(
    said: str, importer: Importer, dump: Dumper
) -> None:
    cluster = dump.shipped("four-node").cluster
    files = dump.all(cluster)
    files["nodes/oc-03.test/flows"] = said

    result = importer({"objects.yaml": dump.shipped("four-node").text(), **files})

    assert result.node("oc-03.test").bridge is None
    assert result.said(Sort.MISSING, "flows") == [
        "flows: of oc-03.test were not collected"
    ]
    assert result.contradictions == []


def test_flows_from_the_ovs_pod_stand_in_for_those_that_the_host_could_not_print(
    importer: Importer, live: str
) -> None:
    top = "sosreport-oc-04.test-20190512094107"
    origin = f"{top}/sos_commands/origin/ovs-ofctl_-O_OpenFlow13_dump-flows_br0"
    absent = "timeout: failed to run command 'ovs-ofctl': No such file or directory\n"
    typed = (
        "# oc -n openshift-sdn exec ovs-x5nq4 -- ovs-ofctl -O OpenFlow13 dump-flows br0"
    )

    result = importer(
        {
            origin: absent,
            f"{top}/hostname": "oc-04.test\n",
            "oc-04.test-flows.txt": f"{typed}\n{live}",
        }
    )

    node = result.node("oc-04.test")
    assert node.bridge is not None
    assert node.bridge.facts.count == 65


def test_a_run_of_network_check_appended_to_another_counts_last(
    importer: Importer, dump: Dumper
) -> None:
    cluster = dump.shipped("four-node").cluster
    node = cluster.nodes[1]
    text = dump(cluster, node)
    lines = text.splitlines()
    earlier = "\n".join(line for line in lines if "tun_src=172.16.1.25" not in line)

    result = importer({"openshift/nodes/oc-02.test/flows": f"{earlier}\n{text}"})

    (name,) = (n for n, count in result.deviations.items() if n.startswith("oc-02"))
    assert result.deviations[name] == 0
    (said,) = result.said(Sort.CONTRADICTORY, "flows of")
    assert "1 are in the first named only, 0 in the other" in said


def test_what_network_tools_lists_four_spaces_apart_is_read(
    importer: Importer, live: str
) -> None:
    row = "oc-04.test 172.16.1.25 rsyslog-0 logging 10.131.1.241 4f1c4b0e3a5d"
    result = importer(
        {
            "meta/podinfo": row.replace(" ", "    ") + "\n",
            "nodes/oc-04.test/flows": DUMP + live,
        }
    )

    pod = result.cluster.pod("logging/rsyslog-0")
    assert (str(pod.ip), pod.node) == ("10.131.1.241", "oc-04.test")


def test_a_masters_routes_are_the_kernels_and_then_openshifts(
    importer: Importer, dump: Dumper
) -> None:
    topology = dump.shipped("four-node")
    routes = (
        "default via 172.16.1.253 dev eth0 proto dhcp metric 100 \n"
        "172.16.1.0/24 dev eth0 proto kernel scope link src 172.16.1.15 metric 100 \n"
        "apiVersion: v1\nitems:\n- apiVersion: route.openshift.io/v1\n  kind: Route\n"
        "  metadata:\n    name: console\n    namespace: default\nkind: List\n"
    )

    result = importer({"master/hostsubnets": topology.text(), "master/routes": routes})

    (text,) = (text for _, text in result.node("oc-01.test").texts)
    assert len(text.routes) == 2
    assert "1 Route" in "".join(result.said(Sort.PASSED_OVER, "objects of other"))


def test_a_ghost_has_no_flows_that_could_be_missing(
    importer: Importer, dump: Dumper
) -> None:
    topology = dump.shipped("networkpolicy")
    assert topology.cluster.ghosts

    result = importer({"objects.yaml": topology.text(), **dump.all(topology.cluster)})

    assert result.said(Sort.MISSING, "flows") == []


def test_flows_that_differ_in_their_counters_alone_are_read_once() -> None:
    reader = FlowReader()
    rest = "priority=100,ip,nw_dst=10.131.0.16 actions=output:28"

    def line(number: int, cookie: str = "0x0", table: int = 70) -> str:
        counted = f"duration={number}.5s, table={table}, n_packets={number}, n_bytes=7"
        return f" cookie={cookie}, {counted}, {rest}"

    first, again = reader.read(line(1)), reader.read(line(2))
    others = [
        reader.read(line(1, cookie="0x1")),
        reader.read(line(1, table=40)),
        reader.read(line(1).replace("0.16", "0.17")),
    ]

    assert again is first
    assert first.flow == parse_flow(line(1))
    assert first.match == {"ip": "", "nw_dst": "10.131.0.16"}
    assert len({first.flow, *(other.flow for other in others)}) == 4
    assert [other.flow.table for other in others] == [
        *(Table.IP_TO_LOCAL_POD, Table.ARP_TO_LOCAL_POD, Table.IP_TO_LOCAL_POD)
    ]
