"""Findings about API objects that contradict each other, whatever nodes make of it."""

from __future__ import annotations

import re
from collections import defaultdict
from ipaddress import IPv4Address, IPv4Network
from itertools import pairwise
from typing import TYPE_CHECKING

from testbed.diagnosis.egress_objects import egress_objects
from testbed.diagnosis.finding import Evidence, Finding, Severity, names, short
from testbed.importing.readers.api import NODE, text_at, value_at
from testbed.importing.remarks import Sort
from testbed.model import Plugin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.importing import Imported
    from testbed.importing.catalogue import Catalogue
    from testbed.importing.readers.api import ApiObject

_BUG = re.compile(r"\((BZ\d+)\)")
_NOTE = "note: "


def objects(imported: Imported, catalogue: Catalogue) -> Iterator[Finding]:
    """Find objects that cannot all be true, and those that do what nobody meant."""
    yield from _pod_addresses(catalogue)
    yield from _pods_without_home(imported, catalogue)
    yield from _host_subnets(imported, catalogue)
    if imported.topology.cluster.network.plugin.has_vnids:
        yield from _net_namespaces(imported, catalogue)
        yield from egress_objects(catalogue)
    yield from _doubts(imported)


def _pod_addresses(catalogue: Catalogue) -> Iterator[Finding]:
    by_ip: dict[str, list[ApiObject]] = defaultdict(list)
    for item in catalogue.of("Pod").values():
        ip = text_at(item.values, "status", "podIP")
        if ip and not value_at(item.values, "spec", "hostNetwork"):
            by_ip[ip].append(item)
    nodes = {
        text_at(item.values, "hostIP") for item in catalogue.of("HostSubnet").values()
    }
    for ip, sharing in by_ip.items():
        is_table = any(catalogue.is_from_a_table(item) for item in sharing)
        if len(sharing) < 2 or (is_table and ip in nodes):
            continue
        first, *others = sharing
        yield Finding(
            check="pod-address-twice",
            severity=Severity.CRITICAL,
            what=f"{ip} is the address of {len(sharing)} pods: "
            f"{', '.join(item.key for item in sharing[:4])}",
            breaks="packets get to one of them, whoever is meant",
            object=str(first),
            evidence=tuple(
                Evidence(f"{item}: status.podIP {ip}", str(item.place))
                for item in (first, *others)
            ),
            bugs=("BZ1395183",),
            advice="delete all of these pods but one",
            weight=40,
        )


def _pods_without_home(imported: Imported, catalogue: Catalogue) -> Iterator[Finding]:
    subnets: dict[str, IPv4Network] = {}
    for item in catalogue.of("HostSubnet").values():
        subnet = _network(item.at("subnet"))
        if subnet:
            subnets[item.key] = subnet
    has_vnids = imported.topology.cluster.network.plugin.has_vnids
    known = catalogue.of("NetNamespace").keys()
    is_complete = catalogue.is_complete("NetNamespace")
    lacking: dict[str, list[ApiObject]] = defaultdict(list)
    for item in catalogue.of("Pod").values():
        if value_at(item.values, "spec", "hostNetwork"):
            continue
        if has_vnids and is_complete and item.namespace not in known:
            lacking[item.namespace].append(item)
        ip = _address(text_at(item.values, "status", "podIP"))
        node = text_at(item.values, "spec", "nodeName")
        home = subnets.get(node)
        if catalogue.is_from_a_table(item) or ip is None or home is None or ip in home:
            continue
        yield Finding(
            check="pod-address-foreign",
            severity=Severity.CRITICAL,
            what=f"Pod {item.key} has {ip}, which is not in {home} of its node "
            f"{short(node)}",
            breaks="nobody finds it: packets for the address go to another node",
            object=str(item),
            evidence=(Evidence(f"{item}: status.podIP {ip}", str(item.place)),),
            bugs=("BZ1607395",),
            advice="delete the pod",
            weight=30,
        )
    for namespace, pods in lacking.items():
        yield Finding(
            check="net-namespace-missing",
            severity=Severity.CRITICAL,
            what=f"namespace {namespace} has {len(pods)} pods and no NetNamespace",
            breaks="new pods of it do not start; those that run keep the VNID they had",
            object=f"NetNamespace {namespace}",
            evidence=tuple(Evidence(str(item), str(item.place)) for item in pods),
            bugs=("BZ1892376", "BZ1825355"),
            advice="restart the master's controllers; if that does not help, create it",
            weight=60,
        )


