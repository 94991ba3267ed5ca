"""An export is on disk as a whole, or not at all."""

from __future__ import annotations

import tarfile
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from testbed.errors import ExportRefusedError
from testbed.exporting import File, save

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOMENT = datetime(2019, 5, 12, 9, 41, 7, tzinfo=UTC)
FILES = (File("top/one", "1\n"), File("top/in/two", "zwölf\n"))


@pytest.mark.parametrize("suffix", [".tgz", ".tar.gz", ".tar.xz", ".tar.bz2", ".tar"])
def test_a_tarball_is_packed_as_its_name_says(tmp_path: Path, suffix: str) -> None:
    target = tmp_path / f"export{suffix}"

    assert save(FILES, target, MOMENT, force=False) == 2

    with tarfile.open(target) as archive:
        assert archive.getnames() == ["top/one", "top/in/two"]
        member = archive.extractfile("top/in/two")
        assert member is not None
        assert member.read().decode() == "zwölf\n"
        assert {info.mtime for info in archive} == {MOMENT.timestamp()}


def test_any_other_name_becomes_a_directory(tmp_path: Path) -> None:
    save(FILES, tmp_path / "export", MOMENT, force=False)

    assert (tmp_path / "export/top/in/two").read_text() == "zwölf\n"


def test_a_tarball_that_is_there_is_replaced_only_by_force(tmp_path: Path) -> None:
    target = tmp_path / "export.tgz"
    target.write_text("mine")

    with pytest.raises(ExportRefusedError, match=r"is there already.*--force"):
        save(FILES, target, MOMENT, force=False)
    assert target.read_text() == "mine"

    save(FILES, target, MOMENT, force=True)
    assert tarfile.is_tarfile(target)


def test_a_directory_with_something_in_it_stays(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()

    with pytest.raises(ExportRefusedError, match="not empty"):
        save(FILES, tmp_path, MOMENT, force=True)

    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_an_export_that_fails_leaves_what_was_there(tmp_path: Path) -> None:
    target = tmp_path / "export.tgz"
    target.write_text("mine")

    def files() -> Iterator[File]:
        yield FILES[0]
        raise KeyError

    with pytest.raises(KeyError):
        save(files(), target, MOMENT, force=True)

    assert [path.name for path in tmp_path.iterdir()] == ["export.tgz"]
    assert target.read_text() == "mine"


@pytest.mark.parametrize("name", ["export.tgz", "export"])
def test_a_place_that_cannot_be_written_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(ExportRefusedError, match=f"file/{name}: "):
        save(FILES, tmp_path / "file" / name, MOMENT, force=False)
