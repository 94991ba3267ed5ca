"""Files that are no YAML, no text or no file, and YAML that no API server prints."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testbed.errors import TopologyError
from testbed.topology import load, loads
from testbed.topology.document import Node, plain, read
from testbed.topology.shipped import shipped

if TYPE_CHECKING:
    from collections.abc import Callable

    from testbed.topology.problem import Problem

MEGABYTES_10 = 10_000_000
LONG = "a" * 59 + "…"


def problems(text: str) -> tuple[str, ...]:
    with pytest.raises(TopologyError) as caught:
        loads(text, "c.yaml")
    return caught.value.problems


def file_problems(path: Path) -> tuple[str, ...]:
    with pytest.raises(TopologyError) as caught:
        load(path)
    return caught.value.problems


def value_of(text: str) -> object:
    found: list[Problem] = []
    (document,) = read(text, "c.yaml", found)
    assert not found
    return plain(document)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"

    assert file_problems(path) == (f"{path}: no such file or directory",)


def test_a_directory_is_no_topology(tmp_path: Path) -> None:
    assert file_problems(tmp_path) == (f"{tmp_path}: is a directory",)


def test_a_file_that_may_not_be_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.touch(mode=0o000)
    try:
        path.read_bytes()
    except PermissionError:
        pass
    else:
        pytest.skip("this user may read every file")

    assert file_problems(path) == (f"{path}: permission denied",)


def test_text_that_is_not_utf_8_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes("kind: List\n# größer\n".encode("latin-1"))

    assert file_problems(path) == (f"{path}:2: is not UTF-8 text",)


def test_a_strange_file_name_stays_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "c\n.yaml"

    missing = file_problems(path)
    path.write_bytes(b"\xff")
    binary = file_problems(path)
    path.write_text("kind: 5")
    wrong = file_problems(path)

    escaped = f"{tmp_path}/c\\n.yaml"
    assert missing == (f"{escaped}: no such file or directory",)
    assert binary == (f"{escaped}:1: is not UTF-8 text",)
    assert wrong == (f"{escaped}:1: kind: must be a string, not 5",)


def test_a_file_is_called_by_its_path(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("\nkind: 5\n")

    assert file_problems(path) == (f"{path}:2: kind: must be a string, not 5",)


@pytest.mark.parametrize("text", ["", "\n\n", "# nothing", "---\n---\n", "null"])
def test_a_file_without_objects_is_an_error(text: str) -> None:
    assert problems(text) == ("c.yaml:1: holds no objects",)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: b\nc: [d", "3: broken YAML: did not find expected ',' or ']'"),
        ("a: b: c", "1: broken YAML: mapping values are not allowed in this context"),
        ("a:\n\tb: c", "2: broken YAML: found character that cannot start any token"),
        ('a: "b', "1: broken YAML: found unexpected end of stream"),
        ("a: b\n  c: d", "2: broken YAML: mapping values are not allowed"),
        ("a: b\n\x00", "2: broken YAML: holds the character '\\x00'"),
        ("a: \ud800", "1: broken YAML: holds the character '\\ud800'"),
    ],
)
def test_broken_yaml_is_one_problem(text: str, problem: str) -> None:
    (only,) = problems(text)

    assert only.startswith(f"c.yaml:{problem}")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("---\n- a", "a list"),
        ("---\nfoo", "'foo'"),
        ("---\n7", "7"),
        ("---\noff", "false"),
    ],
)
def test_a_document_is_a_mapping(text: str, shown: str) -> None:
    told = f"c.yaml:2: must be a mapping with apiVersion and kind, not {shown}"

    assert problems(text) == (told,)


def test_a_key_given_twice_is_told_once_with_both_lines() -> None:
    text = "kind: List\nitems:\n- kind: 5\n  a: 1\n  a: 2\n  a: 3\n"

    assert problems(text) == (
        "c.yaml:3: kind: must be a string, not 5",
        "c.yaml:5: the key 'a' is given twice; first in line 4",
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: &x b", "1: anchors and aliases are not accepted; write the value out"),
        ("a: b\nc: *x", "2: anchors and aliases are not accepted; write the value out"),
        ("&x a: b", "1: anchors and aliases are not accepted; write the value out"),
        (
            "a: !!int 5",
            "1: the tag 'tag:yaml.org,2002:int' is not accepted; leave it out",
        ),
        ("\n!a {}", "2: the tag '!a' is not accepted; leave it out"),
        ("[a]: b", "1: a mapping's key must be a string"),
        ("? {a: b}\n: c", "1: a mapping's key must be a string"),
        ("[" * 65, "1: nested deeper than 64 levels"),
    ],
)
def test_yaml_that_oc_never_prints_is_refused(text: str, problem: str) -> None:
    assert problems(text) == (f"c.yaml:{problem}",)


def test_64_levels_are_not_too_deep() -> None:
    assert "nested" not in "".join(problems("[" * 64 + "]" * 64))


@pytest.mark.parametrize(
    ("scalar", "value"),
    [
        ("text", "text"),
        ("'5'", "5"),
        ('"on"', "on"),
        ("on", True),
        ("No", False),
        ("y", True),
        ("NULL", None),
        ("~", None),
        ("5", 5),
        ("-5", -5),
        ("0x1F", 31),
        ("1e5", 1e5),
        (".5", 0.5),
        ("-.inf", float("-inf")),
        ("99999999999999999999", 1e20),
        ("10.128.0.0", "10.128.0.0"),
        ("2019-02-27T11:20:00Z", "2019-02-27T11:20:00Z"),
        ("None", "None"),
    ],
)
def test_plain_scalars_mean_what_they_mean_to_oc(scalar: str, value: object) -> None:
    assert value_of(f"- {scalar}") == [value]


def test_null_fields_are_left_out() -> None:
    assert value_of("{a: null, b: ~, c: , d: [null], e: {f: null}}") == {
        "d": [None],
        "e": {},
    }


def test_every_value_knows_the_line_of_its_key() -> None:
    (document,) = read("a:\n- b\n-\n  c:\n    d\n", "c.yaml", [])

    assert document == Node(
        1, {"a": Node(1, [Node(2, "b"), Node(4, {"c": Node(4, "d")})])}
    )


@pytest.mark.parametrize(
    "spoil", [lambda text: "\ufeff" + text, lambda text: text.replace("\n", "\r\n")]
)
def test_windows_editors_do_no_harm(spoil: Callable[[str], str]) -> None:
    text = shipped("two-node.yaml").read_text()

    assert loads(spoil(text), "c.yaml") == loads(text, "c.yaml")


@pytest.mark.parametrize(
    ("write", "told"),
    [
        (lambda: "[" * MEGABYTES_10, "1: nested deeper than 64 levels"),
        (
            lambda: "a" * MEGABYTES_10,
            f"1: must be a mapping with apiVersion and kind, not '{LONG}'",
        ),
        (
            lambda: f"kind: '{'a' * MEGABYTES_10}",
            (
                "1: broken YAML: found unexpected end of stream "
                "while scanning a quoted scalar"
            ),
        ),
        (
            lambda: f"kind: Pod\nspec: {{}}\nmetadata: {'a' * MEGABYTES_10}",
            f"3: Pod: metadata: must be a mapping, not '{LONG}'",
        ),
        (
            lambda: "a: b\n" * (MEGABYTES_10 // 5),
            "800000: more than 800000 values; keep what the cluster needs",
        ),
        (
            lambda: (
                "{" + "".join(f"a{n}: b, " for n in range(MEGABYTES_10 // 12)) + "}"
            ),
            "1: more than 800000 values; keep what the cluster needs",
        ),
    ],
    ids=["[[[[", "scalar", "open quote", "field", "a: b", "flow mapping"],
)
def test_ten_megabytes_of_nonsense_are_told_in_one_line_and_soon(
    write: Callable[[], str], told: str
) -> None:
    text = write()
    start = time.process_time()

    found = problems(text)

    assert [line for line in found if "is missing; a cluster" not in line] == [
        f"c.yaml:{told}"
    ]
    assert time.process_time() - start < 10


def test_ten_megabytes_of_noise_are_one_problem(tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_bytes(random.Random(1).randbytes(MEGABYTES_10))  # noqa: S311 - noise

    assert file_problems(path) == (f"{path}:1: is not UTF-8 text",)


def test_each_of_many_repeated_keys_is_told_once() -> None:
    number = 50_000

    found = problems("".join(f"a{n}: b\na{n}: c\n" for n in range(number)))

    assert found[0] == "c.yaml:1: kind: is missing"
    assert found[1] == "c.yaml:2: the key 'a0' is given twice; first in line 1"
    assert len(found) == number + 1


def test_a_file_without_end_is_not_read_to_its_end() -> None:
    with pytest.raises(TopologyError) as raised:
        load(Path("/dev/zero"))

    assert raised.value.problems == ("/dev/zero: is larger than 64 MiB",)
