"""Table 80 under ovs-networkpolicy: whom policies let in, and where the rest dies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import ARP, Ether
from scapy.layers.vxlan import VXLAN

from testbed.openflow import Table
from testbed.probe import (
    arp_request,
    ip_between,
    send_syn,
    send_udp,
    syn_between,
    udp_between,
    vxlan,
)

if TYPE_CHECKING:
    from ipaddress import IPv4Address

    from scapy.packet import Packet

    from testbed.probe import LiveCluster, Pod, Sent

pytestmark = pytest.mark.plugins("networkpolicy")

DENY_ALL_OF_LAB = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: default-deny
  namespace: lab
spec:
  podSelector: {}
  policyTypes: [Ingress]
"""


def isolates(cluster: LiveCluster, pod: Pod) -> str:
    """The flow that drops for one pod what no policy allows."""
    vnid = cluster.objects.vnid(pod.pod.namespace)
    return f"priority=100,ip,reg1={vnid:#x},nw_dst={pod.ip}"


def opens(cluster: LiveCluster, pod: Pod) -> str:
    """The flow that delivers what is for the pods that no policy selects."""
    vnid = cluster.objects.vnid(pod.pod.namespace)
    return f"priority=50,reg1={vnid:#x}"


@pytest.fixture
def vault(cluster: LiveCluster) -> Pod:
    """A pod that nobody may reach, on oc-01."""
    return cluster.pod("vault/vault-0")


@pytest.fixture
def web(cluster: LiveCluster) -> Pod:
    """A pod of shop, on oc-02."""
    return cluster.pod("shop/web-1-k9s5c")


@pytest.fixture
def db(cluster: LiveCluster) -> Pod:
    """A pod of backend that two policies select, on oc-02."""
    return cluster.pod("backend/db-0")


@pytest.fixture
def batch(cluster: LiveCluster) -> Pod:
    """A pod of backend that no policy selects, on oc-04."""
    return cluster.pod("backend/batch-1-zt6vd")


def test_a_denied_pod_drops_what_a_pod_of_its_node_sends(
    cluster: LiveCluster, vault: Pod
) -> None:
    sender = cluster.pod("lab/client-a")
    assert sender.node == vault.node

    send_udp(cluster, sender, vault).is_dropped(vault.node, Table.POLICY)


def test_what_another_node_sends_to_a_denied_pod_is_dropped_on_the_receivers_node(
    cluster: LiveCluster, vault: Pod
) -> None:
    sender = cluster.pod("lab/client-c")

    sent = send_udp(cluster, sender, vault)

    sent.is_dropped(vault.node, Table.POLICY)
    vnid = cluster.objects.vnid("lab")
    assert sent.crosses(vault.node.wire)[VXLAN].vni == vnid


def test_pods_of_a_denied_namespace_do_not_reach_each_other_either(
    cluster: LiveCluster, vault: Pod
) -> None:
    sent = send_udp(cluster, cluster.pod("vault/vault-1"), vault)

    sent.is_dropped(vault.node, Table.POLICY)


def test_arp_for_a_denied_pod_is_answered_all_the_same(
    cluster: LiveCluster, vault: Pod
) -> None:
    """Policies are about IP; who has an address is told to anybody."""
    sender = cluster.pod("lab/client-c")

    sent = cluster.send(sender, arp_request(sender, vault.ip))

    def names_it(packet: Packet) -> bool:
        return ARP in packet and bool(packet[ARP].hwsrc == vault.mac)

    sent.is_answered(names_it)


def test_a_node_reaches_its_own_pods_although_a_policy_denies_them(
    cluster: LiveCluster, vault: Pod
) -> None:
    """Kubelet's health checks would fail otherwise."""
    send_udp(cluster, vault.node, vault).arrives(vault)

    own = f"priority=300,ip,nw_src={vault.node.gateway}"
    assert cluster.hits(vault.node, Table.POLICY, own)
    to_routing = f"priority=400,ip,in_port=2,nw_src={vault.node.gateway}"
    assert cluster.hits(vault.node, Table.DISPATCH, to_routing)


def test_another_nodes_kernel_is_denied_as_anybody_else(
    cluster: LiveCluster, vault: Pod
) -> None:
    sent = send_udp(cluster, cluster.node("oc-04"), vault)

    sent.is_dropped(vault.node, Table.POLICY)
    assert sent.crosses(vault.node.wire)[VXLAN].vni == 0


