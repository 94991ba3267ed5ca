"""An import's directory, read back: whose flows and rules there are, line by line.

::

    DIR/topology.yaml
    DIR/import.json            br0's ports by name; the directory will do without it
    DIR/nodes/NODE/flows       as ``ovs-ofctl dump-flows`` printed them
    DIR/nodes/NODE/iptables    as ``iptables-save`` did
    DIR/nodes/NODE/ports       as ``ovs-ofctl show`` did

Files may have been edited since; a second dump of a node (``flows.2``) does not count.
"""

from __future__ import annotations

import contextlib
import json
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from testbed.errors import DumpError, NotFoundError, SwitchError
from testbed.importing.readers.flows import PORTS, numbered
from testbed.importing.readers.host import ports as ports_in
from testbed.openflow import Table, parse_flow
from testbed.replay.rules import RuleText, read_rules
from testbed.topology import LARGEST
from testbed.topology.problem import printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from testbed.openflow import Flow

_NAMED = re.compile(r"(?:in_port=|output:)\"?([A-Za-z][-\w.]*)")
_RESERVED = {
    *("LOCAL", "IN_PORT", "NORMAL", "FLOOD", "ALL", "CONTROLLER", "TABLE", "NONE"),
    *("ANY", "UNSET"),
    *("NXM_NX_REG2",),
}
"""What stands where a port does and is none of br0's (ovs-ofctl(8))."""

_FIRST_UNKNOWN = 0xFE00
"""Ports that have a name and no known number get numbers from here on, down."""

_MOST_PROBLEMS = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class PlacedFlow:
    """A flow, and the file and line it was in."""

    flow: Flow
    place: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeCollection:
    """What was collected of one node.

    Attributes:
        name: its directory's.
        flows: its br0's, in their order; ``None`` where no dump was collected.
        rules: its iptables; ``None`` where they were not collected.
        ports: the numbers of the ports that br0 had, by name; ``None`` where no whole
            list of them was collected.
        remarks: what there is to say of them, each with its file and line.
    """

    name: str
    flows: tuple[PlacedFlow, ...] | None
    rules: RuleText | None
    ports: Mapping[str, int] | None
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Collection:
    """All nodes of an import's directory that there is something of, and its path."""

    directory: Path
    nodes: tuple[NodeCollection, ...] = field(repr=False)

    @property
    def topology(self) -> Path:
        """The file of its API objects."""
        return self.directory / "topology.yaml"


def topology_of(directory: Path) -> Path:
    """The file of an import's API objects.

    Raises:
        NotFoundError: the directory is no import's.
    """
    topology = directory / "topology.yaml"
    if not topology.is_file():
        why = "has no topology.yaml" if directory.is_dir() else "is no directory"
        text = (
            f"{directory}: {why}; needed is what an import wrote; type: "
            f"testbed import {directory if directory.exists() else 'DUMP'} -o DIR"
        )
        raise NotFoundError(printable(text))
    return topology


def collection(directory: Path) -> Collection:
    """Read an import's directory; its objects are not looked at.

    Raises:
        NotFoundError: it is none.
        DumpError: a file cannot be read, or holds what is no flow.
    """
    topology_of(directory)
    ports = _noted_ports(directory / "import.json")
    folders: list[Path] = []
    with contextlib.suppress(FileNotFoundError, NotADirectoryError):
        folders = sorted(p for p in (directory / "nodes").iterdir() if p.is_dir())
    nodes = tuple(_node(folder, ports.get(folder.name, {})) for folder in folders)
    return Collection(
        directory=directory,
        nodes=tuple(n for n in nodes if n.flows is not None or n.rules is not None),
    )


def _node(folder: Path, noted: Mapping[str, int]) -> NodeCollection:
    flows = text_of_file(folder / "flows")
    rules = text_of_file(folder / "iptables")
    listed = text_of_file(folder / "ports")
    remarks: list[str] = []
    ports, is_whole = _listed(listed or "")
    numbers = {**PORTS, **noted, **ports}
    tables = None
    if rules is not None:
        tables = read_rules(rules, str(folder / "iptables"))
        remarks += tables.remarks if tables.tables else ()
        if not tables.tables:
            text = "names no table, as iptables-save does; it is not replayed"
            remarks.append(printable(f"{folder / 'iptables'}: {text}"))
    return NodeCollection(
        name=folder.name,
        flows=None
        if flows is None
        else _flows(flows, str(folder / "flows"), numbers, remarks),
        rules=tables if tables and tables.tables else None,
        ports=ports if is_whole else None,
        remarks=tuple(remarks),
    )


