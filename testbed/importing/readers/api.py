"""API objects as they are kept: what the testbed reads of them, and no more.

A customer's pod has some three hundred values, of which the testbed reads a dozen. The
schema says which, so nothing here names a field twice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, TypeAlias, get_args

from pydantic import BaseModel

from testbed.topology.objects import KINDS
from testbed.topology.schema import KnownFields

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from testbed.importing.remarks import Place

Values: TypeAlias = "dict[str, object]"

INFERRED_FROM = "testbed/inferred-from"
"""The annotation of what an import inferred: where from. Another import keeps it."""

NODE = "Node"
"""Kubernetes' own kind for a node, of which only the address is read."""

WANTED = frozenset({*KINDS, NODE})


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiObject:
    """An object and where it stood.

    ``key`` is ``namespace/name``, or the name alone where the kind has no namespaces.
    ``version`` grows with every change of the object in its cluster; 0 is unknown.
    ``listed`` says that it came in a list, which is likely all there is of its kind.
    """

    kind: str
    key: str
    values: Values
    place: Place
    version: int = 0
    listed: bool = False

    @property
    def name(self) -> str:
        """The object's name without its namespace."""
        return self.key.rpartition("/")[2]

    @property
    def namespace(self) -> str:
        """The object's namespace; empty where the kind has none."""
        return self.key.rpartition("/")[0]

    def __str__(self) -> str:
        """``Kind namespace/name``."""
        return f"{self.kind} {self.key}".rstrip()

    def at(self, *path: str) -> object:
        """The value of a field; ``None`` where it is not there."""
        return value_at(self.values, *path)


def value_at(values: object, *path: str) -> object:
    """The value at the end of a path of keys; ``None`` where it is not there."""
    for step in path:
        if not isinstance(values, dict):
            return None
        values = values.get(step)
    return values


def text_at(values: object, *path: str) -> str:
    """The string at the end of a path of keys; empty where there is none."""
    value = value_at(values, *path)
    return value if isinstance(value, str) else ""


class _Plan(NamedTuple):
    """What is kept of a mapping: its fields, and the models of those that have one."""

    fields: Mapping[str, type[BaseModel] | None]
    keeps_unknown: bool


class ApiReader:
    """Makes ``ApiObject`` of plain values, lists taken apart."""

    def __init__(self) -> None:
        self._plans: dict[type[BaseModel], _Plan] = {}

    def objects(
        self, values: object, place: Place, *, listed: bool = False, item_kind: str = ""
    ) -> Iterator[ApiObject]:
        """Yield what a document holds; of unknown kinds only kind and key are kept.

        What has neither kind nor name is no object.
        """
        if not isinstance(values, dict):
            return
        kind = text_at(values, "kind") or item_kind
        if kind.endswith("List") and isinstance(values.get("items"), list):
            for item in values["items"]:
                yield from self.objects(
                    item, place, listed=True, item_kind=kind.removesuffix("List")
                )
            return
        key = _key(kind, values)
        if not kind or kind == "List" or not (key or kind == "Underlay"):
            return
        version = text_at(values, "metadata", "resourceVersion")
        yield ApiObject(
            kind=kind,
            key=key,
            values=self._kept(kind, values),
            place=place,
            version=int(version) if version.isdecimal() and len(version) < 20 else 0,
            listed=listed,
        )

    def _kept(self, kind: str, values: Values) -> Values:
        if kind == NODE:
            addresses = value_at(values, "status", "addresses")
            return {"addresses": addresses}
        if kind not in KINDS:
            return {}
        versions = KINDS[kind].api_versions
        kept: Values = {"apiVersion": values.get("apiVersion", versions[0])}
        kept["kind"] = kind
        read = self._trimmed(KINDS[kind].model, values)
        kept |= read if isinstance(read, dict) else {}
        origin = text_at(values, "metadata", "annotations", INFERRED_FROM)
        metadata = kept.get("metadata")
        if origin and isinstance(metadata, dict):
            metadata.setdefault("annotations", {})[INFERRED_FROM] = origin
        return kept

    def _trimmed(self, model: type[BaseModel], value: object) -> object:
        if isinstance(value, list):
            return [self._trimmed(model, item) for item in value]
        if not isinstance(value, dict):
            return value
        plan = self._plans.get(model) or self._plan(model)
        kept: Values = {}
        for name, field in value.items():
            if field is None:
                continue
            if name in plan.fields:
                inner = plan.fields[name]
                found = self._trimmed(inner, field) if inner else field
                if found != {} or not field:
                    kept[name] = found
            elif plan.keeps_unknown:
                kept[name] = field
        return kept

    def _plan(self, model: type[BaseModel]) -> _Plan:
        plan = self._plans[model] = _Plan(
            fields={
                info.alias or name: _model_in(info.annotation)
                for name, info in model.model_fields.items()
            },
            keeps_unknown=issubclass(model, KnownFields),
        )
        return plan


def _model_in(annotation: object) -> type[BaseModel] | None:
    """The model that a field's type is, has in a list, or may be."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, get_args(annotation))), None)


def _key(kind: str, values: Values) -> str:
    name = text_at(values, "metadata", "name")
    if kind == "Underlay":
        return ""  # there is one, whatever it is called
    namespace = text_at(values, "metadata", "namespace")
    if name and kind in KINDS and KINDS[kind].namespaced:
        return f"{namespace or 'default'}/{name}"
    return f"{namespace}/{name}" if name and namespace and kind not in KINDS else name