def _host_subnets(imported: Imported, catalogue: Catalogue) -> Iterator[Finding]:
    items = list(catalogue.of("HostSubnet").values())
    by_ip: dict[str, list[ApiObject]] = defaultdict(list)
    for item in items:
        by_ip[text_at(item.values, "hostIP")].append(item)
    for ip, sharing in by_ip.items():
        if ip and len(sharing) > 1:
            yield _of_hosts(
                "host-ip-twice",
                sharing,
                f"{ip} is the hostIP of {names(item.key for item in sharing)}",
                "each takes the other's flows for its own: pods of one are cut off",
                bugs=("PR19273", "BZ1607395"),
            )
    placed = sorted(
        (
            (subnet, item)
            for item in items
            if (subnet := _network(item.at("subnet"))) is not None
        ),
        key=lambda pair: pair[0],
    )
    for (one, first), (other, second) in pairwise(placed):
        if one.overlaps(other):
            yield _of_hosts(
                "subnet-twice",
                [first, second],
                f"{one} of {short(first.key)} and {other} of {short(second.key)} "
                "overlap",
                "packets for the pods of one go to the other",
            )
    cluster = imported.topology.cluster
    for item in items:
        address = _address(text_at(item.values, "hostIP"))
        ranges = (*cluster.cidrs, cluster.network.service_network)
        if address and any(address in network for network in ranges):
            yield _of_hosts(
                "host-ip-inside",
                [item],
                f"hostIP {address} of {short(item.key)} is inside the cluster's own "
                "addresses",
                "VXLAN packets are sent into VXLAN again; the node may hang",
                bugs=("BZ1295486",),
            )
    yield from _nodes_elsewhere(catalogue)


def _nodes_elsewhere(catalogue: Catalogue) -> Iterator[Finding]:
    """Nodes whose HostSubnet has another address than the Node object."""
    for item in catalogue.of(NODE).values():
        host = catalogue.of("HostSubnet").get(item.key)
        addresses = item.at("addresses")
        internal = [
            text_at(address, "address")
            for address in (addresses if isinstance(addresses, list) else ())
            if value_at(address, "type") == "InternalIP"
        ]
        host_ip = text_at(host.values, "hostIP") if host else ""
        if host and host_ip and internal and host_ip not in internal:
            yield Finding(
                check="host-ip-stale",
                severity=Severity.CRITICAL,
                what=f"HostSubnet {short(item.key)} has hostIP {host_ip}, and the Node "
                f"has {', '.join(internal)}",
                breaks="peers send its pods' traffic to an address that it does not "
                "have, and drop what it sends",
                object=str(host),
                evidence=(
                    Evidence(f"{host}: hostIP {host_ip}", str(host.place)),
                    Evidence(
                        f"{item}: InternalIP {', '.join(internal)}", str(item.place)
                    ),
                ),
                bugs=("BZ1607395",),
                advice="correct hostIP (oc edit hostsubnet), or delete the "
                "HostSubnet and "
                "restart the node",
                weight=250,
            )


def _of_hosts(
    check: str,
    items: list[ApiObject],
    what: str,
    breaks: str,
    bugs: tuple[str, ...] = (),
) -> Finding:
    return Finding(
        check=check,
        severity=Severity.CRITICAL,
        what=what,
        breaks=breaks,
        object=str(items[0]),
        evidence=tuple(Evidence(str(item), str(item.place)) for item in items),
        bugs=bugs,
        advice="correct or delete the HostSubnet that is wrong, and restart its node",
        weight=250,
    )


def _net_namespaces(imported: Imported, catalogue: Catalogue) -> Iterator[Finding]:
    if imported.topology.cluster.network.plugin is not Plugin.NETWORKPOLICY:
        return  # projects may be joined under ovs-multitenant
    by_netid: dict[int, list[ApiObject]] = defaultdict(list)
    for item in catalogue.of("NetNamespace").values():
        netid = item.at("netid")
        if isinstance(netid, int):
            by_netid[netid].append(item)
    for netid, sharing in by_netid.items():
        if len(sharing) > 1:
            yield Finding(
                check="netid-twice",
                severity=Severity.CRITICAL,
                what=f"netid {netid} is that of {len(sharing)} namespaces: "
                f"{', '.join(item.key for item in sharing[:4])}",
                breaks="NetworkPolicies of one hold for all of them, the others' "
                "for none",
                object=str(sharing[-1]),
                evidence=tuple(
                    Evidence(f"{item}: netid {netid}", str(item.place))
                    for item in sharing
                ),
                bugs=("BZ1928851",),
                advice="give each a netid of its own: delete the NetNamespace and "
                "restart "
                "the master's controllers",
                weight=80,
            )


def _doubts(imported: Imported) -> Iterator[Finding]:
    """What 3.11 takes otherwise than it was meant: known from the objects alone."""
    inferred = {str(item) for item in imported.objects if item.sort is Sort.INFERRED}
    for remark in imported.remarks:
        if remark.subject in inferred:
            continue
        if remark.sort is not Sort.FOUND or not remark.text.startswith(_NOTE):
            continue
        text = remark.text.removeprefix(_NOTE)
        bugs = tuple(_BUG.findall(text))
        is_grave = bool(bugs) or "denied" in text or "drop" in text
        yield Finding(
            check="object-doubtful",
            severity=Severity.WARNING if is_grave else Severity.NOTE,
            what=f"{remark.subject}: {text}",
            breaks="the object does not do what it says"
            if not is_grave
            else "traffic that the object allows, or says nothing of",
            object=remark.subject,
            evidence=tuple(Evidence(remark.subject, str(p)) for p in remark.places[:1]),
            bugs=bugs,
            advice="change the object, so that it says what 3.11 understands",
            weight=30,
        )


def _address(text: str) -> IPv4Address | None:
    try:
        return IPv4Address(text)
    except ValueError:
        return None


def _network(value: object) -> IPv4Network | None:
    try:
        return IPv4Network(value) if isinstance(value, str) else None
    except ValueError:
        return None
