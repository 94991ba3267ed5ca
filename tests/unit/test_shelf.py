"""What comes with the testbed is read, and found by its name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from testbed.errors import LabError, NotFoundError
from testbed.shelf import find, read_all, shipped


@dataclass(frozen=True, slots=True)
class Book:
    name: str
    number: str = ""

    def is_called(self, wanted: str) -> bool:
        return wanted in (self.name, self.number)


BOOKS = [Book("VXLAN", "1"), Book("services", "2"), Book("egress", "3")]


def found(wanted: str) -> Book:
    return find("book", wanted, BOOKS, lambda book: f"{book.number} {book.name}")


def test_one_is_found_by_whatever_it_is_called() -> None:
    assert found("services") is found("2") is BOOKS[1]


def test_a_name_that_is_spelled_wrong_is_answered_with_what_is_near() -> None:
    with pytest.raises(NotFoundError, match=r"^no book vxlna; there are: 1 VXLAN$"):
        found("vxlna")


def test_a_name_that_is_near_to_none_is_answered_with_all() -> None:
    everything = r"^no book 9; there are: 1 VXLAN, 2 services, 3 egress$"

    with pytest.raises(NotFoundError, match=everything):
        found("9")


def test_what_is_wrong_with_several_files_is_told_together() -> None:
    def refuse(path: Path) -> str:
        if path.name != "good":
            raise LabError([f"{path}: is bad"])
        return path.name

    with pytest.raises(LabError) as refused:
        read_all(map(Path, ("bad", "good", "worse")), refuse, LabError)

    assert refused.value.problems == ("bad: is bad", "worse: is bad")
    assert read_all([Path("good")], refuse, LabError) == ["good"]


def test_a_wheel_has_inside_what_a_checkout_has_beside() -> None:
    beside = shipped("not/there", "topologies")

    assert (beside / "four-node.yaml").is_file()
    assert shipped("model", "topologies").parent.name == "testbed"
