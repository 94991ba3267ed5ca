"""Real switches are asked thousands of questions, and each gets its own answer."""

from __future__ import annotations

import os
import re
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testbed.errors import SwitchError
from testbed.openflow import OFPort
from testbed.ovs import Appctl, SwitchDaemons, start_dummy_switches
from testbed.ovs.trace import Question, Trace, TraceBridge, TracedSwitch, parse_trace
from testbed.pipeline import node_flows
from testbed.topology import load

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from testbed.model import Cluster, HostSubnet
    from testbed.ovs import DummySwitches, Switch

pytestmark = pytest.mark.switch

TOPOLOGIES = sorted((Path(__file__).parents[2] / "topologies").glob("*.yaml"))
DESTINATIONS = ("239.1.2.3", "198.51.100.10", "172.30.0.1", "10.128.0.1")
IS_REPLY = ("trk,est,rpl",) * 4
RESUMED = re.compile(
    r"\s+={79}\nrecirc\((?P<id>\S+)\) - resume conntrack with (?:default )?"
    r"ct_state=(?P<ct_state>\S+)(?: \(use --ct-next to customize\))?\n"
    r"(?:Replacing src/dst IP/ports to simulate NAT:\n.*\n.*\n)?={79}\n\n"
)


class Recorded(Appctl):
    """Keeps what ovs-vswitchd replied."""

    def __init__(self, control_socket: Path) -> None:
        super().__init__(control_socket)
        self.replies: list[str] = []

    def pipelined(
        self, command: str, argument_lists: Iterable[Sequence[str]]
    ) -> Iterator[str | SwitchError]:
        for reply in super().pipelined(command, argument_lists):
            self.replies.append(str(reply))
            yield reply


@dataclass(frozen=True, slots=True)
class Answers:
    """What OVS printed, and what a switch that had been asked the same before read."""

    printed: list[str] = field(default_factory=list)
    traces: list[Trace] = field(default_factory=list)


def questions(cluster: Cluster, node: HostSubnet) -> Iterator[Question]:
    """From each pod of the node, from tun0 and from tunnels, to everything."""
    pods = [pod for pod in cluster.pods if pod.ofport]
    destinations = [*DESTINATIONS, *(str(pod.ip) for pod in pods)]
    for pod in pods:
        if pod.node == node.name:
            origin = f"in_port={pod.ofport}"
        else:
            peer = cluster.node(pod.node).host_ip
            origin = f"in_port=1,tun_src={peer},tun_id={cluster.vnid(pod.namespace)}"
        macs = f"dl_src={pod.mac},arp_sha={pod.mac}"
        for ip in destinations:
            packet = f"{origin},tcp,nw_src={pod.ip},nw_dst={ip},tcp_dst=80"
            yield Question(packet)
            yield Question(packet, IS_REPLY)
            yield Question(f"{origin},arp,arp_spa={pod.ip},arp_tpa={ip},{macs}")
            yield Question(f"in_port=2,icmp,nw_src={node.gateway},nw_dst={ip}")


