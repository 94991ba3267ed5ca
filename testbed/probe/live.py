"""A running cluster as a scenario author sees it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from testbed.emulation import machines
from testbed.emulation.changes import change_cluster
from testbed.faults import ledger
from testbed.ovs import Counters
from testbed.patience import patience
from testbed.probe.connections import Connections
from testbed.probe.inventory import Inventory
from testbed.probe.packets import marked
from testbed.probe.places import Node, Place, Places
from testbed.probe.recorder import Recorder, Tap
from testbed.probe.sent import Sent
from testbed.probe.standing_faults import StandingFaults
from testbed.probe.tally import Tally
from testbed.probe.traffic import traffic_between, transport_of
from testbed.probe.witnesses import verdict, verdicts
from testbed.tracing import computed_origins

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from ipaddress import IPv4Address

    from scapy.packet import Packet

    from testbed import model
    from testbed.emulation.programming import Fault
    from testbed.openflow import Flow, Table
    from testbed.ovs import Appctl
    from testbed.probe.claims import Claim
    from testbed.probe.traffic import Receiver
    from testbed.topology import Topology
    from testbed.tracing import Origins
    from testbed.verdict import Verdict

_SCENARIO = "scenario"
"""What problems with objects that a scenario applies are told of."""


class LiveCluster(Inventory):
    """The places of a running cluster, and packets between them.

    Made by ``LiveCluster.attach``; not to be shared between threads.

    Attributes:
        recorder: what its taps have seen.
        sent: what the scenario has sent, controls included.
        claims: what it claimed of that.
        verdicts: what its questions (``probe``) were answered.
        became: what the cluster has been since the scenario began, the latest last.
        patience: seconds a delivered packet may take; a loaded machine is slow, but
            never as slow as that.
        before_change: called before each change, which takes counters away.
    """

    def __init__(
        self,
        topology: Topology,
        places: Places,
        recorder: Recorder,
        connections: Connections,
        standing: StandingFaults,
    ) -> None:
        super().__init__(topology, places)
        self.recorder = recorder
        self.patience = patience(3.0)
        self.connections = connections
        self._built = topology
        self._standing = standing
        self._origins: tuple[Topology, Origins] | None = None
        self.before_change: list[Callable[[], None]] = []
        self.sent: list[Sent] = []
        self.claims: list[Claim] = []
        self.verdicts: list[Verdict] = []
        self.became = [topology]
        begin = {
            name: Counters.read(appctl) for name, appctl in connections.answering()
        }
        self._tally = Tally(self.read_counters, begin)

    @classmethod
    @contextlib.contextmanager
    def attach(cls, topology: Topology) -> Iterator[LiveCluster]:
        """Open every tap of the cluster that runs in this sandbox.

        A node whose ovs-vswitchd is dead or hangs is no hindrance to look at others.

        Args:
            topology: what it was built from.

        Raises:
            EmulationError: no cluster runs here.
        """
        running = {machine.name: machine for machine in machines.load()}
        with contextlib.ExitStack() as stack:
            places = Places.open(topology.cluster, running)
            recorder = stack.enter_context(Recorder(places.taps))
            run_dirs = {node.name: node.switch.run_dir for node in places.nodes}
            connections = stack.enter_context(Connections(run_dirs))
            standing = StandingFaults(ledger.standing())
            yield cls(topology, places, recorder, connections, standing)

    @property
    def datapath(self) -> str:
        """Who forwards its packets: ``system`` or ``netdev``."""
        return machines.load_datapath()

    @property
    def ovs_version(self) -> str:
        """Open vSwitch's version, as a node's ovs-vswitchd tells it.

        Raises:
            SwitchError: it does not answer.
        """
        said = self.appctl(self.nodes[0])("version")
        return said.splitlines()[0].rpartition(" ")[2]

    def appctl(self, node: Node) -> Appctl:
        """The control connection to a node's ovs-vswitchd.

        Raises:
            SwitchError: it is dead, or hangs.
        """
        return self.connections.of(node.name)

    def apply(self, text: str) -> None:
        """Apply API objects, as ``oc apply`` would: they replace and add.

        Flows that stay keep their counters; what scenarios count begins anew.

        Raises:
            TopologyError: they are none, or the result is no possible cluster.
            EmulationError: it takes a fresh build.
        """
        self.become(self.topology.applied(text, _SCENARIO))

    def delete(self, text: str) -> None:
        """Delete API objects, of which only kind and name matter.

        Raises:
            TopologyError: one is not there, or the rest is no possible cluster.
            EmulationError: it takes a fresh build.
        """
        self.become(self.topology.deleted(text, _SCENARIO))

    @contextlib.contextmanager
    def applied(self, text: str) -> Iterator[None]:
        """Have these API objects applied for the length of a ``with`` block."""
        before = self.topology
        self.apply(text)
        try:
            yield
        finally:
            self.become(before)

    def restore(self) -> None:
        """Make it again what it was built as, without the faults injected since.

        Those of a block that has not ended (``broken``) stay until it has.
        """
        for fault in tuple(self._standing.loose()):
            self.clear(fault)
        self.become(self._built)

    def keep(self) -> None:
        """Have what is wrong with it now stay, whatever is restored."""
        self._standing.keep()

    def become(self, topology: Topology) -> None:
        """Make it another cluster with the same nodes."""
        if topology is self.topology:
            return
        self._before_change()
        change_cluster(self.objects, topology.cluster, faults=self.faults)
        had = self.places.taps
        running = {machine.name: machine for machine in machines.load()}
        places = Places.open(topology.cluster, running, already=had)
        has = places.taps
        self.recorder.forget(tap for tap in had if tap not in has)
        self.recorder.watch(tap for tap in has if tap not in had)
        self.topology, self.places = topology, places
        self.became.append(topology)
        self._tally.after_change()

    @property
    def faults(self) -> tuple[Fault, ...]:
        """What is wrong with it on purpose, in the order in which it came."""
        return self._standing.faults

    @property
    def suffered(self) -> tuple[Fault, ...]:
        """What was wrong with it on purpose since the scenario began."""
        return tuple(self._standing.suffered)

    @contextlib.contextmanager
    def broken(self, fault: Fault) -> Iterator[None]:
        """Have a fault in one node for a ``with`` block, whatever is applied in it.

        Blocks nest. After the block the cluster is what it was before it, and the node
        is programmed as it should be, but for the faults of blocks around it.

        Raises:
            NotFoundError: the cluster lacks what the fault is about.
            PrerequisiteError: this machine's kernel cannot do it.
            FlowRejectedError, CommandError: the node does not take the fault.
        """
        before = self.topology
        with self._recounting():
            injected = self._standing.inject(self.objects, fault)
        try:
            yield
        finally:
            self.clear(injected)
            self.become(before)

    def inject(self, fault: Fault) -> Fault:
        """Have a fault in one node until it is cleared, or the scenario has ended.

        Returns:
            The same with all names in full, for ``clear``.

        Raises:
            NotFoundError: the cluster lacks what the fault is about.
            EmulationError: it is there already.
            PrerequisiteError: this machine's kernel cannot do it.
            FlowRejectedError, CommandError, SwitchError: the node does not take it.
        """
        with self._recounting():
            return self._standing.inject(self.objects, fault, loose=True)

    def clear(self, fault: Fault) -> None:
        """Undo what a fault has done, exactly; other faults stay.

        Raises:
            NotFoundError: it is not there.
        """
        with self._recounting():
            self._standing.clear(self.objects, fault)

    def _before_change(self) -> None:
        """Keep what was counted, before a change that takes counters away."""
        self._tally.before_change()
        for look in self.before_change:
            look()

    @contextlib.contextmanager
    def _recounting(self) -> Iterator[None]:
        """Have faults come and go; then count anew, by connections to what runs now."""
        self._before_change()
        yield
        self.connections.forget(self._standing.deaf)
        self._tally.after_change()

    def send(
        self, sender: Place | Tap, packet: Packet, *, control: bool = False
    ) -> Sent:
        """Send a packet, from its Ethernet header on, out of a place's interface.

        Sixteen random bytes are added to its end, to know it again by.

        Args:
            sender: the place, or the tap.
            packet: the whole frame.
            control: whether it only proves the way open, for a claim about another.
        """
        tap = sender if isinstance(sender, Tap) else sender.tap
        complete, mark = marked(packet)
        sent = Sent(
            cluster=self,
            sender=tap,
            unmarked=packet,
            mark=mark,
            before=self.read_counters(),
            control=control,
        )
        self.sent.append(sent)
        self.recorder.send(tap, bytes(complete))
        return sent

    def probe(  # noqa: PLR0913 - one of them is given
        self,
        sender: Place,
        receiver: Receiver,
        *,
        arp: bool = False,
        udp: int | None = None,
        tcp: int | None = None,
        sctp: int | None = None,
    ) -> Verdict:
        """Ask all three witnesses what becomes of a packet; ICMP unless said otherwise.

        A scenario asserts what it needs of the answer, as in ``assert
        cluster.probe(a, b, udp=53).delivered``; where that fails, the whole explanation
        is told.
        """
        transport, dport = transport_of(arp=arp, udp=udp, tcp=tcp, sctp=sctp)
        traffic = traffic_between(self.objects, sender, receiver, transport, dport)
        found = verdict(self, traffic)
        self.verdicts.append(found)
        return found

    def probe_all(self, traffics: Sequence[model.Traffic]) -> list[Verdict]:
        """Ask all three about many packets at once; thousands take a second."""
        found = verdicts(self, traffics)
        self.verdicts += found
        return found

    @property
    def origins(self) -> Origins:
        """Which object each flow follows from that the SDN would program."""
        if self._origins is None or self._origins[0] is not self.topology:
            self._origins = self.topology, computed_origins(self.objects)
        return self._origins[1]

    @contextlib.contextmanager
    def routed(self, ip: IPv4Address, via: Node) -> Iterator[None]:
        """Have the gateway lead an address to a node for the length of a block.

        As routers and load balancers do for external IPs and a balancer's addresses.
        """
        route = f"{ip}/32 via {via.ip}\n"
        self._gateway.configure_links(f"route add {route}")
        try:
            yield
        finally:
            self._gateway.configure_links(f"route del {route}")

    def read_counters(self) -> dict[str, Counters]:
        """What every flow of every node has counted up to now.

        Nodes that are deaf on purpose (``broken``) are left out.

        Raises:
            SwitchError: another one's ovs-vswitchd is dead, or hangs.
        """
        deaf = self._standing.deaf
        return {
            node.name: Counters.read(self.connections.of(node.name))
            for node in self.nodes
            if node.name not in deaf
        }

    def hits(self, node: Node, table: Table, flow: str) -> int:
        """How many packets have hit a flow since the scenario, or its last change.

        Args:
            node: whose br0 it is.
            table: the flow's table.
            flow: its priority and match, as ``ovs-ofctl dump-flows`` has them.

        Raises:
            NotFoundError: the node has no such flow.
        """
        return self._tally.hits_of(node.name, table, flow)

    @property
    def _gateway(self) -> machines.Machine:
        return next(m for m in machines.load() if m.kind is machines.Kind.GATEWAY)

    def flows_hit(self) -> list[tuple[str, Flow, int]]:
        """The flows hit since the scenario began, on which node and how often.

        Also those that a change took away since.
        """
        hits = self._tally.hits()
        return [(node, flow, times) for (node, flow), times in hits.items()]

    def start_scenario(self) -> None:
        """Forget what earlier scenarios sent, saw and counted."""
        self.connections.forget()
        self.verdicts.clear()
        self._standing.suffered.clear()
        self.sent.clear()
        self.claims.clear()
        self.became = [self.topology]
        self.recorder.clear()
        self._tally.begin()
