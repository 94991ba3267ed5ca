"""Ports, TCP's flags and ICMP's types: what rules ask about the transport's header."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from testbed.netfilter.values import NotUnderstoodError, number, port_range

if TYPE_CHECKING:
    from testbed.netfilter.arguments import Module, Option
    from testbed.netfilter.branch import Branch
    from testbed.netfilter.matches import Matches, Test

Ranges: TypeAlias = tuple[tuple[int, int], ...]

EPHEMERAL: Final = (32768, 60999)
"""Linux's ``net.ipv4.ip_local_port_range``, from which senders take their ports."""

_FLAGS: Final = frozenset({"SYN", "ACK", "FIN", "RST", "URG", "PSH"})
_SYN: Final = frozenset({"SYN"})
_FIRST: Final = frozenset({"SYN", "RST", "ACK", "FIN"})
"""Of these, the first segment of a connection has only SYN."""

_ICMP_TYPES: Final = {
    "echo-reply": "0",
    "pong": "0",
    "destination-unreachable": "3",
    "source-quench": "4",
    "redirect": "5",
    "echo-request": "8",
    "ping": "8",
    "router-advertisement": "9",
    "router-solicitation": "10",
    "time-exceeded": "11",
    "ttl-exceeded": "11",
    "parameter-problem": "12",
    "timestamp-request": "13",
    "timestamp-reply": "14",
    "address-mask-request": "17",
    "address-mask-reply": "18",
}
_ANY_ICMP: Final = ("any", "255")


def protocol(matches: Matches, module: Module) -> None:
    """What ``-m tcp``, ``udp``, ``sctp`` and ``icmp`` bring."""
    for option in module.options:
        match option.name:
            case "--dport" | "--sport":
                ranges = (port_range(option.value),)
                matches.tests.append(_ports(ranges, option, option.name[2:]))
            case "--icmp-type":
                matches.tests.append(_icmp_type(option))
            case "--syn":
                matches.tests.append(_tcp_flags(_FIRST, _SYN, option))
            case "--tcp-flags" if len(option.values) == 2:
                checked, set_ = map(_flags, option.values)
                matches.tests.append(_tcp_flags(checked, set_, option))
            case _:
                raise NotUnderstoodError


def multiport(matches: Matches, module: Module) -> None:
    """Several ports and ranges of them, source, destination or either."""
    for option in module.options:
        which = {
            "--dports": "dport",
            "--destination-ports": "dport",
            "--sports": "sport",
            "--source-ports": "sport",
            "--ports": "either",
        }.get(option.name)
        if which is None:
            raise NotUnderstoodError
        ranges = tuple(port_range(text) for text in option.value.split(","))
        matches.tests.append(_ports(ranges, option, which))


def _ports(ranges: Ranges, option: Option, which: str) -> Test:
    wanted = not option.is_negated
    if which == "dport" and len(ranges) == 1 and ranges[0][0] == ranges[0][1]:
        port = ranges[0][0]  # as nearly every rule of kube-proxy asks

        def is_port(branch: Branch) -> bool | None:
            return None if branch.dport is None else (branch.dport == port) is wanted

        return is_port

    def test(branch: Branch) -> bool | None:
        said = []
        if which != "dport":
            said.append(_has_sport(branch.sport, ranges))
        if which != "sport":
            said.append(_has_dport(branch.dport, ranges))
        if True in said:
            return wanted
        return None if None in said else not wanted

    return test


def _has_dport(port: int | None, ranges: Ranges) -> bool | None:
    return None if port is None else any(low <= port <= high for low, high in ranges)


def _has_sport(port: int | None, ranges: Ranges) -> bool | None:
    """One that the sender's kernel chose is in a range, out of it, or may be either."""
    if port is not None:
        return any(low <= port <= high for low, high in ranges)
    lowest, highest = EPHEMERAL
    if any(low <= lowest and highest <= high for low, high in ranges):
        return True
    may_be = any(low <= highest and lowest <= high for low, high in ranges)
    return None if may_be else False


def _icmp_type(option: Option) -> Test:
    wanted = not option.is_negated
    kind, slash, code = _ICMP_TYPES.get(option.value, option.value).partition("/")
    if kind in _ANY_ICMP:
        return lambda _: wanted
    icmp_type = number(kind, 255)
    # An echo request or reply has no code but 0.
    has_code = not slash or number(code, 255) == 0
    return lambda branch: (has_code and branch.icmp_type == icmp_type) is wanted


def _flags(text: str) -> frozenset[str]:
    if text in ("ALL", "NONE"):
        return _FLAGS if text == "ALL" else frozenset()
    names = frozenset(text.split(","))
    if not names <= _FLAGS:
        raise NotUnderstoodError
    return names


def _tcp_flags(checked: frozenset[str], set_: frozenset[str], option: Option) -> Test:
    wanted = not option.is_negated

    def test(branch: Branch) -> bool | None:
        flags = branch.tcp_flags
        return None if flags is None else (flags & checked == set_) is wanted

    return test
