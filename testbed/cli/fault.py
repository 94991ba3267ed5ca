"""``testbed fault``: have things go wrong in a running testbed, and mend them."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from testbed.cli.apply import changing, run_inside
from testbed.cli.options import JsonOption, NameOption, built_testbed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from testbed.faults.injection import Injected

_WORKER = "testbed.cli.fault_worker"

fault = typer.Typer(
    help="Have things go wrong in a running testbed, and mend them.",
    no_args_is_help=True,
)


@fault.command(
    "list",
    epilog="Examples:\n\ntestbed fault list\n\n"
    "testbed fault list --json | jq '.[] | .told'",
)
def list_faults(name: NameOption = None, *, as_json: JsonOption = False) -> None:
    """List the faults that are in a running testbed, in the order they came."""
    from testbed.cli.output import print_json, print_table
    from testbed.faults import ledger
    from testbed.faults.reading import as_fields

    testbed = built_testbed(name)
    there = ledger.load(testbed.inside(ledger.FILE))
    if as_json:
        print_json(
            [
                {
                    "id": number,
                    "kind": fault.kind,
                    "fields": as_fields(fault),
                    "told": fault.told,
                }
                for number, fault in ledger.faults(there)
            ]
        )
    elif there:
        print_table(
            ("ID", "NODE", "KIND", "WHAT"),
            (
                (str(number), fault.node, fault.kind, fault.told)
                for number, fault in ledger.faults(there)
            ),
        )
    else:
        typer.echo(f"testbed {testbed.name} has no faults", err=True)


@fault.command(
    epilog="Examples:\n\ntestbed fault kinds\n\ntestbed fault kinds mtu-drifted",
)
def kinds(
    kind: Annotated[
        str | None,
        typer.Argument(
            metavar="KIND", help="Only this one, in full.", show_default="all"
        ),
    ] = None,
    *,
    as_json: JsonOption = False,
) -> None:
    """List the kinds of faults that there are, with their fields."""
    from testbed.cli.output import print_json, print_table
    from testbed.faults import KINDS
    from testbed.faults.reading import described, parse_fault, required_fields

    if kind is not None and kind not in KINDS:
        parse_fault(kind, {})  # which says what there is
    chosen = [KINDS[kind]] if kind else list(KINDS.values())
    found = [(cls, *described(cls)) for cls in chosen]
    if as_json:
        print_json(
            [
                {
                    "kind": cls.kind,
                    "says": summary,
                    "fields": fields,
                    "required": list(required_fields(cls)),
                }
                for cls, summary, fields in found
            ]
        )
    elif kind:
        for _, summary, fields in found:
            typer.echo(summary)
            print_table(("FIELD", "WHAT"), fields.items())
    else:
        print_table(
            ("KIND", "FIELDS", "WHAT"),
            ((cls.kind, " ".join(fields), summary) for cls, summary, fields in found),
        )


@fault.command(
    epilog="Examples:\n\n"
    "testbed fault inject host-subnet-forgotten node=oc-03 peer=oc-01\n\n"
    "testbed fault inject flow-deleted node=oc-03 table=10 "
    "selector=priority=100,tun_src=172.16.1.15\n\n"
    "testbed fault inject vxlan-blocked node=oc-03 direction=in --name lab7",
)
def inject(
    kind: Annotated[
        str,
        typer.Argument(
            metavar="KIND", help="What; see: testbed fault kinds.", show_default=False
        ),
    ],
    fields: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FIELD=VALUE", help="Where and how.", show_default=False
        ),
    ] = None,
    name: NameOption = None,
) -> None:
    """Have one thing go wrong in a running testbed.

    It stays, whatever is applied, until it is cleared. Nodes may be named by their
    first label.
    """
    from testbed.faults.reading import as_fields, parse_fault

    wanted = parse_fault(kind, dict(map(_field, fields or [])))
    with changing(name) as (testbed, topology):
        wanted = wanted.resolved(topology.cluster)
        wanted.check(topology.cluster)
        order = {"inject": {"kind": kind, "fields": as_fields(wanted)}}
        run_inside(testbed, _WORKER, json.dumps(order))


@fault.command(
    epilog="Examples:\n\ntestbed fault clear 2\n\ntestbed fault clear --all",
)
def clear(
    number: Annotated[
        int | None,
        typer.Argument(
            metavar="ID",
            help="Which; see: testbed fault list.",
            show_default="the only one",
        ),
    ] = None,
    name: NameOption = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="All that are there.")] = (
        False
    ),
) -> None:
    """Mend what a fault has done, exactly."""
    from testbed.faults import ledger

    if everything and number is not None:
        raise typer.BadParameter("ID excludes --all")
    with changing(name) as (testbed, _):
        there = ledger.load(testbed.inside(ledger.FILE))
        chosen = [item.number for item in reversed(there)]
        if not everything:
            chosen = [_chosen(testbed.name, there, number)]
        if not chosen:
            typer.echo(f"testbed {testbed.name} has no faults", err=True)
            return
        run_inside(testbed, _WORKER, json.dumps({"clear": chosen}))


def _field(text: str) -> tuple[str, Any]:
    from testbed.errors import NotFoundError

    name, equals, value = text.partition("=")
    if not equals or not name:
        raise NotFoundError(f"{text!r} is no field; write FIELD=VALUE")
    return name, value


def _chosen(testbed: str, there: "Sequence[Injected]", number: int | None) -> int:
    from testbed.errors import NotFoundError

    numbers = [item.number for item in there]
    if number is None and len(numbers) == 1:
        return numbers[0]
    if number in numbers:
        return number
    if not numbers:
        raise NotFoundError(f"testbed {testbed} has no faults")
    known = ", ".join(map(str, numbers))
    if number is None:
        raise NotFoundError(f"there are several faults, name one or --all: {known}")
    raise NotFoundError(f"testbed {testbed} has no fault {number}; there are: {known}")
