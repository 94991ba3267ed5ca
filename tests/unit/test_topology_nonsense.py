"""Whatever a file holds, it is a topology or a ``TopologyError``."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from testbed.errors import TopologyError
from testbed.topology import load, loads

TWO_NODES = (Path(__file__).parents[2] / "topologies" / "two-node.yaml").read_text()
SCALARS = [match.span(1) for match in re.finditer(r": (\S+)$", TWO_NODES, re.MULTILINE)]
TRICKY = (
    "",
    "~",
    "on",
    "1e5",
    "-1",
    "0",
    "65536",
    "99999999999999999999",
    ".inf",
    "[]",
    "{a: b}",
    "'on'",
    "None",
    "::1",
    "0.0.0.0/0",
    "10.0.0.0/31",
    "10.128.0.1",
    "172.30.0.0/16",
    "255.255.255.255",
)


def problems(text: str) -> tuple[str, ...]:
    """What is wrong with it; nothing when it is a topology."""
    try:
        loads(text, "file.yaml")
    except TopologyError as error:
        return error.problems
    return ()


def load_problems(path: Path) -> tuple[str, ...]:
    with pytest.raises(TopologyError) as caught:
        load(path)
    return caught.value.problems


def is_one_line(problem: str) -> bool:
    return problem.isprintable() and re.match(r"file\.yaml:\d+: .", problem) is not None


@given(st.text(st.characters()))
@settings(deadline=None)
def test_any_text_is_a_topology_or_a_list_of_one_line_problems(text: str) -> None:
    found = problems(text)

    assert found
    assert all(is_one_line(problem) for problem in found)


@given(st.text(alphabet="ab:- []{}&*!|>'\"%@#?,\n\t0.~", max_size=60))
@settings(deadline=None)
def test_any_text_of_yaml_signs_is_a_list_of_one_line_problems(text: str) -> None:
    assert all(is_one_line(problem) for problem in problems(text))


@given(data=st.binary())
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_bytes_are_refused_and_nothing_else_is_raised(
    data: bytes, tmp_path: Path
) -> None:
    path = tmp_path / "file.yaml"
    path.write_bytes(data)

    assert load_problems(path)


@given(
    place=st.sampled_from(SCALARS),
    value=st.one_of(
        st.text(st.characters(), max_size=30),
        st.sampled_from(TRICKY),
    ),
)
@settings(max_examples=300, deadline=None)
def test_a_valid_file_with_any_value_changed_raises_nothing_else(
    place: tuple[int, int], value: str
) -> None:
    start, end = place

    found = problems(TWO_NODES[:start] + value + TWO_NODES[end:])

    assert all(is_one_line(problem) for problem in found)