def _listed(text: str) -> tuple[dict[str, int], bool]:
    """The ports that ``ovs-ofctl show`` printed, and whether those are all.

    The bridge's own, LOCAL, is always the last; a list without it was trimmed.
    """
    found = list(ports_in(enumerate(text.splitlines(), 1)))
    numbers = {port.name: port.ofport for port in found if port.ofport is not None}
    return numbers, any(port.ofport is None for port in found)


def _flows(
    text: str, file: str, numbers: Mapping[str, int], remarks: list[str]
) -> tuple[PlacedFlow, ...]:
    """The flows of a dump, ports by number; the last of equal ones counts."""
    known = dict(numbers)
    taken = set(known.values())
    free = (n for n in range(_FIRST_UNKNOWN, 0, -1) if n not in taken)
    found: dict[tuple[int, str], PlacedFlow] = {}
    problems: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if "actions=" not in line:
            if _looks_like_a_flow(line):
                problems.append(f"{file}:{number}: is cut off before its actions")
            continue
        place = f"{file}:{number}"
        for name in _NAMED.findall(line):
            if name not in known and name not in _RESERVED:
                known[name] = next(free)
                remarks.append(
                    f"{place}: nothing says which number port {name} has; its flows "
                    f"point to {known[name]}, where nothing is"
                )
        try:
            flow = _flow(line, known)
        except SwitchError as error:
            problems.append(f"{place}: {error}")
            continue
        if flow.table <= Table.RULE_VERSION:
            key = int(flow.table), flow.selector
            if key in found:
                remarks.append(
                    f"{place}: is there before, in line "
                    f"{found[key].place.rpartition(':')[2]}; this one counts"
                )
            found[key] = PlacedFlow(flow=flow, place=place)
    if problems:
        raise DumpError("\n".join(map(printable, _few(problems))))
    return tuple(found.values())


def _flow(line: str, ports: Mapping[str, int]) -> Flow:
    if not line.strip().isprintable():
        raise SwitchError("holds control characters")
    return parse_flow(numbered(line, ports))


def _looks_like_a_flow(line: str) -> bool:
    return line.lstrip().startswith(("cookie=", "table="))


def _few(problems: list[str]) -> Iterator[str]:
    yield from problems[:_MOST_PROBLEMS]
    if len(problems) > _MOST_PROBLEMS:
        yield f"… and {len(problems) - _MOST_PROBLEMS} more"


def text_of_file(path: Path) -> str | None:
    """What a file says; ``None`` if it is not there."""
    if not path.exists():
        return None
    try:
        if not path.is_file():
            raise DumpError(printable(f"{path}: is no file"))
        with path.open("rb") as file:
            contents = file.read(LARGEST + 1)
    except OSError as error:
        why = (error.strerror or "cannot be read").lower()
        raise DumpError(printable(f"{path}: {why}")) from error
    if len(contents) > LARGEST:
        raise DumpError(printable(f"{path}: is larger than {LARGEST >> 20} MiB"))
    try:
        return contents.decode()
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise DumpError(printable(f"{path}:{line}: is not UTF-8 text")) from error


def _noted_ports(path: Path) -> dict[str, dict[str, int]]:
    """br0's ports by node, as an import noted them.

    Raises:
        DumpError: there is something else in the file.
    """
    text = text_of_file(path)
    if text is None:
        return {}
    try:
        return {
            str(node["name"]): {
                str(name): int(number) for name, number in node["ports"].items()
            }
            for node in json.loads(text)["nodes"]
        }
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise DumpError(
            printable(
                f"{path}: is not what testbed import writes ({error}); import again, "
                "or remove this file"
            )
        ) from error
