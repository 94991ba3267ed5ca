"""Archives, hostile ones too: what is read, and what is refused by name."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import stat
import tarfile
import zipfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from testbed.errors import ImportRefusedError
from testbed.importing import Limits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.unit.importing.conftest import Importer, Result

SMALL = Limits(unpacked=1 << 20)
MEGABYTE = 1 << 20


def member(name: str, **fields: object) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    for field, value in fields.items():
        setattr(info, field, value)
    return info


def tar(files: Iterable[tuple[tarfile.TarInfo | str, str | bytes]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for info, contents in files:
            data = contents.encode() if isinstance(contents, str) else contents
            header = member(info) if isinstance(info, str) else info
            header.size = len(data)
            archive.addfile(header, io.BytesIO(data))
    return buffer.getvalue()


def zipped(files: Iterable[tuple[zipfile.ZipInfo | str, str | bytes]]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for info, contents in files:
            archive.writestr(info, contents)
    return buffer.getvalue()


def has_the_live_node(result: Result) -> bool:
    return 0 in result.deviations.values() and len(result.deviations) == 1


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "tar": lambda data: data,
    "tar.gz": gzip.compress,
    "tar.bz2": bz2.compress,
    "tar.xz": lzma.compress,
}


@pytest.mark.parametrize("kind", PACKED)
def test_a_tarball_is_read_however_it_is_packed_and_called(
    kind: str, importer: Importer, live: str
) -> None:
    data = PACKED[kind](tar([("debug/nodes/oc-04/flows", live)]))

    result = importer.text(data, "attachment-1.bin")

    assert has_the_live_node(result)
    assert result.node("oc-04").bridge is not None


def test_a_zip_is_read(importer: Importer, live: str) -> None:
    result = importer.text(zipped([("nodes/oc-04/flows", live)]), "files.zip")

    assert has_the_live_node(result)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_a_single_packed_file_is_read(
    pack: Callable[[bytes], bytes], importer: Importer, live: str
) -> None:
    result = importer.text(pack(live.encode()), "oc-04.flows.z")

    assert has_the_live_node(result)


@pytest.mark.parametrize(
    "data_of",
    [
        lambda text: text.encode(),
        lambda text: gzip.compress(tar([("flows", text)])),
        lambda text: zipped([("flows", text)]),
    ],
    ids=["text", "tar.gz", "zip"],
)
def test_standard_input_may_be_any_of_them(
    data_of: Callable[[str], bytes], importer: Importer, live: str
) -> None:
    result = importer.of(Path("-"), stdin=data_of(live))

    assert has_the_live_node(result)


def test_archives_may_be_in_archives(importer: Importer, live: str) -> None:
    inner = lzma.compress(tar([("sosreport-oc-04-01234567/flows", live)]))
    middle = zipped([("sosreport.tar.xz", inner)])

    result = importer.text(gzip.compress(tar([("case.zip", middle)])), "case.tgz")

    assert has_the_live_node(result)


def test_archives_nested_too_deep_are_not_opened(importer: Importer, live: str) -> None:
    data = live.encode()
    for _ in range(6):
        data = gzip.compress(data)

    with pytest.raises(ImportRefusedError, match="archives in archives, more than 5"):
        importer.text(data, "deep.gz")


@pytest.mark.parametrize(
    "name", ["../../etc/flows", "a/../../flows", "..", "..\\..\\flows"]
)
@pytest.mark.parametrize("pack", [tar, zipped])
def test_a_name_that_leads_out_of_the_archive_is_refused(
    name: str,
    pack: Callable[[list[tuple[str, str]]], bytes],
    importer: Importer,
    live: str,
) -> None:
    result = importer.text(pack([(name, live), ("oc-04/flows", live)]), "evil")

    (said,) = result.unread
    assert said.endswith("is refused: its name leads out of the archive")
    assert has_the_live_node(result)


def test_absolute_names_are_read_as_if_they_were_not(
    importer: Importer, live: str
) -> None:
    result = importer.text(tar([("/var/debug/nodes/oc-04/flows", live)]), "abs.tar")

    (said,) = result.unread
    assert said.endswith("names that begin with / are read as if they did not")
    assert result.node("oc-04").bridge


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE])
def test_links_are_told_and_not_followed(
    kind: bytes, importer: Importer, live: str, tmp_path: Path
) -> None:
    (tmp_path / "secret").write_text(live.replace("172.16.1.25", "172.16.1.26"))
    link = member("link", type=kind, linkname=str(tmp_path / "secret"))

    result = importer.text(tar([(link, ""), ("oc-04/flows", live)]), "links.tar")

    (said,) = result.unread
    assert "a link is not followed" in said
    assert has_the_live_node(result)


@pytest.mark.parametrize(
    "kind", [tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE]
)
def test_what_is_no_file_is_passed_by(
    kind: bytes, importer: Importer, live: str
) -> None:
    odd = member("null", type=kind, devmajor=1, devminor=3)

    result = importer.text(tar([(odd, ""), ("oc-04/flows", live)]), "devices.tar")

    assert has_the_live_node(result)


def test_links_and_pipes_in_a_directory_are_not_opened(
    importer: Importer, live: str, tmp_path: Path
) -> None:
    directory = importer.written({"oc-04/flows": live})
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "flows").write_text(live.replace("1.25", "1.26"))
    (directory / "out").symlink_to(tmp_path / "outside")
    (directory / "loop").symlink_to(directory)
    (directory / "flows").symlink_to(tmp_path / "outside" / "flows")
    os.mkfifo(directory / "pipe")

    result = importer.of(directory)

    (said,) = result.unread
    assert "3 links are not followed" in said
    assert has_the_live_node(result)


def test_a_truncated_tarball_counts_up_to_the_cut(
    importer: Importer, live: str
) -> None:
    noise = os.urandom(200_000)
    whole = gzip.compress(tar([("oc-04/flows", live), ("core", noise)]))

    result = importer.text(whole[:100_000], "cut.tgz")

    (said,) = result.unread
    assert said.endswith("cut.tgz: is cut off; what comes before the cut counts")
    assert has_the_live_node(result)


def test_a_cut_tarball_that_makes_no_cluster_is_refused_with_that_reason(
    importer: Importer, live: str
) -> None:
    namespace = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: shop\n"
    whole = tar([("a.yaml", namespace), ("core", os.urandom(9000)), ("flows", live)])

    with pytest.raises(ImportRefusedError, match=r"not read: .*cut.tar: is cut off"):
        importer.text(whole[:4000], "cut.tar")


@pytest.mark.parametrize("kind", ["tar.gz", "tar.xz", "tar.bz2"])
def test_a_corrupt_tarball_counts_up_to_the_damage(
    kind: str, importer: Importer, live: str
) -> None:
    noise = os.urandom(3_000_000)
    data = bytearray(PACKED[kind](tar([("oc-04/flows", live), ("core", noise)])))
    data[-1_000_000:-999_000] = bytes(1000)

    result = importer.text(bytes(data), f"damaged.{kind}")

    assert any("is broken; what comes before counts" in s for s in result.unread)
    assert has_the_live_node(result)


def test_a_tar_without_its_end_is_doubted(importer: Importer, live: str) -> None:
    data = tar([("oc-04/flows", live)])
    end = 512 + -(-len(live) // 512) * 512

    result = importer.text(data[:end], "short.tar")

    (said,) = result.unread
    assert "has no end mark, as if cut off after oc-04/flows" in said


def test_a_tar_broken_between_members_counts_up_to_there(
    importer: Importer, live: str
) -> None:
    data = bytearray(tar([("oc-04/flows", live), ("b/flows", live)]))
    data[512 + -(-len(live) // 512) * 512 + 148] ^= 0xFF

    result = importer.text(bytes(data), "broken.tar")

    (said,) = result.unread
    assert "is broken after oc-04/flows; what comes before counts" in said
    assert has_the_live_node(result)


def test_gzip_members_in_a_row_are_one_file_and_padding_is_none(
    importer: Importer, live: str
) -> None:
    half = live.index("\n", len(live) // 2) + 1
    data = gzip.compress(live[:half].encode()) + gzip.compress(live[half:].encode())

    result = importer.text(data + bytes(1024), "oc-04.gz")

    assert has_the_live_node(result)
    assert result.unread == []


def test_a_bomb_ends_at_the_size_that_was_allowed(
    importer: Importer, live: str
) -> None:
    bomb = gzip.compress(tar([("oc-04/flows", live), ("bomb", bytes(8 * MEGABYTE))]))
    path = importer.written({"bomb.tgz": bomb}) / "bomb.tgz"

    result = importer.of(path, limits=SMALL)

    (said,) = result.unread
    assert "bomb declares 8 MiB" in said
    assert "--max-size" in said
    assert has_the_live_node(result)


def test_a_bomb_that_declares_little_ends_there_too(
    importer: Importer, live: str
) -> None:
    bomb = gzip.compress(b"\n" * 8 * MEGABYTE)
    path = importer.written({"a.tar": tar([("oc-04/flows", live), ("b.gz", bomb)])})

    result = importer.of(path / "a.tar", limits=SMALL)

    (said,) = result.unread
    assert "b.gz: reading ends here, after 1 MiB (see --max-size)" in said
    assert has_the_live_node(result)


def test_a_zip_bomb_is_refused_by_what_it_declares_and_by_what_it_is(
    importer: Importer, live: str
) -> None:
    data = zipped([("oc-04/flows", live), ("bomb", bytes(8 * MEGABYTE))])
    lying = data.replace((8 * MEGABYTE).to_bytes(4, "little"), bytes([9, 0, 0, 0]))
    directory = importer.written({"true.zip": data, "lying.zip": lying})

    declared = importer.of(directory / "true.zip", limits=SMALL)
    lied = importer.of(directory / "lying.zip", limits=SMALL)

    assert "bomb: declares 8 MiB, more than is left" in declared.unread[0]
    assert "lying.zip/bomb: is broken" in lied.unread[0]
    assert has_the_live_node(declared)
    assert has_the_live_node(lied)


def test_an_extended_header_as_large_as_a_bomb_is_refused(
    importer: Importer, live: str
) -> None:
    long_name = member("././@LongLink", type=tarfile.GNUTYPE_LONGNAME)
    data = tar([("oc-04/flows", live), (long_name, b"x" * MEGABYTE)])

    result = importer.text(gzip.compress(data), "long.tgz")

    (said,) = result.unread
    assert "is refused: it has a header of 1 MiB after oc-04/flows" in said


def test_a_size_below_zero_ends_the_archive(importer: Importer, live: str) -> None:
    header = bytearray(member("negative").tobuf(tarfile.GNU_FORMAT))
    header[124:136] = b"\xff" * 12
    header[148:156] = b" " * 8
    header[148:156] = f"{sum(header):06o}\0 ".encode()
    data = tar([("oc-04/flows", live)])[: 512 + -(-len(live) // 512) * 512]

    result = importer.text(data + bytes(header) + bytes(1024), "negative.tar")

    (said,) = result.unread
    assert "is broken: it has a member of a size below zero" in said


def test_a_pax_header_names_and_measures_the_next_member(
    importer: Importer, live: str
) -> None:
    buffer = io.BytesIO()
    name = f"{'very-' * 30}long/nodes/oc-04/flows"
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(member(name, size=len(live)), io.BytesIO(live.encode()))

    result = importer.text(buffer.getvalue(), "pax.tar")

    assert result.node("oc-04").bridge


def test_too_many_members_are_left_out(importer: Importer, live: str) -> None:
    files = [("oc-04/flows", live), *((f"{n}", "x") for n in range(20))]
    path = importer.written({"many.tar": tar(files)}) / "many.tar"

    result = importer.of(path, limits=Limits(members=5))

    (said,) = result.unread
    assert "is left out, and all after it: more than 5 files" in said
    assert has_the_live_node(result)


def test_a_zip_that_is_cut_or_encrypted_is_refused_by_name(
    importer: Importer, live: str
) -> None:
    data = zipped([("oc-04/flows", live), ("other", "x")])
    encrypted = bytearray(data)
    for magic, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        encrypted[data.rindex(magic) + offset] |= 1
    directory = importer.written(
        {"cut.zip": data[:-40], "locked.zip": bytes(encrypted), "oc-04/flows": live}
    )

    result = importer.of(directory)

    assert any("cut.zip: is cut off: a zip ends with" in s for s in result.unread)
    assert any("locked.zip/other: is encrypted" in s for s in result.unread)


def test_a_link_in_a_zip_is_not_followed(importer: Importer, live: str) -> None:
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16

    data = zipped([(link, "/etc/passwd"), ("oc-04/flows", live)])

    result = importer.text(data, "links.zip")

    assert "a link is not followed" in result.unread[0]
    assert has_the_live_node(result)


@pytest.mark.parametrize(
    ("magic", "name"), [(b"\x28\xb5\x2f\xfd", "zstd"), (b"7z\xbc\xaf\x27\x1c", "7z")]
)
def test_packing_that_is_not_read_is_named(
    magic: bytes, name: str, importer: Importer
) -> None:
    with pytest.raises(ImportRefusedError, match=f"is packed as {name}; unpack it"):
        importer.text(magic + bytes(100), "a.bin")


def test_xz_that_wants_all_memory_is_refused(importer: Importer, live: str) -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 30}]
    # The header alone says how large the dictionary is.
    packed = lzma.compress(live.encode(), filters=filters, preset=None)
    directory = importer.written({"greedy.xz": packed, "oc-04/flows": live})

    result = importer.of(directory)

    (said,) = result.unread
    assert "greedy.xz: is broken" in said
    assert "memory" in said


def test_binary_junk_and_empty_files_are_nothing(importer: Importer, live: str) -> None:
    junk = zlib.compress(os.urandom(5000))

    result = importer({"junk": junk, "empty": "", "nul": bytes(9), "oc-04.flows": live})

    assert has_the_live_node(result)
    assert result.imported.unassigned == ()


def test_a_path_that_is_not_there_is_refused(
    importer: Importer, tmp_path: Path
) -> None:
    with pytest.raises(ImportRefusedError, match="nowhere: no such file or directory"):
        importer.of(tmp_path / "nowhere")


def test_a_collection_without_anything_is_refused(importer: Importer) -> None:
    with pytest.raises(ImportRefusedError, match="nothing of a cluster was recognised"):
        importer.text("hello\n")