def test_another_nodes_kernel_is_let_in_by_a_policy_that_selects_default(
    cluster: LiveCluster, web: Pod
) -> None:
    """That is how routers, on the host network, reach the pods they route to."""
    send_udp(cluster, cluster.node("oc-01"), web).arrives(web)

    vnid = cluster.objects.vnid("shop")
    from_default = f"priority=150,reg0=0,reg1={vnid:#x}"
    assert cluster.hits(web.node, Table.POLICY, from_default) == 1


def test_pods_of_a_namespace_reach_each_other_where_a_policy_allows_their_own(
    cluster: LiveCluster, web: Pod
) -> None:
    send_udp(cluster, cluster.pod("shop/web-1-4wq8n"), web).arrives(web)

    vnid = cluster.objects.vnid("shop")
    from_own = f"priority=150,reg0={vnid:#x},reg1={vnid:#x}"
    assert cluster.hits(web.node, Table.POLICY, from_own) == 1


def test_a_namespace_that_no_policy_names_is_kept_out(
    cluster: LiveCluster, web: Pod
) -> None:
    sent = send_udp(cluster, cluster.pod("lab/client-b"), web)

    sent.is_dropped(web.node, Table.POLICY)


@pytest.mark.parametrize("sender", ["prometheus-0", "grafana-1-c5w7t"])
def test_a_namespace_that_is_allowed_to_a_port_reaches_it(
    cluster: LiveCluster, web: Pod, sender: str
) -> None:
    sent = send_syn(cluster, cluster.pod(f"monitoring/{sender}"), web, dport=9100)

    sent.arrives(web)


@pytest.mark.parametrize("sender", ["prometheus-0", "grafana-1-c5w7t"])
def test_and_no_other_port(cluster: LiveCluster, web: Pod, sender: str) -> None:
    sent = send_syn(cluster, cluster.pod(f"monitoring/{sender}"), web, dport=8080)

    sent.is_dropped(web.node, Table.POLICY)


def test_and_nobody_else_that_port(cluster: LiveCluster, web: Pod) -> None:
    sent = send_syn(cluster, cluster.pod("lab/client-b"), web, dport=9100)

    sent.is_dropped(web.node, Table.POLICY)


def test_and_not_that_port_of_another_namespace(cluster: LiveCluster, db: Pod) -> None:
    sent = send_syn(cluster, cluster.pod("monitoring/prometheus-0"), db, dport=9100)

    sent.is_dropped(db.node, Table.POLICY, isolates(cluster, db))


def test_and_not_with_another_protocol(cluster: LiveCluster, web: Pod) -> None:
    sent = send_udp(cluster, cluster.pod("monitoring/prometheus-0"), web, dport=9100)

    sent.is_dropped(web.node, Table.POLICY)


@pytest.mark.parametrize("sender", ["api-1-x5nq4", "api-1-8m2xq"])
def test_pods_with_the_labels_that_a_policy_names_are_let_in(
    cluster: LiveCluster, db: Pod, sender: str
) -> None:
    send_syn(cluster, cluster.pod(f"backend/{sender}"), db, dport=5432).arrives(db)


def test_a_pod_with_other_labels_is_dropped_by_the_receivers_own_flow(
    cluster: LiveCluster, db: Pod, batch: Pod
) -> None:
    sent = send_syn(cluster, batch, db, dport=5432)

    sent.is_dropped(db.node, Table.POLICY, isolates(cluster, db))


def test_labels_of_pods_mean_nothing_in_another_namespace(
    cluster: LiveCluster, db: Pod
) -> None:
    cluster.apply(labelled_pod("lab", "client-b", "oc-02.test", app="api"))

    sent = send_syn(cluster, cluster.pod("lab/client-b"), db, dport=5432)

    sent.is_dropped(db.node, Table.POLICY, isolates(cluster, db))


def test_an_address_is_not_enough_where_a_policy_names_pods(
    cluster: LiveCluster, db: Pod
) -> None:
    """The sender's VNID must be its namespace's, too."""
    api = cluster.pod("backend/api-1-x5nq4")
    inner = syn_between(api, db, 5432)
    vnid = cluster.objects.vnid("lab")
    assert api.node != db.node

    sent = cluster.send(
        cluster.rogue, vxlan(inner, source=api.node.ip, node=db.node, vnid=vnid)
    )

    sent.is_dropped(db.node, Table.POLICY, isolates(cluster, db))


@dataclass(frozen=True, kw_only=True)
class Beside:
    """A new pod of backend, on the node of another that other policies select."""

    name: str
    app: str
    node: str
    allowed: int
    old: str
    allowed_to_old: int


