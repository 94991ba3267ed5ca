"""kube-proxy in iptables mode: from the address of a service to one of its endpoints.

Every port of a service with a cluster address is a *portal*. What is sent to the
portal, in one of four ways, jumps to its KUBE-SVC chain, which picks an endpoint, whose
KUBE-SEP chain rewrites the destination:

* the cluster address;
* an external IP: from outside the node, or where the address is the node's own;
* the address of a load balancer, if the sender's is in one of the service's ranges;
* a port of every node.

All but the first are marked to be masqueraded, else the answer would go past this node.
``externalTrafficPolicy: Local`` spares that for the last two: they jump to a KUBE-XLB
chain, which knows the node's own endpoints only. Without any endpoint, all but load
balancers are answered "port unreachable", in table filter.

3.11 tells kube-proxy nothing of the cluster network, so rules that tell pods from
others are not there.

Source: kubernetes release-1.11 pkg/proxy/iptables/proxier.go
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.host.marks import MARK_DROP, MARK_MASQUERADE
from testbed.host.portals import portals_of
from testbed.host.rules import REJECT, Chain, comment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.host.portals import Endpoint, Portal
    from testbed.model import Cluster, HostSubnet

_LAST_RULE = (
    "kubernetes service nodeports; NOTE: this must be the last rule in this chain"
)
_TO_THIS_NODE = "-m addrtype --dst-type LOCAL"
_FROM_OUTSIDE = "-m physdev ! --physdev-is-in -m addrtype ! --src-type LOCAL"
_LOOPBACK = "127.0.0.0/8"


def proxy_filter_chains(cluster: Cluster, node: HostSubnet) -> Iterator[Chain]:
    """Yield the chains that reject what is sent to services without endpoints."""
    dead = [portal for portal in portals_of(cluster, node) if not portal.endpoints]
    yield Chain(
        name="KUBE-SERVICES",
        rules=tuple(
            f"{portal.to(portal.cluster_ip, 'has no endpoints')} {REJECT}"
            for portal in dead
        ),
    )
    yield Chain(
        name="KUBE-EXTERNAL-SERVICES",
        rules=tuple(rule for portal in dead for rule in _external_rejections(portal)),
    )


def proxy_nat_chains(cluster: Cluster, node: HostSubnet) -> Iterator[Chain]:
    """Yield the chains that lead from services to their endpoints."""
    portals = portals_of(cluster, node)
    alive = [portal for portal in portals if portal.endpoints]
    yield Chain(
        name="KUBE-SERVICES",
        rules=(
            *(rule for portal in alive for rule in _service_jumps(portal)),
            f"{comment(_LAST_RULE)} {_TO_THIS_NODE} -j KUBE-NODEPORTS",
        ),
    )
    yield Chain(
        name="KUBE-NODEPORTS",
        rules=tuple(rule for portal in alive for rule in _node_port_jumps(portal)),
    )
    for portal in portals:
        yield from _portal_chains(portal)


def _external_rejections(portal: Portal) -> Iterator[str]:
    remark = "has no endpoints"
    for ip in portal.service.external_ips:
        yield f"{portal.to(ip, remark)} {REJECT}"
    if portal.port.node_port is not None:
        yield (
            f"-p {portal.protocol} {comment(f'{portal.name} {remark}')} "
            f"{_TO_THIS_NODE} "
            f"-m {portal.protocol} --dport {portal.port.node_port} {REJECT}"
        )


def _service_jumps(portal: Portal) -> Iterator[str]:
    """Yield the jumps for all but ports of the node."""
    service = portal.service
    jump = f"-j {portal.service_chain}"
    yield f"{portal.to(portal.cluster_ip, 'cluster IP')} {jump}"
    for ip in service.external_ips:
        match = portal.to(ip, "external IP")
        yield f"{match} -j {MARK_MASQUERADE}"
        yield f"{match} {_FROM_OUTSIDE} {jump}"
        yield f"{match} {_TO_THIS_NODE} {jump}"
    for ip in service.load_balancer_ips:
        yield f"{portal.to(ip, 'loadbalancer IP')} -j {portal.firewall_chain}"


def _node_port_jumps(portal: Portal) -> Iterator[str]:
    if portal.port.node_port is None:
        return
    match = (
        f"-p {portal.protocol} {comment(portal.name)} "
        f"-m {portal.protocol} --dport {portal.port.node_port}"
    )
    if portal.service.local_only:
        yield f"-s {_LOOPBACK} {match} -j {MARK_MASQUERADE}"
        yield f"{match} -j {portal.local_chain}"
    else:
        yield f"{match} -j {MARK_MASQUERADE}"
        yield f"{match} -j {portal.service_chain}"


def _portal_chains(portal: Portal) -> Iterator[Chain]:
    """Yield the chains of one portal; without endpoints only KUBE-XLB, and empty."""
    if portal.endpoints:
        yield Chain(
            name=portal.service_chain,
            rules=(
                *_affinity_rules(portal, portal.endpoints),
                *_balancing_rules(
                    portal,
                    portal.endpoints,
                    [portal.name] * len(portal.endpoints),
                ),
            ),
        )
    if portal.service.local_only:
        yield Chain(name=portal.local_chain, rules=tuple(_local_rules(portal)))
    if portal.endpoints and portal.service.load_balancer_ips:
        yield Chain(name=portal.firewall_chain, rules=tuple(_firewall_rules(portal)))
    for endpoint in portal.endpoints:
        yield _endpoint_chain(portal, endpoint)


def _affinity_rules(portal: Portal, endpoints: tuple[Endpoint, ...]) -> Iterator[str]:
    """Yield the jumps of clients that came lately to the endpoint they had."""
    if portal.service.affinity_timeout is None:
        return
    for endpoint in endpoints:
        chain = portal.endpoint_chain(endpoint)
        yield (
            f"{comment(portal.name)} -m recent --rcheck "
            f"--seconds {portal.service.affinity_timeout} --reap "
            f"{_recent_list(chain)} -j {chain}"
        )


def _balancing_rules(
    portal: Portal, endpoints: tuple[Endpoint, ...], remarks: list[str]
) -> Iterator[str]:
    """Yield a jump to each endpoint: the first takes its share, the next of the rest.

    The remarks say what each rule is for.
    """
    left = len(endpoints)
    for endpoint, remark in zip(endpoints, remarks, strict=True):
        chance = (
            f"-m statistic --mode random --probability {1 / left:.5f} "
            if left > 1
            else ""
        )
        yield f"{comment(remark)} {chance}-j {portal.endpoint_chain(endpoint)}"
        left -= 1


def _local_rules(portal: Portal) -> Iterator[str]:
    """Yield the rules that know this node's endpoints only, and may have none."""
    if not portal.endpoints:
        return
    local = tuple(endpoint for endpoint in portal.endpoints if endpoint.is_local)
    if not local:
        yield f"{comment(f'{portal.name} has no local endpoints')} -j {MARK_DROP}"
        return
    yield from _affinity_rules(portal, local)
    yield from _balancing_rules(
        portal,
        local,
        [f"Balancing rule {number} for {portal.name}" for number in range(len(local))],
    )


