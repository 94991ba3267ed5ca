"""Large UDP datagrams to services are lost.

Reference: BZ1419692, openshift/origin@e93514b3d
Family: fragments
Symptom: Under ovs-multitenant a service answers small requests over UDP, and never
    those that do not fit into one packet.
Mechanism: Table 60 knows services by address, protocol and port. OVS took every
    fragment's port for 0 (set-frags normal), so fragments missed all its flows and were
    dropped, the first one included. Now the first has its port (set-frags nx-match),
    and later ones have a flow of their own (ip_frag=later).
Fixed in: Before 3.11 was released.
Diagnosis: A node whose table 60 lacks the nw_frag=later flow of a service.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from scapy.layers.inet import IP
from scapy.packet import Raw

from testbed.faults import FlowDeleted
from testbed.openflow import Table
from testbed.probe import ask, echoing, ip_between, send_udp, udp_between

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.probe import LiveCluster, Pod

pytestmark = pytest.mark.plugins("multitenant")

CLIENT, SERVICE, PORT = "bank/api-2-m4xjt", "bank/rates", 7000
MORE_FRAGMENTS = "MF"
EIGHTHS = 60
"""Where the second fragment begins, in units of eight bytes."""


@contextmanager
def as_before(cluster: LiveCluster, pod: Pod) -> Iterator[None]:
    """Have the pod's node match fragments as it did before the fix."""
    ip = cluster.service(SERVICE).cluster_ip
    later = f"priority=100,ip,nw_dst={ip},nw_frag=later"
    switch = pod.node.switch
    with cluster.broken(
        FlowDeleted(node=pod.node.name, table=Table.IP_TO_SERVICE, selector=later)
    ):
        switch.set_fragment_handling("normal")
        try:
            yield
        finally:
            switch.set_fragment_handling("nx-match")


@pytest.mark.symptom
def test_both_fragments_of_a_datagram_miss_the_services_flows(
    cluster: LiveCluster,
) -> None:
    """A datagram of one packet gets through."""
    pod, ip = cluster.pod(CLIENT), cluster.service(SERVICE).cluster_ip
    assert ip is not None
    first = udp_between(pod, ip, PORT) / Raw(bytes(8 * EIGHTHS - 8))
    first[IP].flags = MORE_FRAGMENTS
    later = ip_between(pod, ip) / Raw(bytes(100))
    later[IP].frag, later[IP].proto = EIGHTHS, 17

    with as_before(cluster, pod):
        send_udp(cluster, pod, ip, PORT).arrives(pod.node)
        for fragment in (first, later):
            sent = cluster.send(pod, fragment)
            sent.is_dropped(pod.node, Table.IP_TO_SERVICE)


@pytest.mark.fix
def test_a_large_datagram_is_answered(cluster: LiveCluster) -> None:
    """Its later fragments take the flow for them."""
    pod, ip = cluster.pod(CLIENT), cluster.service(SERVICE).cluster_ip
    assert ip is not None
    endpoints = cluster.objects.endpoints_of(cluster.service(SERVICE))
    assert endpoints
    servers = [p for p in cluster.pods if p.ip in endpoints.subsets[0].addresses]
    question = "rates, please " * 200

    with echoing(servers, [PORT]):
        answer = ask(pod, ip, PORT, question, udp=True)

    assert question.startswith(answer)
    later = f"priority=100,ip,nw_dst={ip},nw_frag=later"
    assert cluster.hits(pod.node, Table.IP_TO_SERVICE, later)
