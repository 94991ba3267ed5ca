"""What ``oc get`` prints without ``-o yaml``, and what ``debug.sh`` lists in meta/.

They say less than the objects do. What they say is put into the API's shape, so that
it counts where the object itself is not there.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeAlias

from testbed.importing.kinds import Kind, node_info, pod_info, service_info
from testbed.importing.readers.api import NODE, ApiObject, Values
from testbed.importing.remarks import Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from testbed.importing.recognise import Section

_Row: TypeAlias = "Mapping[str, str]"

_GAP = re.compile(r"\s{2,}|\t")
_LIST = re.compile(r"[^\s,\[\]]+")
_PORT = re.compile(r"(\d{1,5})(?::\d+)?/(TCP|UDP)")
_SDN = "network.openshift.io/v1"


def listed(section: Section) -> Iterator[ApiObject]:
    """Yield the objects that the lines of a table are about."""
    if section.kind is Kind.TABLE:
        yield from _rows(section)
        return
    of_line = _OF_LINE.get(section.kind)
    for number, text in section.lines if of_line else ():
        if of_line and (found := of_line(text, Place(section.file, number))):
            yield found


def _of_podinfo(text: str, place: Place) -> ApiObject | None:
    if found := pod_info(text):
        node, _, pod, namespace, ip = found
        return _pod(f"{namespace}/{pod}", node, ip, place)
    return None


def _of_serviceinfo(text: str, place: Place) -> ApiObject | None:
    if found := service_info(text):
        name, namespace, ip, protocol, port = found
        spec: Values = {
            "clusterIP": ip,
            "ports": [{"port": int(port), "protocol": protocol.upper()}],
        }
        return _object("v1", "Service", f"{namespace}/{name}", {"spec": spec}, place)
    return None


def _of_nodeinfo(text: str, place: Place) -> ApiObject | None:
    found = node_info(text)
    return _node(*found, place) if found else None


_OF_LINE: Mapping[Kind, Callable[[str, Place], ApiObject | None]] = {
    Kind.PODINFO: _of_podinfo,
    Kind.SERVICEINFO: _of_serviceinfo,
    Kind.NODEINFO: _of_nodeinfo,
}


def _rows(section: Section) -> Iterator[ApiObject]:
    heading = section.lines[0][1]
    columns = _GAP.split(heading.strip())
    of_row = next((of for names, of in _OF_ROW if names <= set(columns)), None)
    starts = [heading.index(column) for column in columns]
    for number, text in section.lines[1:] if of_row else ():
        cells = _GAP.split(text.strip())
        if len(cells) != len(columns):
            ends = [*starts[1:], len(text)]
            cells = [
                text[start:end].strip() for start, end in zip(starts, ends, strict=True)
            ]
        row = dict(zip(columns, cells, strict=True))
        if (
            of_row
            and row["NAME"]
            and (found := of_row(row, Place(section.file, number)))
        ):
            yield found


def _host_subnet(row: _Row, place: Place) -> ApiObject:
    values: Values = {"hostIP": row["HOST IP"], "subnet": row["SUBNET"]}
    for column, field in (("EGRESS IPS", "egressIPs"), ("EGRESS CIDRS", "egressCIDRs")):
        if found := _LIST.findall(_said(row.get(column, ""))):
            values[field] = found
    return _object(_SDN, "HostSubnet", row["NAME"], values, place)


def _net_namespace(row: _Row, place: Place) -> ApiObject | None:
    if not row["NETID"].isdecimal() or len(row["NETID"]) > 8:
        return None
    values: Values = {"netname": row["NAME"], "netid": int(row["NETID"])}
    if found := _LIST.findall(_said(row.get("EGRESS IPS", ""))):
        values["egressIPs"] = found
    return _object(_SDN, "NetNamespace", row["NAME"], values, place)


def _cluster_network(row: _Row, place: Place) -> ApiObject:
    entries = []
    for text in _LIST.findall(row.get("CLUSTER NETWORKS") or row.get("NETWORK", "")):
        cidr, _, length = text.partition(":")
        length = length or row.get("HOST SUBNET LENGTH", "9")
        if length.isdecimal() and len(length) < 3:
            entries.append({"CIDR": cidr, "hostSubnetLength": int(length)})
    values: Values = {
        "clusterNetworks": entries,
        "pluginName": row["PLUGIN NAME"],
        "serviceNetwork": row.get("SERVICE NETWORK", ""),
    }
    return _object(_SDN, "ClusterNetwork", row["NAME"], values, place)


def _listed_node(row: _Row, place: Place) -> ApiObject:
    return _node(row["NAME"], row["INTERNAL-IP"], place)


def _listed_pod(row: _Row, place: Place) -> ApiObject | None:
    if row["STATUS"] != "Running" or not _said(row["IP"]):
        return None
    return _pod(f"{row['NAMESPACE']}/{row['NAME']}", row["NODE"], row["IP"], place)


def _listed_service(row: _Row, place: Place) -> ApiObject:
    ports = [
        {"port": int(port), "protocol": protocol, "name": f"{protocol.lower()}-{port}"}
        for port, protocol in _PORT.findall(row["PORT(S)"])
    ]
    spec: Values = {"clusterIP": row["CLUSTER-IP"], "ports": ports}
    key = f"{row['NAMESPACE']}/{row['NAME']}"
    return _object("v1", "Service", key, {"spec": spec}, place)


_OF_ROW: tuple[
    tuple[frozenset[str], Callable[[_Row, Place], ApiObject | None]], ...
] = (
    (frozenset({"NAME", "HOST IP", "SUBNET"}), _host_subnet),
    (frozenset({"NAME", "NETID"}), _net_namespace),
    (frozenset({"NAME", "PLUGIN NAME"}), _cluster_network),
    (frozenset({"NAME", "INTERNAL-IP"}), _listed_node),
    (frozenset({"NAMESPACE", "NAME", "STATUS", "IP", "NODE"}), _listed_pod),
    (frozenset({"NAMESPACE", "NAME", "CLUSTER-IP", "PORT(S)"}), _listed_service),
)
"""The columns by which a table is known, and what a row of it is."""


def _said(cell: str) -> str:
    """A cell's text; nothing where it says that there is nothing."""
    return "" if cell in ("<none>", "<unknown>", "[]", "None") else cell


def _pod(key: str, node: str, ip: str, place: Place) -> ApiObject:
    values: Values = {
        "spec": {"nodeName": node},
        "status": {"phase": "Running", "podIP": ip},
    }
    return _object("v1", "Pod", key, values, place)


def _node(name: str, ip: str, place: Place) -> ApiObject:
    values: Values = {"addresses": [{"type": "InternalIP", "address": ip}]}
    return ApiObject(kind=NODE, key=name, values=values, place=place, listed=True)


def _object(
    version: str, kind: str, key: str, fields: Values, place: Place
) -> ApiObject:
    namespace, _, name = key.rpartition("/")
    metadata: Values = {"name": name}
    if namespace:
        metadata["namespace"] = namespace
    return ApiObject(
        kind=kind,
        key=key,
        values={"apiVersion": version, "kind": kind, "metadata": metadata, **fields},
        place=place,
        listed=True,
    )
