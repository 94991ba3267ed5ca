"""Chains and tables of iptables, in the words ``iptables-save`` would use for them."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_HASH_LENGTH = 16
"""Characters of a hash in a chain's name, which may have 28 in all."""

REJECT = "-j REJECT --reject-with icmp-port-unreachable"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chain:
    """A chain and its rules, each without the ``-A`` that appends it.

    Built-in chains have a ``policy``, what happens to a packet at their end; from any
    other, a packet returns to where it came from.
    """

    name: str
    rules: tuple[str, ...] = ()
    policy: str = "-"


def comment(text: str) -> str:
    """The match that says what a rule is for."""
    return f'-m comment --comment "{text}"'


def chain_name(prefix: str, *words: object) -> str:
    """The name that Kubernetes gives to the chain of a service, endpoint or hostport.

    Source: kubernetes release-1.11 pkg/proxy/iptables/proxier.go
    """
    digest = hashlib.sha256("".join(map(str, words)).encode()).digest()
    return prefix + base64.b32encode(digest).decode()[:_HASH_LENGTH]


def table_text(name: str, chains: Iterable[Chain]) -> str:
    """A whole table as input for ``iptables-restore``."""
    chains = list(chains)
    lines = [
        f"*{name}",
        *(f":{chain.name} {chain.policy} [0:0]" for chain in chains),
        *(f"-A {chain.name} {rule}" for chain in chains for rule in chain.rules),
        "COMMIT",
    ]
    return "".join(f"{line}\n" for line in lines)
