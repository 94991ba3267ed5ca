"""The API objects that were found, each once, and what is known to be all of a kind."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from testbed.importing.readers.api import text_at
from testbed.importing.remarks import Remark, Sort

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

    from testbed.importing.readers.api import ApiObject, Values

_TELLING = (
    ("hostIP",),
    ("subnet",),
    ("netid",),
    ("pluginName",),
    ("serviceNetwork",),
    ("spec", "nodeName"),
    ("status", "podIP"),
    ("spec", "clusterIP"),
)
"""What tables say too, and must say alike."""

_RUNNING = "Running"


@dataclass(frozen=True, slots=True, kw_only=True)
class Catalogue:
    """Objects by kind and key, in the order in which they were read.

    ``from_tables`` are the kinds and keys of those of which only a table tells, so that
    what it does not say may still be so.
    """

    objects: Mapping[str, Mapping[str, ApiObject]]
    from_tables: frozenset[tuple[str, str]]
    ended: int
    """Pods that had ended, or not begun; they have no network."""

    def of(self, kind: str) -> Mapping[str, ApiObject]:
        """The objects of a kind, by key."""
        return self.objects.get(kind, {})

    def is_complete(self, kind: str) -> bool:
        """Whether what was found is likely all there is of a kind.

        A list of things in one namespace is a list of that namespace.
        """
        found = self.of(kind)
        namespaces = {item.namespace for item in found.values()}
        is_list = len(found) > 1 or any(item.listed for item in found.values())
        return is_list and (len(namespaces) > 1 or namespaces == {""})

    def is_complete_in(self, kind: str, namespace: str) -> bool:
        """Whether that is so for one namespace."""
        return self.is_complete(kind) or any(
            item.namespace == namespace and item.listed
            for item in self.of(kind).values()
        )

    def has_any(self, kind: str, namespaces: Collection[str]) -> bool:
        """Whether there is one in these namespaces, or there would be if there were."""
        return self.is_complete(kind) or any(
            item.namespace in namespaces for item in self.of(kind).values()
        )

    def is_from_a_table(self, item: ApiObject) -> bool:
        """Whether an object may have fields that nobody showed."""
        return (item.kind, item.key) in self.from_tables


def catalogue(
    objects: Iterable[ApiObject], listed: Iterable[ApiObject], remarks: list[Remark]
) -> Catalogue:
    """Take each object once; what contradicts that is told."""
    found: dict[str, dict[str, ApiObject]] = defaultdict(dict)
    for item in objects:
        before = found[item.kind].get(item.key)
        found[item.kind][item.key] = (
            item if before is None else _newer(before, item, remarks)
        )
    from_tables = set()
    for item in listed:
        before = found[item.kind].get(item.key)
        if before is None:
            found[item.kind][item.key] = item
            from_tables.add((item.kind, item.key))
        else:
            remarks += _denied(before, item)
    pods = found.get("Pod", {})
    running = {
        key: pod
        for key, pod in pods.items()
        if (pod.at("status", "phase") or _RUNNING) == _RUNNING
    }
    if pods:
        found["Pod"] = running
    return Catalogue(
        objects=found,
        from_tables=frozenset(from_tables),
        ended=len(pods) - len(running),
    )


def _newer(before: ApiObject, item: ApiObject, remarks: list[Remark]) -> ApiObject:
    if before.values == item.values:
        return before
    taken, left, why = item, before, "it was read last"
    if before.version != item.version and before.version and item.version:
        why = "its resourceVersion is higher"
        if before.version > item.version:
            taken, left = before, item
    field = next(differences(left.values, taken.values), "")
    remarks.append(
        Remark(
            sort=Sort.CONTRADICTORY,
            subject=str(item),
            text=f"is there twice, and not alike in {field}; the first named here "
            f"was taken, as {why}",
            places=(taken.place, left.place),
        )
    )
    return taken


def _denied(taken: ApiObject, row: ApiObject) -> Iterator[Remark]:
    for path in _TELLING:
        value, other = taken.at(*path), row.at(*path)
        if value and other and value != other:
            yield Remark(
                sort=Sort.CONTRADICTORY,
                subject=str(taken),
                text=f"{'.'.join(path)} is {value}, and {other} in a list; the "
                "object's was taken",
                places=(taken.place, row.place),
            )


def differences(one: object, other: object, path: str = "") -> Iterator[str]:
    """Yield the fields in which two values are not alike, with what they are."""
    if isinstance(one, dict) and isinstance(other, dict):
        for key in dict.fromkeys([*one, *other]):
            if one.get(key) != other.get(key):
                inner = f"{path}.{key}".removeprefix(".")
                yield from differences(one.get(key), other.get(key), inner)
    elif one != other:
        yield f"{path} ({_shown(other)}, {_shown(one)})"


def _shown(value: object) -> str:
    if isinstance(value, list | dict):
        return f"{len(value)} of them"
    return "none" if value is None else str(value)


def uid_of(values: Values) -> str:
    """An object's uid; empty where nobody showed it."""
    return text_at(values, "metadata", "uid")
