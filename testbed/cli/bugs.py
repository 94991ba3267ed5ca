"""``testbed bugs``: real bugs of 3.11's data plane, told and shown."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from testbed.cli import COULD_NOT
from testbed.cli.options import JsonOption
from testbed.emulation.wiring import Datapath

if TYPE_CHECKING:
    from testbed.gallery import Bug
    from testbed.gallery.shown import Shown

GalleryOption = Annotated[
    Path | None,
    typer.Option(
        "--gallery",
        metavar="DIR",
        help="Where the bugs' files are.",
        show_default="those that come with the testbed",
    ),
]

bugs = typer.Typer(invoke_without_command=True)


def _examples(*examples: str) -> str:
    return "\n\n".join(["Examples:", *examples])


@bugs.callback(
    epilog=_examples(
        "testbed bugs",
        "testbed bugs --family restart",
        "testbed bugs --json | jq -r '.[].name'",
        "testbed bugs show BZ1539187",
    )
)
def list_bugs(
    context: typer.Context,
    family: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="Only those with a mechanism of this kind, as FAMILY."
        ),
    ] = None,
    gallery: GalleryOption = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """List real bugs of 3.11's SDN, which the testbed can show and show fixed."""
    if context.invoked_subcommand:
        if family or gallery or as_json:
            raise typer.BadParameter("options of `show` come after the bug's name")
        return
    from testbed.cli.output import print_json, print_table
    from testbed.gallery import all_bugs

    chosen = [
        bug
        for bug in all_bugs(gallery)
        if family is None or bug.family.lower() == _known(family).lower()
    ]
    if as_json:
        print_json([bug.as_json() for bug in chosen])
        return
    print_table(
        ("BUG", "FAMILY", "WHAT"), ((bug.name, bug.family, bug.title) for bug in chosen)
    )


@bugs.command(
    epilog=_examples(
        "testbed bugs show BZ1539187",
        "testbed bugs show sdn#47 --no-run",
        "testbed bugs show 1813846 --json | jq '.shown[].packets'",
    )
)
def show(
    bug: Annotated[
        str,
        typer.Argument(
            metavar="BUG",
            help="As `testbed bugs` names it, another reference of it, or its number.",
            show_default=False,
        ),
    ],
    datapath: Annotated[
        Datapath | None,
        typer.Option(
            help="Insist on the kernel's datapath (system) or the userspace one.",
            show_default="the kernel's if it can be used",
        ),
    ] = None,
    gallery: GalleryOption = None,
    *,
    run: Annotated[
        bool, typer.Option("--run/--no-run", help="Show it with packets, too.")
    ] = True,
    as_json: JsonOption = False,
) -> None:
    """Tell a bug's story, then show it: first the symptom, then that the fix ends it.

    Builds a cluster of its own, and takes it down. Exit status 0: both were seen; 1:
    one was not; 2: it could not be shown here, and why.
    """
    from testbed.cli.output import print_json
    from testbed.gallery import find_bug
    from testbed.gallery.remedy import remedy
    from testbed.gallery.text import claims, story

    found = find_bug(bug, gallery)
    if not as_json:
        typer.echo("\n".join(story(found)))
        typer.echo()
    if not run:
        if as_json:
            print_json({**found.as_json(), "fix": remedy(found) or None})
        else:
            typer.echo("\n".join(claims(found)))
        return
    shown = _run(found, datapath, silent=as_json)
    verdict = _verdict(shown)
    if as_json:
        items = [asdict(item) for item in shown]
        fix = remedy(found) or None
        print_json({**found.as_json(), "fix": fix, "shown": items, "verdict": verdict})
    raise typer.Exit({True: 0, False: 1, None: COULD_NOT}[verdict])


def _run(bug: "Bug", datapath: Datapath | None, *, silent: bool) -> "list[Shown]":
    """Run it, and tell each scenario as it ends."""
    from testbed.gallery.show import show as showings
    from testbed.gallery.text import heading, showing_lines

    shown: list[Shown] = []
    for item in showings(bug, datapath.value if datapath else None):
        if not silent:
            if not shown or shown[-1].half != item.half:
                typer.echo(f"{heading(item.half)} ({item.plugin})")
            typer.echo("\n".join(showing_lines(bug, item)))
        shown.append(item)
    return shown


def _verdict(shown: "list[Shown]") -> bool | None:
    from testbed.gallery.shown import is_shown

    return is_shown(shown)


def _known(family: str) -> str:
    """A family's name as it is written.

    Raises:
        NotFoundError: there is no such family.
    """
    from testbed.errors import NotFoundError
    from testbed.gallery import Family

    for known in Family:
        if known.lower() == family.lower():
            return known
    raise NotFoundError(f"no family {family}; there are: {', '.join(Family)}")
