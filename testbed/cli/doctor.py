"""``testbed doctor``: what this machine can and cannot do, and what to type."""

import typer

from testbed.cli import COULD_NOT
from testbed.cli.options import JsonOption, TopologyOption


def doctor(topology: TopologyOption = None, *, as_json: JsonOption = False) -> None:
    """Say what this machine lacks for a topology, and what to type to mend it.

    Exits 1 if something lacks that is wanted, 2 if something that is needed.
    """
    from dataclasses import asdict

    from testbed.cli.output import print_json, print_table
    from testbed.doctor import Need, examine, gather
    from testbed.doctor.checks import complete, usable
    from testbed.topology import load
    from testbed.topology.shipped import shipped

    cluster = load(topology or shipped("four-node.yaml")).cluster
    need = Need(nodes=len(cluster.nodes), pods=len(cluster.pods))
    checks = examine(gather(), need)
    if as_json:
        print_json(
            {
                "usable": usable(checks),
                "complete": complete(checks),
                "checks": [asdict(check) for check in checks],
            }
        )
    else:
        print_table(
            ("STATE", "CHECK", "FOUND"),
            ((check.state, check.name, check.told) for check in checks),
        )
    if not usable(checks):
        raise typer.Exit(COULD_NOT)
    if not complete(checks):
        raise typer.Exit(1)
