"""Where 3.11 takes a NetworkPolicy otherwise than it is written, and how it was fixed.

Each scenario runs twice: as 3.11 was released, and with the quirk switched off in the
Underlay document.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import pytest
from scapy.layers.inet import TCP, UDP

from testbed.openflow import Table
from testbed.probe import (
    ask,
    echoing,
    ip_between,
    send_syn,
    send_udp,
    udp_between,
    vxlan,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.openflow import Flow
    from testbed.probe import LiveCluster, Node, Pod

pytestmark = pytest.mark.plugins("networkpolicy")

as_released_and_fixed = pytest.mark.parametrize(
    "fixed", [False, True], ids=["as-released", "fixed"]
)

LAB_HAS_A_LABEL = """
apiVersion: v1
kind: Namespace
metadata:
  name: lab
  labels:
    team: lab
"""


def switch_off(cluster: LiveCluster, quirk: str) -> None:
    """Have the cluster do what a later version does."""
    cluster.apply(
        f"{{apiVersion: testbed/v1, kind: Underlay, quirks: {{{quirk}: false}}}}"
    )


@pytest.fixture
def client(cluster: LiveCluster) -> Pod:
    """A pod of lab, on oc-03."""
    return cluster.pod("lab/client-c")


@pytest.fixture
def vault(cluster: LiveCluster) -> Pod:
    """A pod of a namespace that lets nobody in, on oc-01."""
    return cluster.pod("vault/vault-0")


@as_released_and_fixed
def test_a_policy_about_egress_alone_denies_all_to_its_namespace(
    cluster: LiveCluster, client: Pod, *, fixed: bool
) -> None:
    """OVS rejects a flow of it, and with that all flows of the namespace."""
    receiver = cluster.pod("lab/client-d")
    if fixed:
        switch_off(cluster, "egressOnlyPolicyBreaksNamespace")

    cluster.apply("""
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: egress-to-dns-only
  namespace: lab
spec:
  podSelector:
    matchLabels:
      app: client
  egress:
  - ports:
    - port: 53
      protocol: UDP
  policyTypes: [Egress]
""")

    sent = send_udp(cluster, client, receiver)
    if fixed:
        sent.arrives(receiver)
    else:
        sent.is_dropped(receiver.node, Table.POLICY)


@pytest.mark.parametrize("port", ["port: https", "protocol: TCP"])
@as_released_and_fixed
def test_a_port_by_name_or_without_a_number_denies_all_to_the_whole_namespace(
    cluster: LiveCluster, client: Pod, port: str, *, fixed: bool
) -> None:
    """Although the policy selects other pods."""
    batch = cluster.pod("backend/batch-1-zt6vd")
    if fixed:
        switch_off(cluster, "unsupportedPortDeniesNamespace")

    cluster.apply(f"""
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: api
  namespace: backend
spec:
  podSelector:
    matchLabels:
      app: api
  ingress:
  - ports:
    - {port}
""")

    sent = send_udp(cluster, client, batch)
    if fixed:
        sent.arrives(batch)
    else:
        sent.is_dropped(batch.node, Table.POLICY)


@as_released_and_fixed
def test_what_other_policies_allow_is_delivered_beside_such_a_port(
    cluster: LiveCluster, *, fixed: bool
) -> None:
    api, db = cluster.pod("backend/api-1-x5nq4"), cluster.pod("backend/db-0")
    if fixed:
        switch_off(cluster, "unsupportedPortDeniesNamespace")

    cluster.apply("""
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: api
  namespace: backend
spec:
  podSelector:
    matchLabels:
      app: api
  ingress:
  - ports:
    - port: https
""")

    send_syn(cluster, api, db, dport=5432).arrives(db)
    vnid = cluster.objects.vnid("backend")
    sent = send_udp(cluster, cluster.pod("lab/client-a"), api)
    isolated = f"priority=100,ip,reg1={vnid:#x},nw_dst={api.ip}"
    sent.is_dropped(api.node, Table.POLICY, isolated if fixed else "priority=0")


ALLOW_CLIENTS_OF_LAB = f"""
{LAB_HAS_A_LABEL}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: default-deny
  namespace: vault
spec:
  podSelector: {{}}
  ingress:
  - from:
    - namespaceSelector:
        matchLabels:
          team: lab
      podSelector:
        matchLabels:
          app: client
"""


@as_released_and_fixed
def test_pods_of_selected_namespaces_are_not_let_in_although_a_policy_names_them(
    cluster: LiveCluster, client: Pod, vault: Pod, *, fixed: bool
) -> None:
    if fixed:
        switch_off(cluster, "combinedSelectorsIgnored")

    cluster.apply(ALLOW_CLIENTS_OF_LAB)

    sent = send_udp(cluster, client, vault)
    if fixed:
        sent.arrives(vault)
    else:
        sent.is_dropped(vault.node, Table.POLICY)


def test_once_selectors_combine_neither_address_nor_namespace_alone_is_enough(
    cluster: LiveCluster, client: Pod, vault: Pod
) -> None:
    switch_off(cluster, "combinedSelectorsIgnored")
    cluster.apply(ALLOW_CLIENTS_OF_LAB)
    lab, other = (cluster.objects.vnid(name) for name in ("lab", "backend"))
    elsewhere = cluster.pod("backend/api-1-x5nq4")

    for sender, vnid in ((client, other), (elsewhere, lab)):
        inner = udp_between(sender, vault)
        forged = vxlan(inner, source=sender.node.ip, node=vault.node, vnid=vnid)
        sent = cluster.send(cluster.rogue, forged)

        sent.is_dropped(vault.node, Table.POLICY)


def test_once_selectors_combine_they_let_nobody_into_another_namespace(
    cluster: LiveCluster, client: Pod, vault: Pod
) -> None:
    """Its pods may be on the same node."""
    switch_off(cluster, "combinedSelectorsIgnored")
    cluster.apply(ALLOW_CLIENTS_OF_LAB)
    web = cluster.pod("shop/web-1-4wq8n")
    assert web.node == vault.node

    send_udp(cluster, client, web).is_dropped(web.node, Table.POLICY)


ALLOW_A_RANGE = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: default-deny
  namespace: vault
spec:
  podSelector: {}
  ingress:
  - from:
    - ipBlock:
        cidr: 10.128.0.0/14
        except:
        - 10.131.0.0/23
"""


