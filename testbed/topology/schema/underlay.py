"""The testbed's own kind: what only the emulation needs."""

from __future__ import annotations

import dataclasses
from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import Field, field_validator
from pydantic.alias_generators import to_camel

from testbed.model import Quirks
from testbed.topology.fields import Address, DNSName, Name, Network, between
from testbed.topology.problem import shown
from testbed.topology.schema.base import Fields, Metadata, Object


class UnderlayHost(Fields):
    """A machine that is no node; nodes resolve ``dns_names`` to its address."""

    name: Name
    ip: Address
    dns_names: list[DNSName] = Field(default_factory=list)


class Underlay(Object):
    """Our own kind, the only one without a name; what is missing is chosen to fit."""

    metadata: Metadata = Metadata(name="underlay")
    subnet: Network | None = None
    gateway: Address | None = None
    external_network: Network | None = None
    external_gateway: Address | None = None
    external_hosts: list[UnderlayHost] | None = None
    rogues: list[UnderlayHost] = Field(default_factory=list)
    mtu: Annotated[int, between(576, 65485)] = 1450
    quirks: dict[str, bool] = Field(default_factory=dict)
    offline_nodes: list[Name] = Field(default_factory=list)
    faults: list[dict[str, Any]] = Field(default_factory=list)
    """What is wrong from the beginning; ``testbed.faults`` knows what fits a kind."""

    @field_validator("quirks")
    @classmethod
    def _are_known(cls, quirks: dict[str, bool]) -> dict[str, bool]:
        known = [to_camel(field.name) for field in dataclasses.fields(Quirks)]
        for name in quirks:
            if name not in known:
                close = get_close_matches(name, known) or known
                text = f"there is no quirk {shown(name)}; there are: {', '.join(close)}"
                raise ValueError(text)
        return quirks
