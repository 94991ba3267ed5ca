"""API objects in YAML, as ``oc get -o yaml`` prints them: one at a time, however many.

What stands around them (prose, prompts, warnings of ``oc``) ends the YAML or is passed
over. Each object is parsed by itself, so a broken one costs no other, and the parts
that hold most of a pod and nothing of its network are taken out before.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from testbed.importing.readers.api import WANTED, ApiObject
from testbed.importing.readers.block_yaml import block_yaml
from testbed.importing.remarks import Place
from testbed.topology.document import plain, read

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.importing.lines import Line, Lines
    from testbed.importing.readers.api import ApiReader
    from testbed.topology.problem import Problem

STARTS = re.compile(r"(?:- )?(?:apiVersion|kind|items):(?: |$)")
"""The line that YAML of the API begins with."""

_LARGEST = 16 << 20
"""Characters of one object."""

_GOES_ON = re.compile(r"[ #]|- |-$|[\"']?[A-Za-z][-\w./]*[\"']?:(?: |$)")
_NOISE = re.compile(
    r"(?i:error|warning|info|deprecated)\b|[IWEF]\d{4} |Flag --\S+ has "
)
_ITEM = re.compile(r"( *)- ?")

_NOT_OF_A_NETWORK = """
affinity args command conditions containerStatuses dnsConfig env envFrom hostAliases
imagePullSecrets images initContainerStatuses initContainers lifecycle livenessProbe
managedFields nodeInfo ownerReferences readinessProbe resources securityContext
targetRef tolerations volumeMounts volumes
"""
_BULK = "|".join(_NOT_OF_A_NETWORK.split())
_BULKY = re.compile(
    rf"^( *)(?:{_BULK}): *\n((?:\1 .*\n|\1- .*\n| *\n)++)", re.MULTILINE
)
_BULKY_FIRST = re.compile(
    rf"^( *)- (?:{_BULK}): *\n((?:\1   .*\n|\1  - .*\n| *\n)++)", re.MULTILINE
)


def yaml_objects(lines: Lines, reader: ApiReader) -> Iterator[ApiObject]:
    """Yield the objects from the next line on, until the YAML ends."""
    yield from _Documents(lines, reader).objects()


class _Documents:
    def __init__(self, lines: Lines, reader: ApiReader) -> None:
        self._lines = lines
        self._reader = reader
        self._head: list[Line] = []
        self._item: list[Line] = []
        self._prefix: str | None = None
        """What the lines begin with that begin an item, within a list."""
        self._deeper = ""
        """What the others begin with; empty outside of items."""
        self._awaits_item = False
        self._kindless: list[tuple[object, Place]] = []

    def objects(self) -> Iterator[ApiObject]:
        for line in self._lines:
            if self._deeper and line.ended and line.text.startswith(self._deeper):
                self._item.append(line)  # most lines of most files
            elif not line.ended:
                self._lines.leave_unread("a line too long is left out", line.number)
            elif self._goes_on_with_item(line):
                pass
            elif self._begins_item(line):
                yield from self._end_item()
                self._item = [line, *self._lines.taken(self._deeper)]
            elif line.text.strip() and _NOISE.match(line.text):
                pass
            elif line.text.strip() and not _GOES_ON.match(line.text):
                self._lines.put_back(line)
                break
            else:
                yield from self._end_item()
                yield from self._take_head(line)
        yield from self._end_item()
        yield from self._end_document()

    def _goes_on_with_item(self, line: Line) -> bool:
        """Take a blank line or a comment, which an item may have anywhere."""
        is_one = bool(self._deeper) and line.text.lstrip()[:1] in ("", "#")
        if is_one:
            self._item.append(line)
        return is_one

    def _begins_item(self, line: Line) -> bool:
        text = line.text
        if self._prefix is not None:
            return text.startswith(self._prefix) or f"{text} " == self._prefix
        is_bare = not self._head and text.startswith("- ")
        found = _ITEM.match(text) if self._awaits_item or is_bare else None
        if found:
            self._prefix, self._awaits_item = f"{found[1]}- ", False
            self._deeper = " " * (len(self._prefix) - 1)
        return found is not None

    def _take_head(self, line: Line) -> Iterator[ApiObject]:
        """Take a line outside of items: of a list, or of an object alone."""
        self._prefix, self._deeper = None, ""
        text = line.text
        if text.startswith(("---", "...")) and not text.strip("-. "):
            yield from self._end_document()
            return
        if text.startswith("apiVersion:") and self._has("apiVersion:"):
            yield from self._end_document()
        self._awaits_item = text.rstrip() == "items:"
        if not self._awaits_item:
            self._head.append(line)

    def _has(self, key: str) -> bool:
        return any(line.text.startswith(key) for line in self._head)

    def _end_item(self) -> Iterator[ApiObject]:
        if self._item:
            first, self._item = self._item, []
            for values, place in self._parsed(first):
                for value in values if isinstance(values, list) else [values]:
                    found = list(self._reader.objects(value, place, listed=True))
                    yield from found
                    if found or not isinstance(value, dict):
                        continue
                    if "kind" not in value:
                        self._kindless.append((value, place))
                    elif value.get("items") is None:
                        self._lines.leave_unread("an object without a name", place.line)

    def _end_document(self) -> Iterator[ApiObject]:
        head, self._head = self._head, []
        kindless, self._kindless = self._kindless, []
        for values, place in self._parsed(head):
            kind = values.get("kind") if isinstance(values, dict) else None
            if not isinstance(kind, str):
                continue
            yield from self._reader.objects(values, place)
            item_kind = kind.removesuffix("List")
            for value, where in kindless:
                yield from self._reader.objects(
                    value, where, listed=True, item_kind=item_kind
                )

    def _parsed(self, lines: list[Line]) -> Iterator[tuple[object, Place]]:
        """Yield what the lines hold, if it is of a kind that is wanted."""
        while lines and not lines[0].text.strip():
            del lines[0]
        if not lines:
            return
        text = "".join(f"{line.text}\n" for line in lines)
        place = Place(self._lines.name, lines[0].number)
        if len(text) > _LARGEST:
            self._lines.leave_unread("an object too large is left out", place.line)
            return
        lead = text[: len(text) - len(text.lstrip(" -"))]
        kind = _field(text, lead, "kind")
        if kind and kind not in WANTED and not kind.endswith("List"):
            name = _field(text, " " * (len(lead) + 2), "name")
            yield {"kind": kind, "metadata": {"name": name or "?"}}, place
            return
        for bulky in (_BULKY, _BULKY_FIRST):
            text = bulky.sub(_emptied, text)
        for value in block_yaml(text) or ():
            yield value, place
            return
        problems: list[Problem] = []
        for node in read(text, self._lines.name, problems):
            yield plain(node), place
        for problem in problems:
            self._lines.leave_unread(problem.text, place.line + problem.line - 1)


def _field(text: str, lead: str, name: str) -> str:
    """A string of a mapping whose first line begins with ``lead``; or nothing."""
    if text.startswith(f"{lead}{name}: "):
        start = 0
    else:
        start = text.find(f"\n{' ' * len(lead)}{name}: ") + 1
    line = text[start : text.find("\n", start)] if start or text else ""
    key, _, value = line.strip("- ").partition(": ")
    return value.strip() if key == name else ""


def _emptied(found: re.Match[str]) -> str:
    """The key alone, and as many lines as before."""
    return found[0][: found.start(2) - found.start()] + "\n" * found[2].count("\n")