def _firewall_rules(portal: Portal) -> Iterator[str]:
    """Yield who may use the load balancer, all of it once for every address."""
    remark = comment(f"{portal.name} loadbalancer IP")
    service = portal.service
    jump = f"-j {portal.local_chain if service.local_only else portal.service_chain}"
    for ip in service.load_balancer_ips:
        if not service.local_only:
            yield f"{remark} -j {MARK_MASQUERADE}"
        if not service.source_ranges:
            yield f"{remark} {jump}"
        for source in service.source_ranges:
            yield f"-s {source} {remark} {jump}"
        # Nodes short-cut to the load balancer's address, and then send from it.
        if any(portal.node_ip in source for source in service.source_ranges):
            yield f"-s {ip}/32 {remark} {jump}"
        yield f"{remark} -j {MARK_DROP}"


def _endpoint_chain(portal: Portal, endpoint: Endpoint) -> Chain:
    """The chain that rewrites the destination.

    An endpoint that called its own service is masqueraded, else it would answer itself.
    """
    name = portal.endpoint_chain(endpoint)
    remark = comment(portal.name)
    remember = (
        ""
        if portal.service.affinity_timeout is None
        else f"-m recent --set {_recent_list(name)} "
    )
    return Chain(
        name=name,
        rules=(
            f"-s {endpoint.ip}/32 {remark} -j {MARK_MASQUERADE}",
            (
                f"-p {portal.protocol} {remark} {remember}-m {portal.protocol} "
                f"-j DNAT --to-destination {endpoint}"
            ),
        ),
    )


def _recent_list(chain: str) -> str:
    return f"--name {chain} --mask 255.255.255.255 --rsource"
