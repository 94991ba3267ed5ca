"""What was handed out to objects, written into them as the API server keeps it.

A pod keeps its address, a namespace its VNID and a service its cluster IP, whatever
else is applied or deleted later. So each is noted in its object.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias, cast

from testbed.topology.document import Node, plain
from testbed.topology.objects import Source
from testbed.topology.problem import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from testbed.model import Cluster, UnderlayHost
    from testbed.topology.objects import Path
    from testbed.topology.problem import Problem

_Json: TypeAlias = "str | int | list[_Json] | dict[str, _Json]"

_OFPORT: Path = ("metadata", "annotations", "testbed/ofport")
_POD_IP: Path = ("status", "podIP")
_NODE_NAME: Path = ("spec", "nodeName")
_HOST_NETWORK: Path = ("spec", "hostNetwork")
_PHASE: Path = ("status", "phase")
_SUBNET: Path = ("subnet",)
_CLUSTER_IP: Path = ("spec", "clusterIP")
_TYPE: Path = ("spec", "type")
_CHANGE: Path = (
    "metadata",
    "annotations",
    "pod.network.openshift.io/multitenant.change-network",
)
_CARRIED: Mapping[str, tuple[Path, ...]] = {
    "Pod": (_OFPORT, _POD_IP),
    "HostSubnet": (
        _SUBNET,
        ("metadata", "uid"),
        ("metadata", "annotations", "testbed/cookie"),
        ("metadata", "annotations", "testbed/tun0-mac"),
    ),
    "NetNamespace": (("netid",),),
    "Service": (_CLUSTER_IP,),
    "Underlay": tuple(
        (field,)
        for field in (
            "subnet",
            "gateway",
            "externalNetwork",
            "externalGateway",
            "externalHosts",
            "rogues",
            "mtu",
            "quirks",
            "offlineNodes",
        )
    ),
}
"""What an object applied anew keeps of the one it replaces, if it says nothing."""


def pinned(sources: Iterable[Source], cluster: Cluster) -> Iterator[Source]:
    """Yield the objects with what they were given, and those made for them."""
    values: dict[str, dict[str, dict[Path, _Json]]] = {
        "Namespace": {item.name: {} for item in cluster.namespaces},
        "Pod": _pods(cluster),
        "HostSubnet": _host_subnets(cluster),
        "NetNamespace": _net_namespaces(cluster),
        "Service": _services(cluster),
        "Underlay": {"": _underlay(cluster)},
    }
    file = ""
    for source in sources:
        file = source.file
        if source.kind == "Project":
            values["Namespace"].pop(source.key, None)
        node = _without(source.node, _CHANGE)
        if _get(node, _HOST_NETWORK) is True:
            node = _without(node, _POD_IP)  # it is the node's, wherever that moves
        key = "" if source.kind == "Underlay" else source.key
        for path, value in values.get(source.kind, {}).pop(key, {}).items():
            node = _with(node, path, value)
        yield replace(source, node=node)
    for key, fields in values["Namespace"].items():
        yield _made(file, "v1", "Namespace", key, fields)
    for key, fields in values["NetNamespace"].items():
        yield _made(file, "network.openshift.io/v1", "NetNamespace", key, fields)
    for fields in values["Underlay"].values():
        yield _made(file, "testbed/v1", "Underlay", "", fields)


def carried(new: Source, old: Source) -> Source:
    """A new object with what the one it replaces was given.

    A pod on another node is another pod, one that no longer runs has given its address
    back, and a service's ports are known by their number and protocol.
    """
    if new.kind == "Pod" and (
        _has_ended(old)
        or _has_ended(new)
        or _get(new.node, _NODE_NAME) != _get(old.node, _NODE_NAME)
        or bool(_get(new.node, _HOST_NETWORK)) != bool(_get(old.node, _HOST_NETWORK))
    ):
        return new
    node = new.node
    paths = _CARRIED.get(new.kind, ())
    if _get(node, _TYPE) == "ExternalName":
        paths = ()
    if new.kind == "HostSubnet" and _get(node, ("egressCIDRs",)) is not None:
        paths = (*paths, ("egressIPs",))
    for path in paths:
        had = _node_at(old.node, path)
        if had is not None and _is_open(node, path):
            node = _put(node, path, _at(had, node.line))
    if new.kind == "Service":
        node = _with_node_ports(node, old.node)
    return replace(new, node=node)


def changes_refused(new: Source, old: Source) -> Iterator[Problem]:
    """Yield what the API server does not let an object of that name change.

    Source: kubernetes release-1.11 pkg/apis/core/validation/validation.go and
    openshift/origin release-3.11 pkg/network/apis/network/validation
    """
    path = {"HostSubnet": _SUBNET, "Service": _CLUSTER_IP}.get(new.kind)
    if path is None or "ExternalName" in (_get(new.node, _TYPE), _get(old.node, _TYPE)):
        return
    had, wanted = _get(old.node, path), _get(new.node, path)
    if wanted is not None and had is not None and wanted != had:
        text = f"is {had} and stays so; delete {new} first to have {shown(wanted)}"
        yield new.problem(path, text)


def _is_open(node: Node, path: Path) -> bool:
    """Whether a field is not there, and could be."""
    for step in path:
        if node.value is None:
            return True
        if not isinstance(node.value, dict):
            return False
        node = node.value.get(str(step), Node(node.line, None))
    return node.value is None


def _has_ended(pod: Source) -> bool:
    return _get(pod.node, _PHASE) not in (None, "Running")


def _pods(cluster: Cluster) -> dict[str, dict[Path, _Json]]:
    values: dict[str, dict[Path, _Json]] = {}
    for pod in cluster.pods:
        if pod.ofport is not None:
            values[pod.key] = {_POD_IP: str(pod.ip), _OFPORT: str(pod.ofport)}
    return values


def _host_subnets(cluster: Cluster) -> dict[str, dict[Path, _Json]]:
    return {
        host.name: {_SUBNET: str(host.subnet), ("metadata", "uid"): host.uid}
        | (
            {("egressIPs",): [str(ip) for ip in host.egress_ips]}
            if host.egress_cidrs
            else {}
        )
        for host in cluster.host_subnets
    }


def _net_namespaces(cluster: Cluster) -> dict[str, dict[Path, _Json]]:
    return {item.name: {("netid",): item.netid} for item in cluster.net_namespaces}


def _services(cluster: Cluster) -> dict[str, dict[Path, _Json]]:
    values: dict[str, dict[Path, _Json]] = {}
    for service in cluster.services:
        fields: dict[Path, _Json] = {}
        if service.cluster_ip:
            fields[_CLUSTER_IP] = str(service.cluster_ip)
        for number, port in enumerate(service.ports):
            if port.node_port:
                fields["spec", "ports", number, "nodePort"] = port.node_port
        values[service.key] = fields
    return values


def _underlay(cluster: Cluster) -> dict[Path, _Json]:
    underlay = cluster.underlay
    return {
        ("subnet",): str(underlay.subnet),
        ("gateway",): str(underlay.gateway),
        ("externalNetwork",): str(underlay.external_network),
        ("externalGateway",): str(underlay.external_gateway),
        ("externalHosts",): [_host(host) for host in underlay.external_hosts],
    }


def _host(host: UnderlayHost) -> dict[str, _Json]:
    return {"name": host.name, "ip": str(host.ip), "dnsNames": [*host.dns_names]}


def _made(
    file: str, version: str, kind: str, name: str, fields: Mapping[Path, _Json]
) -> Source:
    node = _with(Node(1, None), ("apiVersion",), version)
    node = _with(node, ("kind",), kind)
    if name:
        node = _with(node, ("metadata", "name"), name)
    for path, value in fields.items():
        node = _with(node, path, value)
    return Source(kind, name, node, file)


def _with_node_ports(new: Node, old: Node) -> Node:
    had = {_known_by(port): port for port in _items(old, ("spec", "ports"))}
    for number, port in enumerate(_items(new, ("spec", "ports"))):
        before = had.get(_known_by(port))
        path = ("spec", "ports", number, "nodePort")
        node_port = _node_at(before, ("nodePort",)) if before else None
        published = _get(new, _TYPE) in ("NodePort", "LoadBalancer")
        if published and node_port and _is_open(port, ("nodePort",)):
            new = _put(new, path, _at(node_port, port.line))
    return new


def _known_by(port: Node) -> tuple[str, str]:
    # As text, for what is wrong may be anything.
    return str(_get(port, ("port",))), str(_get(port, ("protocol",)) or "TCP")


def _items(node: Node, path: Path) -> Sequence[Node]:
    found = _node_at(node, path)
    return found.value if found and isinstance(found.value, list) else ()


def _node_at(node: Node, path: Path) -> Node | None:
    for step in path:
        match node.value, step:
            case dict() as fields, str() if step in fields:
                node = fields[step]
            case list() as items, int() if step < len(items):
                node = items[step]
            case _:
                return None
    return node


def _get(node: Node, path: Path) -> object:
    found = _node_at(node, path)
    return found.value if found else None


def _with(node: Node, path: Path, value: _Json) -> Node:
    return _put(node, path, _node(value, node.line))


def _put(node: Node, path: Path, value: Node) -> Node:
    if not path:
        return value
    step, *rest = path
    match node.value, step:
        case list() as items, int():
            changed = [*items]
            changed[step] = _put(items[step], tuple(rest), value)
            return Node(node.line, changed)
        case _, str():
            fields = dict(node.value) if isinstance(node.value, dict) else {}
            inner = fields.get(step, Node(node.line, None))
            return Node(node.line, {**fields, step: _put(inner, tuple(rest), value)})
    raise TypeError(f"{step!r} leads nowhere in {node}")


def _without(node: Node, path: Path) -> Node:
    *above, last = path
    around = _node_at(node, tuple(above))
    if around is None or not isinstance(around.value, dict) or last not in around.value:
        return node
    fields = {key: value for key, value in around.value.items() if key != last}
    return _put(node, tuple(above), Node(around.line, fields))


def _at(node: Node, line: int) -> Node:
    """The same value as if it were written in another line."""
    return _node(cast("_Json", plain(node)), line)


def _node(value: _Json, line: int) -> Node:
    match value:
        case dict():
            fields = {key: _node(item, line) for key, item in value.items()}
            return Node(line, fields)
        case list():
            return Node(line, [_node(item, line) for item in value])
    return Node(line, value)
