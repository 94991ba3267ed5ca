"""Senders and receivers as a person writes them, and as they are printed.

``namespace/pod``, ``node:oc-01.test`` (or its first label), ``svc:namespace/name``,
``external:name``, ``rogue:name``, ``ghost:name`` or a bare IP address.
"""

from __future__ import annotations

from difflib import get_close_matches
from ipaddress import AddressValueError, IPv4Address
from typing import TYPE_CHECKING, TypeVar

from testbed.errors import NotFoundError
from testbed.model import HostSubnet, Pod, Transport

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from testbed.model import Cluster, Party, Service, Traffic

_T = TypeVar("_T")


def party(cluster: Cluster, text: str) -> Party:
    """The machine that a name, or an address of its own, means.

    Raises:
        NotFoundError: there is none, or it names a service, which sends nothing.
    """
    kind, colon, name = text.partition(":")
    underlay = cluster.underlay
    match kind if colon else "":
        case "node":
            return cluster.node(name)
        case "ghost":
            return _named(name, {item.name: item for item in cluster.ghosts}, kind)
        case "external":
            hosts = {item.name: item for item in underlay.external_hosts}
            return _named(name, hosts, kind)
        case "rogue":
            return _named(name, {item.name: item for item in underlay.rogues}, kind)
        case "svc":
            raise NotFoundError(f"{text} sends nothing: a service is only an address")
        case "" if "/" in text:
            return _named(text, {pod.key: pod for pod in cluster.pods}, "pod")
        case "":
            return _at(cluster, text)
        case _:
            raise NotFoundError(
                f"{text}: there is no {kind}:; write NAMESPACE/POD, node:NAME, "
                "svc:NAMESPACE/NAME, external:NAME, rogue:NAME, ghost:NAME or an "
                "IP address"
            )


def address(cluster: Cluster, text: str) -> IPv4Address:
    """Where a packet for that party, service or address is sent.

    Raises:
        NotFoundError: there is no such thing, or the service is headless.
    """
    if text.startswith("svc:"):
        service = service_named(cluster, text)
        if service.cluster_ip is None:
            raise NotFoundError(f"{text} has no cluster address: it is headless")
        return service.cluster_ip
    try:
        return IPv4Address(text)
    except AddressValueError:
        pass
    found = party(cluster, text)
    return found.host_ip if isinstance(found, HostSubnet) else found.ip


def service_named(cluster: Cluster, text: str) -> Service:
    """The service ``svc:namespace/name``.

    Raises:
        NotFoundError: there is none.
    """
    name = text.removeprefix("svc:")
    return _named(name, {item.key: item for item in cluster.services}, "service")


def name_of(party: Party) -> str:
    """What a party is called."""
    return party.key if isinstance(party, Pod) else party.name


def whose(cluster: Cluster, ip: IPv4Address) -> str:
    """What has an address, with the address: ``shop/web (10.128.0.2)``."""
    names = {host.gateway: f"{host.name} tun0" for host in cluster.host_subnets}
    names |= {host.host_ip: host.name for host in cluster.host_subnets}
    others = (*cluster.underlay.external_hosts, *cluster.underlay.rogues)
    names |= {host.ip: host.name for host in others}
    names |= {s.cluster_ip: f"svc:{s.key}" for s in cluster.services if s.cluster_ip}
    pod = cluster.pod_at(ip)
    name = pod.key if pod else names.get(ip)
    return f"{name} ({ip})" if name else str(ip)


def told(cluster: Cluster, traffic: Traffic) -> str:
    """The question in words: ``shop/web → db/mysql (10.129.0.4) tcp:3306``."""
    port = "" if traffic.dport is None else f":{traffic.dport}"
    sender, receiver = name_of(traffic.sender), whose(cluster, traffic.destination)
    return f"{sender} → {receiver} {traffic.transport}{port}"


def default_port(
    cluster: Cluster, destination: str, transport: Transport | None
) -> tuple[Transport, int | None]:
    """The transport and port to ask for, where a person named none.

    A service's first port that fits; else ICMP, and no port.
    """
    if destination.startswith("svc:"):
        for port in service_named(cluster, destination).ports:
            spoken = Transport(port.protocol.lower())
            if transport in (None, spoken):
                return spoken, port.port
    return transport or Transport.ICMP, None


def _at(cluster: Cluster, text: str) -> Party:
    try:
        ip = IPv4Address(text)
    except AddressValueError as error:
        raise NotFoundError(
            f"{text} is no party: write NAMESPACE/POD, node:NAME, external:NAME, "
            "rogue:NAME, ghost:NAME or an IP address"
        ) from error
    pod = cluster.pod_at(ip)
    if pod is not None:
        return pod
    underlay = cluster.underlay
    for host in cluster.host_subnets:
        if ip in (host.host_ip, host.gateway):
            return host
    for other in (*underlay.external_hosts, *underlay.rogues):
        if other.ip == ip:
            return other
    raise NotFoundError(f"no machine of the cluster has the address {ip}")


def _named(name: str, known: Mapping[str, _T], kind: str) -> _T:
    if name in known:
        return known[name]
    close: Iterable[str] = get_close_matches(name, known) or list(known)
    there = ", ".join(close) or "none"
    raise NotFoundError(f"no {kind} {name}; there are: {there}")
