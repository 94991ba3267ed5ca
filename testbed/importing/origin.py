"""Which machine a text may be of, by where it stands: hints, never more.

Collections have a directory for each node. A person who pastes several nodes into one
file writes a heading between them, or leaves the prompt and the command that printed
it. What the text itself says of its node counts more than any of that.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

_HOST = r"[a-z0-9](?:[-a-z0-9.]*[a-z0-9])?"
_NODES = re.compile(rf"(.*?(?:^|/)nodes/({_HOST}))/(?:.*/)?[^/]+")
_POD = re.compile(r"/pods/([a-z0-9][-a-z0-9.]*)/[^/]+$")
_SOS = re.compile(
    r"(.*?(?:^|/)sosreport-([a-z0-9][-a-z0-9.]*?)(?:[-.]\d{5,}[^/]*|-\d{4}-[^/]*)?)/"
)
_FILE_OF_A_HOST = re.compile(
    r"(?:^|/)(?:etc/hostname|hostname|sos_commands/(?:host|general)/hostname)$"
)

_WORDS = """
-o address addresses all arp br0 bridge case cluster cluster-network collected conntrack
customer data debug dump dump-flows dumps file flow flows general host hosts info ip
ip-addr ip-route iptables iptables-save journal list log logs master meta neighbours net
network networking node nodes notes oc ofctl openflow13 openvswitch origin out output
ovs ovs-ofctl ovs-show pod pods ports route routes sdn show sos sos_commands stdin
sysctl table text tmp tonight version
"""
_GENERIC = frozenset(_WORDS.split())
"""Words that name a file, and no machine."""

_AFFIXES = (
    "iptables-save",
    "dump-flows",
    "ovs-ofctl",
    "addresses",
    "iptables",
    "ovs-show",
    "routes",
    "flows",
    "dump",
    "br0",
)
"""Words that stand beside a machine's name in a file's, the longest first."""

_EXTENSIONS = frozenset(
    {"bz2", "gz", "json", "tar", "tgz", "txt", "xz", "yaml", "yml", "zip"}
)

_HEADING = re.compile(
    rf"\W*(?:node|host|server)?[:=\s]*\b({_HOST})\b\s*(?::|\W*)", re.IGNORECASE
)
_DECORATED = re.compile(r"(?:[=#*+<>-]{2,}|\[|#\s)")
_WORD_FIRST = re.compile(r"\W*(?:node|host|server)\b[:=\s]+\S", re.IGNORECASE)
_ANSIBLE = re.compile(rf"({_HOST}) \| [A-Z]+!?(?: \| rc=\d+)? (?:>>|=>)")
_SHOWN_FILE = re.compile(r"==> (\S+) <==\s*$")
_PROMPT = re.compile(
    rf"\[?[\w.-]+@({_HOST})(?:[: ][^\]#$%]*)?\]?\s?[#$%] ?(.*)"
    r"|[>$%] ?(\S.*)|\+{1,3} (\S.*)|# (\S.*)"
)
"""A shell's prompt with its machine, ``debug.sh``'s mark, a plain one, ``set -x``."""

_TOOLS = """
ansible arp brctl cat cd conntrack crictl docker echo for grep head hostname ip iptables
iptables-save kubectl less ls nmcli nsenter oadm oc ovs-appctl ovs-dpctl ovs-ofctl
ovs-vsctl podman ssh sudo sysctl tail tc timeout uname
"""
_COMMANDS = frozenset(_TOOLS.split())
_IN_A_POD = re.compile(
    r"\b(?:oc|kubectl)\b.*?\b(?:exec|rsh|logs)\b(?:\s+-\S+(?:\s+(?=\S*openshift)\S+)?)*"
    r"\s+(?:pods?/)?([a-z0-9][-a-z0-9.]*)"
)
_NAMESPACE = re.compile(r"(?:-n|--namespace)[ =]\S+")
_SSH = re.compile(
    r"\bssh\s+(?:-[46AaCfGgKkMNnqsTtVvXxYy]+\s+|-[BbcDEeFIiJLlmOopPQRSWw]\s*\S+\s+)*"
    rf"(?:[\w.-]+@)?({_HOST})\b"
)
"""Options without a value, options with one, then the host. Source: ssh(1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where a text stands.

    Attributes:
        group: what else stands there is of the same machine, if nothing denies it.
        names: what its node may be called, the likeliest first.
        printed_by: the pod that printed it, where ``oc exec`` says so.
        within: the pod whose own network it is about, in ``pods/NAME/``.
        is_sure: whether the first name can only be a machine's.
    """

    group: str
    names: tuple[str, ...] = ()
    printed_by: str = ""
    within: str = ""
    is_sure: bool = False

    def under(self, name: str) -> Origin:
        """What stands under a heading or behind a prompt that names a machine."""
        names = (name, *self.names)
        return Origin(group=f"machine {name}", names=names, is_sure=True)

    def in_pod(self, pod: str) -> Origin:
        """What a pod's container printed.

        The command ran on the machine that a prompt or a report names, but a person
        calls a file after the machine that it is about.
        """
        names = () if self.is_sure else self.names
        return replace(self, group=f"pod {pod}", names=names, printed_by=pod)


def origin_of(file: str, within: str = "") -> Origin:
    """What a file's name hints at.

    ``within`` is the directory that what the user named is in; its name says nothing.
    """
    if found := _NODES.fullmatch(file):
        inside = _POD.search(file[found.end(1) :])
        return Origin(
            group=found[1],
            names=(found[2],),
            within=inside[1] if inside else "",
            is_sure=True,
        )
    if found := _SOS.match(file):
        return Origin(group=found[1], names=(found[2],), is_sure=True)
    path = PurePosixPath(file.removeprefix(within))
    candidates = [_without_extensions(path.name), _without_extensions(path.parent.name)]
    return Origin(
        group=f"directory {PurePosixPath(file).parent}",
        names=tuple(dict.fromkeys(filter(None, map(_machine, candidates)))),
    )


def is_hostname_file(file: str) -> bool:
    """Whether a file holds its machine's name and nothing else."""
    return _FILE_OF_A_HOST.search(file) is not None


def is_hostname(text: str) -> bool:
    """Whether a line can be a machine's name."""
    return re.fullmatch(_HOST, text) is not None


def heading(text: str) -> str:
    """The machine, or the file, that a line announces; empty where it is no heading."""
    if len(text) > 200:
        return ""
    if found := _ANSIBLE.match(text):
        return found[1]
    if found := _SHOWN_FILE.match(text):
        names = origin_of(found[1]).names
        return names[0] if names else ""
    named = _HEADING.fullmatch(text)
    if named is None:
        return ""
    name = named[1].lower()
    if _WORD_FIRST.match(text):
        return _machine(name)
    looks_like_one = "." in name or any(char.isdecimal() for char in name)
    return _machine(name) if _DECORATED.match(text) and looks_like_one else ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A command that somebody typed, and where it ran, if that is told."""

    host: str = ""
    pod: str = ""


def command(text: str) -> Command | None:
    """The command that a line with a prompt, or ``debug.sh``'s ``>``, shows."""
    prompted = _PROMPT.match(text) if len(text) < 2000 else None
    if prompted is None:
        return None
    host = prompted[1] or ""
    typed = next((group for group in prompted.groups()[1:] if group), "")
    words = typed.split()
    if not words or words[0].rpartition("/")[2] not in _COMMANDS:
        return None
    if found := _SSH.search(typed):
        return Command(host=found[1])
    if found := _IN_A_POD.search(_NAMESPACE.sub("", typed)):
        return Command(pod=found[1])
    return Command(host=host)


def _without_extensions(name: str) -> str:
    """The name that a file has of its machine: of ``oc-04.test.flows`` all but one."""
    words = re.split(r"[._\s]+", name.lower())
    while words and words[-1] in _GENERIC | _EXTENSIONS:
        words.pop()
    stem = name.lower()[: len(".".join(words))] if words else ""
    for word in _AFFIXES:
        stem = stem.removeprefix(f"{word}-").removeprefix(f"{word}_")
        stem = stem.removesuffix(f"-{word}").removesuffix(f"_{word}")
    return stem


def _machine(name: str) -> str:
    """The name if a machine can have it, else nothing."""
    name = name.lower()
    usable = re.fullmatch(_HOST, name) and name not in _GENERIC and len(name) < 254
    return name if usable and any(char.isalpha() for char in name) else ""
