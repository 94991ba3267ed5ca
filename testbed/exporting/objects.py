"""A topology's objects as ``oc get`` prints them: YAML, JSON and tables. Pure.

What only the testbed knows (annotations ``testbed/…``, the Underlay) is not there: no
API server has it.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TypeAlias, cast

from testbed.host.names import sandbox_id
from testbed.importing.yaml_text import as_yaml
from testbed.topology.document import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from testbed.model import Cluster, Endpoints, HostSubnet, Pod
    from testbed.topology import Topology

Values: TypeAlias = "dict[str, object]"

_OURS = "testbed/"
_NAMES = {
    "nodes": "Node",
    "pods": "Pod",
    "services": "Service",
    "endpoints": "Endpoints",
    "routes": "Route",
    "clusternetwork": "ClusterNetwork",
    "hostsubnets": "HostSubnet",
    "hostsubnet": "HostSubnet",
    "netnamespaces": "NetNamespace",
    "namespaces": "Namespace",
    "networkpolicies": "NetworkPolicy",
    "egressnetworkpolicies": "EgressNetworkPolicy",
}
"""What is typed after ``oc get``, and the kind that it means."""


class ApiServer:
    """What the API server of a topology's cluster holds."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._cluster = topology.cluster

    def yaml(self, *names: str) -> str:
        """``oc get NAMES --all-namespaces -o yaml``."""
        return as_yaml(_list(self._objects(names)))

    def json(self, *names: str) -> str:
        """``oc get -o json NAMES``."""
        listed = _list(self._objects(names))
        return f"{json.dumps(listed, indent=4, sort_keys=True)}\n"

    def table(self, name: str) -> str:
        """``oc get --all-namespaces=true NAME`` of pods or services."""
        columns, rows = _TABLES[name]
        items = sorted(self.of(_NAMES[name]), key=_name_of)
        return _aligned([columns, *(rows(item) for item in items)])

    def underlay(self) -> str:
        """The testbed's own document, which no API server has."""
        return as_yaml(next(self._of_topology("Underlay")))

    def of(self, kind: str) -> Sequence[Values]:
        """The objects of a kind."""
        match kind:
            case "Node":
                return [_node(node) for node in self._cluster.nodes]
            case "Pod":
                pods = {pod.key: pod for pod in self._cluster.pods}
                return [
                    _running(item, pods[key], self._cluster)
                    for item in self._of_topology(kind)
                    if (key := _name_of(item)) in pods
                ]
            case "Namespace":
                return [*self._of_topology("Namespace"), *self._projects()]
            case "Endpoints":
                return list(self._endpoints())
        return list(self._of_topology(kind))

    def _objects(self, names: Iterable[str]) -> Iterator[Values]:
        for name in names:
            yield from sorted(self.of(_NAMES[name]), key=_name_of)

    def _of_topology(self, kind: str) -> Iterator[Values]:
        for source in self._topology.objects:
            if source.kind == kind:
                yield _cleaned(cast("Values", plain(source.node)))

    def _projects(self) -> Iterator[Values]:
        """A Project is a Namespace seen by a user."""
        for item in self._of_topology("Project"):
            yield {**item, "apiVersion": "v1", "kind": "Namespace"}

    def _endpoints(self) -> Iterator[Values]:
        """Those of the file, and those that a controller made of selectors."""
        given = {_name_of(item): item for item in self._of_topology("Endpoints")}
        for item in self._cluster.endpoints:
            key = f"{item.namespace}/{item.name}"
            made = _made_endpoints(item, self._cluster)
            yield given.pop(key) if key in given else made
        yield from given.values()


def _list(items: Iterable[Values]) -> Values:
    metadata = {"resourceVersion": "", "selfLink": ""}
    return {"apiVersion": "v1", "items": [*items], "kind": "List", "metadata": metadata}


def _name_of(item: Values) -> str:
    """``namespace/name``, as objects are sorted by and known by."""
    metadata = cast("dict[str, str]", item.get("metadata", {}))
    namespace, name = metadata.get("namespace", ""), metadata.get("name", "")
    return f"{namespace}/{name}" if namespace else name


