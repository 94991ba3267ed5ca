"""What an import leaves on the disk, and what it never touches."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from testbed.errors import ImportRefusedError
from testbed.importing import Sort, check_target, write
from testbed.importing.case import Made
from testbed.importing.report import report
from testbed.importing.yaml_text import yaml_text
from testbed.topology import load
from testbed.topology.document import plain, read

if TYPE_CHECKING:
    from tests.unit.importing.conftest import Dumper, Importer, Result


def written(result: Result, directory: Path) -> str:
    return write(result.imported, [Path("tonight.tgz")], directory)


def files(directory: Path) -> set[str]:
    return {
        str(path.relative_to(directory))
        for path in directory.rglob("*")
        if not path.is_dir()
    }


def test_a_directory_has_the_topology_the_texts_and_what_was_said(
    importer: Importer, dump: Dumper, tmp_path: Path
) -> None:
    cluster = dump.shipped("two-node").cluster
    extra = {"nodes/node-1.test/routes": "default via 192.168.10.254 dev eth0\n"}

    text = written(importer({**dump.all(cluster), **extra}), tmp_path / "out")

    assert files(tmp_path / "out") == {
        "topology.yaml",
        "import.json",
        "report.txt",
        "nodes/node-1.test/flows",
        "nodes/node-1.test/routes",
        "nodes/node-2.test/flows",
    }
    assert (tmp_path / "out" / "report.txt").read_text() == text


@pytest.mark.parametrize("name", ["multitenant", "networkpolicy"])
def test_the_topology_reads_back_as_the_cluster_that_it_is(
    name: str, importer: Importer, dump: Dumper, tmp_path: Path
) -> None:
    result = importer(dump.all(dump.shipped(name).cluster))

    written(result, tmp_path / "out")

    again = load(tmp_path / "out" / "topology.yaml")
    assert again.cluster == result.cluster
    assert again.warnings == ()


def test_flows_are_kept_word_for_word(
    importer: Importer, live: str, tmp_path: Path
) -> None:
    noisy = "sudo: unable to resolve host\n" + live.replace("\n", "\n# so\n")

    written(importer.text(noisy, "oc-04.flows"), tmp_path / "out")

    assert (tmp_path / "out" / "nodes" / "oc-04" / "flows").read_text() == live


def test_what_was_written_is_one_more_input_with_the_same_result(
    importer: Importer, dump: Dumper, tmp_path: Path
) -> None:
    cluster = dump.shipped("networkpolicy").cluster
    first = importer(dump.all(cluster))
    written(first, tmp_path / "first")

    second = importer.of(tmp_path / "first")
    written(second, tmp_path / "second")

    assert second.cluster == first.cluster
    assert second.deviations == first.deviations
    assert second.contradictions == []
    assert (tmp_path / "second" / "topology.yaml").read_text().partition("\napi")[
        2
    ] == (tmp_path / "first" / "topology.yaml").read_text().partition("\napi")[2]


def test_a_second_text_of_a_kind_has_a_number_and_the_same_one_is_there_once(
    importer: Importer, live: str, tmp_path: Path
) -> None:
    result = importer(
        {
            "oc-04/flows": live,
            "oc-04/routes": "10.128.0.0/14 dev tun0 scope link\n",
            "oc-04/ip_route": "10.128.0.0/14 dev tun0 scope link\n",
            "oc-04/ip_route_table_all": "default via 172.16.1.253 dev eth0\n",
        }
    )

    written(result, tmp_path / "out")

    assert files(tmp_path / "out" / "nodes") == {
        "oc-04/flows",
        "oc-04/routes",
        "oc-04/routes.2",
    }


def test_what_is_nobodys_is_kept_apart(
    importer: Importer, dump: Dumper, tmp_path: Path
) -> None:
    cluster = dump.shipped("two-node").cluster
    flat = {f"{node.name}.flows": dump(cluster, node) for node in cluster.nodes}

    written(importer({**flat, "rules": "*nat\nCOMMIT\n"}), tmp_path / "out")

    assert "unassigned/iptables" in files(tmp_path / "out")


def test_the_manifest_says_all_that_the_report_says_and_where_texts_are(
    importer: Importer, live: str, tmp_path: Path
) -> None:
    result = importer.text(live, "oc-04.flows")
    written(result, tmp_path / "out")

    manifest = json.loads((tmp_path / "out" / "import.json").read_text())

    assert manifest["format"] == 1
    assert manifest["sources"] == ["tonight.tgz"]
    node = next(node for node in manifest["nodes"] if node["name"] == "oc-04")
    assert node["flows"]["at"] == "nodes/oc-04/flows"
    assert node["flows"]["count"] == 65
    assert node["flows"]["line"] == 1
    assert node["deviations"] == {"missing": 0, "changed": 0, "extra": 0}
    assert node["ports"] == {"vxlan0": 1, "tun0": 2}
    pod = next(item for item in manifest["objects"] if item["kind"] == "Pod")
    assert pod["origin"] == "inferred"
    assert pod["places"][0]["line"] == 17
    assert len(manifest["remarks"]) == len(result.imported.remarks)
    assert all(remark["sort"] in list(Sort) for remark in manifest["remarks"])


def test_the_report_is_short_however_much_there_is_to_say(
    importer: Importer, dump: Dumper
) -> None:
    result = importer(dump.all(dump.shipped("ten-node").cluster))

    text = report(result.imported, [Path("x")])

    assert "… and 22 more about Pod: see import.json" in text
    assert text.count("Pod unknown/") == 8
    assert text.startswith("x: 10 nodes (flows of 10), 30 pods, 1 service, ")
    for heading in ("found", "inferred", "missing", "contradictory"):
        assert f"\n\n{heading}\n  " in text


def test_names_from_the_input_are_printed_harmlessly(
    importer: Importer, live: str
) -> None:
    result = importer({"a\x1b[31m\n/oc-04/flows": live})

    text = report(result.imported, [Path("b\x1b\n")])

    assert "\x1b" not in text
    assert "a\\x1b[31m\\n/oc-04/flows:1" in text


def test_a_directory_with_something_in_it_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("x")

    with pytest.raises(
        ImportRefusedError, match="is not empty; choose another, or say"
    ):
        check_target(tmp_path, force=False)


@pytest.mark.parametrize("made", [False, True])
def test_a_directory_that_is_empty_or_not_there_is_taken(
    made: bool,  # noqa: FBT001 - a parameter of pytest's
    tmp_path: Path,
) -> None:
    target = tmp_path / "out"
    if made:
        target.mkdir()

    check_target(target, force=False)


def test_a_file_is_no_directory(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")

    with pytest.raises(ImportRefusedError, match="not a directory"):
        check_target(tmp_path / "file", force=True)


def test_force_replaces_an_import_and_leaves_all_else(
    importer: Importer, live: str, dump: Dumper, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    written(importer.text(live, "oc-04.flows"), out)
    (out / "notes.txt").write_text("mine")
    cluster = dump.shipped("two-node").cluster

    written(importer.text(dump(cluster, cluster.nodes[0]), "other.flows"), out)

    assert files(out) == {
        "notes.txt",
        "topology.yaml",
        "import.json",
        "report.txt",
        "nodes/other/flows",
    }


def test_links_in_the_way_are_replaced_and_not_followed(
    importer: Importer, live: str, tmp_path: Path
) -> None:
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    out.mkdir()
    elsewhere.mkdir()
    (elsewhere / "precious").write_text("x")
    (out / "nodes").symlink_to(elsewhere)
    (out / "topology.yaml").symlink_to(elsewhere / "precious")

    written(importer.text(live, "oc-04.flows"), out)

    assert files(elsewhere) == {"precious"}
    assert (elsewhere / "precious").read_text() == "x"
    assert (out / "nodes" / "oc-04" / "flows").exists()


def test_what_cannot_be_written_leaves_nothing_behind(
    importer: Importer, live: str, tmp_path: Path
) -> None:
    result = importer.text(live, "oc-04.flows")

    with pytest.raises(ImportRefusedError, match="not a directory"):
        written(result, Path("/dev/null/out"))
    (tmp_path / "a").write_text("x")
    with pytest.raises(ImportRefusedError):
        written(result, tmp_path / "a" / "out")

    assert files(tmp_path) == {"a", "collected/oc-04.flows"}


_WORDS = "y N on Yes null ~ 1e5 .5 0x10 010 1_0 true - # 1:30 2019-05-12 = << 0o7 +1"
_TELLING = [": ", *_WORDS.split()]
"""What some YAML reads as no string."""


@settings(deadline=None)
@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=9),
        st.one_of(
            st.text(st.characters(exclude_categories=("Cs", "Cc"))),
            st.sampled_from(_TELLING),
            st.integers(-(10**9), 10**9),
            st.booleans(),
            st.lists(st.text("ab1 :-#'\"", max_size=5), max_size=3),
        ),
        max_size=6,
    )
)
def test_every_value_reads_back_as_it_was(values: dict[str, object]) -> None:
    made = Made(kind="Pod", key="a/b", values=values, sort=Sort.FOUND, places=())
    problems: list[object] = []

    text = "".join(yaml_text([made], "x"))

    documents = read(text, "x", problems)  # type: ignore[arg-type]
    assert problems == []
    assert [plain(node) for node in documents] == ([values] if values else [{}])
