"""Where a kernel's rules are not those that it was given."""

from __future__ import annotations

import re
import shlex
from collections import Counter, defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_COUNTED = re.compile(r"\[(\d+):\d+\] (-A .*)")
_FIRST_OPTIONS = {"-s", "-d", "-i", "-o", "-p"}


def rule_differences(given: str, saved: str) -> list[str]:
    """What ``iptables-save`` tells of that was not given, and the other way round.

    Args:
        given: the input of ``iptables-restore``, all tables.
        saved: what ``iptables-save`` printed.

    Returns:
        A line each, ``missing: TABLE -A CHAIN …``, ``extra: …`` or ``in another order:
        TABLE CHAIN``, chain by chain.
    """
    wants, has = _canonical_chains(given), _canonical_chains(saved)
    differences: list[str] = []
    for chain in sorted(wants.keys() | has.keys()):
        want, have = Counter(wants[chain]), Counter(has[chain])
        differences += (f"missing: {line}" for line in (want - have).elements())
        differences += (f"extra: {line}" for line in (have - want).elements())
        if want == have and wants[chain] != has[chain]:
            differences.append(f"in another order: {' '.join(chain)}")
    return differences


def canonical(line: str) -> str:
    """A rule in words that do not depend on who wrote it.

    ``iptables-save`` puts addresses and interfaces in an order of its own, adds a full
    mask to marks, and prints a probability as the kernel keeps it.
    """
    words = shlex.split(_COUNTED.sub(r"\2", line))
    first, rest = [], words[2:]
    while len(rest) > 1 and (rest[0] in _FIRST_OPTIONS or rest[0] == "!"):
        length = 3 if rest[0] == "!" else 2
        first.append(tuple(rest[:length]))
        rest = rest[length:]
    for place, word in enumerate(rest[:-1]):
        value = rest[place + 1]
        if word == "--probability":
            rest[place + 1] = f"{float(value):.5f}"
        elif word in ("--set-xmark", "--mark"):
            rest[place + 1] = value.removesuffix("/0xffffffff")
    ordered = sorted(first, key=lambda option: option[-2])
    return " ".join(
        [*words[:2], *(word for option in ordered for word in option), *rest]
    )


def rule_lines(text: str) -> Iterator[tuple[str, str]]:
    """Yield each rule's line, with the table that it is in."""
    table = ""
    for line in text.splitlines():
        if line.startswith("*"):
            table = line[1:]
        elif line.startswith(("-A ", "[")):
            yield table, line


def _canonical_chains(text: str) -> defaultdict[tuple[str, str], list[str]]:
    chains: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for table, line in rule_lines(text):
        rule = canonical(line)
        chains[table, rule.split(" ", 2)[1]].append(f"{table} {rule}")
    return chains
