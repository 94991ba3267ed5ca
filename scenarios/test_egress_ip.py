"""Table 100, iptables and the nodes' addresses: who leaves the cluster by which IP."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import pytest
from scapy.layers.inet import ICMP, IP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.layers.vxlan import VXLAN

from testbed.egress import egress_mark
from testbed.emulation.egress_health import EgressHealth, answers, offline_nodes
from testbed.model import Plugin
from testbed.openflow import OFPort, Table
from testbed.ovs import TracedSwitch
from testbed.probe import (
    arp_request,
    ask,
    echoing,
    ip_between,
    say,
    send_syn,
    send_udp,
)
from testbed.probe.outage import cut_off
from testbed.process import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

    from scapy.packet import Packet

    from testbed.model import HostSubnet
    from testbed.probe import Host, LiveCluster, Node, Place, Pod, Sent

pytestmark = pytest.mark.plugins("networkpolicy")
under_both_plugins = pytest.mark.plugins("multitenant", "networkpolicy")

DNS, ECHO = 53, 7
FIRST, SECOND = IPv4Address("172.16.1.102"), IPv4Address("172.16.1.103")
SINGLE = IPv4Address("172.16.1.104")
UNCLAIMED = IPv4Address("172.16.1.200")

AS_IN_NETWORKPOLICY_YAML = """
apiVersion: v1
kind: List
items:
- {kind: HostSubnet, metadata: {name: oc-02.test}, host: oc-02.test,
   hostIP: 172.16.1.16, egressIPs: [172.16.1.102]}
- {kind: HostSubnet, metadata: {name: oc-03.test}, host: oc-03.test,
   hostIP: 172.16.1.22, egressIPs: [172.16.1.103]}
- {kind: HostSubnet, metadata: {name: oc-04.test}, host: oc-04.test,
   hostIP: 172.16.1.25, egressIPs: [172.16.1.104]}
- {kind: NetNamespace, metadata: {name: shop}, netname: shop,
   egressIPs: [172.16.1.102, 172.16.1.103]}
- {kind: NetNamespace, metadata: {name: bank}, netname: bank,
   egressIPs: [172.16.1.104]}
"""


SERVICE = """
apiVersion: v1
kind: List
items:
- {{kind: Service, metadata: {{name: echo, namespace: {namespace}}},
   spec: {{ports: [{{port: 7, protocol: UDP}}]}}}}
- {{kind: Endpoints, metadata: {{name: echo, namespace: {namespace}}},
   subsets: [{{addresses: [{{ip: {ip}}}], ports: [{{port: 7, protocol: UDP}}]}}]}}
"""


@dataclass(frozen=True, kw_only=True)
class Leaving:
    """Two namespaces with egress IPs, each with a pod on the node of its first one.

    ``here`` is that pod, ``elsewhere`` another on oc-01; they have two egress IPs, on
    oc-02 and on oc-03. ``filtered_here`` and ``filtered_elsewhere`` have one, on oc-04,
    and an EgressNetworkPolicy that lets them to the first external host alone.
    """

    here: Pod
    elsewhere: Pod
    filtered_here: Pod
    filtered_elsewhere: Pod


def leaving(cluster: LiveCluster) -> Leaving:
    """The parts that pods play under the plugin; gives them their egress IPs."""
    names = (
        "payments/gateway-1-v7d2c",
        "payments/gateway-1-2kx8z",
        "partner/sync-1-h4jfr",
        "partner/sync-1-9gq4m",
    )
    if cluster.objects.network.plugin is Plugin.MULTITENANT:
        cluster.apply(AS_IN_NETWORKPOLICY_YAML)
        names = (
            "shop/web-1-k9s5c",
            "shop/web-1-4wq8n",
            "bank/ledger-0",
            "bank/api-2-m4xjt",
        )
    pods = [cluster.pod(name) for name in names]
    return Leaving(
        here=pods[0],
        elsewhere=pods[1],
        filtered_here=pods[2],
        filtered_elsewhere=pods[3],
    )


def wants(pod: Pod, *ips: IPv4Address) -> str:
    """The pod's NetNamespace with other egress IPs."""
    name = pod.pod.namespace
    listed = ", ".join(map(str, ips))
    return (
        f"{{kind: NetNamespace, metadata: {{name: {name}}}, netname: {name}, "
        f"egressIPs: [{listed}]}}"
    )


