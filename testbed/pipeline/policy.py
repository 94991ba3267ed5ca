"""Table 80: whether the packet may go where it is meant to.

It comes from table 60 or 70 with the sender's VNID in reg0, the receiver's in reg1 and
the port that leads there in reg2. The node itself may always reach its own pods, which
kubelet's health checks need. The rest is the plugin's: ovs-subnet allows everything.

Source: openshift/origin release-3.11 pkg/network/node/singletenant.go
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.openflow import Flow, Register, Table, matches, table_miss
from testbed.openflow.actions import output_register

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.model import HostSubnet


def policy_flows(node: HostSubnet) -> Iterator[Flow]:
    """Yield the flows that deliver what is allowed to the port in reg2."""
    deliver = output_register(Register.DESTINATION_OFPORT)
    yield Flow(
        table=Table.POLICY,
        priority=300,
        match=("ip", matches.nw_src(node.gateway)),
        actions=(deliver,),
    )
    yield Flow(table=Table.POLICY, priority=200, actions=(deliver,))
    yield table_miss(Table.POLICY)
