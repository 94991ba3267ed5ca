"""The fast reading of YAML is never another reading."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.importing.readers.block_yaml import block_yaml
from testbed.topology import load
from testbed.topology.document import plain, read

TOPOLOGIES = sorted((Path(__file__).parents[3] / "topologies").glob("*.yaml"))

SURE = [
    "a: 1\n",
    "a:\nb: null\nc: x\n",
    "- a: x\n  b:\n    c: y\n  d:\n  - 1\n  - two\n- e: 1.5\n",
    "a:\n- b: 1\n  c: 2\n-   d: 3\n    e: 4\n",
    "a:\n  - 1\n  - 2\n",
    'a: "x: y # z"\nb: \'no\'\nc: ""\n',
    "a: on\nb: yes\nc: No\nd: NULL\ne: 0x1f\nf: 1e5\ng: -7\nh: 007\ni: .5\n",
    "a: http://x/y#z\nb: 10.1.2.3/23\nc: 2019-05-12T09:41:07Z\nd: a,b[c]{d}\n",
    "a: {}\nb: []\n",
    "openshift.io/scc: restricted\n\n\nx: 1   \n",
    "a:\n    b:\n        c: 1\nd: 2\n",
]
"""What is read fast."""

UNSURE = [
    "",
    "a: [1, 2]\n",
    "a: {b: 1}\n",
    "a: |\n  text\n",
    "a: >-\n  text\n",
    "a: &x 1\nb: *x\n",
    "a: !!str 1\n",
    'a: "x\\ny"\n',
    "a: 'it''s'\n",
    "a: x # comment\n",
    "# comment\na: 1\n",
    "a: x\n  y\n",
    "a: x\n  y: z\n",
    "a: 1\na: 2\n",
    "a: 1\n b: 2\n",
    "- a: 1\n b: 2\n",
    "- - 1\n",
    "-\n  a: 1\n",
    "a: b: c\n",
    "a: b:\n",
    "? a\n: b\n",
    "a:\tb\n",
    "a: @x\n",
    "a: `x`\n",
    "a: %x\n",
    "a: - x\n",
    "---\na: 1\n---\nb: 2\n",
    "a: 1\n...\n",
    "a: x\x00y\n",
    "a: \u2028\n",
    "<<: x\n",
    '"a": 1\n',
    f"a: {'x' * 2000}\n",
]
"""What is left to the parser."""


def slowly(text: str) -> list[object]:
    """The documents, read by libyaml; none where it finds anything wrong."""
    problems: list[object] = []
    documents = [plain(node) for node in read(text, "", problems)]  # type: ignore[arg-type]
    return [] if problems else documents


@pytest.mark.parametrize("text", SURE)
def test_what_oc_prints_is_read_fast_and_means_the_same(text: str) -> None:
    found = block_yaml(text)

    assert found is not None
    assert list(found) == slowly(text)


@pytest.mark.parametrize("text", UNSURE)
def test_whatever_may_mean_more_is_left_to_the_parser(text: str) -> None:
    assert block_yaml(text) is None


@pytest.mark.parametrize("path", TOPOLOGIES, ids=lambda path: path.stem)
def test_objects_of_the_shipped_clusters_mean_the_same(path: Path) -> None:
    text = "".join(
        line for line in path.read_text().splitlines(keepends=True) if "#" not in line
    )
    documents = [f"{document}\n" for document in text.split("---\n")]
    fast = [(block_yaml(document), document) for document in documents]

    assert load(path).objects
    assert sum(found is not None for found, _ in fast) > len(documents) / 2
    for found, document in fast:
        assert found is None or list(found) == slowly(document)


@pytest.mark.parametrize("text", SURE)
def test_no_edit_of_one_character_makes_another_reading(text: str) -> None:
    for place in range(len(text)):
        for char in "#:-'\" \n\\|{[&!x":
            edited = text[:place] + char + text[place + 1 :]
            found = block_yaml(edited)
            assert found is None or list(found) == slowly(edited), edited
