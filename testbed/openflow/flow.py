"""A flow as a value, and the text that ``ovs-ofctl`` writes and reads for it.

``[cookie, table] [priority, match] actions=[actions]``: match and actions are kept as
the strings OVS prints, in its order, so two flows are equal when their dumps are.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from testbed.errors import SwitchError
from testbed.openflow.names import Table

DEFAULT_PRIORITY = 32768
"""What a flow without ``priority=`` has; a dump then omits it (ovs-ofctl(8))."""

_STATISTICS = ("duration", "n_packets", "n_bytes", "idle_age", "hard_age")
_ABOUT_THE_FLOW = {"cookie", "table", "table_id", "priority", *_STATISTICS}
_ITEM_ENDS = re.compile(r",\s*|\s+")
_LOAD_ZERO = "load:0x0->"


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """One OpenFlow flow entry.

    ``table`` is a plain number where a switch holds a table that 3.11 has no name for.
    ``made_by`` names the API objects that a computed flow follows from, as in
    ``Pod shop/web``; empty where it is there in any cluster. It is no part of the flow.
    """

    table: int
    priority: int
    match: tuple[str, ...] = ()
    actions: tuple[str, ...]
    cookie: int = 0
    made_by: str = field(default="", compare=False, repr=False)

    @property
    def drops(self) -> bool:
        """Whether a packet that hits this flow goes no further."""
        return self.actions == ("drop",)

    @property
    def selector(self) -> str:
        """Priority and match as OVS prints them: ``priority=100,ip,nw_dst=…``."""
        priority = (
            [] if self.priority == DEFAULT_PRIORITY else [f"priority={self.priority}"]
        )
        return ",".join([*priority, *self.match])

    def __str__(self) -> str:
        """The flow in ``add-flow`` syntax, which is also a readable form."""
        head = [f"table={int(self.table)}"]
        if self.cookie:
            head.insert(0, f"cookie={self.cookie:#x}")
        if self.selector:
            head.append(self.selector)
        return f"{','.join(head)} actions={','.join(self.actions)}"


@dataclass(frozen=True, slots=True, kw_only=True)
class DumpedFlow:
    """A flow as a switch reports it, with what it has counted."""

    flow: Flow
    n_packets: int
    n_bytes: int
    duration: float

    def __str__(self) -> str:
        """One line as ``ovs-ofctl dump-flows`` prints it."""
        flow = self.flow
        selector = f"{flow.selector} " if flow.selector else ""
        return (
            f"cookie={flow.cookie:#x}, duration={self.duration:.3f}s, "
            f"table={int(flow.table)}, n_packets={self.n_packets}, "
            f"n_bytes={self.n_bytes}, {selector}actions={','.join(flow.actions)}"
        )


def table_miss(table: Table, action: str = "drop") -> Flow:
    """The flow of lowest priority that catches, and counts, a table's remainder."""
    return Flow(table=table, priority=0, actions=(action,))


def parse_dump(text: str) -> tuple[DumpedFlow, ...]:
    """Read what ``ovs-ofctl dump-flows`` or ``ovs-appctl bridge/dump-flows`` printed.

    Lines without actions (reply headers, comments, blank lines) are passed over, and
    so are the hidden flows of tables above 253. Statistics must be there
    (no ``--no-stats``).

    Raises:
        SwitchError: a line has actions but is no flow, or was cut off within them.
    """
    flows = (_parse_line(line) for line in text.splitlines() if "actions=" in line)
    return tuple(dumped for dumped in flows if dumped.flow.table <= Table.RULE_VERSION)


def parse_flow(line: str) -> Flow:
    """Read one line of a dump; its statistics may be missing.

    Raises:
        SwitchError: it is no flow, or was cut off within its actions.
    """
    try:
        return _read(line)[0]
    except ValueError as error:
        raise SwitchError(f"cannot read this flow: {line.strip()}: {error}") from error


def _parse_line(line: str) -> DumpedFlow:
    try:
        flow, statistics = _read(line)
        return DumpedFlow(
            flow=flow,
            n_packets=int(statistics["n_packets"]),
            n_bytes=int(statistics["n_bytes"]),
            duration=float(statistics["duration"].removesuffix("s")),
        )
    except (KeyError, ValueError) as error:
        raise SwitchError(f"cannot read this flow: {line.strip()}: {error}") from error


def _read(line: str) -> tuple[Flow, dict[str, str]]:
    """The flow, and its statistics as they are written."""
    head, _, actions = line.strip().partition("actions=")
    values: dict[str, str] = {}
    match: list[str] = []
    for item in _ITEM_ENDS.split(head):
        key, _, value = item.partition("=")
        if key in _ABOUT_THE_FLOW:
            values[key] = value
        elif item and key != "send_flow_rem":
            match.append(item)
    flow = Flow(
        table=_table(int(values.get("table", values.get("table_id", "0")))),
        priority=int(values.get("priority", DEFAULT_PRIORITY)),
        match=tuple(match),
        actions=tuple(_canonical(item) for item in _split_actions(actions)),
        cookie=int(values.get("cookie", "0"), 16),
    )
    return flow, values


def _table(number: int) -> int:
    try:
        return Table(number)
    except ValueError:
        return number


def _split_actions(text: str) -> list[str]:
    """Split at commas outside parentheses: ``ct(commit,table=30)`` is one action."""
    if "(" not in text and ")" not in text:  # as most are
        items = text.split(",")
        if not all(items):
            raise ValueError("its actions are incomplete")
        return items
    items, depth, start = [], 0, 0
    for position, char in enumerate(text):
        if char == "(":
            depth += 1
        elif char == ")":
            depth -= 1
        elif char == "," and depth == 0:
            items.append(text[start:position])
            start = position + 1
    items.append(text[start:])
    if depth or not all(items):
        raise ValueError("its actions are incomplete")
    return items


def _canonical(action: str) -> str:
    """OVS has written a load of zero as ``load:0->`` and as ``load:0x0->``."""
    return action.replace("0x0", "0", 1) if action.startswith(_LOAD_ZERO) else action
