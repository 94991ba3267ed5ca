"""Traces a second, beside what else can ask ovs-vswitchd, in the same run.

A packet is traced through one node, or followed over the tunnel to another node; each
has ports of its own. The peers ask one packet after the other: a forked ``ovs-appctl``,
and the ``ovs`` package's client. They are followed by the same journeys, read by
``parse_trace``. All take turns; the figures are medians.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from itertools import count, cycle, islice, permutations
from pathlib import Path
from typing import TYPE_CHECKING

from ovs.unixctl.client import UnixctlClient
from rich.console import Console
from rich.table import Table

from testbed.openflow import OFPort
from testbed.ovs import DummySwitches, SwitchDaemons, start_dummy_switches
from testbed.ovs.trace import Question, Trace, TracedSwitch, parse_trace
from testbed.pipeline import node_flows
from testbed.topology import load
from testbed.topology.shipped import shipped
from testbed.tracing.waves import run

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Mapping

    from testbed.model import Cluster, HostSubnet, Pod
    from testbed.tracing.waves import Askable

    Journey = Generator[tuple[str, Question], Trace, int]

TOPOLOGIES = ("ten-node.yaml", "networkpolicy.yaml")
FORKED = 200
"""Packets for the peer that forks; a hundredth of ours takes it as long."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Switches:
    """A cluster's bridges, and the daemons that hold them."""

    traced: Mapping[str, TracedSwitch]
    daemons: Mapping[str, DummySwitches]

    def cpu(self) -> float:
        """Seconds that ovs-vswitchd has used, all threads of all daemons."""
        return sum(map(cpu_of, {item.run_dir for item in self.daemons.values()}))

    def control_socket(self, node: str) -> Path:
        """Where to ask a node's ovs-vswitchd."""
        return SwitchDaemons(run_dir=self.daemons[node].run_dir).control_socket


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One run of one asker: packets a second, and what each packet cost.

    ``daemon`` and ``asker`` are CPU seconds for a packet.
    """

    rate: float
    daemon: float
    asker: float


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--packets", type=int, default=20_000, help="of ours, a run")
    options = parser.parse_args()
    for name in TOPOLOGIES:
        Console(width=110).print(table(name, options.runs, options.packets))
    return 0


def table(name: str, runs: int, packets: int) -> Table:
    """What a shipped topology's traces take."""
    found = Table(title=f"{name}: packets a second, median of {runs}")
    found.add_column("what")
    for column in ("testbed", "ovs client", "ovs-appctl", "to client", "to appctl"):
        found.add_column(column, justify="right")
    found.add_column("ovs-vswitchd / testbed", justify="right")
    cluster = load(shipped(name)).cluster
    rows: dict[str, tuple[Callable[[Cluster], Iterator[Journey]], bool]] = {
        "through one node": (local, False),
        "over two nodes": (remote, False),
        "over two nodes, a daemon each": (remote, True),
    }
    for row, (journeys, is_apart) in rows.items():
        with started(cluster, is_apart=is_apart) as switches:
            measured = [
                taking_turns(switches, partial(journeys, cluster), packets)
                for _ in range(runs)
            ]
        ours, client, forked = (
            statistics.median(turn[index].rate for turn in measured)
            for index in range(3)
        )
        daemon = statistics.median(turn[0].daemon for turn in measured)
        asker = statistics.median(turn[0].asker for turn in measured)
        found.add_row(
            row,
            f"{ours:,.0f}",
            f"{client:,.0f}",
            f"{forked:,.0f}",
            f"{ours / client:.0f} x",
            f"{ours / forked:.0f} x",
            f"{daemon * 1e6:.0f} µs / {asker * 1e6:.0f} µs",
        )
    return found


@contextlib.contextmanager
def started(cluster: Cluster, *, is_apart: bool) -> Iterator[Switches]:
    """All nodes' bridges, in one ovs-vswitchd or each in its own, as on real nodes."""
    flows = {node.name: list(node_flows(cluster, node)) for node in cluster.nodes}
    groups = [[name] for name in flows] if is_apart else [list(flows)]
    traced: dict[str, TracedSwitch] = {}
    daemons: dict[str, DummySwitches] = {}
    with contextlib.ExitStack() as stack:
        for names in groups:
            here = stack.enter_context(
                start_dummy_switches(
                    Path(stack.enter_context(tempfile.TemporaryDirectory())),
                    bridges=len(names),
                    ofports=sorted(ofports(cluster, names)),
                )
            )
            traced |= here.program({name: flows[name] for name in names})
            daemons |= dict.fromkeys(names, here)
        yield Switches(traced=traced, daemons=daemons)


def ofports(cluster: Cluster, names: list[str]) -> set[int]:
    """The ports that any of these nodes has."""
    pods = [pod for pod in cluster.pods if pod.node in names]
    return {*OFPort, *(pod.ofport for pod in pods if pod.ofport)}


