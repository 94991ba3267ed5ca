"""Ports of a node that lead to its pods.

Source: kubernetes release-1.11 pkg/kubelet/dockershim/network/hostport (the syncer,
which the SDN calls)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.host.marks import MARK_MASQUERADE
from testbed.host.rules import Chain, chain_name, comment

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.model import Cluster, HostPort, HostSubnet, Pod


def hostport_chains(cluster: Cluster, node: HostSubnet) -> Iterator[Chain]:
    """Yield KUBE-HOSTPORTS and a chain for every hostport.

    A pod that calls its own is masqueraded, else it would be answered by itself.
    """
    hostports = [
        (pod, port) for pod in cluster.pods_on(node) for port in pod.host_ports
    ]
    yield Chain(
        name="KUBE-HOSTPORTS",
        rules=tuple(
            f"-p {port.protocol.lower()} {_comment(pod, port)} "
            f"-m {port.protocol.lower()} --dport {port.host_port} "
            f"-j {_chain_name(pod, port)}"
            for pod, port in hostports
        ),
    )
    for pod, port in hostports:
        protocol = port.protocol.lower()
        yield Chain(
            name=_chain_name(pod, port),
            rules=(
                f"-s {pod.ip}/32 {_comment(pod, port)} -j {MARK_MASQUERADE}",
                (
                    f"-p {protocol} {_comment(pod, port)} -m {protocol} "
                    f"-j DNAT --to-destination {pod.ip}:{port.container_port}"
                ),
            ),
        )


def _chain_name(pod: Pod, port: HostPort) -> str:
    return chain_name("KUBE-HP-", port.host_port, port.protocol, _full_name(pod))


def _comment(pod: Pod, port: HostPort) -> str:
    return comment(f"{_full_name(pod)} hostport {port.host_port}")


def _full_name(pod: Pod) -> str:
    return f"{pod.name}_{pod.namespace}"
