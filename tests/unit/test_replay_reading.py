"""What is replayed of an import's directory, and what is said of the rest."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testbed.errors import DumpError, NotFoundError, TopologyError
from testbed.faults import FlowsWiped, IpForwardOff, MtuDrifted
from testbed.faults.reading import declared
from testbed.importing import gather, merge, write
from testbed.openflow import DumpedFlow, OFPort, parse_dump
from testbed.pipeline import node_flows
from testbed.replay import Replay
from testbed.replay.reading import replay
from testbed.topology import load
from testbed.topology.shipped import shipped

if TYPE_CHECKING:
    from collections.abc import Mapping

SEED = Path(__file__).parents[1] / "golden" / "oc-04.flows"
TWO_NODES = shipped("two-node.yaml")
OBJECTS = load(TWO_NODES).text()
FLOWS = "nodes/node-1.test/flows"
PORTS = "nodes/node-1.test/ports"
SHOW = """\
OFPT_FEATURES_REPLY (OF1.3) (xid=0x2): dpid:00003edba3c69f45
 {vxlan}(vxlan0): addr:96:1c:47:a4:9f:70
 2(tun0): addr:f6:f8:76:bb:7e:e9
 {pods}
 LOCAL(br0): addr:3e:db:a3:c6:9f:45
"""
TUN0 = (
    "5: tun0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu {} qdisc noqueue state UNKNOWN\n"
    "    inet 10.128.0.1/23 brd 10.128.1.255 scope global tun0\n"
)
VETH = " {0}(veth{0}): addr:2a:db:a3:c6:9f:45"


def dump(name: str = "node-1") -> str:
    """What ``ovs-ofctl dump-flows`` prints of a node of the smallest cluster."""
    cluster = load(TWO_NODES).cluster
    lines = [
        DumpedFlow(flow=flow, n_packets=7, n_bytes=294, duration=26835.966)
        for flow in node_flows(cluster, cluster.node(name))
    ]
    return "".join(f" {line}\n" for line in lines)


@pytest.fixture
def tonight(tmp_path: Path) -> Path:
    """An import's directory, with the flows of node-1 and none of node-2."""
    collected = {"objects.yaml": OBJECTS, FLOWS: dump()}
    return imported(tmp_path, collected)


def imported(tmp_path: Path, collected: Mapping[str, str]) -> Path:
    for name, text in collected.items():
        path = tmp_path / "collected" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    found = merge(gather([tmp_path / "collected"], io.BytesIO(), None))
    write(found, [tmp_path / "collected"], tmp_path / "tonight")
    return tmp_path / "tonight"


def edit(tonight: Path, name: str, text: str) -> None:
    (tonight / name).parent.mkdir(parents=True, exist_ok=True)
    (tonight / name).write_text(text)


def flows(found: Replay) -> list[str]:
    """The flows of the first node that has some."""
    return [str(flow) for _, flow in found.nodes[0].flows or ()]


def dumped() -> list[str]:
    return [str(item.flow) for item in parse_dump(dump())]


def renumbered(text: str, old: int, new: int) -> str:
    """A dump in which a port has another number."""
    text = re.sub(rf"(in_port=|output:){old}\b", rf"\g<1>{new}", text)
    return text.replace(
        f"load:{old:#x}->NXM_NX_REG2[]", f"load:{new:#x}->NXM_NX_REG2[]"
    )


def ofport(found: Replay, pod: str) -> int | None:
    return found.cluster.pod(pod).ofport


def test_flows_are_replayed_word_for_word(tonight: Path) -> None:
    assert flows(replay(tonight)) == dumped()


def test_each_flow_has_the_file_and_line_it_was_in(tonight: Path) -> None:
    first, *_ = replay(tonight).nodes[0].flows or ()

    assert first[0] == f"{tonight / FLOWS}:1"


def test_a_node_without_flows_is_said_to_have_those_of_3_11(tonight: Path) -> None:
    found = replay(tonight)

    assert found.with_flows == ("node-1.test",)
    assert (
        "flows of node-2.test were not collected; there they are what 3.11 would "
        "program"
    ) in found.remarks


def test_what_was_collected_and_is_not_replayed_is_said(tonight: Path) -> None:
    edit(tonight, "nodes/node-1.test/routes", "default via 192.168.10.254\n")

    assert "collected and not replayed: routes" in replay(tonight).remarks


def test_a_kernel_that_forwards_nothing_is_a_fault_of_the_replay(
    tonight: Path,
) -> None:
    edit(tonight, "nodes/node-1.test/sysctl", "kernel.x = 1\nnet.ipv4.ip_forward = 0\n")

    found = replay(tonight)

    assert declared(found.topology) == (IpForwardOff(node="node-1.test"),)
    place = tonight / "nodes" / "node-1.test" / "sysctl"
    assert any(remark.startswith(f"{place}:2: ") for remark in found.remarks)


