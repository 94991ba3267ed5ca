"""A running cluster as a scenario author sees it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, TypeVar

from testbed.emulation import machines
from testbed.emulation.changes import change_cluster
from testbed.errors import NotFoundError
from testbed.ovs import Appctl, Counters, SwitchDaemons
from testbed.pipeline import node_flows
from testbed.probe.packets import marked
from testbed.probe.places import Host, Node, Place, Places, Pod
from testbed.probe.recorder import Recorder, Tap
from testbed.probe.sent import Sent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from ipaddress import IPv4Address

    from scapy.packet import Packet

    from testbed import model
    from testbed.openflow import Flow, Table
    from testbed.topology import Topology

_SCENARIO = "scenario"
"""What problems with objects that a scenario applies are told of."""

_PlaceT = TypeVar("_PlaceT", bound=Place)


class LiveCluster:
    """The places of a running cluster, and packets between them.

    Made by ``LiveCluster.attach``; not to be shared between threads.

    Attributes:
        topology: what the cluster is now, after all changes.
        objects: the same as OpenShift objects.
        places: its places, with ``nodes``, ``pods``, ``external_hosts`` and
            ``rogues`` in the objects' order.
        recorder: what its taps have seen.
        patience: seconds a delivered packet may take; a loaded machine is slow, but
            never as slow as that.
    """

    def __init__(
        self,
        topology: Topology,
        places: Places,
        recorder: Recorder,
        appctls: Mapping[str, Appctl],
    ) -> None:
        self.topology = topology
        self.places = places
        self.recorder = recorder
        self.patience = 3.0
        self._appctls = appctls
        self._built = topology
        self._missing: tuple[Node, Flow] | None = None
        self.sent: list[Sent] = []
        self._hit_before: dict[tuple[str, Flow], int] = {}
        self.baseline = self.read_counters()

    @classmethod
    @contextlib.contextmanager
    def attach(cls, topology: Topology) -> Iterator[LiveCluster]:
        """Open every tap of the cluster that runs in this sandbox.

        Args:
            topology: what it was built from.

        Raises:
            EmulationError: no cluster runs here.
        """
        running = {machine.name: machine for machine in machines.load()}
        with contextlib.ExitStack() as stack:
            places = Places.open(topology.cluster, running)
            recorder = stack.enter_context(Recorder(places.taps))
            appctls = {
                node.name: stack.enter_context(
                    Appctl(SwitchDaemons(run_dir=node.switch.run_dir).control_socket)
                )
                for node in places.nodes
            }
            yield cls(topology, places, recorder, appctls)

    @property
    def objects(self) -> model.Cluster:
        """The OpenShift objects that the cluster consists of."""
        return self.topology.cluster

    @property
    def datapath(self) -> str:
        """Who forwards its packets: ``system`` or ``netdev``."""
        return machines.load_datapath()

    @property
    def nodes(self) -> tuple[Node, ...]:
        """Its nodes."""
        return self.places.nodes

    @property
    def pods(self) -> tuple[Pod, ...]:
        """Its pods, but for those on the host network."""
        return self.places.pods

    @property
    def external_hosts(self) -> tuple[Host, ...]:
        """The machines behind its gateway."""
        return self.places.external_hosts

    @property
    def rogues(self) -> tuple[Host, ...]:
        """The strangers among its nodes."""
        return self.places.rogues

    @property
    def ghosts(self) -> tuple[Host, ...]:
        """The machines that have a HostSubnet and run no SDN."""
        return self.places.ghosts

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
        """Make it again what it was built as."""
        self.become(self._built)

    def become(self, topology: Topology) -> None:
        """Make it another cluster with the same nodes."""
        if topology is self.topology:
            return
        self._hit_before = self._hit()
        change_cluster(self.objects, topology.cluster)
        had = self.places.taps
        running = {machine.name: machine for machine in machines.load()}
        places = Places.open(topology.cluster, running, already=had)
        has = places.taps
        self.recorder.forget(tap for tap in had if tap not in has)
        self.recorder.watch(tap for tap in has if tap not in had)
        self.topology, self.places = topology, places
        self._lose_what_is_missing()
        self.baseline = self.read_counters()

    @contextlib.contextmanager
    def without_flow(self, node: Node, flow: Flow) -> Iterator[None]:
        """Lack one flow for the length of a ``with`` block, whatever is applied in it.

        Before and after the block the cluster is what it was built as.
        """
        self.restore()
        self._missing = node, flow
        self._lose_what_is_missing()
        try:
            yield
        finally:
            self._missing = None
            self.restore()
            objects = self.objects
            node.switch.replace_flows(node_flows(objects, objects.node(node.name)))

    def node(self, name: str) -> Node:
        """The node of that name, or of that name's first label."""
        return _named(self.objects.node(name).name, self.nodes)

    def pod(self, key: str) -> Pod:
        """The pod ``namespace/name``; one on the host network has no place."""
        return _named(self.objects.pod(key).key, self.pods)

    def pods_on(self, node: Node | str) -> tuple[Pod, ...]:
        """A node's pods."""
        name = self.node(str(node)).name
        return tuple(pod for pod in self.pods if pod.node.name == name)

    def service(self, key: str) -> model.Service:
        """The service ``namespace/name``."""
        return self.objects.service(key)

    @property
    def external(self) -> Host:
        """The first external host."""
        return _first(self.external_hosts, "external host")

    @property
    def rogue(self) -> Host:
        """The first rogue VTEP."""
        return _first(self.rogues, "rogue")

    def unused_ip(self, node: Node) -> IPv4Address:
        """An address of a node's subnet that nobody has."""
        taken = {node.gateway, *(pod.ip for pod in self.pods)}
        return next(ip for ip in node.subnet.hosts() if ip not in taken)

    @property
    def unassigned_ip(self) -> IPv4Address:
        """An address of the cluster network in a subnet that no node has."""
        entry = self.objects.network.cluster_networks[0]
        subnets = entry.cidr.subnets(new_prefix=32 - entry.host_subnet_length)
        taken = [host.subnet for host in self.objects.host_subnets]
        return next(s[2] for s in subnets if not any(s.overlaps(t) for t in taken))

    def send(self, sender: Place | Tap, packet: Packet) -> Sent:
        """Send a packet, from its Ethernet header on, out of a place's interface.

        Sixteen random bytes are added to its end, to know it again by.
        """
        tap = sender if isinstance(sender, Tap) else sender.tap
        complete, mark = marked(packet)
        sent = Sent(
            cluster=self,
            sender=tap,
            unmarked=packet,
            mark=mark,
            before=self.read_counters(),
        )
        self.sent.append(sent)
        self.recorder.send(tap, bytes(complete))
        return sent

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
        """What every flow of every node has counted up to now."""
        return {name: Counters.read(appctl) for name, appctl in self._appctls.items()}

    def hits(self, node: Node, table: Table, flow: str) -> int:
        """How many packets have hit a flow since the scenario began.

        Args:
            node: whose br0 it is.
            table: the flow's table.
            flow: its priority and match, as ``ovs-ofctl dump-flows`` has them.

        Raises:
            NotFoundError: the node has no such flow.
        """
        key = (int(table), flow)
        now = self.read_counters()[node.name].dumped
        if key not in now:
            raise NotFoundError(f"{node} has no flow {flow} in table {table}")
        return now[key].n_packets - self.baseline[node.name].dumped[key].n_packets

    def _lose_what_is_missing(self) -> None:
        if self._missing:
            node, flow = self._missing
            node.switch.delete_flow(flow)

    @property
    def _gateway(self) -> machines.Machine:
        return next(m for m in machines.load() if m.kind is machines.Kind.GATEWAY)

    def flows_hit(self) -> list[tuple[str, Flow, int]]:
        """The flows hit since the scenario began, on which node and how often.

        Also those that a change took away since.
        """
        return [(node, flow, times) for (node, flow), times in self._hit().items()]

    def _hit(self) -> dict[tuple[str, Flow], int]:
        hit = dict(self._hit_before)
        for node, counters in self.read_counters().items():
            for flow, times in counters.since(self.baseline[node]):
                hit[node, flow] = hit.get((node, flow), 0) + times
        return hit

    def start_scenario(self) -> None:
        """Forget what earlier scenarios sent, saw and counted."""
        self._hit_before = {}
        self.sent.clear()
        self.recorder.clear()
        self.baseline = self.read_counters()


def _named(name: str, places: tuple[_PlaceT, ...]) -> _PlaceT:
    for place in places:
        if place.name == name:
            return place
    raise NotFoundError(f"{name} has no machine of its own; it is on the host network")


def _first(places: tuple[_PlaceT, ...], kind: str) -> _PlaceT:
    if not places:
        raise NotFoundError(f"the topology's Underlay has no {kind}")
    return places[0]
