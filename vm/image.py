"""The machine's disk and kernel, made from Debian's packages and kept in the cache."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from vm.checkout import pack
from vm.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SUITE = "bookworm"

HERE = Path(__file__).parent
BUILDER = tuple(HERE / name for name in ("image.py", "provision", "mkdisk", "init"))
"""What decides how the image comes out, besides packages and requirements."""

PLUMBING = ("ca-certificates", "initramfs-tools", "kmod", "procps")
"""What a machine needs besides the testbed's own packages and a kernel."""

HOST_FILES = (
    Path("/etc/ssl/certs/ca-certificates.crt"),
    Path("/etc/pip.conf"),
)
"""By which pip, in the machine's root directory, asks where this host's pip asks."""

_UNFINISHED = "unfinished-"
_UNUSED_SECONDS = 30 * 24 * 3600
_PYTHON_TABLES = ("[build-system]", "[project", "[tool.hatch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """What an image is made from.

    Attributes:
        packages: Debian's packages, the kernel and plumbing among them.
        python: the tables of ``pyproject.toml`` that say what pip installs, and how.
        builder: the texts of the builder itself.
        architecture: as dpkg names it: ``amd64``, ``arm64``.
    """

    packages: tuple[str, ...]
    python: str
    builder: tuple[str, ...]
    architecture: str

    @property
    def key(self) -> str:
        """The same for the same inputs, and another for any others."""
        text = json.dumps(
            [SUITE, self.packages, self.python, self.builder, self.architecture]
        )
        return hashlib.sha256(text.encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """A disk to boot from; a machine writes to a copy that is thrown away."""

    disk: Path
    kernel: Path
    initrd: Path


def read_inputs(checkout: Path, packages: Sequence[str], architecture: str) -> Inputs:
    """The inputs that this checkout asks for."""
    wanted = {*packages, *PLUMBING, f"linux-image-cloud-{architecture}"}
    return Inputs(
        packages=tuple(sorted(wanted)),
        python=_requirements((checkout / "pyproject.toml").read_text()),
        builder=tuple(path.read_text() for path in BUILDER),
        architecture=architecture,
    )


def _requirements(pyproject: str) -> str:
    """The tables that pip reads, so that a linter's setting makes no new image."""
    kept = []
    wanted = False
    for line in pyproject.splitlines():
        if line.startswith("["):
            wanted = line.startswith(_PYTHON_TABLES)
        if wanted:
            kept.append(line)
    return "\n".join(kept)


def cache_directory() -> Path:
    """Where images are kept: below ``$XDG_CACHE_HOME``, or ``~/.cache``."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "openshift-sdn-testbed" / "vm"


def image(
    checkout: Path, inputs: Inputs, cache: Path, *, afresh: bool = False
) -> Image:
    """The image for these inputs, made now if the cache has none.

    Images that nobody used for a month are removed then: one takes most of a gigabyte.

    Raises:
        ImageError: it could not be made.
    """
    home = cache / inputs.key
    found = Image(
        disk=home / "disk.ext4", kernel=home / "vmlinuz", initrd=home / "initrd"
    )
    with _lock(cache):
        if afresh or not home.is_dir():
            _tidy(cache)
            with tempfile.TemporaryDirectory(dir=cache, prefix=_UNFINISHED) as build:
                _build(checkout, inputs, Path(build))
                shutil.rmtree(home, ignore_errors=True)
                Path(build, "image").rename(home)
        with contextlib.suppress(PermissionError):
            home.touch()
    return found


def _tidy(cache: Path) -> None:
    """Remove what builds that were killed left, and images long unused."""
    for old in cache.iterdir():
        unfinished = old.name.startswith(_UNFINISHED)
        unused = time.time() - old.stat().st_mtime > _UNUSED_SECONDS
        if old.is_dir() and (unfinished or unused):
            shutil.rmtree(old)


@contextlib.contextmanager
def _lock(cache: Path) -> Iterator[None]:
    """One build at a time; whoever comes second finds the image made."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        # To read: root may have made it for this user.
        lock = os.fdopen(os.open(cache / "lock", os.O_RDONLY | os.O_CREAT, 0o644))
    except OSError as error:
        raise ImageError(f"no place for the machine's disk: {error}") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _build(checkout: Path, inputs: Inputs, build: Path) -> None:
    (home := build / "image").mkdir()
    source, root = build / "checkout.tar", build / "root.tar"
    with source.open("wb") as file:
        pack(checkout, None, file)
    sys.stderr.write(f"making a Debian {SUITE} machine, once: some minutes\n")
    _run(*mmdebstrap_argv(inputs, source, root, os.environ.get("TESTBED_MIRROR")))
    _run("fakeroot", "--", str(HERE / "mkdisk"), str(root), str(home))


def mmdebstrap_argv(
    inputs: Inputs, source: Path, root: Path, mirror: str | None
) -> list[str]:
    """The command that makes the machine's root file system, as a tar archive.

    For an ordinary user the hooks run in a user namespace, as one who may not read the
    checkout: what they need is handed in, and they run inside.

    Args:
        inputs: what it consists of.
        source: an archive of the checkout.
        root: where the result goes.
        mirror: where the packages come from, if not from Debian.
    """
    handed_in = [f"tar-in {shlex.quote(str(source))} /home/testbed"]
    handed_in += [
        f"copy-in {path} {path.parent}" for path in HOST_FILES if path.exists()
    ]
    return [
        "mmdebstrap",
        "--variant=minbase",
        "--format=tar",
        f"--architectures={inputs.architecture}",
        f"--include={','.join(inputs.packages)}",
        *(f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in ("doc", "man")),
        '--customize-hook=mkdir "$1/home/testbed"',
        *(f"--customize-hook={hook}" for hook in handed_in),
        '--customize-hook=chroot "$1" /home/testbed/checkout/vm/provision',
        SUITE,
        str(root),
        *([mirror] if mirror else []),
    ]


def _run(*argv: str) -> None:
    """Run a step of the build, its output on stderr.

    It and all it started end with this process, however that ends.
    """
    guarded = ["setpriv", "--pdeathsig", "TERM", *argv]
    try:
        done = subprocess.run(
            guarded, stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False
        )
    except FileNotFoundError as error:
        raise ImageError(f"{error.filename} is not installed") from error
    if done.returncode != 0:
        hint = (
            "" if os.geteuid() == 0 else "; or type: sudo --preserve-env ./run vm true"
        )
        raise ImageError(
            f"{argv[0]} exited {done.returncode}: the machine's disk was not made{hint}"
        )