def local(cluster: Cluster) -> Iterator[Journey]:
    """Packets among the pods of the first node."""
    (node, *_) = cluster.nodes
    pods = [pod for pod in cluster.pods_on(node) if pod.ofport]
    for number, (sender, receiver) in zip(count(), cycle(permutations(pods, 2))):
        yield through_one(node, sender, tcp(sender, receiver, number))


def remote(cluster: Cluster) -> Iterator[Journey]:
    """Packets from pods of the first node to pods of the second, and back."""
    first, second, *_ = cluster.nodes
    pods = [
        pod for node in (first, second) for pod in cluster.pods_on(node) if pod.ofport
    ]
    pairs = [(a, b) for a, b in permutations(pods, 2) if a.node != b.node]
    for number, (sender, receiver) in zip(count(), cycle(pairs)):
        yield over_two(cluster, sender, tcp(sender, receiver, number))


def tcp(sender: Pod, receiver: Pod, number: int) -> str:
    """A packet with ports that no other has."""
    dport, sport = divmod(number, 60_000)
    return (
        f"tcp,nw_src={sender.ip},nw_dst={receiver.ip},"
        f"tcp_src={sport + 1024},tcp_dst={dport + 80}"
    )


def through_one(node: HostSubnet, sender: Pod, packet: str) -> Journey:
    """Ask one node."""
    trace = yield node.name, Question(f"in_port={sender.ofport},{packet}")
    return len(trace.outputs)


def over_two(cluster: Cluster, sender: Pod, packet: str) -> Journey:
    """Ask the sender's node, then the one that the tunnel leads to."""
    node = cluster.node(sender.node)
    trace = yield node.name, Question(f"in_port={sender.ofport},{packet}")
    (output,) = trace.outputs
    peer = next(item for item in cluster.nodes if item.host_ip == output.tun_dst)
    origin = f"in_port={OFPort.VXLAN0:d},tun_src={node.host_ip},tun_id={output.tun_id}"
    trace = yield peer.name, Question(f"{origin},{packet}")
    return len(trace.outputs)


def taking_turns(
    switches: Switches, journeys: Callable[[], Iterator[Journey]], packets: int
) -> tuple[Measured, Measured, Measured]:
    """Ours, the ovs package's client, ovs-appctl."""
    names = list(switches.traced)
    clients = {name: ClientSwitch(switches, name) for name in names}
    forked = {name: ForkedSwitch(switches, name) for name in names}
    return (
        measure(switches, journeys(), switches.traced, packets),
        measure(switches, journeys(), clients, packets // 20),
        measure(switches, journeys(), forked, min(FORKED, packets)),
    )


def measure(
    switches: Switches,
    journeys: Iterator[Journey],
    askables: Mapping[str, Askable],
    packets: int,
) -> Measured:
    """Follow this many packets; all must get an answer."""
    daemon, asker, start = switches.cpu(), time.process_time(), time.monotonic()
    ended = run(islice(journeys, packets), askables)
    seconds = time.monotonic() - start
    if len(ended) != packets:
        sys.exit(f"{len(ended)} of {packets} packets were traced")
    return Measured(
        rate=packets / seconds,
        daemon=(switches.cpu() - daemon) / packets,
        asker=(time.process_time() - asker) / packets,
    )


class ClientSwitch:
    """A bridge asked by the ``ovs`` package, which waits for each answer."""

    def __init__(self, switches: Switches, node: str) -> None:
        self._bridge = switches.traced[node].bridge
        error, self._client = UnixctlClient.create(str(switches.control_socket(node)))
        if error:
            sys.exit(os.strerror(error))

    def ask(self, questions: Iterable[Question]) -> Iterator[Trace]:
        """Trace one after the other."""
        for question in questions:
            arguments = [self._bridge, question.packet]
            _, _, result = self._client.transact("ofproto/trace", arguments)
            yield parse_trace(result)


class ForkedSwitch:
    """A bridge asked by ``ovs-appctl``, a process for each packet."""

    def __init__(self, switches: Switches, node: str) -> None:
        socket = switches.control_socket(node)
        bridge = switches.traced[node].bridge
        self._argv = ["ovs-appctl", f"--target={socket}", "ofproto/trace", bridge]

    def ask(self, questions: Iterable[Question]) -> Iterator[Trace]:
        """Trace one after the other."""
        for question in questions:
            argv = [*self._argv, question.packet]
            done = subprocess.run(argv, capture_output=True, text=True, check=True)
            yield parse_trace(done.stdout)


def cpu_of(run_dir: Path) -> float:
    """Seconds of CPU that an ovs-vswitchd has used: utime and stime of proc(5)."""
    pid = SwitchDaemons(run_dir=run_dir).vswitchd_pid
    _, _, fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
    utime, stime = fields.split()[11:13]
    return (int(utime) + int(stime)) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    sys.exit(main())