@pytest.mark.parametrize("who", ["backend/api-1-x5nq4", "audit/collector-1-tb6wl"])
@pytest.mark.parametrize(
    "beside",
    [
        Beside(
            name="syslog-1",
            app="syslog",
            node="oc-02.test",
            allowed=514,
            old="backend/db-0",
            allowed_to_old=5432,
        ),
        Beside(
            name="db-1",
            app="db",
            node="oc-03.test",
            allowed=5432,
            old="backend/syslog-0",
            allowed_to_old=514,
        ),
    ],
    ids=lambda beside: beside.name,
)
def test_what_a_policy_allows_to_one_pod_another_of_the_node_is_not_allowed(
    cluster: LiveCluster, who: str, beside: Beside
) -> None:
    cluster.apply(labelled_pod("backend", beside.name, beside.node, app=beside.app))
    sender, old = cluster.pod(who), cluster.pod(beside.old)
    new = cluster.pod(f"backend/{beside.name}")
    assert new.node == old.node

    send_syn(cluster, sender, new, beside.allowed).arrives(new)
    send_syn(cluster, sender, old, beside.allowed_to_old).arrives(old)
    for receiver, port in ((new, beside.allowed_to_old), (old, beside.allowed)):
        for send in (send_syn, send_udp):
            sent = send(cluster, sender, receiver, port)

            sent.is_dropped(receiver.node, Table.POLICY, isolates(cluster, receiver))


def test_what_several_policies_allow_adds_up(cluster: LiveCluster, db: Pod) -> None:
    """One lets in pods by label, the other a whole namespace; each alone isolates."""
    for sender in ("backend/api-1-x5nq4", "audit/collector-1-tb6wl"):
        send_syn(cluster, cluster.pod(sender), db, dport=5432).arrives(db)


@pytest.mark.parametrize("sender", ["audit/collector-1-tb6wl", "backend/api-1-x5nq4"])
def test_policies_together_still_isolate(
    cluster: LiveCluster, db: Pod, sender: str
) -> None:
    sent = send_syn(cluster, cluster.pod(sender), db, dport=5433)

    sent.is_dropped(db.node, Table.POLICY, isolates(cluster, db))


@pytest.mark.parametrize(
    "segment",
    [
        pytest.param(UDP(sport=40009, dport=514), id="udp"),
        pytest.param(TCP(sport=40009, dport=514, flags="S"), id="tcp"),
    ],
)
def test_a_policy_of_ports_alone_lets_everybody_to_them(
    cluster: LiveCluster, segment: Packet
) -> None:
    syslog = cluster.pod("backend/syslog-0")
    for sender in ("lab/client-c", "lab/client-d", "partner/sync-1-h4jfr"):
        place = cluster.pod(sender)

        sent = cluster.send(place, ip_between(place, syslog) / segment)

        sent.arrives(syslog)


@pytest.mark.parametrize(
    "segment",
    [
        pytest.param(UDP(sport=40009, dport=515), id="udp"),
        pytest.param(TCP(sport=40009, dport=515, flags="S"), id="tcp"),
    ],
)
def test_a_policy_of_ports_alone_lets_nobody_to_others(
    cluster: LiveCluster, segment: Packet
) -> None:
    syslog, sender = cluster.pod("backend/syslog-0"), cluster.pod("lab/client-c")

    sent = cluster.send(sender, ip_between(sender, syslog) / segment)

    sent.is_dropped(syslog.node, Table.POLICY, isolates(cluster, syslog))


def test_a_ping_has_no_port_and_is_dropped_where_ports_are_named(
    cluster: LiveCluster,
) -> None:
    syslog, sender = cluster.pod("backend/syslog-0"), cluster.pod("lab/client-c")

    sent = cluster.send(sender, ip_between(sender, syslog) / ICMP())

    sent.is_dropped(syslog.node, Table.POLICY, isolates(cluster, syslog))


def test_pods_that_no_policy_of_their_namespace_selects_are_open(
    cluster: LiveCluster, batch: Pod
) -> None:
    for sender in ("lab/client-d", "lab/client-a"):
        send_udp(cluster, cluster.pod(sender), batch).arrives(batch)

    assert cluster.hits(batch.node, Table.POLICY, opens(cluster, batch)) >= 2


def test_pods_of_a_namespace_without_policies_are_open(cluster: LiveCluster) -> None:
    receiver = cluster.pod("monitoring/grafana-1-c5w7t")

    send_udp(cluster, cluster.pod("vault/vault-0"), receiver).arrives(receiver)

    assert cluster.hits(receiver.node, Table.POLICY, opens(cluster, receiver))


