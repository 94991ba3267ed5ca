"""What commands print: tables for people, JSON for scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_ENDLESS = 1000
"""Columns of a table that goes to a file or a pipe, where nothing need be wrapped."""


def print_json(value: object) -> None:
    """Print a value as indented JSON."""
    import json

    typer.echo(json.dumps(value, indent=2))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Print rows under a heading, as wide as they need to be."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*map(Text, row))
    terminal = Console()
    console = terminal if terminal.is_terminal else Console(width=_ENDLESS)
    console.print(table)
