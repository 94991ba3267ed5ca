"""How soon a change is made: one NetworkPolicy, live and in a cluster of 100 nodes.

Run by ``tests/bench.py``; prints JSON, seconds by name.
"""

from __future__ import annotations

import json
import sys
import time
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

from testbed.emulation import sandbox
from testbed.emulation.build import running_cluster
from testbed.emulation.prerequisites import choose_datapath
from testbed.model import (
    Cluster,
    ClusterNetwork,
    ClusterNetworkEntry,
    HostSubnet,
    IngressRule,
    LabelSelector,
    Namespace,
    NetNamespace,
    NetworkPolicy,
    Plugin,
    Pod,
    PolicyPeer,
    PolicyPort,
    Underlay,
)
from testbed.pipeline import cluster_flows
from testbed.probe import LiveCluster
from testbed.topology import load
from testbed.topology.shipped import shipped

if TYPE_CHECKING:
    from collections.abc import Callable

NODES, PODS_PER_NODE, NAMESPACES, POLICIES_PER_NAMESPACE = 100, 50, 100, 5
DENY = """\
kind: NetworkPolicy
metadata: {name: bench, namespace: %s}
spec: {podSelector: {}}
"""


def main() -> int:
    """Measure inside a sandbox of this process's own."""
    if not sandbox.inside():
        return sandbox.run([sys.executable, __file__])
    print(json.dumps(live() | computed()))  # noqa: T201 - for bench.py
    return 0


def live() -> dict[str, float]:
    """Apply one policy to the shipped cluster under ovs-networkpolicy."""
    topology = load(shipped("networkpolicy.yaml"))
    policy = DENY % topology.cluster.network_policies[0].namespace
    with (
        running_cluster(topology.cluster, choose_datapath()),
        LiveCluster.attach(topology) as cluster,
    ):
        return {"apply": timed(lambda: cluster.apply(policy))}


def computed() -> dict[str, float]:
    """Compute every node's flows, then once more with one more policy."""
    cluster = large_cluster()
    start = time.monotonic()
    flows = cluster_flows(cluster)
    full = time.monotonic() - start
    one_more = large_cluster(one_more=True)
    return {
        "recompute": full,
        "one more": timed(lambda: cluster_flows(one_more, flows)),
    }


def timed(action: Callable[[], object]) -> float:
    """Wall-clock seconds."""
    start = time.monotonic()
    action()
    return time.monotonic() - start


def large_cluster(*, one_more: bool = False) -> Cluster:
    """100 nodes, 5,000 pods, and 500 policies in 100 namespaces."""
    subnets = IPv4Network("10.128.0.0/14").subnets(new_prefix=23)
    nodes = tuple(
        HostSubnet(
            name=f"node-{number}",
            host_ip=IPv4Address("172.16.0.1") + number,
            subnet=next(subnets),
            uid=str(number),
        )
        for number in range(NODES)
    )
    names = [f"project-{number}" for number in range(NAMESPACES)]
    pods = tuple(
        Pod(
            namespace=names[(index * PODS_PER_NODE + number) % NAMESPACES],
            name=f"pod-{index}-{number}",
            node=node.name,
            ip=node.subnet[2 + number],
            ofport=3 + number,
            labels={"app": f"app-{index % 5}"},
        )
        for index, node in enumerate(nodes)
        for number in range(PODS_PER_NODE)
    )
    policies = [
        policy(name, number)
        for name in names
        for number in range(POLICIES_PER_NAMESPACE)
    ]
    if one_more:
        policies.append(policy(names[0], POLICIES_PER_NAMESPACE))
    return Cluster(
        network=ClusterNetwork(
            plugin=Plugin.NETWORKPOLICY,
            cluster_networks=(
                ClusterNetworkEntry(
                    cidr=IPv4Network("10.128.0.0/14"), host_subnet_length=9
                ),
            ),
            service_network=IPv4Network("172.30.0.0/16"),
        ),
        host_subnets=nodes,
        net_namespaces=tuple(
            NetNamespace(name=name, netid=10 + number)
            for number, name in enumerate(names)
        ),
        namespaces=tuple(Namespace(name=name, labels={"name": name}) for name in names),
        pods=pods,
        services=(),
        endpoints=(),
        network_policies=tuple(policies),
        underlay=Underlay(
            subnet=IPv4Network("172.16.0.0/16"),
            gateway=IPv4Address("172.16.255.254"),
            external_network=IPv4Network("198.51.100.0/24"),
            external_gateway=IPv4Address("198.51.100.254"),
            external_hosts=(),
        ),
    )


def policy(namespace: str, number: int) -> NetworkPolicy:
    """Pods of one app may be sent to by those of the next, on one port."""
    apps = [
        LabelSelector(match_labels=(("app", f"app-{(number + step) % 5}"),))
        for step in range(2)
    ]
    return NetworkPolicy(
        namespace=namespace,
        name=f"policy-{number}",
        pod_selector=apps[0],
        ingress=(
            IngressRule(
                peers=(PolicyPeer(pod_selector=apps[1]),),
                ports=(PolicyPort(port=8080 + number),),
            ),
        ),
    )


if __name__ == "__main__":
    sys.exit(main())
