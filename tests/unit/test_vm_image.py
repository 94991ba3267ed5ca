"""When the machine of ``./run vm`` is made afresh, and of what."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from vm import image as images
from vm.errors import ImageError
from vm.image import Inputs, image, mmdebstrap_argv, read_inputs

PYPROJECT = """
[build-system]
requires = ["hatchling>=1.25"]

[project]
dependencies = [
  "scapy>=2.6,<3",
]

[project.optional-dependencies]
dev = [
  "ruff>=0.8,<1",
]

[tool.hatch.build.targets.wheel]
packages = ["testbed"]

[tool.ruff]
line-length = 88
"""

INPUTS = Inputs(
    packages=("iproute2", "mininet"),
    python="scapy",
    builder=("text",),
    architecture="amd64",
)


def checkout(directory: Path, pyproject: str = PYPROJECT) -> Path:
    (directory / "pyproject.toml").write_text(pyproject)
    return directory


def key(directory: Path, pyproject: str) -> str:
    return read_inputs(checkout(directory, pyproject), ["mininet"], "amd64").key


@pytest.mark.parametrize(
    "changed",
    [
        replace(INPUTS, packages=("iproute2",)),
        replace(INPUTS, packages=("iproute2 mininet",)),
        replace(INPUTS, python="scapy>=3"),
        replace(INPUTS, builder=("other",)),
        replace(INPUTS, architecture="arm64"),
    ],
)
def test_other_inputs_make_another_image(changed: Inputs) -> None:
    assert changed.key != INPUTS.key


def test_the_order_in_which_packages_are_named_makes_no_other_image(
    tmp_path: Path,
) -> None:
    here = checkout(tmp_path)
    one = read_inputs(here, ["mininet", "iproute2"], "amd64")
    other = read_inputs(here, ["iproute2", "mininet"], "amd64")

    assert one.key == other.key


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("scapy>=2.6", "scapy>=2.7"),
        ("ruff>=0.8", "ruff>=0.9"),
        ("hatchling>=1.25", "hatchling>=1.26"),
        ('packages = ["testbed"]', 'packages = ["testbed", "more"]'),
    ],
)
def test_what_pip_installs_makes_another_image(
    tmp_path: Path, old: str, new: str
) -> None:
    assert key(tmp_path, PYPROJECT.replace(old, new)) != key(tmp_path, PYPROJECT)


def test_a_linters_setting_makes_no_other_image(tmp_path: Path) -> None:
    wider = PYPROJECT.replace("line-length = 88", "line-length = 100")

    assert key(tmp_path, wider) == key(tmp_path, PYPROJECT)


def test_every_file_that_shapes_the_image_is_among_its_inputs(tmp_path: Path) -> None:
    here = Path(images.__file__).parent
    texts = read_inputs(checkout(tmp_path), [], "amd64").builder

    for name in ("image.py", "provision", "mkdisk", "init"):
        assert (here / name).read_text() in texts


def test_the_machine_has_the_kernel_of_its_architecture(tmp_path: Path) -> None:
    packages = read_inputs(checkout(tmp_path), ["mininet"], "arm64").packages

    assert "linux-image-cloud-arm64" in packages
    assert "mininet" in packages


def test_a_mirror_is_asked_instead_of_debians_own() -> None:
    argv = mmdebstrap_argv(INPUTS, Path("in"), Path("out"), "http://mirror.test/debian")

    assert argv[-3:] == ["bookworm", "out", "http://mirror.test/debian"]


def test_a_path_with_a_space_stays_one_word_in_a_hook() -> None:
    argv = mmdebstrap_argv(INPUTS, Path("/a b/in.tar"), Path("out"), None)

    assert "--customize-hook=tar-in '/a b/in.tar' /home/testbed" in argv


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Keys of the images that were made, each in a moment."""
    made: list[str] = []

    def build(_checkout: Path, inputs: Inputs, directory: Path) -> None:
        made.append(inputs.key)
        (directory / "image").mkdir()
        (directory / "image" / "disk.ext4").write_text(inputs.key)

    monkeypatch.setattr(images, "_build", build)
    return made


def test_an_image_is_made_once(tmp_path: Path, builds: list[str]) -> None:
    first = image(tmp_path, INPUTS, tmp_path / "cache")
    second = image(tmp_path, INPUTS, tmp_path / "cache")

    assert first == second
    assert first.disk.read_text() == INPUTS.key
    assert builds == [INPUTS.key]


def test_an_image_is_made_for_each_kind_of_inputs_and_both_are_kept(
    tmp_path: Path, builds: list[str]
) -> None:
    other = replace(INPUTS, architecture="arm64")
    for inputs in (INPUTS, other, INPUTS, other):
        assert image(tmp_path, inputs, tmp_path / "cache").disk.exists()

    assert builds == [INPUTS.key, other.key]


def test_an_image_is_made_afresh_when_asked_for(
    tmp_path: Path, builds: list[str]
) -> None:
    image(tmp_path, INPUTS, tmp_path / "cache")
    found = image(tmp_path, INPUTS, tmp_path / "cache", afresh=True)

    assert builds == [INPUTS.key] * 2
    assert found.disk.exists()


def test_a_build_that_fails_leaves_nothing_and_the_next_one_builds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, builds: list[str]
) -> None:
    cache = tmp_path / "cache"

    def failing(*_: object) -> None:
        raise ImageError("no mirror")

    with monkeypatch.context() as broken:
        broken.setattr(images, "_build", failing)
        with pytest.raises(ImageError, match="no mirror"):
            image(tmp_path, INPUTS, cache)
    left = [path.name for path in cache.iterdir()]
    image(tmp_path, INPUTS, cache)

    assert left == ["lock"]
    assert builds == [INPUTS.key]


@pytest.mark.usefixtures("builds")
def test_what_a_killed_build_left_is_removed_by_the_next(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    (cache / "unfinished-x" / "image").mkdir(parents=True)
    image(tmp_path, INPUTS, cache)

    assert sorted(path.name for path in cache.iterdir()) == [INPUTS.key, "lock"]


@pytest.mark.parametrize(
    ("variable", "below"),
    [("/somewhere", Path("/somewhere")), ("", Path("/home/me/.cache"))],
)
def test_images_are_kept_in_the_users_cache(
    monkeypatch: pytest.MonkeyPatch, variable: str, below: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", variable)
    monkeypatch.setenv("HOME", "/home/me")

    assert images.cache_directory() == below / "openshift-sdn-testbed" / "vm"
