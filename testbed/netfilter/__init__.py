"""What a machine's kernel would do with one packet, read from its own text. Pure.

Rules come from ``iptables-save``, addresses and routes from ``ip``, of a machine that
runs, of a customer's dump, or from what ``testbed.host`` computes. No packet is sent
and no privilege is needed: the answer is the rules that the packet would come to, and
what they would make of it.

=================  ===============================================================
``ruleset``        the text of ``iptables-save``; ``arguments``, ``values``: its words
``matches``        what rules ask for; ``protocols``, ``extensions``: which match what
``targets``        what rules do; ``translation``: NAT, and how answers undo it
``routes``         where packets are led; ``links``, ``iproute``, ``batch``: its text
``kernel``         the hooks in order; ``routing`` between them, ``walk``: one table
``packet``         what goes in and comes out; ``branch``: a packet on its way
=================  ===============================================================
"""

from testbed.netfilter.kernel import Kernel
from testbed.netfilter.links import Address, Interface, NextHop, Route, RouteType, Scope
from testbed.netfilter.packet import CtState, KernelPacket, Passage, RuleHit
from testbed.netfilter.routes import Routes
from testbed.netfilter.ruleset import Chain, Rule, Ruleset

__all__ = [
    "Address",
    "Chain",
    "CtState",
    "Interface",
    "Kernel",
    "KernelPacket",
    "NextHop",
    "Passage",
    "Route",
    "RouteType",
    "Routes",
    "Rule",
    "RuleHit",
    "Ruleset",
    "Scope",
]
