"""A server whose namespace has an egress IP answers from it.

Reference: BZ1903414, openshift/sdn#236
Family: egress IP
Symptom: Clients outside reach a node port, and get no answer; a capture shows the
    answer, from another address than they asked.
Mechanism: Table 100 sends what leaves a namespace with an egress IP to its node, be it
    a question or an answer. The answer does not pass the node that translated the
    question, so nobody translates it back.
Fixed in: Open in 3.11; fixed in 4.x by openshift/sdn#236: table 100 lets replies go the
    way they came.
Diagnosis: A service with externalTrafficPolicy Local, or a host port, in a namespace
    with an egress IP.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from scapy.layers.inet import IP
from scapy.layers.l2 import Ether

from testbed.openflow import OFPort
from testbed.ovs import TracedSwitch
from testbed.probe import ask, echoing, say, send_udp

if TYPE_CHECKING:
    from testbed.probe import LiveCluster

pytestmark = pytest.mark.plugins("networkpolicy")

SERVER, PORT, NODE_PORT = "payments/gateway-1-2kx8z", 7, 30007
EGRESS_IP = "172.16.1.102"
QUESTION, ANSWER = "trk,new", "trk,est,rpl"
EXPOSED = f"""
apiVersion: v1
kind: Service
metadata: {{name: gateway, namespace: payments}}
spec:
  type: NodePort
  externalTrafficPolicy: Local
  ports: [{{port: {PORT}, nodePort: {NODE_PORT}, protocol: UDP}}]
  selector: {{app: gateway}}
"""
FIXED = """
apiVersion: testbed/v1
kind: Underlay
quirks: {repliesTakeEgressIp: false}
"""


def goes_to(cluster: LiveCluster, state: str) -> int:
    """The ofport that table 100 sends a packet of the server to, in a state.

    Traced, as OVS sees the state of the question only where it shares conntrack with
    iptables.
    """
    server = cluster.pod(SERVER)
    addresses = f"nw_src={server.ip},nw_dst={cluster.external.ip}"
    packet = f"in_port={server.pod.ofport},udp,{addresses},udp_src={PORT},udp_dst=9"
    traced = TracedSwitch(cluster.appctl(server.node))
    (output,) = traced(packet, ct_states=(state,) * 2).outputs
    return output.ofport


def asks_by_the_egress_node(cluster: LiveCluster) -> None:
    """See the server's own question leave by the egress node."""
    server, egress_node = cluster.pod(SERVER), cluster.node("oc-02")
    sent = send_udp(cluster, server, cluster.external)

    assert sent.crosses(server.node.wire)[IP].dst == str(egress_node.ip)
    assert sent.arrives(cluster.external)[IP].src == EGRESS_IP


@pytest.mark.symptom
def test_even_what_br0_knows_for_an_answer_goes_to_the_egress_node(
    cluster: LiveCluster,
) -> None:
    assert goes_to(cluster, ANSWER) == goes_to(cluster, QUESTION) == OFPort.VXLAN0
    asks_by_the_egress_node(cluster)


@pytest.mark.symptom
def test_the_answer_comes_from_the_egress_ip(cluster: LiveCluster) -> None:
    """Not from the node that was asked."""
    server, client, words = cluster.pod(SERVER), cluster.external, b"is anybody there"
    cluster.apply(EXPOSED)

    with echoing([server], [PORT]):
        say(client, server.node.ip, NODE_PORT, words)
        heard = cluster.recorder.wait_for(
            lambda seen: (
                seen.tap is client.tap and not seen.sent and words in seen.frame
            ),
            timeout=cluster.patience,
        )

    assert heard is not None
    assert Ether(heard.frame)[IP].src == EGRESS_IP != str(server.node.ip)


@pytest.mark.fix
def test_what_br0_knows_for_an_answer_goes_to_its_own_nodes_kernel(
    cluster: LiveCluster,
) -> None:
    """What begins something goes to the egress node yet."""
    cluster.apply(FIXED)

    assert goes_to(cluster, ANSWER) == OFPort.TUN0
    assert goes_to(cluster, QUESTION) == OFPort.VXLAN0
    asks_by_the_egress_node(cluster)


@pytest.mark.fix
@pytest.mark.usefixtures("shared_conntrack")
def test_the_answer_comes_from_where_was_asked(cluster: LiveCluster) -> None:
    server = cluster.pod(SERVER)
    cluster.apply(FIXED)
    cluster.apply(EXPOSED)

    with echoing([server], [PORT]):
        answer = ask(cluster.external, server.node.ip, NODE_PORT, "hello", udp=True)

    assert answer == "hello"
