"""A packet's way through the chains of one table.

Where chance decides (``statistic``, a range of addresses) the packet goes every way,
each with its probability, so that all endpoints of a service are seen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple, assert_never

from testbed.model import Outcome
from testbed.netfilter.packet import CtState, RuleHit
from testbed.netfilter.targets import (
    Accept,
    CopyMark,
    Drop,
    GoOn,
    Jump,
    Mark,
    Masquerade,
    Nat,
    NoTrack,
    Redirect,
    Reject,
    Return,
    Unknown,
)
from testbed.netfilter.translation import masquerade, redirect, translate
from testbed.netfilter.values import ALL_ONES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from testbed.netfilter.branch import Branch
    from testbed.netfilter.ruleset import Chain, Rule

_MOST_ADDRESSES: Final = 256
"""A longer range of addresses than this is not followed one by one."""
_FILTER: Final = "filter"


class _Place(NamedTuple):
    """Where in the chains a packet is, and where it goes back to."""

    chain: Chain
    position: int
    caller: _Place | None


def walk(
    chains: Mapping[str, Chain], table: str, name: str, came: Branch
) -> list[Branch]:
    """Take a packet through a built-in chain and all that it jumps to.

    Args:
        chains: the table's chains.
        table: the table's name.
        name: the built-in chain.
        came: the packet, which is changed.

    Returns:
        All that may become of it: some have ended, the others go on.
    """
    return _Walk(chains, table, chains[name]).all(came)


class _Walk:
    """One packet in one built-in chain."""

    def __init__(self, chains: Mapping[str, Chain], table: str, base: Chain) -> None:
        self._chains = chains
        self._table = table
        self._base = base
        self._waiting: list[tuple[Branch, _Place]] = []
        self._through: list[Branch] = []

    def all(self, came: Branch) -> list[Branch]:
        self._waiting.append((came, _Place(self._base, 0, None)))
        while self._waiting:
            branch, start = self._waiting.pop()
            place: _Place | None = start
            while place is not None:
                place = self._next(branch, place)
            self._through.append(branch)
        return self._through

    def _next(self, branch: Branch, place: _Place) -> _Place | None:
        """On to the next rule that concerns the packet; ``None`` if it is through."""
        found = _find(branch, place)
        if found is None:
            return self._return(branch, place)
        rule, behind, is_certain = found
        if isinstance(rule.target, GoOn):  # that it matches would change nothing
            if is_certain and not rule.unknown and not rule.needs_history:
                is_sure = rule.chance == 1
                branch.hits.append(
                    rule.hit if is_sure else rule.hit_with("go on", matched=False)
                )
            return behind
        if rule.needs_history:
            branch.hits.append(rule.hit_with("no match", matched=False))
            return behind
        if rule.unknown or not is_certain:
            _give_up(branch, rule)
            return None
        if rule.chance < 1:
            other = branch.fork()
            other.probability *= 1 - rule.chance
            branch.probability *= rule.chance
            self._waiting.append((other, behind))
        return self._apply(branch, rule, behind)

    def _apply(self, branch: Branch, rule: Rule, behind: _Place) -> _Place | None:
        """Do what a rule does; where the packet goes from there, if not through."""
        target = rule.target
        if isinstance(target, Mark | CopyMark):
            return behind if _mark(branch, rule, target) else None
        if isinstance(target, Nat | Masquerade | Redirect):
            self._translate(branch, rule, target)
            return None
        if isinstance(target, NoTrack) and branch.is_seen:
            branch.hits.append(rule.hit_with("go on: it is tracked, or not, already"))
            return behind
        branch.hits.append(rule.hit)
        then: _Place | None = None
        match target:
            case Jump():
                caller = behind.caller if target.is_goto else behind
                then = _Place(self._chains[target.chain], 0, caller)
            case Return():
                then = self._return(branch, behind)
            case Drop():
                branch.end(Outcome.DROPPED, _by(rule))
            case Reject():
                branch.end(Outcome.REJECTED, _by(rule), target.reject_with)
            case NoTrack():
                branch.ct_state = CtState.UNTRACKED
                branch.answers = None
                then = behind
            case Accept() | GoOn() | Unknown():
                pass
            case _:
                assert_never(target)
        return then

    def _translate(
        self, branch: Branch, rule: Rule, target: Nat | Masquerade | Redirect
    ) -> None:
        match target:
            case Masquerade():
                branch.hits.append(rule.hit_with(masquerade(branch, target)))
            case Redirect():
                branch.hits.append(rule.hit_with(redirect(branch, target)))
            case Nat(addresses=None):
                branch.hits.append(rule.hit_with(translate(branch, target, None)))
            case Nat(addresses=(first, last)) if last - first < _MOST_ADDRESSES:
                self._spread(branch, rule, target, range(first, last + 1))
            case _:
                _give_up(branch, rule)

    def _spread(
        self, branch: Branch, rule: Rule, target: Nat, addresses: Sequence[int]
    ) -> None:
        """To each of several addresses by equal chance."""
        branch.probability /= len(addresses)
        others = [branch.fork() for _ in addresses[1:]]
        for each, address in zip((branch, *others), addresses, strict=True):
            each.hits.append(rule.hit_with(translate(each, target, address)))
        self._through += others

    def _return(self, branch: Branch, place: _Place) -> _Place | None:
        """Back to where it came from, at last to the built-in chain's policy."""
        if place.caller is not None:
            return place.caller
        policy = self._base.policy
        is_dropped = policy == "DROP"
        if is_dropped or self._table == _FILTER:
            hit = RuleHit(
                table=self._table,
                chain=self._base.name,
                rule=f"policy {policy}",
                line=self._base.line,
                effect="drop" if is_dropped else "accept",
            )
            branch.hits.append(hit)
        if is_dropped:
            where = f"{self._table} {self._base.name}"
            branch.end(Outcome.DROPPED, f"dropped by the policy of {where}")
        return None


