"""Two pods have one address, and the older is not reached any more.

Reference: BZ1427789, BZ1429030, BZ1395183, openshift/origin#22353
Family: IP addresses
Symptom: A pod works until another starts on its node. Since then its clients are
    answered by somebody else, or refused, and `oc get pods -o wide` shows one IP twice.
Mechanism: Addresses are handed out by files, one for each, in /var/lib/cni/networks.
    Where the directory was lost (it was in the wrong place, or a container runtime
    emptied it), addresses in use are handed out again. The new pod's flows of tables 40
    and 70 match the same address, and take the place of the old one's.
Fixed in: In part before 3.11 was released; open in 3.11 with CRI-O.
Diagnosis: Two pods with one address; two ports of br0 with one nw_src in table 20.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testbed.faults import DuplicatePodIP
from testbed.probe import arp_request, ask, echoing, send_udp

if TYPE_CHECKING:
    from testbed.probe import LiveCluster

pytestmark = pytest.mark.plugins("multitenant")

CLIENT, OLDER, NEWER, PORT = (
    "shop/web-1-4wq8n",
    "shop/db-0",
    "shop/checkout-3-x6tlf",
    5432,
)


@pytest.mark.symptom
def test_what_is_sent_to_the_older_pod_arrives_at_the_newer(
    cluster: LiveCluster,
) -> None:
    """ARP, too. The older one's own packets still leave; their answers do not come."""
    client, older, newer = map(cluster.pod, (CLIENT, OLDER, NEWER))
    with cluster.broken(DuplicatePodIP(pod=NEWER, ip=older.ip)):
        for sent in (
            send_udp(cluster, client, older),
            cluster.send(client, arp_request(client, older.ip)),
        ):
            sent.arrives(newer)
            assert older.tap not in {seen.tap for seen in sent.received()}
        send_udp(cluster, older, client).arrives(client)


@pytest.mark.symptom
def test_the_older_pods_clients_are_refused(cluster: LiveCluster) -> None:
    """It listens, and the newer one does not."""
    client, older = cluster.pod(CLIENT), cluster.pod(OLDER)
    with (
        cluster.broken(DuplicatePodIP(pod=NEWER, ip=older.ip)),
        echoing([older], [PORT]),
        pytest.raises(ConnectionRefusedError),
    ):
        ask(client, older.ip, PORT, "hello")


@pytest.mark.fix
def test_each_is_reached_at_its_own_address(cluster: LiveCluster) -> None:
    client, older, newer = map(cluster.pod, (CLIENT, OLDER, NEWER))

    for pod in (older, newer):
        send_udp(cluster, client, pod).arrives(pod)
    with echoing([older], [PORT]):
        assert ask(client, older.ip, PORT, "hostname") == older.machine.name
