"""Several pods at once, as a person writes them: for matrices.

``shop`` is a namespace, ``shop/web-*`` a pod or pattern, ``node:oc-01`` the pods of a
node, ``app=web`` a label, ``nodes`` the nodes themselves; several are joined by commas.
"""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from testbed.errors import NotFoundError
from testbed.model import Transport

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.model import Cluster, HostSubnet, Party, Pod


def selected(cluster: Cluster, selector: str | None) -> tuple[Party, ...]:
    """The parties that a selector means, each once; all pods where there is none.

    Pods on the host network are their nodes, and left out.

    Raises:
        NotFoundError: a part of it selects nobody.
    """
    pods = tuple(pod for pod in cluster.pods if not pod.host_network)
    if not selector:
        return pods
    found: list[Party] = []
    for part in selector.split(","):
        matching = list(_matching(cluster, pods, part.strip()))
        if not matching:
            names = ", ".join(dict.fromkeys(pod.namespace for pod in pods))
            raise NotFoundError(
                f"{part.strip() or 'an empty selector'} selects no pod; there are the "
                f"namespaces {names}"
            )
        found += [item for item in matching if item not in found]
    return tuple(found)


def protocols(text: str) -> tuple[tuple[Transport, int | None], ...]:
    """What ``arp,icmp,udp:53,tcp:80`` asks for.

    Raises:
        NotFoundError: a transport is unknown, or a port is none or missing.
    """
    return tuple(dict.fromkeys(_protocol(part.strip()) for part in text.split(",")))


def _protocol(text: str) -> tuple[Transport, int | None]:
    name, colon, port = text.partition(":")
    try:
        transport = Transport(name)
    except ValueError as error:
        known = ", ".join(Transport)
        raise NotFoundError(f"no protocol {name!r}; there are: {known}") from error
    has_ports = transport not in (Transport.ARP, Transport.ICMP)
    if not has_ports and not colon:
        return transport, None
    if has_ports and port.isdecimal() and 0 < int(port) < 1 << 16:
        return transport, int(port)
    wanted = f"{transport}:PORT with a port from 1 to 65535" if has_ports else transport
    raise NotFoundError(f"{text!r} is no protocol; write {wanted}")


def _matching(
    cluster: Cluster, pods: tuple[Pod, ...], part: str
) -> Iterator[Pod | HostSubnet]:
    label, equals, value = part.partition("=")
    if part == "nodes":
        yield from cluster.nodes
    elif part.startswith("node:"):
        yield from cluster.pods_on(cluster.node(part.removeprefix("node:")))
    elif equals:
        yield from (pod for pod in pods if pod.labels.get(label) == value)
    elif "/" in part:
        yield from (pod for pod in pods if fnmatchcase(pod.key, part))
    else:
        yield from (pod for pod in pods if fnmatchcase(pod.namespace, part))
