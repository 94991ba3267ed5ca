"""Interfaces of nodes as faults name them, and their routes kept and put back."""

from __future__ import annotations

import contextlib
import json
from typing import TYPE_CHECKING

from testbed.errors import CommandError, NotFoundError
from testbed.host.names import veth_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from testbed.emulation.machines import Machine
    from testbed.emulation.wiring import Datapath
    from testbed.model import Cluster

DEVICES = ("eth0", "tun0")
"""A node's own interfaces; ``namespace/name`` is the node's end of a pod's wire."""


def check_device(kind: str, cluster: Cluster, node: str, device: str) -> None:
    """See that a node has the interface.

    Raises:
        NotFoundError: it has not.
    """
    pods = [pod.key for pod in cluster.pods_on(cluster.node(node))]
    if device not in (*DEVICES, *pods):
        there = ", ".join((*DEVICES, *pods))
        raise NotFoundError(
            f"{kind}: {node} has no device {device}; there are: {there}"
        )


def interface(cluster: Cluster, device: str, datapath: Datapath) -> str:
    """The interface that carries a device's frames.

    With the userspace datapath eth0 is a bridge, and the wire is plugged into it.
    """
    if "/" in device:
        return veth_name(cluster.pod(device))
    return datapath.uplink if device == "eth0" else device


def is_there(machine: Machine, name: str) -> bool:
    """Whether a machine has an interface; a pod's goes with the pod."""
    with contextlib.suppress(CommandError):
        machine.run("ip", "link", "show", name)
        return True
    return False


def mtu_of(machine: Machine, name: str) -> int:
    """An interface's MTU in bytes."""
    (link,) = json.loads(machine.run("ip", "-json", "link", "show", name))
    return int(link["mtu"])


def routes_of(machine: Machine, name: str) -> list[str]:
    """The routes over an interface, each as ``ip route add`` takes it."""
    shown = machine.run("ip", "-details", "route", "show", "dev", name)
    return [
        # Its type comes first, which is what makes it details.
        f"{line.strip()} dev {name}"
        for line in shown.replace(" linkdown", "").splitlines()
    ]


def noted_routes(memo: Mapping[str, object]) -> list[str]:
    """The routes that a fault noted when it was injected."""
    routes = memo["routes"]
    if not isinstance(routes, list):
        raise TypeError(routes)
    return routes


def restore_routes(machine: Machine, name: str, routes: list[str]) -> None:
    """Have these routes over an interface and no others.

    Raises:
        CommandError: the kernel refused one.
    """
    there = routes_of(machine, name)
    # Those with a gateway last: it must be reachable.
    missing = sorted(
        (route for route in routes if route not in there), key=lambda r: " via " in r
    )
    machine.configure_links(
        "".join(f"route del {route}\n" for route in there if route not in routes)
        + "".join(f"route add {route}\n" for route in missing)
    )