def test_what_comes_from_outside_by_a_tunnel_has_vnid_0_and_is_denied_too(
    cluster: LiveCluster, vault: Pod
) -> None:
    node = cluster.node("oc-04")
    packet = ip_between(node, vault) / UDP(sport=40009, dport=9)
    packet[IP].src = str(cluster.external.ip)

    sent = cluster.send(node, packet)

    sent.is_dropped(vault.node, Table.POLICY)


def test_what_comes_from_outside_by_a_tunnel_is_let_in_where_default_is(
    cluster: LiveCluster, web: Pod
) -> None:
    """With VNID 0, that is, which the namespace default has."""
    node, lab = cluster.node("oc-04"), cluster.objects.vnid("lab")
    inner = udp_between(cluster.external, web.ip)

    def tunnelled(vnid: int) -> Sent:
        forged = vxlan(inner, source=node.ip, node=web.node, vnid=vnid)
        return cluster.send(cluster.rogue, forged)

    tunnelled(0).arrives(web)
    tunnelled(lab).is_dropped(web.node, Table.POLICY)


def test_a_policy_that_is_added_isolates_at_once(cluster: LiveCluster) -> None:
    sender, receiver = cluster.pod("lab/client-a"), cluster.pod("lab/client-d")

    send_udp(cluster, sender, receiver).arrives(receiver)
    cluster.apply(DENY_ALL_OF_LAB)

    send_udp(cluster, sender, receiver).is_dropped(receiver.node, Table.POLICY)


def test_a_policy_that_is_deleted_isolates_no_more(
    cluster: LiveCluster, vault: Pod
) -> None:
    sender = cluster.pod("lab/client-c")

    cluster.delete(
        "{kind: NetworkPolicy, metadata: {name: default-deny, namespace: vault}}"
    )

    send_udp(cluster, sender, vault).arrives(vault)
    assert cluster.hits(vault.node, Table.POLICY, opens(cluster, vault)) == 1


def test_a_policy_that_is_changed_allows_the_new_port_and_the_old_no_more(
    cluster: LiveCluster,
) -> None:
    syslog, sender = cluster.pod("backend/syslog-0"), cluster.pod("lab/client-d")

    cluster.apply("""
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: syslog
  namespace: backend
spec:
  podSelector:
    matchLabels:
      app: syslog
  ingress:
  - ports:
    - port: 6514
""")

    send_syn(cluster, sender, syslog, dport=6514).arrives(syslog)
    send_udp(cluster, sender, syslog, dport=514).is_dropped(
        syslog.node, Table.POLICY, isolates(cluster, syslog)
    )


def test_a_change_of_policies_leaves_the_counters_of_other_flows_alone(
    cluster: LiveCluster, batch: Pod
) -> None:
    before = {d.flow: d.n_packets for d in batch.node.switch.dump_flows()}

    cluster.apply(DENY_ALL_OF_LAB)

    after = {d.flow: d.n_packets for d in batch.node.switch.dump_flows()}
    kept = before.keys() & after.keys()
    assert all(after[flow] >= before[flow] for flow in kept)
    gone = {flow.selector for flow in before.keys() - after.keys()}
    assert gone == {f"priority=50,reg1={cluster.objects.vnid('lab'):#x}"}
    send_udp(cluster, batch, cluster.pod("lab/client-d")).is_dropped(
        batch.node, Table.POLICY
    )


def labelled_pod(namespace: str, name: str, node: str, **labels: str) -> str:
    """A pod, new or as it was, with these labels."""
    return f"""
apiVersion: v1
kind: Pod
metadata:
  name: {name}
  namespace: {namespace}
  labels: {labels}
spec:
  nodeName: {node}
status:
  phase: Running
"""


def test_a_pod_that_gets_the_label_of_a_sender_is_let_in(
    cluster: LiveCluster, db: Pod, batch: Pod
) -> None:
    cluster.apply(labelled_pod("backend", "batch-1-zt6vd", "oc-04.test", app="api"))

    send_syn(cluster, batch, db, dport=5432).arrives(db)


def test_a_pod_that_gets_the_label_of_a_receiver_is_isolated(
    cluster: LiveCluster, batch: Pod
) -> None:
    sender = cluster.pod("lab/client-a")
    send_udp(cluster, sender, batch).arrives(batch)

    cluster.apply(labelled_pod("backend", "batch-1-zt6vd", "oc-04.test", app="db"))

    send_udp(cluster, sender, batch).is_dropped(
        batch.node, Table.POLICY, isolates(cluster, batch)
    )


