"""The files of ``hack/debug.sh``, the SDN's own collecting script. Pure.

Each begins with the command after ``>`` and an empty line; what the command writes to
stderr is in there, too, be it that it does not exist. The script's pings and traces
(pod-connectivity, service-connectivity) are not made: ``testbed matrix`` asks more.

Source: openshift/openshift-sdn hack/debug.sh.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.exporting.collection import File
from testbed.exporting.commands import CPE, HOST, IP, NMCLI, NODE, outputs
from testbed.exporting.objects import VERSION
from testbed.host.names import sandbox_id

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.exporting.collection import Collection
    from testbed.model import HostSubnet

TOP = "openshift-sdn-debug"

_SYSTEM = (
    ("journal-full", "journalctl --boot"),
    *NMCLI,
    ("ifcfg", "head -1000 /etc/sysconfig/network-scripts/ifcfg-*"),
    *IP,
    ("arp", "ip -s neighbor show"),
    *HOST,
)
_NODE = (
    ("bridges", "brctl show"),
    ("docker-ps", "docker ps -a"),
    *NODE,
)
_MASTER = (
    ("nodes", "oc get nodes                      -o yaml"),
    ("pods", "oc get pods      --all-namespaces -o yaml"),
    ("services", "oc get services  --all-namespaces -o yaml"),
    ("endpoints", "oc get endpoints --all-namespaces -o yaml"),
    ("aos_routes", "oc get routes    --all-namespaces -o yaml"),
    ("clusternetwork", "oc get clusternetwork             -o yaml"),
    ("hostsubnets", "oc get hostsubnets                -o yaml"),
    ("netnamespaces", "oc get netnamespaces              -o yaml"),
)
_SCRIPT = f"/tmp/{TOP}-8LyQ5dV2w/meta/debug.sh"  # noqa: S108 - nothing is there
"""As bash names the script on a node, with what ``mktemp`` drew."""

_ID_LENGTH = 21
"""Characters of ``docker://`` and a container's id that are kept."""

_FIRST_PID = 4711


def debug_sh(collection: Collection) -> Iterator[File]:
    """Yield the files, in the order in which the script writes them."""
    for file in _files(collection):
        yield File(f"{TOP}/{file.path}", file.text)


def archive_name(collection: Collection) -> str:
    """What the script calls its archive."""
    return f"{TOP}-{collection.moment:%Y-%m-%d}.tgz"


def _files(collection: Collection) -> Iterator[File]:
    yield from _system(collection, collection.master, "master")
    for name, command in _MASTER:
        yield File(
            f"master/{name}", shown(command, collection.api.yaml(command.split()[2]))
        )
    yield from _lists(collection)
    yield File("log", _log(collection))
    for node in collection.cluster.nodes:
        yield from _of_node(collection, node)


def shown(command: str, printed: str | None) -> str:
    """What ``echo_and_eval`` leaves in a file; ``echo`` has joined the words."""
    if printed is None:
        program = command.partition(" ")[0]
        printed = f"{_SCRIPT}: line 21: {program}: command not found\n"
    return f"> {' '.join(command.split())}\n\n{printed}"


def _system(collection: Collection, node: HostSubnet, folder: str) -> Iterator[File]:
    yield from outputs(collection, node, folder, _SYSTEM, shown)
    sections = (
        shown("oc version", VERSION),
        shown("docker version", collection.answers.node(node.name, "docker version")),
        shown("cat /etc/system-release-cpe", CPE),
    )
    yield File(f"{folder}/version", "\n".join(sections))


def _lists(collection: Collection) -> Iterator[File]:
    """The lists in meta/, by which the script finds its way; they have no header."""
    cluster = collection.cluster
    nodes = (f"{node.name} {node.host_ip}\n" for node in cluster.nodes)
    pods = (
        f"{pod.node} {cluster.node(pod.node).host_ip} {pod.name} {pod.namespace} "
        f"{pod.ip} {f'docker://{sandbox_id(pod)}'[:_ID_LENGTH].removeprefix('docker://')}\n"
        for pod in collection.pods
    )
    services = (
        f"{service.name} {service.namespace} {service.cluster_ip} "
        f"{service.ports[0].protocol.value.lower()} {service.ports[0].port}\n"
        for service in cluster.services
        if service.cluster_ip and service.ports
    )
    yield File("meta/nodeinfo", "".join(nodes))
    yield File("meta/podinfo", "".join(pods))
    yield File("meta/serviceinfo", "".join(services))


def _log(collection: Collection) -> str:
    nodes = collection.cluster.nodes
    lines = [f"Analyzing {node.name} ({node.host_ip})" for node in nodes]
    return "\n\n".join(["Analyzing master", *lines]) + "\n"


def _of_node(collection: Collection, node: HostSubnet) -> Iterator[File]:
    folder = f"nodes/{node.name}"
    yield from _system(collection, node, folder)
    yield from outputs(collection, node, folder, _NODE, shown)
    texts: dict[str, str] = {}
    pods = [pod for pod in collection.pods if pod.node == node.name]
    for pid, pod in enumerate(pods, _FIRST_PID):
        for name, command in IP:
            printed = collection.answers.pod(pod.key, command)
            # Pods of one name in two namespaces have one file; the last one's stays.
            texts[f"{folder}/pods/{pod.name}/{name}"] = shown(
                f"nsenter -n -t {pid} -- {command}", printed
            )
    for path, text in texts.items():
        yield File(path, text)