@pytest.mark.parametrize(("mtu", "drifted"), [(1450, ()), (1500, (1500,)), (7, ())])
def test_an_mtu_of_tun0_that_is_not_the_clusters_is_a_fault_of_the_replay(
    mtu: int, drifted: tuple[int, ...], tonight: Path
) -> None:
    edit(tonight, "nodes/node-1.test/addresses", TUN0.format(mtu))

    assert declared(replay(tonight).topology) == tuple(
        MtuDrifted(node="node-1.test", device="tun0", mtu=mtu) for mtu in drifted
    )


def test_faults_of_a_replay_come_after_those_that_the_topology_lists(
    tonight: Path,
) -> None:
    text = (tonight / "topology.yaml").read_text()
    listed = "faults: [{kind: flows-wiped, node: node-2.test}]\nkind: Underlay"
    edit(tonight, "topology.yaml", text.replace("kind: Underlay", listed))
    edit(tonight, "nodes/node-1.test/sysctl", "net.ipv4.ip_forward = 0\n")

    assert declared(replay(tonight).topology) == (
        FlowsWiped(node="node-2.test"),
        IpForwardOff(node="node-1.test"),
    )


def test_the_seed_is_replayed_as_3_11_would_have_programmed_it(tmp_path: Path) -> None:
    found = replay(imported(tmp_path, {"oc-04.flows": SEED.read_text()}))

    (fault,) = found.faults()
    assert set(fault.flows(fault.base)) == set(fault.base)
    assert len(fault.base) == 65


def test_a_replay_reads_back_what_it_wrote(tonight: Path) -> None:
    found = replay(tonight)

    again = Replay.read(found.text())

    assert again.nodes == found.nodes
    assert again.remarks == found.remarks
    assert again.cluster == found.cluster


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("table=10, priority=100 actions=", "its actions are incomplete"),
        ("cookie=0x0, table=20, priority=10", "is cut off before its actions"),
        ("table=x, priority=10 actions=drop", "cannot read this flow"),
        ("table=10, priority=7,\x1b[2J actions=drop", "holds control characters"),
    ],
)
def test_a_line_that_is_no_flow_is_told_with_file_and_line(
    line: str, said: str, tonight: Path
) -> None:
    edit(tonight, FLOWS, dump() + line + "\n")
    number = len(dumped()) + 1

    with pytest.raises(DumpError) as caught:
        replay(tonight)

    assert str(caught.value).startswith(f"{tonight / FLOWS}:{number}: ")
    assert said in str(caught.value)
    assert str(caught.value).isprintable()


def test_of_many_lines_that_are_no_flows_the_first_are_told(tonight: Path) -> None:
    edit(tonight, FLOWS, "table=10, actions=\n" * 50)

    with pytest.raises(DumpError, match="… and 30 more"):
        replay(tonight)


def test_flows_that_are_no_text_are_told_with_file_and_line(tonight: Path) -> None:
    (tonight / FLOWS).write_bytes(b"\n\xff\xfe")

    with pytest.raises(DumpError, match="flows:2: is not UTF-8 text"):
        replay(tonight)


def test_flows_that_are_a_directory_are_told(tonight: Path) -> None:
    (tonight / FLOWS).unlink()
    (tonight / FLOWS).mkdir()

    with pytest.raises(DumpError, match="flows: is no file"):
        replay(tonight)


@pytest.mark.parametrize(
    "text", ["[]", "{", '{"nodes": [{"name": "x", "ports": {"a": "b"}}]}', '"\\ud800"']
)
def test_an_import_json_of_another_sort_is_told(text: str, tonight: Path) -> None:
    edit(tonight, "import.json", text)

    with pytest.raises(DumpError, match=r"import\.json: is not what testbed import"):
        replay(tonight)


def test_a_directory_that_no_import_wrote_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=f"{tmp_path}: has no topology.yaml"):
        replay(tmp_path)


def test_an_archive_is_to_be_imported_first(tmp_path: Path) -> None:
    archive = tmp_path / "customer.tgz"
    archive.write_bytes(b"")

    with pytest.raises(NotFoundError, match=f"type: testbed import {archive} -o DIR"):
        replay(archive)


def test_what_is_wrong_with_its_objects_is_told_as_of_any_topology(
    tonight: Path,
) -> None:
    edit(tonight, "topology.yaml", "kind: Pod\n")

    with pytest.raises(TopologyError, match=r"topology\.yaml:1: Pod"):
        replay(tonight)


def test_flows_of_a_node_that_the_topology_lacks_are_not_replayed(
    tonight: Path,
) -> None:
    edit(tonight, "nodes/node-9.test/flows", dump())

    found = replay(tonight)

    assert found.with_flows == ("node-1.test",)
    assert any("node-9.test: the topology has no node" in r for r in found.remarks)