@pytest.mark.parametrize("allowed", [True, False])
def test_a_namespace_is_let_in_as_long_as_it_has_the_label(
    cluster: LiveCluster, db: Pod, *, allowed: bool
) -> None:
    label = "reporting" if allowed else "archive"
    for name, purpose in (("lab", label), ("audit", "other")):
        cluster.apply(
            f"{{apiVersion: v1, kind: Namespace, "
            f"metadata: {{name: {name}, labels: {{purpose: {purpose}}}}}}}"
        )

    sent = send_syn(cluster, cluster.pod("lab/client-a"), db, dport=5432)

    if allowed:
        sent.arrives(db)
    else:
        sent.is_dropped(db.node, Table.POLICY, isolates(cluster, db))


def test_a_namespace_that_loses_the_label_is_kept_out(
    cluster: LiveCluster, db: Pod
) -> None:
    cluster.apply("{apiVersion: v1, kind: Namespace, metadata: {name: audit}}")

    sent = send_syn(cluster, cluster.pod("audit/collector-1-tb6wl"), db, dport=5432)

    sent.is_dropped(db.node, Table.POLICY, isolates(cluster, db))


def test_a_new_pod_that_a_policy_selects_is_isolated_from_its_first_packet(
    cluster: LiveCluster,
) -> None:
    cluster.apply(labelled_pod("backend", "db-1", "oc-03.test", app="db"))

    new = cluster.pod("backend/db-1")
    sent = send_syn(cluster, cluster.pod("lab/client-c"), new, dport=5432)

    sent.is_dropped(new.node, Table.POLICY, isolates(cluster, new))


def test_a_new_pod_that_a_policy_names_as_a_sender_is_let_in_from_its_first_packet(
    cluster: LiveCluster, db: Pod
) -> None:
    cluster.apply(labelled_pod("backend", "api-2", "oc-01.test", app="api"))

    send_syn(cluster, cluster.pod("backend/api-2"), db, dport=5432).arrives(db)


def test_the_first_pod_of_a_namespace_on_a_node_brings_the_policies_with_it(
    cluster: LiveCluster,
) -> None:
    cluster.apply(labelled_pod("vault", "vault-2", "oc-03.test", app="vault"))
    cluster.apply(
        """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: allow-lab
  namespace: vault
spec:
  podSelector:
    matchLabels:
      app: vault
  ingress:
  - from:
    - podSelector: {}
"""
    )

    cluster.apply(labelled_pod("vault", "audit-0", "oc-03.test", app="audit"))
    new, denied = cluster.pod("vault/vault-2"), cluster.pod("vault/audit-0")
    send_udp(cluster, cluster.pod("vault/vault-0"), new).arrives(new)
    for sender, receiver in (("lab/client-c", new), ("vault/vault-0", denied)):
        sent = send_udp(cluster, cluster.pod(sender), receiver)
        sent.is_dropped(receiver.node, Table.POLICY)


def test_multicast_reaches_the_namespace_although_a_policy_denies_everything(
    cluster: LiveCluster,
) -> None:
    """It does not pass table 80."""
    sender = cluster.pod("monitoring/prometheus-0")
    cluster.apply(DENY_ALL_OF_LAB.replace("lab", "monitoring"))
    packet = Ether(src=sender.mac) / IP(src=str(sender.ip), dst="239.1.2.3")

    sent = cluster.send(sender, packet / UDP(sport=40009, dport=9))

    for name in ("alertmanager-0", "grafana-1-c5w7t"):
        sent.arrives(cluster.pod(f"monitoring/{name}"))


def test_a_ghosts_subnet_is_tunnelled_to_with_the_vnid_it_asked_for(
    cluster: LiveCluster, batch: Pod
) -> None:
    """An F5 takes no other; a pod's own VNID would be lost on it."""
    (ghost,) = cluster.ghosts
    behind: IPv4Address = cluster.objects.ghosts[0].subnet[5]
    assert cluster.objects.vnid("backend") != 0

    for packet in (
        arp_request(batch, behind),
        ip_between(batch, behind) / UDP(sport=40009, dport=9),
    ):
        received = cluster.send(batch, packet).arrives(ghost)

        assert received[IP].src == str(batch.node.ip)
        assert received[VXLAN].vni == 0
        assert received[VXLAN][Ether].src == batch.mac


def test_what_a_ghost_sends_has_the_vnid_it_chose_and_meets_the_same_policies(
    cluster: LiveCluster, vault: Pod
) -> None:
    (ghost,) = cluster.ghosts
    behind = cluster.objects.ghosts[0].subnet[5]
    inner = ip_between(cluster.pod("lab/client-d"), vault) / UDP(sport=40009, dport=9)
    inner[IP].src = str(behind)

    sent = cluster.send(ghost, vxlan(inner, source=ghost.ip, node=vault.node))

    sent.is_dropped(vault.node, Table.POLICY)
