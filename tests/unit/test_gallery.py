"""The gallery's bugs: what their files must say, and how they are found and told."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest

from testbed.diagnosis.bugs import BUGS as KNOWN
from testbed.errors import GalleryError, NotFoundError
from testbed.gallery import Family, Half, all_bugs, find_bug
from testbed.gallery.model import url_of
from testbed.gallery.read import read_bug
from testbed.gallery.shown import Shown, is_shown
from testbed.gallery.text import WIDTH, claims, showing_lines, story

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from testbed.gallery import Bug

BUGS = all_bugs()

FILE = '''"""Pods hear what is not for them.

Reference: BZ4711, openshift/sdn#96
Family: ARP
Symptom: Some pods hear
    everything.
Mechanism: Nobody knows.
Fixed in: Open in 3.11.
"""

import pytest

pytestmark = pytest.mark.plugins("subnet", "multitenant")


@pytest.mark.symptom
def test_a_pod_hears_too_much(cluster):
    """More than it should.

    And more.
    """


@pytest.mark.fix
def test_a_pod_hears_enough(cluster):
    pass
'''


@pytest.fixture
def read(tmp_path: Path) -> Callable[[str], Bug]:
    """The bug of a file with this text."""

    def write_and_read(text: str) -> Bug:
        file = tmp_path / "test_bz4711.py"
        file.write_text(text)
        return read_bug(file)

    return write_and_read


def test_there_are_bugs_of_every_family() -> None:
    assert {bug.family for bug in BUGS} == set(Family)
    assert len(BUGS) >= 25


def test_no_reference_is_shown_twice() -> None:
    references = Counter(reference for bug in BUGS for reference in bug.references)
    shared = {"openshift/origin#22443"}  # one pull request that fixed two of them

    assert {name for name, times in references.items() if times > 1} == shared


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_file_is_named_after_its_bug(bug: Bug) -> None:
    number = bug.name.rpartition("#")[2].removeprefix("BZ")

    assert number in bug.file.name


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_the_gallery_and_a_diagnosis_agree_on_what_is_fixed(bug: Bug) -> None:
    known = KNOWN.get(bug.name)
    if known is None:
        return
    begins = {
        "3.11": ("Before 3.11",),
        "a later 3.11.z": ("A later 3.11.z", "An early 3.11.z"),
        "": ("Open in 3.11", "In part", "By ", "Never"),
    }

    assert bug.fixed_in.startswith(begins[known.fixed_in])


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name)
def test_a_story_fits_into_a_terminal(bug: Bug) -> None:
    lines = [*story(bug), *claims(bug)]

    unbreakable = ("https://", bug.file.name)
    assert not [
        line
        for line in lines
        if len(line) > WIDTH and not any(word in line for word in unbreakable)
    ]


def test_a_file_says_what_is_known_of_its_bug(read: Callable[[str], Bug]) -> None:
    bug = read(FILE)

    assert bug.name == "BZ4711"
    assert bug.references == ("BZ4711", "openshift/sdn#96")
    assert bug.title == "Pods hear what is not for them"
    assert bug.family is Family.ARP
    assert bug.symptom == "Some pods hear everything."
    assert bug.fixed_in == "Open in 3.11."
    assert bug.plugins == ("subnet", "multitenant")
    assert [(item.half, item.claim, item.remark) for item in bug.showings] == [
        (Half.SYMPTOM, "a pod hears too much", "More than it should."),
        (Half.FIX, "a pod hears enough", ""),
    ]


@pytest.mark.parametrize(
    ("old", "new", "problem"),
    [
        ("Mechanism: Nobody knows.\n", "", ":1: Mechanism: is missing"),
        ("Nobody knows.", "", ":7: Mechanism: is missing"),
        ("Family: ARP", "Family: magic", ":4: Family: must be one of ARP, conntrack"),
        ("BZ4711, ", "4711, ", ":3: Reference: 4711: must look like BZ1539187"),
        ("Symptom:", "Symptoms:", ":5: is no field; there are: Reference, Family"),
        ("Family: ARP", "Family: ARP\nFamily: DNS", ":5: Family: is there twice"),
        ("@pytest.mark.fix\n", "", ": test_a_pod_hears_enough: must be marked"),
        ("@pytest.mark.fix\n", "", ": has no test that is marked fix"),
        ('.plugins("subnet", "multitenant")', ".slow", ": pytestmark: must be"),
    ],
)
def test_a_file_that_is_not_in_shape_is_refused_with_line_and_field(
    read: Callable[[str], Bug], old: str, new: str, problem: str
) -> None:
    assert old in FILE

    with pytest.raises(GalleryError) as refused:
        read(FILE.replace(old, new))

    assert problem in str(refused.value)


@pytest.mark.parametrize("text", ["", "def test(:", "\0"])
def test_a_file_that_is_no_bug_is_refused(
    read: Callable[[str], Bug], text: str
) -> None:
    with pytest.raises(GalleryError, match=r"test_bz4711\.py"):
        read(text)


def test_a_directory_without_bugs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match="has no bug in it"):
        all_bugs(tmp_path)


@pytest.mark.parametrize(
    "wanted",
    [
        *("BZ1539187", "bz1539187", "1539187"),
        *("openshift/origin#18634", "origin#18634", "PR18634"),
    ],
)
def test_a_bug_is_found_by_any_of_its_references(wanted: str) -> None:
    assert find_bug(wanted).name == "BZ1539187"


def test_a_bug_that_a_diagnosis_knows_is_told_with_what_mends_it() -> None:
    told = "\n".join(story(find_bug("BZ1477716")))

    assert "fix        sysctl -w net.ipv4.ip_forward=1" in told


def test_a_bug_that_is_not_there_is_answered_with_those_that_are_near() -> None:
    with pytest.raises(NotFoundError, match="no bug BZ1539188; there are: BZ1539187"):
        find_bug("BZ1539188")


@pytest.mark.parametrize(
    ("reference", "url"),
    [
        ("BZ1539187", "https://bugzilla.redhat.com/show_bug.cgi?id=1539187"),
        ("openshift/sdn#96", "https://github.com/openshift/sdn/issues/96"),
        (
            "openshift/sdn@31017cb98",
            "https://github.com/openshift/sdn/commit/31017cb98",
        ),
    ],
)
def test_a_reference_leads_to_where_it_is_read(reference: str, url: str) -> None:
    assert url_of(reference) == url


def shown(half: Half, outcome: str) -> Shown:
    return Shown(
        name="test_a_pod_hears_too_much",
        half=half.value,
        plugin="openshift-ovs-multitenant",
        outcome=outcome,
        reason="it is not so",
        seconds=0.1,
        broken=("oc-04 has forgotten HostSubnet oc-01",),
        packets=("lab/a: UDP", "  arrives at lab/b"),
    )


@pytest.mark.parametrize(
    ("symptoms", "fixes", "verdict"),
    [
        (["passed"], ["passed"], True),
        (["passed"], ["passed", "skipped"], True),
        (["passed"], ["failed"], False),
        (["failed"], ["passed"], False),
        (["passed"], ["skipped"], None),
        ([], [], None),
    ],
)
def test_a_bug_is_shown_when_both_halves_were_seen(
    symptoms: list[str], fixes: list[str], *, verdict: bool | None
) -> None:
    showings = [
        *(shown(Half.SYMPTOM, outcome) for outcome in symptoms),
        *(shown(Half.FIX, outcome) for outcome in fixes),
    ]

    assert is_shown(showings) is verdict


def test_a_scenario_is_told_with_what_was_broken_and_each_packets_way(
    read: Callable[[str], Bug],
) -> None:
    told = list(showing_lines(read(FILE), shown(Half.SYMPTOM, "failed")))

    assert told == [
        "  ✗ A pod hears too much",
        "    More than it should.",
        "      ! oc-04 has forgotten HostSubnet oc-01",
        "      lab/a: UDP",
        "        arrives at lab/b",
        "    failed: it is not so",
    ]
