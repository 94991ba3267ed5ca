"""What all kinds of the API have in common."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo
from pydantic.alias_generators import to_camel

from testbed.topology.fields import Labels, Name  # noqa: TC001 - pydantic reads it
from testbed.topology.problem import shown


class Fields(BaseModel):
    """A mapping of the API under its names; fields that are not read are ignored."""

    model_config = ConfigDict(
        alias_generator=to_camel, extra="ignore", frozen=True, strict=True
    )


class KnownFields(Fields):
    """A mapping whose every field 3.11 is known to have had; others are kept apart."""

    model_config = ConfigDict(extra="allow")

    unread: ClassVar[frozenset[str]] = frozenset()
    """Fields that 3.11 had, and that change nothing here."""


class Metadata(Fields):
    """What every object of the API has."""

    name: Name
    namespace: Name = "default"
    uid: str | None = None
    labels: Labels = Field(default_factory=dict)


class Object(Fields):
    """Any object of the API."""

    unread: ClassVar[frozenset[str]] = frozenset({"apiVersion", "kind", "status"})

    metadata: Metadata


def same_as_the_name(value: str, info: ValidationInfo) -> str:
    """Accept the name that ``metadata`` has, and no other."""
    metadata = info.data.get("metadata")
    if metadata and value != metadata.name:
        raise ValueError(
            f"must be {metadata.name!r} as metadata.name, not {shown(value)}"
        )
    return value
