"""Table 60: traffic to the cluster address of a service.

br0 balances nothing: the packet leaves through tun0 and the host's iptables choose an
endpoint. The table only decides whether it may.

Under ovs-networkpolicy everybody may, since policies are about pods: the packet comes
back with an endpoint's address and is checked then. Under the others a sender with VNID
0 always may, which under ovs-subnet is everybody, so that there the flows of single
services are never hit. For other senders reg1 takes the VNID of the service's
namespace, reg2 takes tun0, and table 80 compares.

Every port of a Service with a cluster address adds a flow, and every such Service one
more for later fragments, which carry no port. Headless services have none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.model import Plugin
from testbed.openflow import Flow, OFPort, Register, Table, matches, table_miss
from testbed.openflow.actions import goto, load, output

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.model import Cluster, Service


def service_flows(cluster: Cluster) -> Iterator[Flow]:
    """Yield the flows that let senders reach services; every node has the same."""
    if cluster.network.plugin is Plugin.NETWORKPOLICY:
        yield _allow(())
    else:
        yield _allow((matches.register(Register.SOURCE_VNID, 0),))
        for service in cluster.services:
            yield from _flows_of_service(service, vnid=cluster.vnid(service.namespace))
    yield table_miss(Table.IP_TO_SERVICE)


def _allow(match: tuple[str, ...]) -> Flow:
    return Flow(
        table=Table.IP_TO_SERVICE,
        priority=200,
        match=match,
        actions=(output(OFPort.TUN0),),
    )


def _flows_of_service(service: Service, *, vnid: int) -> Iterator[Flow]:
    for match in _matches(service):
        yield Flow(
            table=Table.IP_TO_SERVICE,
            priority=100,
            match=match,
            actions=(
                load(vnid, Register.DESTINATION_VNID),
                load(OFPort.TUN0, Register.DESTINATION_OFPORT),
                goto(Table.POLICY),
            ),
            made_by=f"Service {service.key}",
        )


def _matches(service: Service) -> Iterator[tuple[str, ...]]:
    if service.cluster_ip is None:
        return
    nw_dst = matches.nw_dst(service.cluster_ip)
    yield "ip", nw_dst, matches.LATER_FRAGMENT
    for port in service.ports:
        yield port.protocol.lower(), nw_dst, matches.tp_dst(port.port)
