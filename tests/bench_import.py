"""How long `testbed import` takes, and how much memory: a large cluster's tarball.

Run as ``.venv/bin/python tests/bench_import.py [--nodes N] [--pods N] [--keep FILE]``.
It makes what ``debug.sh`` would have collected of such a cluster under
ovs-multitenant, objects as long as a customer's, and imports it in a process of its
own. ``--flows-only`` leaves the objects out; ``--one-file`` puts all flows in one text.
"""

from __future__ import annotations

import argparse
import io
import resource
import subprocess
import sys
import tarfile
import tempfile
import time
from ipaddress import IPv4Address, IPv4Network
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from testbed.model import ClusterNetworkEntry
from testbed.openflow import DumpedFlow
from testbed.pipeline import cluster_flows
from testbed.topology import loads
from testbed.topology.allocation import node_subnets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from testbed.topology import Topology

RANGE = ClusterNetworkEntry(cidr=IPv4Network("10.128.0.0/14"), host_subnet_length=9)
NAMESPACES = 400
FIRST_NODE = IPv4Address("172.16.0.10")

POD_SPEC = "".join(
    f"      - name: VARIABLE_{n}\n        value: some-value-{n}\n" for n in range(20)
)
"""What a customer's pod has, and no network."""


def cluster(nodes: int, pods: int, services: int) -> Topology:
    """A cluster of that size, pods in turn on every node."""
    text = ["{apiVersion: network.openshift.io/v1, kind: ClusterNetwork, "]
    text.append("metadata: {name: default}, clusterNetworks: [{CIDR: 10.128.0.0/14, ")
    text.append("hostSubnetLength: 9}], serviceNetwork: 172.30.0.0/16, ")
    text.append("pluginName: redhat/openshift-ovs-multitenant}\n")
    subnets = list(islice(node_subnets(RANGE), nodes))
    text += [
        "---\n{apiVersion: v1, kind: HostSubnet, metadata: {name: "
        f"node-{number}.test, uid: uid-{number}}}, hostIP: {FIRST_NODE + number}, "
        f"subnet: {subnet}}}\n"
        for number, subnet in enumerate(subnets)
    ]
    for number in range(pods):
        node = number % nodes
        ip = subnets[node][2 + number // nodes]
        text.append(
            "---\n{apiVersion: v1, kind: Pod, metadata: {namespace: "
            f"project-{number % NAMESPACES}, name: app-{number}-x7kp2, labels: {{app: "
            f"app-{number % 7}}}}}, spec: {{nodeName: node-{node}.test}}, "
            f"status: {{podIP: {ip}}}}}\n"
        )
    for number in range(services):
        text.append(
            "---\n{apiVersion: v1, kind: Service, metadata: {namespace: "
            f"project-{number % NAMESPACES}, name: svc-{number}}}, spec: {{clusterIP: "
            f"{IPv4Address('172.30.0.0') + 10 + number}, ports: [{{port: 8080}}], "
            f"selector: {{app: app-{number % 7}}}}}}}\n"
        )
    return loads("".join(text), "the generator")


def pods_yaml(topology: Topology) -> Iterator[str]:
    """``oc get pods -o yaml``, with all that a pod has."""
    yield "> oc get pods --all-namespaces -o yaml\n\napiVersion: v1\nitems:\n"
    for pod in topology.cluster.pods:
        app = pod.labels["app"]
        yield (
            "- apiVersion: v1\n  kind: Pod\n  metadata:\n    annotations:\n"
            "      openshift.io/scc: restricted\n"
            "    creationTimestamp: 2019-05-12T09:41:07Z\n"
            f'    labels:\n      app: {app}\n      pod-template-hash: "2310"\n'
            f"    name: {pod.name}\n    namespace: {pod.namespace}\n"
            "    ownerReferences:\n    - apiVersion: apps/v1\n      kind: ReplicaSet\n"
            f"      name: {app}\n      uid: 0a1b\n"
            f'    resourceVersion: "81{pod.ofport}"\n    uid: 6f0e\n'
            "  spec:\n    containers:\n    - env:\n"
            f"{POD_SPEC}"
            "      image: registry.example.com/app:1\n      name: app\n"
            "      ports:\n      - containerPort: 8080\n        protocol: TCP\n"
            "      resources: {}\n      volumeMounts:\n"
            "      - mountPath: /var/run/secrets/kubernetes.io/serviceaccount\n"
            "        name: default-token\n        readOnly: true\n"
            f"    nodeName: {pod.node}\n"
            "    volumes:\n    - name: default-token\n      secret:\n"
            "        secretName: default-token\n"
            "  status:\n    conditions:\n"
            + "".join(
                f"    - lastTransitionTime: 2019-05-12T09:41:07Z\n"
                f'      status: "True"\n      type: {kind}\n'
                for kind in ("Initialized", "Ready", "PodScheduled")
            )
            + "    containerStatuses:\n    - image: registry.example.com/app:1\n"
            "      name: app\n      ready: true\n      restartCount: 0\n"
            f"    hostIP: 172.16.0.10\n    phase: Running\n    podIP: {pod.ip}\n"
        )
    yield 'kind: List\nmetadata:\n  resourceVersion: ""\n  selfLink: ""\n'


def dumps(topology: Topology) -> Iterator[tuple[str, str]]:
    """Every node's name and flows."""
    computed = cluster_flows(topology.cluster)
    for node in topology.cluster.nodes:
        lines = "".join(
            f" {DumpedFlow(flow=flow, n_packets=7, n_bytes=714, duration=81.5)}\n"
            for flow in computed.of(node)
        )
        yield node.name, f"OFPST_FLOW reply (OF1.3) (xid=0x2):\n{lines}"


def tarball(
    topology: Topology,
    path: Path,
    *,
    with_objects: bool,
    one_file: bool,
    changed: Callable[[str, str], str] = lambda _name, text: text,
) -> int:
    """Write what was collected, and count the flows.

    ``changed`` makes of a node's name and flows the flows that it has.
    """
    objects = {"hostsubnets": "HostSubnet", "netnamespaces": "NetNamespace"}
    objects |= {"clusternetwork": "ClusterNetwork", "services": "Service"}
    flows = 0
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:

        def add(name: str, text: str) -> None:
            data = text.encode()
            info = tarfile.TarInfo(f"openshift-sdn-debug/{name}")
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))

        if with_objects:
            add("master/pods", "".join(pods_yaml(topology)))
            documents = topology.text().split("---\n")
            for name, kind in objects.items():
                wanted = [text for text in documents if f'"kind": "{kind}"' in text]
                add(f"master/{name}", f"> oc get {name}\n\n" + "---\n".join(wanted))
        texts = [(name, changed(name, text)) for name, text in dumps(topology)]
        flows = sum(text.count("\n") - 1 for _, text in texts)
        if one_file:
            add(
                "all-nodes.txt",
                "".join(f"=== {name} ===\n{text}" for name, text in texts),
            )
        else:
            for name, text in texts:
                header = "> ovs-ofctl -O OpenFlow13 dump-flows br0\n\n"
                add(f"nodes/{name}/flows", f"{header}{text}")
    return flows


def main() -> None:
    """Make a collection, import it and print what that took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=200)
    parser.add_argument("--pods", type=int, default=20_000)
    parser.add_argument("--services", type=int, default=100)
    parser.add_argument("--flows-only", action="store_true")
    parser.add_argument("--one-file", action="store_true")
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    topology = cluster(options.nodes, options.pods, options.services)
    with tempfile.TemporaryDirectory() as directory:
        path = options.keep or Path(directory, "collected.tgz")
        flows = tarball(
            topology,
            path,
            with_objects=not options.flows_only,
            one_file=options.one_file,
        )
        size = path.stat().st_size
        began = time.perf_counter()
        argv = [sys.executable, "-m", "testbed", "import", str(path)]
        argv += ["-o", str(Path(directory, "imported"))]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        took = time.perf_counter() - began
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    sys.stdout.write(
        f"{done.stdout[:3000]}\n{done.stderr[-2000:]}\n{options.nodes} nodes, "
        f"{options.pods} pods, {flows} flows, tarball {size / 1e6:.1f} MB: "
        f"{took:.1f} s, processor {used.ru_utime:.1f} s, "
        f"memory {used.ru_maxrss / 1024:.0f} MiB\n"
    )


if __name__ == "__main__":
    main()
