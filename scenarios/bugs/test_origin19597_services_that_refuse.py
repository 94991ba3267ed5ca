"""A node refuses a service whose endpoints are there.

Reference: openshift/origin#19597
Family: services
Symptom: On one node connections to a service are refused at once ("No route to host",
    "Connection refused"); on others they work, and `oc get endpoints` shows the
    endpoints.
Mechanism: kube-proxy rejects what is for a service without endpoints, by a rule of
    KUBE-SERVICES. A kube-proxy that has lost the API server does not hear of endpoints
    that come, and the rule stays.
Fixed in: By operation: see why the node's SDN does not reach the API server.
Diagnosis: A rule "has no endpoints" on a node for a service that has some.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testbed.gallery.remains import RulesStale
from testbed.probe import ask, echoing

if TYPE_CHECKING:
    from testbed.probe import LiveCluster

pytestmark = pytest.mark.plugins("multitenant")

DEAF, INFORMED, SERVER = "oc-01.test", "oc-02.test", "bank/ledger-0"
SERVICE, PORT = "bank/mainframe", 992


def endpoints(cluster: LiveCluster) -> str:
    """The service's endpoints have come back."""
    return f"""
apiVersion: v1
kind: Endpoints
metadata: {{name: mainframe, namespace: bank}}
subsets:
- addresses: [{{ip: {cluster.pod(SERVER).ip}}}]
  ports: [{{name: tn3270, port: {PORT}, protocol: TCP}}]
"""


@pytest.mark.symptom
def test_the_node_that_did_not_hear_of_endpoints_refuses(cluster: LiveCluster) -> None:
    """Another node's connection is answered."""
    server, ip = cluster.pod(SERVER), cluster.service(SERVICE).cluster_ip
    assert ip is not None
    with (
        cluster.broken(RulesStale.of(cluster.objects, DEAF)),
        echoing([server], [PORT]),
    ):
        cluster.apply(endpoints(cluster))

        informed = cluster.node(INFORMED)
        assert ask(informed, ip, PORT, "hostname") == server.machine.name
        with pytest.raises(ConnectionRefusedError):
            ask(cluster.node(DEAF), ip, PORT, "hostname")


@pytest.mark.fix
def test_every_node_that_hears_of_endpoints_connects(cluster: LiveCluster) -> None:
    server, ip = cluster.pod(SERVER), cluster.service(SERVICE).cluster_ip
    assert ip is not None
    cluster.apply(endpoints(cluster))

    with echoing([server], [PORT]):
        for node in cluster.nodes:
            assert ask(node, ip, PORT, "hostname") == server.machine.name
