"""A new pod with an old address is not reached for minutes.

Reference: BZ1451854, openshift/origin#14685
Family: ARP
Symptom: A pod was deleted and another got its address. Who had talked with the old one
    cannot reach the new one for some minutes; all others can.
Mechanism: Pods had random MACs, and their peers' kernels remembered the old one. br0
    switches by IP address, so frames arrive at the new pod, whose kernel ignores what
    is for another MAC. Now the MAC follows from the address: 0a:58 and its four bytes.
Fixed in: Before 3.11 was released.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from scapy.layers.l2 import Ether

from testbed.faults import ArpStale
from testbed.probe import ask, echoing, say

if TYPE_CHECKING:
    from testbed.probe import LiveCluster, Pod

pytestmark = pytest.mark.plugins("multitenant")

CLIENT, OTHER_CLIENT = "shop/web-1-4wq8n", "shop/web-1-vh3rj"
SERVER, PORT = "shop/web-1-k9s5c", 8080
WORDS = b"to the pod that is gone"
RANDOM = "c2:7e:11:9b:40:5d"


def anew(pod: Pod) -> str:
    """Another pod with the pod's address, on its node."""
    return json.dumps(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"namespace": pod.pod.namespace, "name": "web-2-9tj4z"},
            "spec": {"nodeName": pod.node.name},
            "status": {"phase": "Running", "podIP": str(pod.ip)},
        }
    )


def remembered(client: Pod, ip: object) -> str:
    """The MAC that the client's kernel has for an address."""
    found = json.loads(client.run("ip", "-json", "neigh", "show", str(ip)))
    return str(found[0].get("lladdr", "")) if found else ""


@pytest.mark.symptom
def test_what_is_sent_to_the_old_pods_mac_arrives_and_is_ignored(
    cluster: LiveCluster,
) -> None:
    """Who does not remember the old pod is answered."""
    client, other, server = map(cluster.pod, (CLIENT, OTHER_CLIENT, SERVER))
    stale = ArpStale(pod=CLIENT, ip=server.ip, mac=RANDOM)
    with cluster.broken(stale), echoing([server], [PORT]):
        say(client, server.ip, PORT, WORDS)

        heard = cluster.recorder.wait_for(
            lambda seen: seen.tap is server.tap and WORDS in seen.frame,
            timeout=cluster.patience,
        )
        assert heard is not None
        assert Ether(heard.frame).dst == RANDOM != server.mac
        assert ask(other, server.ip, PORT, "hello", udp=True) == "hello"
        cluster.recorder.settle()
        answers = [
            seen
            for seen in cluster.recorder.sightings(WORDS)
            if seen.tap is client.tap and not seen.sent
        ]
        assert not answers


@pytest.mark.fix
def test_who_remembers_the_old_pod_reaches_the_new_one(cluster: LiveCluster) -> None:
    client, old = cluster.pod(CLIENT), cluster.pod(SERVER)
    with echoing([old], [PORT]):
        ask(client, old.ip, PORT, "hello")
    mac = remembered(client, old.ip)

    cluster.delete(
        f"{{kind: Pod, metadata: {{namespace: shop, name: {old.pod.name}}}}}"
    )
    cluster.apply(anew(old))

    new = cluster.pod("shop/web-2-9tj4z")
    assert remembered(client, new.ip) == mac
    with echoing([new], [PORT]):
        assert ask(client, new.ip, PORT, "hostname") == new.machine.name
