"""Every command, and the examples that its ``--help`` ends with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from testbed.cli.apply import apply, delete
from testbed.cli.execute import execute
from testbed.cli.flows import flows
from testbed.cli.running import down, list_running
from testbed.cli.status import status
from testbed.cli.up import up

if TYPE_CHECKING:
    from collections.abc import Callable

app = typer.Typer(
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Run OpenShift 3.11's SDN: real Open vSwitch, real packets, in namespaces "
    "that leave nothing behind.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _add(name: str, function: Callable[..., None], *examples: str) -> None:
    app.command(name, epilog="\n\n".join(["Examples:", *examples]))(function)


_add(
    "up",
    up,
    "testbed up",
    "testbed up --topology my-cluster.yaml --name mine --datapath netdev",
)
_add("down", down, "testbed down", "testbed down mine", "testbed down --all")
_add("list", list_running, "testbed list", "testbed list --json | jq '.[].name'")
_add("status", status, "testbed status", "testbed status mine --json")
_add(
    "exec",
    execute,
    "testbed exec oc-04 -- ovs-vsctl show",
    "testbed exec lab/client-a -- ip route",
    "testbed exec external:external --name mine",
)
_add(
    "apply",
    apply,
    "testbed apply -f deny-all.yaml",
    "oc get networkpolicy -n shop -o yaml | testbed apply -f - --name lab7",
)
_add("delete", delete, "testbed delete -f deny-all.yaml")
_add(
    "flows",
    flows,
    "testbed flows oc-04",
    "testbed flows oc-04 --topology my-cluster.yaml --json",
    "testbed flows oc-04 --live | grep -v n_packets=0",
)
