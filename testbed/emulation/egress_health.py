"""Which nodes with egress IPs still answer: what makes a namespace fail over.

Every node watches those it tunnels to for their egress IPs, by counters it has anyway:
what table 100 sent to a node and what table 10 let in from it. A node that was sent
something and from which nothing came is offline, and namespaces with several egress IPs
take the next. It is then dialled, and once it answers it is online again.

3.11 looks every five seconds, and again a second apart before it believes. Here a look
is one step, taken when the caller says so; what is found out is for him to apply.

A node whose traffic is all one way, without any answer, is taken for dead: so it is in
3.11.

Source: openshift/origin release-3.11 pkg/network/node/egressip.go and vxlan_monitor.go
"""

from __future__ import annotations

import functools
import itertools
import json
import socket
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from testbed.openflow import Table, matches
from testbed.openflow.actions import set_tunnel_destination
from testbed.patience import patience

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from testbed.emulation.machines import Machine
    from testbed.model import Cluster, HostSubnet
    from testbed.ovs import Counters

RETRIES = 2
"""How often a silent node gets another look before it is given up."""

_DISCARD = 9
"""The port that is dialled; nobody need listen there, to be refused is an answer."""

_TIMEOUT = 1.0

_Pair: TypeAlias = "tuple[str, str]"
"""A node that watches, and the one it watches."""


class Tunnelled(NamedTuple):
    """How many packets a node has tunnelled to an egress node, and got from it.

    ``sent`` is by flow: one that led elsewhere before has kept what it had counted.
    """

    sent: Mapping[str, int]
    received: int

    def is_silence_since(self, before: Tunnelled) -> bool:
        """Whether something was sent since then, and nothing has come."""
        has_sent = any(
            n_packets > before.sent[flow]
            for flow, n_packets in self.sent.items()
            if flow in before.sent
        )
        return has_sent and self.received == before.received


class EgressHealth:
    """What the nodes of one cluster know of each other; every ``step`` is one look."""

    def __init__(self) -> None:
        self._seen: dict[_Pair, Tunnelled] = {}
        self._found_by: dict[str, str] = {}

    def step(
        self,
        cluster: Cluster,
        *,
        read: Callable[[], Mapping[str, Counters]],
        dial: Callable[[HostSubnet, HostSubnet], bool],
    ) -> frozenset[str]:
        """Look at every egress node once, and name those that are offline now.

        Args:
            cluster: what the nodes are, and which are offline already.
            read: counts the flows of every node, up to now.
            dial: whether the second node answers the kernel of the first.
        """
        pairs = list(_watched(cluster))
        now = _tunnelled(pairs, read())
        silent = self._silent(pairs, now, cluster)
        for _ in range(RETRIES):
            if silent:
                now = _tunnelled(pairs, read())
                silent = self._silent(silent, now, cluster)
        self._seen = {
            (watcher.name, node.name): now[watcher.name, node.name]
            for watcher, node in pairs
        }
        answering = {
            node.name
            for node in cluster.nodes
            if node.name in cluster.offline_nodes
            and dial(self._watcher_of(node, cluster), node)
        }
        for watcher, node in silent:
            self._found_by.setdefault(node.name, watcher.name)
        for name in answering:
            self._found_by.pop(name, None)
        return (cluster.offline_nodes - answering) | {node.name for _, node in silent}

    def _silent(
        self,
        pairs: list[tuple[HostSubnet, HostSubnet]],
        now: Mapping[_Pair, Tunnelled],
        cluster: Cluster,
    ) -> list[tuple[HostSubnet, HostSubnet]]:
        """Those that were sent something since the last look, and sent nothing."""
        return [
            (watcher, node)
            for watcher, node in pairs
            if node.name not in cluster.offline_nodes
            and (before := self._seen.get((watcher.name, node.name)))
            and now[watcher.name, node.name].is_silence_since(before)
        ]

    def _watcher_of(self, node: HostSubnet, cluster: Cluster) -> HostSubnet:
        """Who found a node offline; whoever is online, if nobody here did."""
        found_by = self._found_by.get(node.name)
        others = [other for other in cluster.nodes if other != node]
        return min(
            others,
            key=lambda other: (
                other.name != found_by,
                other.name in cluster.offline_nodes,
            ),
        )


def tunnelled(counters: Counters, node: HostSubnet) -> Tunnelled:
    """What a node's flows have counted of its traffic with an egress node."""
    to_node = set_tunnel_destination(node.host_ip)
    from_node = matches.tun_src(node.host_ip)
    sent: dict[str, int] = {}
    received = 0
    for dumped in counters.dumped.values():
        flow = dumped.flow
        if flow.table == Table.EGRESS_ROUTING and to_node in flow.actions:
            sent[flow.selector] = dumped.n_packets
        elif flow.table == Table.FROM_VXLAN and from_node in flow.match:
            received += dumped.n_packets
    return Tunnelled(sent, received)


def answers(machine: Machine, node: HostSubnet, *, timeout: float = _TIMEOUT) -> bool:
    """Whether a node's SDN answers a machine's kernel: it is dialled on its tun0."""
    address = str(node.gateway), _DISCARD
    try:
        machine.call(
            functools.partial(socket.create_connection, address, patience(timeout))
        ).close()
    except ConnectionRefusedError:
        return True
    except OSError:
        return False
    return True


def offline_nodes(names: frozenset[str]) -> str:
    """The Underlay document that says which nodes are offline, to be applied."""
    document = {"apiVersion": "testbed/v1", "kind": "Underlay"}
    return json.dumps({**document, "offlineNodes": sorted(names)})


def _watched(cluster: Cluster) -> Iterator[tuple[HostSubnet, HostSubnet]]:
    """Yield every node with each other; no flow of table 100 leads to one in vain."""
    return itertools.permutations(cluster.nodes, 2)


def _tunnelled(
    pairs: list[tuple[HostSubnet, HostSubnet]], counters: Mapping[str, Counters]
) -> dict[_Pair, Tunnelled]:
    return {
        (watcher.name, node.name): tunnelled(counters[watcher.name], node)
        for watcher, node in pairs
    }
