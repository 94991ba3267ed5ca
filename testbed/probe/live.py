"""A running cluster as a scenario author sees it."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, TypeVar

from testbed.emulation import machines
from testbed.errors import NotFoundError
from testbed.ovs import Appctl, Counters, SwitchDaemons
from testbed.probe.packets import marked
from testbed.probe.places import Host, Node, Place, Places, Pod
from testbed.probe.recorder import Recorder, Tap
from testbed.probe.sent import Sent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from ipaddress import IPv4Address

    from scapy.packet import Packet

    from testbed import model
    from testbed.openflow import Table

_PlaceT = TypeVar("_PlaceT", bound=Place)


class LiveCluster:
    """The places of a running cluster, and packets between them.

    Made by ``LiveCluster.attach``; not to be shared between threads.

    Attributes:
        objects: the OpenShift objects the cluster was built from.
        places: its places, with ``nodes``, ``pods``, ``external_hosts`` and
            ``rogues`` in the objects' order.
        recorder: what its taps have seen.
        patience: seconds a delivered packet may take; a loaded machine is slow, but
            never as slow as that.
    """

    def __init__(
        self,
        objects: model.Cluster,
        places: Places,
        recorder: Recorder,
        appctls: Mapping[str, Appctl],
    ) -> None:
        self.objects = objects
        self.places = places
        self.nodes = places.nodes
        self.pods = places.pods
        self.external_hosts = places.external_hosts
        self.rogues = places.rogues
        self.recorder = recorder
        self.patience = 3.0
        self._appctls = appctls
        self.sent: list[Sent] = []
        self.baseline = self.read_counters()

    @classmethod
    @contextlib.contextmanager
    def attach(cls, objects: model.Cluster) -> Iterator[LiveCluster]:
        """Open every tap of the cluster that runs in this sandbox.

        Raises:
            EmulationError: no cluster runs here.
        """
        running = {machine.name: machine for machine in machines.load()}
        with contextlib.ExitStack() as stack:
            places = Places.open(objects, running)
            recorder = stack.enter_context(Recorder(places.taps))
            appctls = {
                node.name: stack.enter_context(
                    Appctl(SwitchDaemons(run_dir=node.switch.run_dir).control_socket)
                )
                for node in places.nodes
            }
            yield cls(objects, places, recorder, appctls)

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
        taken = [node.subnet for node in self.objects.host_subnets]
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

    def start_scenario(self) -> None:
        """Forget what earlier scenarios sent, saw and counted."""
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
