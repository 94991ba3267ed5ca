"""The disks that carry the checkout into the machine, and results out of it.

Both are tar archives on raw disks: no driver beyond the disk's, no daemon, no share
that could stay mounted, and files belong to an ordinary user on either side.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING

from vm.errors import MachineError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

USER = "testbed"
"""The machine's ordinary user."""

RESULTS = ("captures", "report")
"""What scenarios leave in the checkout."""

_UID = 1000
_JUNK = frozenset({".git", ".venv", ".vagrant", "__pycache__"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What the machine is to do.

    Attributes:
        argv: the command, run in the checkout.
        user: who runs it: ``root`` or ``USER``.
        environment: variables it finds, besides those of any login.
        fetch: files and directories it may leave in the checkout that are brought back.
        terminal: rows and columns if it writes to a terminal, else ``None``.
        keyboard: whether it reads from that terminal, Ctrl-C included.
    """

    argv: Sequence[str]
    user: str = USER
    environment: Mapping[str, str]
    fetch: Sequence[str]
    terminal: tuple[int, int] | None = None
    keyboard: bool = False

    def files(self) -> Iterator[tuple[str, bytes]]:
        """Name and content of the files that ``init`` reads."""
        yield "argv", _terminated(self.argv)
        yield "user", self.user.encode()
        pairs = (f"{name}={value}" for name, value in self.environment.items())
        yield "environment", _terminated(pairs)
        yield "fetch", _terminated(self.fetch)
        if self.terminal:
            rows, columns = self.terminal
            yield "terminal", f"rows {rows} columns {columns}".encode()


def _terminated(strings: Sequence[str] | Iterator[str]) -> bytes:
    return b"".join(
        string.encode(errors="surrogateescape") + b"\0" for string in strings
    )


def files(checkout: Path) -> list[Path]:
    """The working tree as it is: changes and new files included, what Git ignores not.

    Without Git, or outside a clone, everything but caches and results.
    """
    if (checkout / ".git").exists() and shutil.which("git"):
        # Whoever owns the checkout, it is only listed.
        git = ["git", "-c", f"safe.directory={checkout}", "-C", str(checkout)]
        what = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run([*git, *what], capture_output=True, check=False)
        if listed.returncode == 0:
            names = listed.stdout.decode(errors="surrogateescape").split("\0")
            found = {checkout / name for name in names if name}
            return sorted(path for path in found if path.is_symlink() or path.is_file())
    return sorted(
        path
        for path in _walk(checkout)
        if path.relative_to(checkout).parts[0] not in RESULTS
    )


def _walk(directory: Path) -> Iterator[Path]:
    for path in directory.iterdir():
        if path.name in _JUNK or path.name.endswith("_cache"):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from _walk(path)
        elif path.is_symlink() or path.is_file():
            yield path


def pack(checkout: Path, job: Job | None, disk: IO[bytes]) -> None:
    """Write ``checkout/`` and the job's files as a tar archive."""
    paths = files(checkout)
    directories = {up for path in paths for up in path.parents}
    paths += [path for path in directories if path.is_relative_to(checkout)]
    with tarfile.open(fileobj=disk, mode="w") as archive:
        for path in sorted(paths):
            inside = str(PurePosixPath("checkout", path.relative_to(checkout)))
            archive.add(path, inside, recursive=False, filter=_owned)
        for name, content in job.files() if job else ():
            member = _owned(tarfile.TarInfo(f"job/{name}"))
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def _owned(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = _UID
    member.uname = member.gname = USER
    return member


def unpack(disk: IO[bytes], into: Path) -> int | None:
    """Write the results below a directory; the command's exit status if there is one.

    Only plain files inside the directory are taken from the machine.

    Raises:
        MachineError: what the machine wrote is no archive, or names another place.
    """
    status = None
    try:
        with tarfile.open(fileobj=disk, mode="r:") as archive:
            for member in archive:
                content = archive.extractfile(member) if member.isfile() else None
                if content is None:
                    continue
                if status is None:  # it is the first member
                    status = int(content.read())
                else:
                    _write(into, member.name, content)
    except (tarfile.TarError, ValueError) as error:
        if status is None:
            return None  # an empty disk, or half a sentence
        raise MachineError(f"results that cannot be read: {error}") from error
    return status


def _write(into: Path, name: str, content: IO[bytes]) -> None:
    path = PurePosixPath(name)
    target = into / path
    if path.is_absolute() or ".." in path.parts:
        raise MachineError(f"a result outside the checkout: {name}")
    if not target.parent.resolve().is_relative_to(into.resolve()):
        raise MachineError(f"a result behind a link that leaves the checkout: {name}")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)  # a link is replaced, never followed
    with target.open("wb") as file:
        shutil.copyfileobj(content, file)