def test_of_two_flows_with_one_match_the_last_counts(tonight: Path) -> None:
    edit(
        tonight,
        FLOWS,
        "table=0, priority=1,ip actions=drop\ntable=0, priority=1,ip actions=NORMAL\n",
    )

    found = replay(tonight)

    assert flows(found) == ["table=0,priority=1,ip actions=NORMAL"]
    assert f"{tonight / FLOWS}:2: is there before, in line 1; this one counts" in (
        found.remarks
    )


def test_a_port_by_name_is_the_number_that_the_import_noted(tonight: Path) -> None:
    noted = {"nodes": [{"name": "node-1.test", "ports": {"veth8": 8}}]}
    edit(tonight, "import.json", json.dumps(noted))
    edit(tonight, FLOWS, 'table=20, priority=1,in_port="veth8" actions=output:tun0\n')

    assert flows(replay(tonight)) == ["table=20,priority=1,in_port=8 actions=output:2"]


def test_a_port_by_a_name_that_nobody_knows_is_a_dead_one(tonight: Path) -> None:
    edit(tonight, FLOWS, "table=20, priority=1,in_port=vethgone actions=LOCAL\n")

    found = replay(tonight)

    (flow,) = flows(found)
    number = int(flow.partition("in_port=")[2].partition(" ")[0])
    assert number not in {pod.ofport for pod in found.cluster.pods} | set(OFPort)
    assert any("which number port vethgone has" in remark for remark in found.remarks)


def test_ports_that_openflow_itself_names_stay(tonight: Path) -> None:
    edit(tonight, FLOWS, "table=20, priority=1,in_port=LOCAL actions=output:IN_PORT\n")

    found = replay(tonight)

    assert flows(found) == ["table=20,priority=1,in_port=LOCAL actions=output:IN_PORT"]
    assert not any("which number" in remark for remark in found.remarks)


def test_rules_without_a_table_are_not_replayed(tonight: Path) -> None:
    edit(tonight, "nodes/node-1.test/iptables", "-A FORWARD -j ACCEPT\n")

    found = replay(tonight)

    assert found.with_rules == ()
    assert any("iptables: names no table" in remark for remark in found.remarks)


def test_a_pod_is_plugged_in_where_its_flows_deliver_to(tmp_path: Path) -> None:
    moved = renumbered(dump(), 3, 41)
    objects = OBJECTS.replace('"testbed/ofport": "3"', '"testbed/ofport": "7"')
    collected = {"objects.yaml": objects, FLOWS: moved}

    found = replay(imported(tmp_path, collected))

    assert 41 in {pod.ofport for pod in found.cluster.pods}
    assert flows(found) == [str(item.flow) for item in parse_dump(moved)]


def test_a_pod_without_flows_has_a_port_that_no_flow_names(tonight: Path) -> None:
    pod = load(tonight / "topology.yaml").cluster.pod("lab/client-1")
    without = [line for line in dump().splitlines() if f"={pod.ip} " not in f"{line} "]
    without = [line for line in without if f"={pod.ip}," not in line]
    stale = f"table=20, priority=9,in_port={pod.ofport} actions=drop"
    edit(tonight, FLOWS, "\n".join([*without, stale]))

    found = replay(tonight)

    assert ofport(found, "lab/client-1") not in (None, pod.ofport)
    assert any("no flow says which port pod lab/client-1" in r for r in found.remarks)


def test_flows_that_point_to_a_dead_port_point_to_none_here(tonight: Path) -> None:
    pods = load(tonight / "topology.yaml").cluster
    dead, alive = (pods.pod(f"lab/{name}-1").ofport for name in ("client", "hello"))
    edit(tonight, PORTS, SHOW.format(vxlan=1, pods=VETH.format(alive)))

    found = replay(tonight)

    assert flows(found) == dumped()
    assert ofport(found, "lab/client-1") not in (None, dead, alive)
    assert ofport(found, "lab/hello-1") == alive


def test_a_list_of_ports_that_was_cut_off_makes_no_port_dead(tonight: Path) -> None:
    edit(tonight, PORTS, SHOW.format(vxlan=1, pods="").partition(" LOCAL")[0])

    found = replay(tonight)

    loaded = load(tonight / "topology.yaml").cluster
    assert [pod.ofport for pod in found.cluster.pods] == [
        pod.ofport for pod in loaded.pods
    ]


def test_where_vxlan0_was_another_port_its_flows_are_rewritten(tonight: Path) -> None:
    pods = load(tonight / "topology.yaml").cluster.pods
    numbers = [pod.ofport for pod in pods if pod.node == "node-1.test"]
    theirs = renumbered(dump(), 1, 10)
    listed = "\n".join(VETH.format(number) for number in numbers)
    edit(tonight, PORTS, SHOW.format(vxlan=10, pods=listed))
    edit(tonight, FLOWS, theirs)

    found = replay(tonight)

    assert flows(found) == dumped()
    assert any("10 is 1" in remark for remark in found.remarks)