def _find(branch: Branch, place: _Place) -> tuple[Rule, _Place, bool] | None:
    """The next rule that matches a packet, or may, the place behind it, and which."""
    source, destination = branch.source, branch.destination
    transport = branch.transport
    chain, start, caller = place
    for position, step in enumerate(chain.steps[start:], start + 1):
        source_mask, from_, destination_mask, to, carries, tests, rule = step
        if (
            destination & destination_mask != to
            or source & source_mask != from_
            or (carries is not None and carries is not transport)
        ):
            continue
        is_certain = True
        for test in tests:
            said = test(branch)
            if said is None:
                is_certain = False
            elif not said:
                break
        else:
            return rule, _Place(chain, position, caller), is_certain
    return None


def _give_up(branch: Branch, rule: Rule) -> None:
    what = ", ".join(rule.unknown) or "what it asks for is not known of this packet"
    hit = rule.hit_with(f"could not tell: {what}", matched=False)
    branch.hits.append(hit)
    branch.end(Outcome.INCONCLUSIVE, str(hit))


def _mark(branch: Branch, rule: Rule, target: Mark | CopyMark) -> bool:
    """Clear bits, then flip some, in the packet's mark or its connection's.

    Returns:
        Whether that could be told.
    """
    of_connection = isinstance(target, CopyMark) or target.is_connmark
    if of_connection and not branch.has_connection:
        branch.hits.append(rule.hit_with("go on: it has no connection"))
        return True
    had = branch.connmark or 0
    match target:
        case Mark():
            clear, flip, is_connmark = target.clear, target.flip, target.is_connmark
            needs_had = is_connmark
        case CopyMark(to_packet=True):
            clear, flip, is_connmark = target.nfmask, had & target.ctmask, False
            needs_had = True
        case CopyMark():
            clear, flip = target.ctmask, branch.mark & target.nfmask
            is_connmark = needs_had = True
    is_overwritten = is_connmark and clear == ALL_ONES
    if needs_had and branch.connmark is None and not is_overwritten:
        _give_up(branch, rule)
        return False
    if is_connmark:
        branch.connmark = had & ~clear & ALL_ONES ^ flip
        effect = f"connection's mark {branch.connmark:#x}"
    else:
        branch.mark = branch.mark & ~clear & ALL_ONES ^ flip
        effect = f"mark {branch.mark:#x}"
    branch.hits.append(rule.hit_with(effect))
    return True


def _by(rule: Rule) -> str:
    return f"by rule {rule.text}"
