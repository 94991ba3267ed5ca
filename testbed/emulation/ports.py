"""The bridges and ports of a node as OVSDB has them. Pure.

Source: openshift/origin release-3.11 pkg/network/node/ovscontroller.go (SetupOVS,
SetUpPod, SetPodBandwidth).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.emulation.wiring import Datapath
from testbed.host.bandwidth import pod_bandwidth
from testbed.host.names import sandbox_id, underlay_mac, veth_name
from testbed.openflow import OFPort
from testbed.ovs import Bridge, Port

if TYPE_CHECKING:
    from testbed.model import Cluster, HostSubnet, Pod


def node_bridges(
    cluster: Cluster, node: HostSubnet, datapath: Datapath
) -> list[Bridge]:
    """br0 as the SDN sets it up; with userspace tunnels also eth0 around the wire."""
    br0 = Bridge(
        name="br0",
        datapath_type=datapath.value,
        fail_mode="secure",
        protocols=("OpenFlow13",),
        ports=(
            Port(
                name="vxlan0",
                type="vxlan",
                ofport=OFPort.VXLAN0,
                options={
                    "remote_ip": "flow",
                    "key": "flow",
                    "dst_port": str(cluster.network.vxlan_port),
                },
            ),
            Port(
                name="tun0",
                type="internal",
                ofport=OFPort.TUN0,
                mtu=cluster.underlay.mtu,
                mac=node.tun0_mac,
            ),
            *(pod_port(pod) for pod in cluster.pods_on(node)),
        ),
    )
    if datapath is Datapath.SYSTEM:
        return [br0]
    eth0 = Bridge(
        name="eth0",
        datapath_type=datapath.value,
        ports=(Port(name=datapath.uplink),),
        other_config={"hwaddr": underlay_mac(node.host_ip)},
    )
    return [br0, eth0]


def pod_port(pod: Pod) -> Port:
    """A pod's port of br0, with its limits."""
    bandwidth = pod_bandwidth(pod)
    return Port(
        name=veth_name(pod),
        ofport=pod.ofport,
        max_rate=bandwidth.max_rate,
        ingress_policing_rate=bandwidth.ingress_policing_rate,
        external_ids={"sandbox": sandbox_id(pod), "ip": str(pod.ip)},
    )
