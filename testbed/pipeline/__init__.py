"""The whole of br0 as a pure function of the cluster.

A packet starts in table 0 and goes on from table to table until a flow outputs or drops
it. The bridge delivers nothing by itself, and every table ends in a flow that catches
the rest, so that what is lost is also counted. In short::

                      ┌─ vxlan0 ─► 10 ─────────┐
    0, who sent it? ──┼─ tun0 ─────────────────┼─► 30, who is it for?
                      └─ pods ───► 20 ─► 21 ───┘         │
        ┌────────────────────────────────────────────────┘
        ├─ this node's gateway ► tun0
        ├─ this node's pods: ARP 40; IP 70 ─┬─► 80, is it allowed? ► the port in reg2
        ├─ services: 60 ────────────────────┘
        ├─ other nodes' pods: ARP 50, IP 90 ► vxlan0
        ├─ multicast: 110 ► 111 the other nodes ► 120 this node's pods
        └─ anything else: 100 ─► 101 ► tun0, or another node's egress IP ► vxlan0

Under ovs-networkpolicy IP is looked up in conntrack in table 0, which it then enters
again, and in 21. What tun0 returns of a pod's traffic to a service passes 25.

Each module holds a group of tables; its docstring says what enters them, what they
decide and which objects fill them. Every ``<what>_flows`` takes the cluster, and the
node where nodes differ; it asks ``cluster.network.plugin`` where the plugins do.

Source: openshift/origin release-3.11 pkg/network/node/ovscontroller.go
"""

from testbed.pipeline.bridges import ClusterFlows, cluster_flows, node_flows

__all__ = ["ClusterFlows", "cluster_flows", "node_flows"]