def offers(node: Node, *ips: IPv4Address) -> str:
    """The node's HostSubnet with other egress IPs."""
    listed = ", ".join(map(str, ips))
    return (
        f"{{kind: HostSubnet, metadata: {{name: {node}}}, host: {node}, "
        f"hostIP: {node.ip}, egressIPs: [{listed}], egressCIDRs: []}}"
    )


def send_out(cluster: LiveCluster, pod: Pod, to: Host | None = None) -> Sent:
    # A connection that a node knows keeps the address it once left with. Not UDP: the
    # pod's kernel would send an error for the answer, which nobody answers.
    ping = ICMP(id=secrets.randbelow(1 << 16))
    return cluster.send(pod, ip_between(pod, to or cluster.external) / ping)


def leaves_as(cluster: LiveCluster, pod: Pod) -> IPv4Address:
    """The source address that the external host sees."""
    packet = send_out(cluster, pod).arrives(cluster.external)
    return IPv4Address(packet[IP].src)


def without_egress_ip(cluster: LiveCluster, node: Node) -> Pod:
    """A pod of the node whose namespace leaves as the node."""
    objects = cluster.objects
    return next(
        pod
        for pod in cluster.pods_on(node)
        if not any(
            item.egress_ips
            for item in objects.net_namespaces_of(objects.vnid(pod.pod.namespace))
        )
        and not any(
            policy.namespace == pod.pod.namespace
            for policy in objects.egress_network_policies
        )
    )


def from_vnid(cluster: LiveCluster, pod: Pod) -> str:
    return f"reg0={cluster.objects.vnid(pod.pod.namespace):#x}"


def is_reply_of(node: Node, ip: IPv4Address, packet: Packet) -> bool:
    return bool(
        ARP in packet
        and packet[ARP].psrc == str(ip)
        and packet[ARP].hwsrc == node.wire_mac
    )


@under_both_plugins
def test_a_pod_on_the_egress_node_leaves_with_the_egress_ip(
    cluster: LiveCluster,
) -> None:
    pod = leaving(cluster).here

    assert leaves_as(cluster, pod) == FIRST

    marks = f"priority=100,ip,{from_vnid(cluster, pod)}"
    assert cluster.hits(pod.node, Table.EGRESS_ROUTING, marks)


@under_both_plugins
def test_a_pod_elsewhere_is_tunnelled_to_the_egress_node_with_its_own_vnid(
    cluster: LiveCluster,
) -> None:
    pod = leaving(cluster).elsewhere

    sent = send_out(cluster, pod)

    assert sent.arrives(cluster.external)[IP].src == str(FIRST)
    outer = sent.crosses(pod.node.wire)
    assert outer[IP].dst == str(cluster.node("oc-02").ip)
    assert outer[VXLAN].vni == cluster.objects.vnid(pod.pod.namespace)
    assert outer[VXLAN][IP].src == str(pod.ip)


@under_both_plugins
@pytest.mark.parametrize("who", ["here", "elsewhere", "filtered_here"])
@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_answers_to_an_egress_ip_find_the_pod(
    cluster: LiveCluster, who: str, protocol: str
) -> None:
    pod: Pod = getattr(leaving(cluster), who)

    seen_as = ask(pod, cluster.external.ip, ECHO, "whoami", udp=protocol == "udp")

    assert seen_as.split()[0] == str(SINGLE if who == "filtered_here" else FIRST)


@under_both_plugins
def test_br0_marks_what_the_host_is_to_give_an_egress_ip(cluster: LiveCluster) -> None:
    """Traced, as the userspace datapath loses the mark on the way to the host."""
    pod = leaving(cluster).here
    other = without_egress_ip(cluster, pod.node)
    traced = TracedSwitch(cluster.appctl(pod.node))

    def mark(sender: Pod) -> int:
        way = f"in_port={sender.pod.ofport},icmp,icmp_type=8,icmp_code=0"
        addresses = f"nw_src={sender.ip},nw_dst={cluster.external.ip}"
        (output,) = traced(f"{way},{addresses}").outputs
        assert output.ofport == OFPort.TUN0
        return output.pkt_mark

    assert mark(pod) == egress_mark(cluster.objects.vnid(pod.pod.namespace))
    assert mark(other) == 0
    assert leaves_as(cluster, pod) == FIRST
    assert leaves_as(cluster, other) == pod.node.ip


