"""Whatever was done to a collection, it becomes a cluster or is refused: no crash."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from testbed.errors import ImportRefusedError
from testbed.importing import Limits, gather, merge

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.unit.importing.conftest import Dumper

WORDS = [
    "",
    "-1",
    "9" * 25,
    "{",
    "]",
    ":",
    "- ",
    "actions=",
    "255.255.255.255",
    "/33",
    "\t",
    "output:",
    "load:",
    "reg0=",
    "\x00",
    "\x1b[",
    "\x0c",
    "é",
    "table=",
    "kind: Pod",
    "16777216",
    "..",
    "'",
    "null",
    "---",
    "apiVersion: v1",
    "annotations: x",
    "�",
]
Edit = tuple[int, int, int, str]
"""What is done, to which line, where in it, and with what."""

EDITS = st.lists(
    st.tuples(
        st.integers(0, 5),
        st.integers(0, 10**4),
        st.integers(0, 200),
        st.sampled_from(WORDS),
    ),
    min_size=1,
    max_size=12,
)


def edited(lines: Sequence[str], edits: Sequence[Edit]) -> str:
    text = list(lines)
    for what, where, column, word in edits:
        number = where % len(text)
        line = text[number]
        match what:
            case 0:
                del text[number : number + column % 9]
            case 1:
                text.insert(number, text[column % len(text)])
            case 2:
                text[number] = line[:column]
            case 3:
                text[number] = line[:column] + word + line[column:]
            case 4:
                text[number] = line.replace("1", word[:5] or "0", 1)
            case _:
                words = line.split(" ")
                words[column % len(words)] = word
                text[number] = " ".join(words)
        text = text or [""]
    return "\n".join(text)


def import_text(text: str | bytes) -> None:
    data = text if isinstance(text, bytes) else text.encode(errors="surrogateescape")
    try:
        merge(gather([Path("-")], io.BytesIO(data), Limits(unpacked=1 << 24)))
    except ImportRefusedError as error:
        assert str(error)  # noqa: PT017 - being refused is as good


@pytest.fixture(scope="module", params=["multitenant", "networkpolicy"])
def collection(request: pytest.FixtureRequest, dump: Dumper) -> Sequence[str]:
    """Objects and two nodes' flows in one text."""
    topology = dump.shipped(request.param)
    items = [json.loads(text) for text in topology.text().split("---\n") if text]
    objects = yaml.safe_dump({"apiVersion": "v1", "kind": "List", "items": items})
    nodes = topology.cluster.nodes[:2]
    flows = [f"== {node.name} ==\n{dump(topology.cluster, node)}" for node in nodes]
    return "\n".join([objects, *flows]).splitlines()


@given(edits=EDITS)
@settings(max_examples=40, deadline=None)
def test_no_edit_of_a_text_is_a_crash(
    collection: Sequence[str], edits: Sequence[Edit]
) -> None:
    import_text(edited(collection, edits))


@given(
    damage=st.lists(
        st.tuples(st.integers(0, 10**6), st.binary(max_size=20), st.integers(0, 600)),
        min_size=1,
        max_size=8,
    )
)
@settings(max_examples=60, deadline=None)
@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
def test_no_damage_to_an_archive_is_a_crash(
    mode: str, live: str, damage: Sequence[tuple[int, bytes, int]]
) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for name in ("oc-04/flows", f"{'x' * 120}/flows"):
            info = tarfile.TarInfo(name)
            info.size = len(live)
            archive.addfile(info, io.BytesIO(live.encode()))
    data = bytearray(buffer.getvalue())
    for where, put, removed in damage:
        at = where % len(data) if data else 0
        data[at : at + removed] = put

    import_text(bytes(data))
