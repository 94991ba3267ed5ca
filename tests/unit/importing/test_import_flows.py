"""Dumps of flows in every spelling that ovs-ofctl and ovs-appctl have for them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from testbed.importing import Sort
from testbed.pipeline import node_flows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.unit.importing.conftest import Dumper, Importer, Result


@pytest.fixture
def spelled(dump: Dumper) -> str:
    """Flows with everything in them that is spelled in several ways."""
    cluster = dump.shipped("networkpolicy").cluster
    return dump(cluster, cluster.node("oc-02"))


def agrees(result: Result) -> bool:
    return list(result.deviations.values()) == [0] and not result.contradictions


def in_openflow10(text: str) -> str:
    """As ovs-ofctl prints without -O, where the bridge lets it."""

    def address(found: re.Match[str]) -> str:
        octets = "".join(f"{int(octet):02x}" for octet in found[1].split("."))
        return f"load:0x{octets.lstrip('0')}->NXM_NX_TUN_IPV4_DST[]"

    text = text.replace(
        "OFPST_FLOW reply (OF1.3) (xid=0x2)", "NXST_FLOW reply (xid=0x4)"
    )
    text = text.replace("n_bytes=126, ", "n_bytes=126, idle_age=12, hard_age=65534, ")
    text = re.sub(r"goto_table:(\d+)", r"resubmit(,\1)", text)
    text = re.sub(r"set_field:([\d.]+)->tun_dst", address, text)
    text = re.sub(r"set_field:(0x\w+)->pkt_mark", r"load:\1->NXM_NX_PKT_MARK[]", text)
    return re.sub(r"set_field:([\w:]+)->eth_dst", r"mod_dl_dst:\1", text)


def in_openflow15(text: str) -> str:
    text = text.replace("(OF1.3)", "(OF1.5)")
    return re.sub(r"load:(\w+)->NXM_NX_REG(\d)\[\]", r"set_field:\1->reg\2", text)


def without_statistics(text: str) -> str:
    text = re.sub(r"(duration|n_packets|n_bytes)=[\d.]+s?, ", "", text)
    return re.sub(r"cookie=0x0, ", "", text)


def by_appctl(text: str) -> str:
    """As ``ovs-appctl bridge/dump-flows br0`` prints, hidden flows included."""
    text = re.sub(r" cookie=0x0, ", "", text)
    text = re.sub(r" (cookie=\w+), ", r"\1, ", text)
    text = re.sub(r"table=0, ", "", text)
    text = re.sub(r"table=(\d+), ", r"table_id=\1, ", text)
    text = re.sub(r",? actions=", ",actions=", text)
    return text.replace("OFPST", "XX") + (
        "table_id=254, duration=9s, n_packets=0, n_bytes=0, priority=2,recirc_id=0,"
        "actions=drop\n"
    )


@pytest.mark.parametrize(
    "respell", [in_openflow10, in_openflow15, without_statistics, by_appctl]
)
def test_every_spelling_makes_the_same_flows(
    respell: type[str], importer: Importer, spelled: str
) -> None:
    text = respell(spelled)
    assert text != spelled

    result = importer.text(text)

    assert agrees(result)


def test_several_messages_of_one_reply_are_one_dump(
    importer: Importer, live_lines: Sequence[str]
) -> None:
    more = "OFPST_FLOW reply (OF1.3) (xid=0x2): flags=[more]"
    last = "OFPST_FLOW reply (OF1.3) (xid=0x2):"
    text = "\n".join([more, *live_lines[:30], more, *live_lines[30:50], last])

    result = importer.text("\n".join([text, *live_lines[50:]]))

    assert agrees(result)
    assert len(result.said(Sort.FOUND, "flows")) == 2  # found, and agreeing


def test_names_of_ports_are_told_by_the_flows_themselves(
    importer: Importer, live: str
) -> None:
    named = re.sub(r"in_port=1\b", "in_port=vxlan0", live)
    named = re.sub(r"in_port=2\b", 'in_port="tun0"', named)
    named = re.sub(r"in_port=3\b", 'in_port="veth0a1b2c3d"', named)
    named = re.sub(r"output:1\b", "output:vxlan0", named)
    named = re.sub(r"output:2\b", 'output:"tun0"', named)
    named = re.sub(r"output:3\b", "output:veth0a1b2c3d", named)
    assert named.count("veth0a1b2c3d") == 3

    result = importer.text(named, "oc-04.flows")

    assert agrees(result)
    node = result.node("oc-04")
    assert node.ports["veth0a1b2c3d"] == 3
    assert node.bridge
    assert "veth0a1b2c3d" in node.bridge.text


def test_names_of_ports_are_told_by_the_switch(importer: Importer, live: str) -> None:
    named = re.sub(r"(in_port=|output:)28\b", r"\1veth99", live)
    named = re.sub(r"load:0x1c->NXM_NX_REG2\[\],", "", named)
    ports = (
        "OFPST_PORT_DESC reply (OF1.3) (xid=0x3):\n"
        " 28(veth99): addr:96:1c:47:a4:9f:70\n     config:     0\n"
    )

    result = importer({"oc-04/flows": named, "oc-04/ovs-show": ports})

    pods = {str(pod.ip): pod.ofport for pod in result.cluster.pods}
    assert pods["10.131.0.16"] == 28


def test_ovsdb_tells_ports_and_pods_too(importer: Importer, live: str) -> None:
    records = (
        "_uuid               : 2582cd40-e2c9-40a2-9927-eb5aa21be567\n"
        'external_ids        : {ip="10.131.0.16", sandbox="abc"}\n'
        'name                : "veth99"\nofport              : 28\n\n'
        "_uuid               : 3582cd40-e2c9-40a2-9927-eb5aa21be567\n"
        'external_ids        : {}\nname                : "tun0"\nofport : 2\n'
    )

    result = importer({"oc-04/flows": live, "oc-04/interfaces": records})

    assert result.node("oc-04").ports["veth99"] == 28


def test_a_line_that_was_cut_is_told_and_left_out(
    importer: Importer, live_lines: Sequence[str]
) -> None:
    cut = [
        *live_lines[:15],
        live_lines[15][:90],
        f"{live_lines[16][:-6]}(",
        *live_lines[17:],
    ]

    result = importer.text("\n".join(cut), "oc-04.flows")

    said = result.unread
    assert len(said) == 2
    assert "oc-04.flows:16: is no whole flow, and left out" in said[0]
    assert "oc-04.flows:17: is no whole flow, and left out" in said[1]
    assert result.node("oc-04").deviations["missing"] == 2


def test_many_broken_lines_are_told_in_few_words(
    importer: Importer, live_lines: Sequence[str]
) -> None:
    broken = [f"cookie=0x0, table={n}, priority" for n in range(500)]

    result = importer.text("\n".join([*live_lines, *broken]), "oc-04.flows")

    assert len(result.unread) == 6
    assert "has 495 more lines that are no flow" in result.unread[-1]


def test_a_trimmed_dump_says_what_it_lacks(
    importer: Importer, live_lines: Sequence[str]
) -> None:
    few = [
        line for line in live_lines if "table=4" not in line and "table=9" not in line
    ]

    result = importer.text("\n".join(few), "oc-04.flows")

    (said,) = result.said(Sort.MISSING, "flows of oc-04")
    assert "have nothing in tables 40, 90: the dump was trimmed" in said
    assert len(result.cluster.pods) == 2
    assert str(result.cluster.node("oc-04").subnet) == "10.131.0.0/23"


def test_two_nodes_one_after_the_other_are_two_dumps_without_any_heading(
    importer: Importer, dump: Dumper
) -> None:
    # Under ovs-networkpolicy the first flow of each names its own gateway.
    cluster = dump.shipped("networkpolicy").cluster
    one, other = (dump(cluster, node) for node in cluster.nodes[:2])
    bare = "".join(
        f"{line}\n" for line in (one + other).splitlines() if "reply" not in line
    )

    result = importer.text(bare)

    assert len(result.deviations) == 2
    assert set(result.deviations.values()) == {0}


def test_the_same_dump_twice_is_told_to_be_alike(importer: Importer, live: str) -> None:
    result = importer.text(live + live, "oc-04.flows")

    (said,) = (s for s in result.said(Sort.FOUND) if "are there twice" in s)
    assert "are there twice, and alike" in said
    assert agrees(result)


def test_of_two_runs_the_last_is_taken_and_the_difference_told(
    importer: Importer, live_lines: Sequence[str]
) -> None:
    before = [line for line in live_lines if "10.131.0.16" not in line]

    result = importer.text("\n".join([*before, *live_lines]), "oc-04.flows")

    (said,) = result.contradictions
    assert "are there twice: 4 are in the first named only, 0 in the other" in said
    assert "pasted" not in said
    assert "oc-04.flows:62" in said
    assert len(result.cluster.pods) == 2


def test_an_excerpt_beside_the_whole_is_not_taken_for_it(
    importer: Importer, live_lines: Sequence[str]
) -> None:
    excerpt = [line for line in live_lines if "10.131.0.16" in line]

    result = importer.text(
        "\n".join([*live_lines, "as here:", *excerpt]), "oc-04.flows"
    )

    node = result.node("oc-04")
    assert node.bridge
    assert node.bridge.facts.count == 65
    assert node.deviations == {"missing": 0, "changed": 0, "extra": 0}


def test_another_releases_flows_are_told(importer: Importer, live: str) -> None:
    result = importer.text(live.replace("note:00.07", "note:00.0B"))

    assert any(
        "table 253 notes version 11 of the flows; 3.11 has 7" in said
        for said in result.contradictions
    )


def test_without_the_note_the_plugin_is_told_by_the_other_flows(
    importer: Importer, dump: Dumper
) -> None:
    for name in ("four-node", "multitenant", "networkpolicy"):
        cluster = dump.shipped(name).cluster
        flows = dump(cluster, cluster.nodes[0])
        noteless = "".join(f"{it}\n" for it in flows.splitlines() if "note:" not in it)

        result = importer.text(noteless, f"{name}.flows")

        assert result.cluster.network.plugin is cluster.network.plugin


def test_flows_that_3_11_never_programs_are_told_by_their_lines(
    importer: Importer, live: str
) -> None:
    strange = "cookie=0x0, table=99, n_packets=0, priority=7,ip actions=drop\n"

    result = importer.text(live + strange, "oc-04.flows")

    said = result.said(Sort.CONTRADICTORY, "flows of oc-04")
    assert any("1 are none that 3.11 programs" in it and ":66" in it for it in said)


@pytest.mark.parametrize("char", ["\x0c", "\x1c", "\x85", "\u2028", "\x07"])
def test_a_flow_that_some_would_see_as_two_lines_is_none(
    char: str, importer: Importer, live_lines: Sequence[str]
) -> None:
    broken = live_lines[30].replace("priority", f"{char}priority")

    result = importer.text("\n".join([*live_lines, broken]), "oc-04.flows")

    assert result.unread == [
        said for said in result.unread if "holds control characters" in said
    ]
    assert result.deviations == {"oc-04": 0}


def test_hostile_numbers_in_flows_do_no_harm(importer: Importer, live: str) -> None:
    hostile = (
        f"cookie=0x0, table=20, priority=100,ip,in_port={'9' * 5000},nw_src=10.131.0.9 "
        "actions=load:0x1->NXM_NX_REG0[],goto_table:21\n"
        "cookie=0x0, table=60, priority=100,tcp,nw_dst=172.30.0.9,tp_dst=99999 "
        "actions=load:0xffffffffff->NXM_NX_REG1[],load:0x2->NXM_NX_REG2[],goto_table:80\n"
        "cookie=0x0, table=50, priority=100,arp,arp_tpa=10.9.9.9/99 actions=output:1\n"
    )

    result = importer.text(live + hostile, "oc-04.flows")

    assert len(node_flows(result.cluster, result.cluster.node("oc-04"))) >= 65
