"""Who is in a class: a list of accounts, which are names and nothing else."""

from __future__ import annotations

import csv
import re
from typing import TYPE_CHECKING

from testbed.errors import LabError, TopologyError
from testbed.topology import read_text
from testbed.topology.problem import Problem, shown

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MOST = 500
"""Accounts of one class."""

_ACCOUNT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,30}")
_IS_NONE = (
    "is no name: up to 31 letters, digits, '.', '_' and '-', the first a letter or "
    "digit"
)
_HEADINGS = {"account", "accounts", "name", "login", "user", "username"}


def check_account(account: str) -> None:
    """See that a name is one, before it becomes part of a path.

    Raises:
        LabError: it is none.
    """
    if not _ACCOUNT.fullmatch(account):
        raise LabError([f"{shown(account)} {_IS_NONE}"])


def numbered(count: int) -> tuple[str, ...]:
    """So many accounts without names: ``student-01`` and so on."""
    width = max(2, len(str(count)))
    return tuple(f"student-{number:0{width}}" for number in range(1, count + 1))


def read_accounts(path: Path) -> tuple[str, ...]:
    """The accounts of a CSV file: its first column, or the one headed ``account``.

    Empty lines, and those that begin with ``#``, are passed over.

    Raises:
        LabError: it cannot be read, or holds what is no account; a line each.
    """
    try:
        text = read_text(path)
    except TopologyError as error:
        raise LabError(error.problems) from error
    problems: list[Problem] = []
    found: dict[str, int] = {}
    for line, account in _cells(text):
        if not _ACCOUNT.fullmatch(account):
            said = f"{shown(account)} {_IS_NONE}"
            problems.append(Problem(line, said, str(path)))
        elif account.lower() in found:
            said = f"{account} is there twice; first in line {found[account.lower()]}"
            problems.append(Problem(line, said, str(path)))
        else:
            found[account.lower()] = line
    accounts = tuple(account for _, account in _cells(text) if account.lower() in found)
    if not accounts and not problems:
        problems.append(Problem(1, "holds no accounts", str(path)))
    if len(accounts) > MOST:
        problems.append(Problem(1, f"holds more than {MOST} accounts", str(path)))
    if problems:
        raise LabError([str(problem) for problem in problems])
    return accounts


def _cells(text: str) -> Iterator[tuple[int, str]]:
    """Yield line number and account, without the heading."""
    column, is_first = 0, True
    reader = csv.reader(text.lstrip("\ufeff").splitlines())
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if not any(cells) or cells[0].startswith("#"):
                continue
            headings = [cell.lower() for cell in cells]
            if is_first and _HEADINGS & set(headings):
                column = next(
                    number for number, cell in enumerate(headings) if cell in _HEADINGS
                )
            else:
                yield reader.line_num, cells[column] if column < len(cells) else ""
            is_first = False
    except csv.Error as error:
        yield reader.line_num, f"({error})"
