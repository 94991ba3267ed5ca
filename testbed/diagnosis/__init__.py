"""What is wrong with a collected cluster, and why: `testbed diagnose`.

An import says what there is; a diagnosis, what of it should not be so. What each node
has is held against what 3.11 would have programmed for these objects, and one object
against the other::

    Imported ─┬─► objects                                     ─┐
              └─► node ─┬─► bridge, peers, vnids, pods, …, base ├─► ranked ─► Diagnosis
                        └─► ports, host, rules                 ─┘

Checks of flows take turns: each takes the differences that it explains, so one cause is
one finding however many flows it changed, and ``base`` tells what nobody explained.
``bugs`` is what is known of 3.11. ``why`` asks the collected flows, in real switches,
what becomes of one packet, and which finding is to blame.

A healthy cluster has no finding. What was not collected is not looked at, and said so.
"""

from testbed.diagnosis.bugs import BUGS, KnownBug
from testbed.diagnosis.examine import diagnose
from testbed.diagnosis.finding import Diagnosis, Evidence, Finding, FlowKey, Severity

__all__ = [
    "BUGS",
    "Diagnosis",
    "Evidence",
    "Finding",
    "FlowKey",
    "KnownBug",
    "Severity",
    "diagnose",
]