@under_both_plugins
def test_what_a_namespace_with_an_egress_ip_sends_to_a_service_does_not_leave_by_it(
    cluster: LiveCluster,
) -> None:
    pods = leaving(cluster)
    pod, endpoint = pods.here, pods.elsewhere
    cluster.apply(SERVICE.format(namespace=pod.pod.namespace, ip=endpoint.ip))
    address = cluster.service(f"{pod.pod.namespace}/echo").cluster_ip
    assert address is not None

    sent = send_udp(cluster, pod, address, ECHO)

    keeps_pods_address = cluster.objects.network.plugin.tracks_connections
    source = pod.ip if keeps_pods_address else pod.node.gateway
    assert sent.arrives(endpoint)[IP].src == str(source)


def test_a_vnid_with_the_bit_that_kube_proxy_uses_is_marked_without_it(
    cluster: LiveCluster,
) -> None:
    """Else it would be masqueraded with the node's own address."""
    pod = leaving(cluster).filtered_here
    vnid = cluster.objects.vnid(pod.pod.namespace)
    assert vnid & 1
    assert not egress_mark(vnid) & 1

    assert leaves_as(cluster, pod) == SINGLE


def test_a_pod_of_another_namespace_leaves_with_its_nodes_address(
    cluster: LiveCluster,
) -> None:
    leaving(cluster)
    other = cluster.pod(
        "ci/jenkins-1-b7d2n"
        if cluster.objects.network.plugin is Plugin.MULTITENANT
        else "lab/client-a"
    )

    assert leaves_as(cluster, other) == other.node.ip


def test_pods_of_a_namespace_with_an_egress_ip_reach_each_other_directly(
    cluster: LiveCluster,
) -> None:
    pods = leaving(cluster)
    packet = ip_between(pods.here, pods.elsewhere) / UDP(sport=40009, dport=9)

    sent = cluster.send(pods.here, packet)

    assert sent.arrives(pods.elsewhere)[IP].src == str(pods.here.ip)


def test_the_egress_node_answers_arp_for_its_egress_ip(cluster: LiveCluster) -> None:
    pod, node = leaving(cluster).here, cluster.node("oc-02")

    sent = cluster.send(cluster.rogue, arp_request(cluster.rogue, FIRST))

    sent.is_answered(lambda packet: is_reply_of(node, FIRST, packet))
    assert leaves_as(cluster, pod) == FIRST


@under_both_plugins
def test_nobody_may_open_a_connection_to_an_egress_ip(cluster: LiveCluster) -> None:
    """The same server answers at the node's own address."""
    pod, node = leaving(cluster).filtered_here, cluster.node("oc-02")

    with echoing([node], [7777]):
        assert ask(cluster.rogue, node.ip, 7777, "hello") == "hello"
        assert ask(pod.node, node.ip, 7777, "hello") == "hello"

        with pytest.raises(ConnectionRefusedError):
            ask(cluster.rogue, FIRST, 7777, "hello")
    assert leaves_as(cluster, pod) == SINGLE


@under_both_plugins
def test_what_no_node_has_is_not_left_by_and_everything_is_dropped(
    cluster: LiveCluster,
) -> None:
    pod = leaving(cluster).filtered_elsewhere
    cluster.apply(wants(pod, UNCLAIMED))

    sent = send_out(cluster, pod)

    sent.is_dropped(
        pod.node, Table.EGRESS_ROUTING, f"priority=100,{from_vnid(cluster, pod)}"
    )
    other = without_egress_ip(cluster, pod.node)
    assert leaves_as(cluster, other) == pod.node.ip


@pytest.mark.parametrize("who", ["elsewhere", "filtered_elsewhere"])
def test_an_egress_ip_that_two_namespaces_want_keeps_both_inside(
    cluster: LiveCluster, who: str
) -> None:
    pods = leaving(cluster)
    cluster.apply(wants(pods.elsewhere, SINGLE))

    pod: Pod = getattr(pods, who)
    sent = send_out(cluster, pod)

    sent.is_dropped(
        pod.node, Table.EGRESS_ROUTING, f"priority=100,{from_vnid(cluster, pod)}"
    )


def test_an_egress_ip_that_two_nodes_claim_is_nobodys(cluster: LiveCluster) -> None:
    pod = leaving(cluster).here
    cluster.apply(wants(pod, FIRST))
    cluster.apply(offers(cluster.node("oc-03"), SECOND, FIRST))

    sent = send_out(cluster, pod)

    sent.is_dropped(
        pod.node, Table.EGRESS_ROUTING, f"priority=100,{from_vnid(cluster, pod)}"
    )


def test_a_namespace_that_asks_for_no_egress_ip_any_more_leaves_as_its_node(
    cluster: LiveCluster,
) -> None:
    pod = leaving(cluster).elsewhere
    cluster.apply(wants(pod))

    assert leaves_as(cluster, pod) == pod.node.ip


