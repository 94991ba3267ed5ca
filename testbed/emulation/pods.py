"""What the CNI plugin does: a pod's interface set up, the node's end made ready."""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.emulation.wiring import Datapath, pod_machine
from testbed.host.dns import pod_resolv_conf
from testbed.host.links import enslave, pod_links
from testbed.host.names import veth_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from testbed.emulation.machines import Machine
    from testbed.model import Cluster, HostSubnet, Pod


def ready_veths(node: Machine, pods: Iterable[Pod], datapath: Datapath) -> None:
    """Make the node's ends of pods' wires ready to be ports of br0."""
    veths = [veth_name(pod) for pod in pods]
    hidden = enslave(veths) if datapath is Datapath.NETDEV else ""
    node.configure_links(hidden + "".join(f"link set {veth} up\n" for veth in veths))


def configure_pods(
    cluster: Cluster,
    node: HostSubnet,
    pods: Iterable[Pod],
    *,
    machines: Mapping[str, Machine],
    datapath: Datapath,
) -> None:
    """Give pods of a node their address, routes and resolv.conf."""
    for pod in pods:
        machine = machines[pod_machine(pod)]
        machine.configure_links(pod_links(cluster, node, pod))
        machine.replace_file("/etc/resolv.conf", pod_resolv_conf(node, pod))
        if datapath is Datapath.NETDEV:
            machine.run("ethtool", "-K", "eth0", "tx", "off")
