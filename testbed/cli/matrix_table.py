"""A matrix for people: one grid per protocol, a character per pair."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from testbed.model import Outcome
from testbed.parties import name_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from testbed.verdict import Verdict

SIGNS = {
    Outcome.DELIVERED: "+",
    Outcome.DROPPED: ".",
    Outcome.REJECTED: "r",
    Outcome.INCONCLUSIVE: "?",
}
"""How a pair is shown; where the witnesses do not agree, ``!`` takes its place."""

_STYLES = {
    Outcome.DELIVERED: "green",
    Outcome.DROPPED: "dim",
    Outcome.REJECTED: "yellow",
    Outcome.INCONCLUSIVE: "magenta",
}
LEGEND = "+ delivered   . dropped   r rejected   ? inconclusive   ! witnesses disagree"


def grids(verdicts: Sequence[Verdict]) -> Iterator[Table]:
    """Yield a grid for each protocol: senders down, receivers across by number."""
    receivers = _receivers(verdicts)
    columns = {receiver: number for number, receiver in enumerate(receivers)}
    protocols = dict.fromkeys(map(_protocol, verdicts))
    for protocol in protocols:
        rows: dict[str, list[Text]] = {}
        for verdict in verdicts:
            if _protocol(verdict) == protocol:
                sender = name_of(verdict.traffic.sender)
                row = rows.setdefault(sender, [Text(" ")] * len(columns))
                row[columns[_receiver(verdict)]] = _sign(verdict)
        yield _grid(protocol, rows, receivers)


def _grid(protocol: str, rows: dict[str, list[Text]], receivers: list[str]) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold")
    table.add_column("", justify="right")
    table.add_column(f"{protocol}, from", no_wrap=True)
    table.add_column(_numbers(len(receivers)), no_wrap=True)
    numbers = {name: str(number + 1) for number, name in enumerate(receivers)}
    for sender, signs in rows.items():
        cells = Text(" ").join(signs)
        table.add_row(numbers.get(sender, ""), Text(sender), cells)
    return table


def _numbers(count: int) -> str:
    """Column numbers, upright: the tens above the units where there are any."""
    units = " ".join(str(number % 10) for number in range(1, count + 1))
    if count < 10:
        return units
    tens = " ".join(
        str(number // 10 % 10) if number >= 10 else " "
        for number in range(1, count + 1)
    )
    return f"{tens}\n{units}"


def key(verdicts: Sequence[Verdict]) -> Iterator[str]:
    """Yield which number stands for which receiver that is no sender itself."""
    senders = {name_of(verdict.traffic.sender) for verdict in verdicts}
    receivers = _receivers(verdicts)
    for number, receiver in enumerate(receivers):
        if receiver not in senders:
            yield f"{number + 1:3} {receiver}"


def summary(verdicts: Sequence[Verdict], seconds: float) -> str:
    """How many there are of each outcome, and how long it took."""
    counted = Counter(verdict.outcome for verdict in verdicts)
    outcomes = ", ".join(
        f"{counted[outcome]:,} {outcome}" for outcome in Outcome if counted[outcome]
    )
    disagreed = sum(not verdict.agrees for verdict in verdicts)
    return (
        f"{len(verdicts):,} probes in {seconds:.2f} s: {outcomes}; "
        f"the witnesses disagree on {disagreed or 'none'}"
    )


def _sign(verdict: Verdict) -> Text:
    if not verdict.agrees:
        return Text("!", style="bold red")
    return Text(SIGNS[verdict.outcome], style=_STYLES[verdict.outcome])


def _protocol(verdict: Verdict) -> str:
    traffic = verdict.traffic
    port = "" if traffic.dport is None else f":{traffic.dport}"
    return f"{traffic.transport}{port}"


def _receivers(verdicts: Sequence[Verdict]) -> list[str]:
    """In the senders' order, as far as they are senders: then the diagonal is empty."""
    found = {_receiver(verdict) for verdict in verdicts}
    senders = dict.fromkeys(name_of(verdict.traffic.sender) for verdict in verdicts)
    first = [name for name in senders if name in found]
    return list(dict.fromkeys([*first, *map(_receiver, verdicts)]))


def _receiver(verdict: Verdict) -> str:
    ip = verdict.traffic.destination
    pod = verdict.cluster.pod_at(ip)
    return pod.key if pod else str(ip)