def test_an_egress_ip_that_moves_to_another_node_is_left_by_there(
    cluster: LiveCluster,
) -> None:
    pod, new = leaving(cluster).here, cluster.node("oc-03")
    cluster.apply(wants(pod, FIRST))
    cluster.apply(offers(cluster.node("oc-02")))
    cluster.apply(offers(new, FIRST))

    sent = send_out(cluster, pod)

    assert sent.arrives(cluster.external)[IP].src == str(FIRST)
    assert sent.crosses(pod.node.wire)[IP].dst == str(new.ip)
    sent.arrives(pod)
    question = cluster.send(cluster.rogue, arp_request(cluster.rogue, FIRST))
    question.is_answered(lambda packet: is_reply_of(new, FIRST, packet))


@under_both_plugins
@pytest.mark.parametrize("who", ["filtered_here", "filtered_elsewhere"])
def test_what_an_egress_network_policy_denies_is_dropped_on_the_egress_node(
    cluster: LiveCluster, who: str
) -> None:
    """The sender's own node has the same flow, and does not come to it."""
    pod: Pod = getattr(leaving(cluster), who)
    denied = cluster.external_hosts[1]

    sent = send_out(cluster, pod, to=denied)

    drops = [(node, table) for node, table, _ in sent.drops()]
    assert drops == [("oc-04.test", Table.EGRESS_NETWORK_POLICY)]
    cluster.recorder.settle()
    assert not sent.received()


@under_both_plugins
@pytest.mark.parametrize("send", [send_udp, send_syn], ids=["udp", "tcp"])
def test_only_dns_to_the_own_node_does_not_go_by_the_egress_node(
    cluster: LiveCluster, send: Callable[..., Sent]
) -> None:
    """All else does that leaves the cluster, and so does what is for the own node."""
    pod, egress_node = leaving(cluster).elsewhere, cluster.node("oc-02")

    asked = send(cluster, pod, pod.node.ip, DNS)

    asked.arrives(pod.node)
    for address, port in ((pod.node.ip, DNS + 1), (cluster.external.ip, DNS)):
        sent = send(cluster, pod, address, port)

        assert sent.crosses(pod.node.wire)[IP].dst == str(egress_node.ip)
    assert not asked.crossings(pod.node.wire)


@pytest.mark.parametrize("who", ["filtered_here", "filtered_elsewhere"])
def test_what_an_egress_network_policy_allows_leaves_with_the_egress_ip(
    cluster: LiveCluster, who: str
) -> None:
    pod: Pod = getattr(leaving(cluster), who)

    assert leaves_as(cluster, pod) == SINGLE


class Watch:
    """The nodes' looks at each other, applied to the running cluster."""

    def __init__(self, cluster: LiveCluster) -> None:
        self.cluster = cluster
        self.health = EgressHealth()
        self.look()

    def look(self, *, patience: float = 3.0) -> frozenset[str]:
        cluster = self.cluster

        def dial(watcher: HostSubnet, node: HostSubnet) -> bool:
            machine = cluster.node(watcher.name).machine
            return answers(machine, node, timeout=patience)

        offline = self.health.step(
            cluster.objects, read=cluster.read_counters, dial=dial
        )
        if offline != cluster.objects.offline_nodes:
            cluster.apply(offline_nodes(offline))
        return offline


def comes_back(cluster: LiveCluster, pod: Pod) -> IPv4Address:
    """The address a pod leaves with, once its answer is there."""
    sent = send_out(cluster, pod)
    source = IPv4Address(sent.arrives(cluster.external)[IP].src)
    sent.arrives(pod)
    return source


def is_lost(cluster: LiveCluster, pod: Pod, *, witness: Pod) -> None:
    """What the pod sends leaves its node and does not come out anywhere.

    The witness sends after it, and arrives.
    """
    sent = send_out(cluster, pod)
    sent.crosses(pod.node.wire)
    send_out(cluster, witness).arrives(cluster.external)
    cluster.recorder.settle()
    assert not sent.received()


@under_both_plugins
def test_a_namespace_fails_over_to_its_second_egress_ip_and_comes_back(
    cluster: LiveCluster,
) -> None:
    pods = leaving(cluster)
    pod, node = pods.elsewhere, cluster.node("oc-02")
    watch = Watch(cluster)
    assert comes_back(cluster, pod) == FIRST
    assert not watch.look()

    with cut_off(cluster, node):
        is_lost(cluster, pod, witness=pods.filtered_elsewhere)
        assert watch.look() == {node.name}

        assert comes_back(cluster, pod) == SECOND
        assert watch.look(patience=0.2) == {node.name}

    # A watcher that asked for it by ARP while it was away may still give up on that.
    wait_until(lambda: not watch.look(), timeout=10, what=f"{node.name} is back")
    assert comes_back(cluster, pod) == FIRST


