"""What a scenario has to show for itself: all that was sent, seen, claimed and counted.

Taken at one moment, and told from then on by others: ``story`` in words, ``capture`` in
a file, ``testbed.report`` on a page.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Protocol

from testbed.errors import EmulationError, SwitchError
from testbed.ovs.postmortem import DeadDaemon, dead_daemons
from testbed.probe.trails import Origin, Trail, trails

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from testbed.openflow import Flow
    from testbed.probe.claims import Claim
    from testbed.probe.live import LiveCluster
    from testbed.probe.places import Node, Places
    from testbed.probe.recorder import Sighting, Tap
    from testbed.probe.sent import Sent
    from testbed.topology import Topology

DISTRIBUTION = "openshift-sdn-testbed"

MOST_FRAMES = 2_000
"""Frames of a scenario that are put together to packets; captures have them all."""


class ToldVerdict(Protocol):
    """What three witnesses said of one packet, as far as it is passed on here."""

    @property
    def agrees(self) -> bool:
        """Whether the witnesses say the same."""

    @property
    def line(self) -> str:
        """The verdict in a line."""

    @property
    def paragraph(self) -> str:
        """The verdict and its reasons."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Versions:
    """What a run was made with."""

    testbed: str
    ovs: str
    kernel: str
    python: str

    @classmethod
    def read(cls, cluster: LiveCluster) -> Versions:
        """Ask a running cluster; what does not answer is unknown."""
        try:
            testbed = version(DISTRIBUTION)
        except PackageNotFoundError:
            testbed = "unknown"
        try:
            ovs = cluster.ovs_version
        except SwitchError:
            ovs = "unknown"
        return cls(
            testbed=testbed,
            ovs=ovs,
            kernel=platform.release(),
            python=platform.python_version(),
        )

    def __str__(self) -> str:
        return (
            f"testbed {self.testbed}, Open vSwitch {self.ovs}, Linux {self.kernel}, "
            f"Python {self.python}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """A flow that counted packets, and how many."""

    node: str
    flow: Flow
    n_packets: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """All of one scenario, up to the moment it was taken.

    Attributes:
        scenario: its name, as pytest has it.
        file: of the topology that the cluster was built from.
        topology: what the cluster was when the scenario began.
        became: what it has been since, by ``cluster.apply`` and the like.
        places: its places now.
        taps: where was listened; also at places that are gone, if frames were seen.
        datapath: ``system`` or ``netdev``.
        versions: of what took part.
        sent: what it sent, controls included.
        claims: what it claimed of that.
        verdicts: what three witnesses said.
        sightings: every frame at every tap, by time.
        lost: how many frames of each tap were not kept.
        hits: the flows that counted anything.
        unread: why ``hits`` could not be read, if so.
        dead: the daemons that should run and do not, by node.
    """

    scenario: str
    file: str
    topology: Topology
    became: tuple[Topology, ...]
    places: Places
    taps: tuple[Tap, ...]
    datapath: str
    versions: Versions
    sent: tuple[Sent, ...] = ()
    claims: tuple[Claim, ...] = ()
    verdicts: tuple[ToldVerdict, ...] = ()
    sightings: tuple[Sighting, ...] = ()
    lost: Mapping[Tap, int] = field(default_factory=dict)
    hits: tuple[Hit, ...] = ()
    unread: str = ""
    dead: tuple[tuple[str, DeadDaemon], ...] = ()

    @classmethod
    def take(
        cls,
        cluster: LiveCluster,
        scenario: str,
        *,
        file: str = "",
        counted: bool = True,
    ) -> Evidence:
        """Take it from a cluster, whatever state that is in.

        Args:
            cluster: the scenario's.
            scenario: its name.
            file: of the topology.
            counted: whether to read which flows were hit, which takes longest.
        """
        hits: tuple[Hit, ...] = ()
        unread = ""
        try:
            cluster.recorder.settle()
            hits = tuple(
                Hit(node=node, flow=flow, n_packets=n_packets)
                for node, flow, n_packets in (cluster.flows_hit() if counted else ())
            )
        except (EmulationError, SwitchError) as error:
            unread = str(error)
        sightings = cluster.recorder.sightings()
        gone = dict.fromkeys(seen.tap for seen in sightings)
        return cls(
            scenario=scenario,
            file=file,
            topology=cluster.became[0],
            became=tuple(cluster.became),
            places=cluster.places,
            taps=tuple(dict.fromkeys([*cluster.places.taps, *gone])),
            datapath=cluster.datapath,
            versions=Versions.read(cluster),
            sent=tuple(cluster.sent),
            claims=tuple(cluster.claims),
            verdicts=tuple(cluster.verdicts),
            sightings=sightings,
            lost=cluster.recorder.lost(),
            hits=hits,
            unread=unread,
            dead=tuple(_dead(cluster.nodes)),
        )

    @property
    def plugin(self) -> str:
        """The SDN plugin in short: ``subnet``, ``multitenant`` or ``networkpolicy``."""
        return self.topology.cluster.network.plugin.rpartition("-ovs-")[2]

    @property
    def vxlan_port(self) -> int:
        """The UDP port of the cluster's tunnels."""
        return self.topology.cluster.network.vxlan_port

    @property
    def marks(self) -> dict[bytes, Origin]:
        """By what the packets are known that were sent on purpose, and why."""
        return {
            sent.mark: Origin.CONTROL if sent.control else Origin.SCENARIO
            for sent in self.sent
        }

    def trails(self) -> tuple[list[Trail], int]:
        """Its packets, in the order they were sent; and how many frames are left out.

        Those sent on purpose are all there, and as many frames of the kernels' own as
        ``MOST_FRAMES`` allows.
        """
        marks = self.marks
        room = MOST_FRAMES
        looked_at = []
        for seen in self.sightings:
            if not any(mark in seen.frame for mark in marks):
                room -= 1
                if room < 0:
                    continue
            looked_at.append(seen)
        return trails(looked_at, marks, vxlan_port=self.vxlan_port), max(-room, 0)


def telling(
    verdicts: Sequence[ToldVerdict], most: int
) -> tuple[list[ToldVerdict], int]:
    """So many verdicts that tell most, and how many others there are.

    Those where the witnesses disagree come first; a matrix has hundreds that agree.
    """
    told = sorted(verdicts, key=lambda verdict: verdict.agrees)[:most]
    return told, len(verdicts) - len(told)


def _dead(nodes: tuple[Node, ...]) -> Iterator[tuple[str, DeadDaemon]]:
    for node in nodes:
        for daemon in dead_daemons(node.switch.run_dir):
            yield node.name, daemon
