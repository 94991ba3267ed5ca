"""``testbed mutate``: break the data plane in every way, and see who notices."""

import contextlib
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from testbed.cli import COULD_NOT
from testbed.cli.options import JsonOption

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from testbed.mutation.jobs import News

_DEFAULT = Path("scenarios")


def mutate(  # noqa: PLR0913, PLR0917 - an option each
    scenarios: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[SCENARIOS]...",
            help="Files and directories of scenarios, as pytest takes them.",
            show_default="scenarios",
        ),
    ] = None,
    keyword: Annotated[
        str | None,
        typer.Option("-k", metavar="EXPR", help="Run scenarios that match, as pytest."),
    ] = None,
    plugin: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Try the shipped cluster of this SDN plugin; may be repeated.",
            show_default="subnet, multitenant and networkpolicy",
        ),
    ] = None,
    topology: Annotated[
        Path | None,
        typer.Option(
            "--topology", "-t", metavar="FILE", help="Try this cluster instead."
        ),
    ] = None,
    only: Annotated[
        str | None,
        typer.Option(
            metavar="TEXT",
            help="Try only mutants that have this in what they say of themselves.",
        ),
    ] = None,
    jobs: Annotated[
        int,
        typer.Option(
            metavar="N", min=1, help="Clusters side by side.", show_default="the cores"
        ),
    ] = os.cpu_count() or 1,
    fail_under: Annotated[
        float,
        typer.Option(
            metavar="PERCENT",
            help="Exit 1 if a plugin's score is less.",
            min=0,
            max=100,
        ),
    ] = 0.0,
    *,
    equivalents: Annotated[
        bool,
        typer.Option(
            "--equivalents",
            help="Try those that are held for equivalent, too; exit 1 if one is not.",
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Break flows and rules one by one, and see which scenarios notice.

    Each kind of flow and of iptables rule is got wrong in every way that is known, and
    the scenarios that have to do with it are run. What survives, no scenario guards.
    """
    from testbed.cli.output import print_json, print_table
    from testbed.mutation.jobs import Jobs
    from testbed.mutation.report import COLUMNS, as_object, paragraphs, row

    plugins = _plugins(plugin, topology)
    paths = scenarios or ([str(_DEFAULT)] if _DEFAULT.is_dir() else [])
    if not paths:
        raise typer.BadParameter("there is no directory scenarios here; name one")
    arguments = [*paths, *(["-k", keyword] if keyword else [])]
    if topology:
        # With a blank between, pytest would look for its configuration there.
        arguments.append(f"--topology={topology}")
    with _progress() as tell:
        tallies = Jobs(
            plugins,
            arguments,
            wanted=lambda mutant: not only or only in f"{mutant.kind} {mutant}",
            judged=equivalents,
            tell=tell,
        ).run(jobs)
    if as_json:
        print_json([as_object(tally) for tally in tallies])
    else:
        for paragraph in paragraphs(tallies):
            typer.echo(f"{paragraph}\n")
        print_table(COLUMNS, map(row, tallies))
    if not any(tally.results for tally in tallies):
        typer.echo("no scenario that was chosen hits anything", err=True)
        raise typer.Exit(COULD_NOT)
    fails = any(tally.score < fail_under or tally.misjudged for tally in tallies)
    raise typer.Exit(int(fails))


def _plugins(chosen: "Sequence[str] | None", topology: Path | None) -> list[str]:
    from testbed.pytest_choice import TOPOLOGIES
    from testbed.topology import load

    if topology:
        if chosen:
            raise typer.BadParameter("--topology has a plugin already; leave --plugin")
        plugin = load(topology).cluster.network.plugin
        return [plugin.rpartition("-ovs-")[2]]
    for name in chosen or ():
        if name not in TOPOLOGIES:
            raise typer.BadParameter(
                f"there is no plugin {name}; there are: {', '.join(TOPOLOGIES)}"
            )
    return list(dict.fromkeys(chosen or TOPOLOGIES))


@contextlib.contextmanager
def _progress() -> "Iterator[Callable[[News], None]]":
    """A bar for each plugin on a terminal, else a line for each mutant."""
    if not sys.stderr.isatty():
        yield lambda news: typer.echo(_line(news), err=True) if news.result else None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[last]}"),
    )
    with Progress(*columns, console=console, transient=True) as bars:
        tasks = {}

        def tell(news: "News") -> None:
            what = "mutants" if news.result else "scenarios"
            key = news.plugin, what
            if key not in tasks:
                tasks[key] = bars.add_task(f"{news.plugin} {what}", last="")
            last = str(news.result.mutant.kind) if news.result else ""
            bars.update(
                tasks[key], completed=news.done, total=news.total, last=last[:60]
            )

        yield tell


def _line(news: "News") -> str:
    result = news.result
    if result is None:
        return ""
    by = f" by {result.scenario.rpartition('/')[2]}" if result.scenario else ""
    return (
        f"{news.plugin} {news.done}/{news.total} {result.verdict}{by} "
        f"({result.runs} runs, {result.seconds:.1f} s): {result.mutant}"
    )
