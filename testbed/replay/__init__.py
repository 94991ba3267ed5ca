"""A customer's cluster with the customer's own flows and rules: a replay.

What ``testbed import`` wrote is read, pods are given the ports that flows know them by,
and every node of which flows or rules were collected gets those instead of the computed
ones::

    DIR/topology.yaml ──────┐          ┌─► Topology ─► build ──────┐
    DIR/nodes/NODE/flows ───┼─ reading ┤   (ports)                 ├─► install, state
    DIR/nodes/NODE/iptables ┘          └─► Replayed, one per node ─┘

A node's replay is a fault like any other: a function of what the SDN would program. It
differs from what was computed when the testbed was built in what the collection
differed in; what an ``apply`` changes since is programmed as 3.11 would have.

Nothing of a collection is run. Flows go to ``ovs-ofctl`` as flows, rules to
``iptables-restore`` word by word (``rules``).
"""

from testbed.replay.merging import Replayed
from testbed.replay.plan import Replay

__all__ = ["Replay", "Replayed"]