@as_released_and_fixed
def test_a_range_of_addresses_lets_nobody_in(
    cluster: LiveCluster, client: Pod, vault: Pod, *, fixed: bool
) -> None:
    if fixed:
        switch_off(cluster, "ipBlockIgnored")

    cluster.apply(ALLOW_A_RANGE)

    sent = send_udp(cluster, client, vault)
    if fixed:
        sent.arrives(vault)
    else:
        sent.is_dropped(vault.node, Table.POLICY)


def test_once_ranges_count_their_exceptions_do_too(
    cluster: LiveCluster, vault: Pod
) -> None:
    switch_off(cluster, "ipBlockIgnored")

    cluster.apply(ALLOW_A_RANGE)

    sent = send_udp(cluster, cluster.pod("lab/client-d"), vault)
    sent.is_dropped(vault.node, Table.POLICY)


def test_once_ranges_count_they_let_nobody_into_another_namespace(
    cluster: LiveCluster, client: Pod, vault: Pod
) -> None:
    """Its pods may be on the same node."""
    switch_off(cluster, "ipBlockIgnored")
    cluster.apply(ALLOW_A_RANGE)
    web = cluster.pod("shop/web-1-4wq8n")
    assert web.node == vault.node

    send_udp(cluster, client, web).is_dropped(web.node, Table.POLICY)


def overlapping(cluster: LiveCluster, node: Node) -> tuple[Flow, Flow]:
    """Of table 0: what looks a packet up, and what knows it for kube-proxy's."""
    dumped = {d.flow.selector: d.flow for d in node.switch.dump_flows()}
    cidr = cluster.objects.cidrs[0]
    returned = f"ip,in_port=2,nw_src={node.subnet},nw_dst={cidr}"
    for priority in (1000, 300):
        if f"priority={priority},ct_state=-trk,ip" in dumped:
            tracks = dumped[f"priority={priority},ct_state=-trk,ip"]
            return tracks, dumped[f"priority=300,{returned}"]
    raise LookupError(f"{node} tracks nothing")


@contextlib.contextmanager
def in_order(node: Node, first: Flow, last: Flow) -> Iterator[None]:
    """Have one flow added after the other, and the other way round again later.

    Of two that match alike OVS 3.1 takes the one that is there longer.
    """
    with node.switch.without_flow(last):
        pass
    try:
        yield
    finally:
        with node.switch.without_flow(first):
            pass


@pytest.mark.parametrize("tracked_first", [True, False])
@as_released_and_fixed
def test_whether_what_tun0_forwards_is_looked_up_depends_on_which_flow_came_first(
    cluster: LiveCluster, vault: Pod, *, tracked_first: bool, fixed: bool
) -> None:
    """A reply that is not looked up is no reply, and dropped."""
    node, peer = vault.node, cluster.pod("lab/client-a")
    if fixed:
        switch_off(cluster, "dispatchOverlaps")
    question = ip_between(vault, peer) / UDP(sport=40101, dport=40102)
    answer = ip_between(peer, vault) / UDP(sport=40102, dport=40101)
    answer.src = node.mac

    tracks, returned = overlapping(cluster, node)
    first, last = (tracks, returned) if tracked_first else (returned, tracks)
    with in_order(node, first, last):
        cluster.send(vault, question).arrives(peer)
        sent = cluster.send(node, answer)
        if tracked_first or fixed:
            sent.arrives(vault)
        else:
            sent.is_dropped(node, Table.POLICY)


@pytest.mark.usefixtures("shared_conntrack")
@as_released_and_fixed
def test_a_connection_collides_with_one_of_the_same_ports_through_a_service(
    cluster: LiveCluster, *, fixed: bool
) -> None:
    """Their answers look alike: conntrack takes one of them only."""
    api, db = cluster.pod("backend/api-1-8m2xq"), cluster.pod("backend/db-0")
    ip = cluster.service("backend/db").cluster_ip
    assert ip is not None
    if fixed:
        switch_off(cluster, "commitKeepsSourcePort")

    with echoing([db], [5432]):  # who refuses ends what conntrack knows
        taken = int(ask(api, ip, 5432, "whoami").split()[1])
        second = send_syn(cluster, api, db, 5432, sport=taken)

        if fixed:
            assert second.arrives(db)[TCP].sport != taken
        else:
            # Frames of one port are handled in order.
            send_syn(cluster, api, db, 5432, sport=40132).arrives(db)
            cluster.recorder.settle()
            assert not second.received()
