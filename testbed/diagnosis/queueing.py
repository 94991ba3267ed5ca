"""Findings about what holds packets back: queues that a node should not have.

Source: ip-address(8), tc-netem(8), tc-tbf(8)
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from testbed.diagnosis.finding import Evidence, Finding, Severity

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.diagnosis.node import Node
    from testbed.importing.evidence import Text

_QUEUE = re.compile(
    r"^\d+: (?P<name>[-\w.]+)(?:@\S+)?: .*\bqdisc (?P<kind>netem|tbf) ", re.MULTILINE
)

_EFFECTS = {
    "netem": "what it sends may be late, lost, doubled or out of order, as somebody "
    "testing wanted it",
    "tbf": "what it sends beyond some rate is late, and then lost",
}


def queueing(node: Node, text: Text) -> Iterator[Finding]:
    """Find interfaces with a queue that the SDN gives to nobody but pods.

    All that are no pod's: what the node's own is made of may have it, too.
    """
    for found in _QUEUE.finditer(text.text):
        name, kind = found["name"], found["kind"]
        line = text.line + text.text.count("\n", 0, found.start())
        if name.startswith("veth"):
            continue
        yield Finding(
            check="queueing",
            severity=Severity.WARNING,
            nodes=(node.name,),
            what=f"{name} sends through a queue of kind {kind}",
            breaks=_EFFECTS[kind],
            evidence=(Evidence(f"qdisc {kind}", str(text.at(line))),),
            advice=f"tc qdisc show dev {name}; ask who put it there, then "
            f"tc qdisc del dev {name} root",
            weight=50,
        )