def test_a_namespace_with_a_single_egress_ip_waits_for_its_node(
    cluster: LiveCluster,
) -> None:
    pods = leaving(cluster)
    pod, node = pods.filtered_elsewhere, cluster.node("oc-04")
    watch = Watch(cluster)
    cluster.apply(offers(node, SINGLE))

    with cut_off(cluster, node):
        is_lost(cluster, pod, witness=pods.elsewhere)
        watch.look()
        is_lost(cluster, pod, witness=pods.elsewhere)

    assert comes_back(cluster, pod) == SINGLE


def test_an_egress_ip_that_the_master_placed_moves_to_another_node_with_its_range(
    cluster: LiveCluster,
) -> None:
    pod, node = cluster.pod("audit/collector-1-tb6wl"), cluster.node("oc-01")
    placed = IPv4Address("172.16.1.113")
    watch = Watch(cluster)
    assert comes_back(cluster, pod) == placed
    assert not watch.look()

    with cut_off(cluster, node):
        is_lost(cluster, pod, witness=cluster.pod("lab/client-c"))
        assert watch.look() == {node.name}

        sent = send_out(cluster, pod)
        assert sent.arrives(cluster.external)[IP].src == str(placed)
        assert sent.crosses(pod.node.wire)[IP].dst == str(cluster.node("oc-04").ip)
        sent.arrives(pod)


DENY_ALL_OF_PAYMENTS = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: default-deny
  namespace: payments
spec:
  podSelector: {}
"""


@pytest.mark.parametrize("fixed", [False, True], ids=["as-released", "fixed"])
def test_policies_drop_the_answers_to_another_nodes_egress_ip(
    cluster: LiveCluster, *, fixed: bool
) -> None:
    """Only what stays in the cluster is committed, so they are no replies."""
    pod = leaving(cluster).elsewhere
    if fixed:
        switch_off(cluster, "remoteEgressNotCommitted")
    cluster.apply(DENY_ALL_OF_PAYMENTS)

    sent = send_out(cluster, pod)

    assert sent.arrives(cluster.external)[IP].src == str(FIRST)
    if fixed:
        sent.arrives(pod)
    else:
        drops = sent.drops()
        # Not how many: a SYN ACK of a scenario before may come once more.
        assert list(drops) == [(pod.node.name, Table.POLICY, "priority=0")]


NODE_PORT = """
apiVersion: v1
kind: Service
metadata:
  name: gateway
  namespace: payments
spec:
  type: NodePort
  externalTrafficPolicy: Local
  ports:
  - port: 7
    nodePort: 30007
    protocol: UDP
  selector:
    app: gateway
"""


def test_who_asks_at_a_node_port_is_answered_from_the_egress_ip(
    cluster: LiveCluster,
) -> None:
    """And does not know the answer for one to what it asked."""
    pod, words = leaving(cluster).elsewhere, b"who asks a node port"
    cluster.apply(NODE_PORT)

    with echoing([pod], [ECHO]):
        say(cluster.external, pod.node.ip, 30007, words)
        answer = heard(cluster, cluster.external, words)

    assert answer[IP].src == str(FIRST)


@pytest.mark.usefixtures("shared_conntrack")
def test_once_fixed_who_asks_at_a_node_port_is_answered_from_there(
    cluster: LiveCluster,
) -> None:
    pod = leaving(cluster).elsewhere
    switch_off(cluster, "repliesTakeEgressIp")
    cluster.apply(NODE_PORT)

    with echoing([pod], [ECHO]):
        answer = ask(cluster.external, pod.node.ip, 30007, "hello", udp=True)

    assert answer == "hello"


def switch_off(cluster: LiveCluster, quirk: str) -> None:
    """Have the cluster do what a later version does."""
    cluster.apply(
        f"{{apiVersion: testbed/v1, kind: Underlay, quirks: {{{quirk}: false}}}}"
    )


def heard(cluster: LiveCluster, place: Place, words: bytes) -> Packet:
    """The first packet with these words that comes in at a place."""
    seen = cluster.recorder.wait_for(
        lambda seen: seen.tap is place.tap and not seen.sent and words in seen.frame,
        timeout=cluster.patience,
    )
    assert seen is not None, f"{place} hears nothing"
    return Ether(seen.frame)
