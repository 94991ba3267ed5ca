"""The UDP conversations that kube-proxy makes a node forget when services change.

A datagram of a conversation that conntrack knows is translated as the first one was,
whatever the rules say by now. TCP has its own end; UDP has to be ended.

Source: kubernetes release-1.11 pkg/proxy/iptables/proxier.go (syncProxyRules,
deleteEndpointConnections) and pkg/util/conntrack
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.host.portals import portals_of
from testbed.model import Protocol

if TYPE_CHECKING:
    from testbed.host.portals import Portal
    from testbed.model import Cluster, HostSubnet


def stale_conversations(
    before: Cluster, after: Cluster, node: HostSubnet
) -> tuple[tuple[str, ...], ...]:
    """Options of ``conntrack -D`` for each kind of conversation to be forgotten.

    Those with an endpoint that no longer answers for its service, and those with a
    service that is gone, or that nobody answered for until now.
    """
    old, new = _udp_portals(before, node), _udp_portals(after, node)
    stale: dict[tuple[str, ...], None] = {}
    for name, portal in old.items():
        now = new.get(name)
        to_service = ("-p", "udp", "--orig-dst", str(portal.cluster_ip))
        if now is None or now.cluster_ip != portal.cluster_ip:
            stale[to_service] = None
        answering = {endpoint.ip for endpoint in now.endpoints} if now else set()
        for endpoint in portal.endpoints:
            if endpoint.ip not in answering:
                stale[(*to_service, "--dst-nat", str(endpoint.ip))] = None
    for name, portal in new.items():
        if portal.endpoints and not (name in old and old[name].endpoints):
            stale["-p", "udp", "--orig-dst", str(portal.cluster_ip)] = None
    return tuple(stale)


def _udp_portals(cluster: Cluster, node: HostSubnet) -> dict[str, Portal]:
    return {
        portal.name: portal
        for portal in portals_of(cluster, cluster.node(node.name))
        if portal.port.protocol is Protocol.UDP
    }