def _cleaned(item: Values) -> Values:
    """An object without the annotations that are the testbed's."""
    metadata = item.get("metadata")
    if not isinstance(metadata, dict) or "annotations" not in metadata:
        return item
    kept = {
        name: text
        for name, text in metadata["annotations"].items()
        if not name.startswith(_OURS)
    }
    others = {name: field for name, field in metadata.items() if name != "annotations"}
    return {**item, "metadata": others | ({"annotations": kept} if kept else {})}


def _node(node: HostSubnet) -> Values:
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "labels": {"kubernetes.io/hostname": node.name},
            "name": node.name,
        },
        "spec": {"externalID": node.name},
        "status": {
            "addresses": [
                {"address": str(node.host_ip), "type": "InternalIP"},
                {"address": node.name, "type": "Hostname"},
            ],
            "conditions": [{"status": "True", "type": "Ready"}],
        },
    }


def _running(item: Values, pod: Pod, cluster: Cluster) -> Values:
    """A pod with what its node reports of it."""
    status = cast("Values", item.get("status", {}))
    node = cluster.node(pod.node)
    return {
        **item,
        "status": {
            "conditions": [{"status": "True", "type": "Ready"}],
            "containerStatuses": [
                {
                    "containerID": f"docker://{sandbox_id(pod)}",
                    "ready": True,
                    "restartCount": 0,
                }
            ],
            "phase": "Running",
            **status,
            "hostIP": str(node.host_ip),
            "podIP": str(pod.ip),
        },
    }


def _made_endpoints(item: Endpoints, cluster: Cluster) -> Values:
    """Endpoints as the controller writes them."""
    subsets = []
    for subset in item.subsets:
        addresses = []
        for ip in subset.addresses:
            address: Values = {"ip": str(ip)}
            if pod := cluster.pod_at(ip):
                address["nodeName"] = pod.node
                address["targetRef"] = {
                    "kind": "Pod",
                    "name": pod.name,
                    "namespace": pod.namespace,
                }
            addresses.append(address)
        ports: list[Values] = [
            {"name": port.name, "port": port.port, "protocol": port.protocol.value}
            if port.name
            else {"port": port.port, "protocol": port.protocol.value}
            for port in subset.ports
        ]
        subsets.append({"addresses": addresses, "ports": ports})
    return {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {"name": item.name, "namespace": item.namespace},
        "subsets": subsets,
    }


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows in columns, three spaces apart."""
    widths = [max(map(len, column)) + 3 for column in zip(*rows, strict=True)]
    lines = (
        "".join(map(str.ljust, row, widths)).rstrip() if row else "" for row in rows
    )
    return "".join(f"{line}\n" for line in lines)


def _pod_row(item: Values) -> Sequence[str]:
    namespace, _, name = _name_of(item).partition("/")
    return namespace, name, "1/1", "Running", "0", "17d"


def _service_row(item: Values) -> Sequence[str]:
    namespace, _, name = _name_of(item).partition("/")
    spec = cast("Values", item.get("spec", {}))
    ports = ",".join(
        f"{port['port']}/{port.get('protocol', 'TCP')}"
        for port in cast("list[dict[str, object]]", spec.get("ports", []))
    )
    kind = str(spec.get("type", "ClusterIP"))
    ip = str(spec.get("clusterIP", "<none>"))
    return namespace, name, kind, ip, "<none>", ports or "<none>", "17d"


_TABLES = {
    "pods": (("NAMESPACE", "NAME", "READY", "STATUS", "RESTARTS", "AGE"), _pod_row),
    "services": (
        ("NAMESPACE", "NAME", "TYPE", "CLUSTER-IP", "EXTERNAL-IP", "PORT(S)", "AGE"),
        _service_row,
    ),
}

VERSION = """\
oc v3.11.0
kubernetes v1.11.0+d4cacc0
features: Basic-Auth GSSAPI Kerberos SPNEGO
"""
"""What ``oc version`` prints without a server to ask."""
