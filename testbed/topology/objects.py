"""From YAML documents to API objects: lists taken apart, each object with its place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeAlias, TypeVar

from pydantic import BaseModel, ValidationError

from testbed.topology import schema
from testbed.topology.document import Node, plain
from testbed.topology.problem import Problem, shortened, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic_core import ErrorDetails

Path: TypeAlias = tuple[int | str, ...]
"""The way to a field: ``("spec", "ports", 0, "port")``."""

T_co = TypeVar("T_co", covariant=True)
ModelT = TypeVar("ModelT", bound=BaseModel)


class Kind(NamedTuple):
    """What the testbed knows of a kind."""

    model: type[schema.Object]
    api_versions: tuple[str, ...]
    namespaced: bool = False


_SDN = ("network.openshift.io/v1", "v1")
KINDS = {
    "ClusterNetwork": Kind(schema.ClusterNetwork, _SDN),
    "HostSubnet": Kind(schema.HostSubnet, _SDN),
    "NetNamespace": Kind(schema.NetNamespace, _SDN),
    "Namespace": Kind(schema.Namespace, ("v1",)),
    "Project": Kind(schema.Namespace, ("project.openshift.io/v1", "v1")),
    "Pod": Kind(schema.Pod, ("v1",), namespaced=True),
    "Service": Kind(schema.Service, ("v1",), namespaced=True),
    "Endpoints": Kind(schema.Endpoints, ("v1",), namespaced=True),
    "NetworkPolicy": Kind(
        schema.NetworkPolicy,
        ("networking.k8s.io/v1", "extensions/v1beta1"),
        namespaced=True,
    ),
    "EgressNetworkPolicy": Kind(schema.EgressNetworkPolicy, _SDN, namespaced=True),
    "Underlay": Kind(schema.Underlay, ("testbed/v1",)),
}
"""Every kind that is read; all others are passed over."""

_TYPES = {
    "string_type": "a string",
    "int_type": "a whole number",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "a mapping",
    "model_type": "a mapping",
}


@dataclass(frozen=True, slots=True)
class Source:
    """Where an object was written; what problems with it refer to.

    ``key`` is ``namespace/name``, or the name alone where the kind has no namespaces;
    it is empty when the object does not tell, and so is ``kind``.
    """

    kind: str
    key: str
    node: Node
    file: str

    def problem(self, path: Path, text: str) -> Problem:
        """Say what is wrong with a field, at its line or the nearest around it."""
        node = self.node
        for step in path:
            match node.value, step:
                case dict() as fields, str() if step in fields:
                    node = fields[step]
                case list() as items, int() if step < len(items):
                    node = items[step]
                case _:
                    break
        field = "".join(
            f"[{step}]" if isinstance(step, int) else f".{shortened(step)}"
            for step in path
        )
        parts = (str(self), field.removeprefix("."), text)
        return Problem(node.line, ": ".join(part for part in parts if part), self.file)

    def says_the_same_as(self, other: Source) -> bool:
        """Whether both have the same fields, wherever they were written."""
        return plain(self.node) == plain(other.node)

    def __str__(self) -> str:
        """``Kind namespace/name``."""
        return shortened(f"{self.kind} {self.key}".rstrip(), 600)


class Entry(NamedTuple, Generic[T_co]):
    """A value and the source that answers for it."""

    value: T_co
    source: Source


def objects(
    node: Node, file: str, problems: list[Problem], item_kind: str | None = None
) -> Iterator[Source]:
    """Yield the objects of a document; lists may hold lists.

    What could be any object is yielded without a kind.

    ``item_kind`` is what an item without a kind is: those of a PodList are Pods.
    """
    fields = node.value
    if not isinstance(fields, dict):
        text = f"must be a mapping with apiVersion and kind, not {shown(fields)}"
        problems.append(Problem(node.line, text, file))
        yield Source("", "", node, file)
        return
    kind = fields["kind"].value if "kind" in fields else item_kind
    if not isinstance(kind, str) or not kind:
        text = f"must be a string, not {shown(kind)}"
        if kind in (None, ""):
            text = "is missing"
        source = Source("", "", node, file)
        problems.append(source.problem(("kind",), text))
        yield source
        return
    source = Source(kind, _key(kind, fields), node, file)
    if kind != "List" and not (kind.endswith("List") and "items" in fields):
        yield source
        return
    items = fields["items"].value if "items" in fields else None
    if isinstance(items, list):
        for item in items:
            yield from objects(item, file, problems, kind.removesuffix("List") or None)
    elif items is not None:
        text = f"must be a list, not {shown(items)}"
        problems.append(source.problem(("items",), text))
        yield Source("", "", node, file)


def parse(source: Source, problems: list[Problem]) -> schema.Object | None:
    """Give a known kind's object its shape, or say what keeps it from having one."""
    kind = KINDS[source.kind]
    values = plain(source.node)
    version = values.get("apiVersion") if isinstance(values, dict) else None
    if version is not None and version not in kind.api_versions:
        text = f"must be {' or '.join(kind.api_versions)}, not {shown(version)}"
        problems.append(source.problem(("apiVersion",), text))
    return validated(kind.model, source, problems)


def validated(
    model: type[ModelT], source: Source, problems: list[Problem]
) -> ModelT | None:
    """Give what was read a model's shape, or say what keeps it from having one."""
    try:
        return model.model_validate(plain(source.node))
    except ValidationError as errors:
        problems += [
            source.problem(_path(error), _text(error))
            for error in errors.errors(include_url=False)
        ]
        return None


def unknown_fields(fields: schema.Fields, path: Path = ()) -> Iterator[Path]:
    """Yield the ways to the fields that 3.11 did not have; its API server drops them.

    Only where all fields are known: the SDN's own kinds, policies and services.
    """
    for name in fields.model_extra or {}:
        if name not in getattr(fields, "unread", ()):
            yield (*path, name)
    for name, info in type(fields).model_fields.items():
        value = getattr(fields, name)
        where = (*path, info.alias or name)
        if isinstance(value, schema.Fields):
            yield from unknown_fields(value, where)
        elif isinstance(value, list):
            for number, item in enumerate(value):
                if isinstance(item, schema.Fields):
                    yield from unknown_fields(item, (*where, number))


def _key(kind: str, fields: dict[str, Node]) -> str:
    metadata = fields["metadata"].value if "metadata" in fields else None
    strings = {
        key: field.value
        for key, field in (metadata if isinstance(metadata, dict) else {}).items()
        if isinstance(field.value, str)
    }
    name = strings.get("name", "")
    if kind == "Underlay":
        return ""  # there is one, whatever it is called
    if name and kind in KINDS and KINDS[kind].namespaced:
        return f"{strings.get('namespace', 'default')}/{name}"
    if name and kind not in KINDS and "namespace" in strings:
        return f"{strings['namespace']}/{name}"
    return name


def _path(error: ErrorDetails) -> Path:
    # For a mapping's key that is wrong, pydantic ends the way with a word of its own.
    path = error["loc"]
    return path[:-1] if path[-1:] == ("[key]",) else path


def _text(error: ErrorDetails) -> str:
    value = error["input"]
    match error["type"]:
        case "missing":
            return "is missing"
        case "value_error":
            return str(error["ctx"]["error"])
        case "string_type" if not isinstance(value, list | dict):
            return f"must be a string, but YAML reads {shown(value)}; quote it"
        case kind if kind in _TYPES:
            return f"must be {_TYPES[kind]}, not {shown(value)}"
    return error["msg"].lower()