@pytest.fixture(scope="module", params=TOPOLOGIES, ids=lambda path: path.stem)
def answers(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Answers:
    """Of two nodes of a shipped topology."""
    cluster = load(request.param).cluster
    found = Answers()
    with start_dummy_switches(
        tmp_path_factory.mktemp("ovs"),
        bridges=len(cluster.nodes),
        ofports=sorted({*OFPort, *(pod.ofport for pod in cluster.pods if pod.ofport)}),
    ) as started:
        flows = {node.name: node_flows(cluster, node) for node in cluster.nodes}
        switches = started.program(flows)
        path = SwitchDaemons(run_dir=started.run_dir).control_socket
        for node in cluster.nodes[:2]:
            with Recorded(path) as appctl:
                switch = TracedSwitch(appctl, switches[node.name].bridge)
                assert len(list(switch.ask(questions(cluster, node)))) > 50
                appctl.replies.clear()
                for answer in switch.ask(questions(cluster, node)):
                    assert isinstance(answer, Trace)
                    found.traces.append(answer)
                found.printed.extend(appctl.replies)
    return found


def test_a_switch_answers_what_parse_trace_reads(answers: Answers) -> None:
    for printed, trace in zip(answers.printed, answers.traces, strict=True):
        read = parse_trace(printed)

        assert trace == read
        assert trace.outputs == read.outputs
        assert trace.dropped_by == read.dropped_by


def printed_as(bridge: TraceBridge) -> str:
    """A bridge part as OVS prints it."""
    lines = [f"Flow: {bridge.flow}", "", f'bridge("{bridge.name}")', "-------------"]
    if bridge.recirculation:
        lines += ["    thaw", f"        Resuming from table {bridge.steps[0].table}"]
    for step in bridge.steps:
        flow = [",".join(step.match)] if step.match else []
        flow += [f"priority {step.priority}"]
        flow += [f"cookie {step.cookie:#x}"] if step.cookie else []
        is_miss = step.priority is None
        lines.append(f"{step.table:2}. {'No match.' if is_miss else ', '.join(flow)}")
        for action in step.actions:
            lines.append(f"    {action.text}")
            lines += [f"    {action.nested}"] if action.nested else []
            lines += [f"     {detail}" for detail in action.details]
    lines += [
        "",
        f"Final flow: {bridge.final_flow}",
        f"Megaflow: {bridge.megaflow}",
        f"Datapath actions: {bridge.datapath_actions}",
    ]
    return "\n".join(lines)


def test_a_trace_has_every_line_that_ovs_printed(answers: Answers) -> None:
    for printed, trace in zip(answers.printed, answers.traces, strict=True):
        rest = printed
        for bridge in trace.bridges:
            before, found, rest = rest.partition(printed_as(bridge))
            assert found, printed
            if bridge.recirculation:
                resumed = RESUMED.fullmatch(before)
                assert resumed, before
                assert int(resumed["id"], 16) == bridge.recirculation
                assert set(resumed["ct_state"].split("|")) == bridge.ct_state
            else:
                assert not before
        assert not rest.strip()


def packets(number: int) -> list[Question]:
    return [Question(f"in_port=3,tcp,tcp_dst={port}") for port in range(number)]


def test_each_answer_is_its_own_questions(appctl: Appctl) -> None:
    switch = TracedSwitch(appctl)

    for port, answer in enumerate(switch.ask(packets(2000))):
        assert isinstance(answer, Trace)
        assert f"tp_dst={port}," in answer.bridges[0].flow


def test_a_question_that_ovs_cannot_read_is_that_ones_error(appctl: Appctl) -> None:
    wrong = [Question("no_such_field=1"), Question("in_port=3", ct_states=("trk,wat",))]

    first, text, state, last = TracedSwitch(appctl).ask(
        [packets(1)[0], *wrong, packets(1)[0]]
    )

    assert isinstance(first, Trace)
    assert isinstance(text, SwitchError)
    assert "no_such_field" in str(text)
    assert isinstance(state, SwitchError)
    assert "wat" in str(state)
    assert first == last


def test_an_unknown_bridge_is_each_questions_error(appctl: Appctl) -> None:
    for answer in TracedSwitch(appctl, "br7").ask(packets(3)):
        assert isinstance(answer, SwitchError)
        assert "br7" in str(answer)


def test_one_connection_asks_and_commands_in_turns(appctl: Appctl) -> None:
    answers = TracedSwitch(appctl).ask(packets(1000))
    next(answers)

    assert appctl("version").startswith("ovs-vswitchd")
    for port, answer in enumerate(answers, start=1):
        assert isinstance(answer, Trace)
        assert f"tp_dst={port}," in answer.bridges[0].flow


def test_large_frames_do_not_clog_the_connection(appctl: Appctl) -> None:
    frame = bytes(12) + b"\x88\xb5" + bytes(60_000)

    answers = list(TracedSwitch(appctl).ask([Question("in_port=3", frame=frame)] * 300))

    assert len(answers) == 300
    assert all(isinstance(answer, Trace) for answer in answers)


def test_a_switch_that_dies_is_an_error_and_no_wait(
    br0: Switch, appctl: Appctl
) -> None:
    answers = TracedSwitch(appctl).ask(packets(5000))
    next(answers)

    os.kill(SwitchDaemons(run_dir=br0.run_dir).vswitchd_pid, signal.SIGKILL)

    with pytest.raises(SwitchError, match=r"ofproto/trace on .*ctl"):
        list(answers)


def test_two_switches_of_one_daemon_answer_in_turns(
    tmp_path: Path, four_nodes: Cluster
) -> None:
    with start_dummy_switches(tmp_path, bridges=2, ofports=(1, 2, 3, 28)) as started:
        one, other = in_turns(started, four_nodes)

    assert [answer.bridges[0].name for answer in one] == ["br0"] * 1000
    assert [answer.bridges[0].name for answer in other] == ["br1"] * 1000


def in_turns(
    started: DummySwitches, cluster: Cluster
) -> tuple[list[Trace], list[Trace]]:
    """The answers of two bridges, taken one of each at a time."""
    nodes = [
        node for node in cluster.nodes if node.name in ("oc-03.test", "oc-04.test")
    ]
    switches = started.program({n.name: node_flows(cluster, n) for n in nodes})
    streams = [switch.ask(packets(1000)) for switch in switches.values()]
    found: tuple[list[Trace], list[Trace]] = ([], [])
    for pair in zip(*streams, strict=True):
        for answers, answer in zip(found, pair, strict=True):
            assert isinstance(answer, Trace)
            answers.append(answer)
    return found
