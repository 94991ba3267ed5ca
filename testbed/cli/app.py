"""Every command, and the examples that its ``--help`` ends with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from testbed.cli.apply import apply, delete
from testbed.cli.bugs import bugs
from testbed.cli.diagnose import diagnose
from testbed.cli.doctor import doctor
from testbed.cli.execute import execute
from testbed.cli.export import export
from testbed.cli.fault import fault
from testbed.cli.flows import flows
from testbed.cli.import_dump import import_dump
from testbed.cli.lab import lab
from testbed.cli.lab_class import lab_class
from testbed.cli.mutate import mutate
from testbed.cli.questions import expect, explain, matrix, probe, trace
from testbed.cli.running import down, list_running
from testbed.cli.scenario import scenario
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
    "testbed import customer.tgz -o tonight && testbed up tonight --replay",
)
_add(
    "doctor",
    doctor,
    "testbed doctor",
    "testbed doctor --topology customer.yaml",
    "testbed doctor --json | jq '.checks[] | select(.state != \"ok\")'",
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
_add(
    "probe",
    probe,
    "testbed probe lab/client-a lab/client-b",
    "testbed probe lab/client-a svc:default/registry-console --json",
    "testbed probe node:oc-01 10.131.1.241 --proto udp --dport 53",
)
_add(
    "explain",
    explain,
    "testbed explain lab/client-a kube-service-catalog/apiserver-x5nq4 --dport 6443",
)
_add(
    "trace",
    trace,
    "testbed trace lab/client-a external:external --dport 443",
    "testbed trace shop/web backend/db-0 --dport 3306 -t customer.yaml",
)
_add(
    "expect",
    expect,
    "testbed expect shop/web backend/db-0 --dport 3306 -t customer.yaml",
)
_add(
    "matrix",
    matrix,
    "testbed matrix",
    "testbed matrix --from shop --to backend,app=db --protocols icmp,tcp:3306",
    "testbed matrix --json | jq '.[] | select(.agrees | not).line'",
)
_add(
    "mutate",
    mutate,
    "testbed mutate",
    "testbed mutate --plugin multitenant --fail-under 95 --json",
    "testbed mutate -k spoofing --only table=20 --jobs 1",
)
_add(
    "import",
    import_dump,
    "testbed import openshift-sdn-debug-2019-05-12.tgz -o tonight",
    "testbed import sosreport-oc-04.tar.xz customer.yaml -o tonight --force",
    "ssh oc-04 ovs-ofctl -O OpenFlow13 dump-flows br0 | testbed import - -o tonight",
)
_add(
    "diagnose",
    diagnose,
    "testbed diagnose openshift-sdn-debug-2019-05-12.tgz",
    "testbed diagnose tonight --why shop/web db/mysql --dport 3306",
    "testbed diagnose tonight --json | jq -r '.findings[].title'",
)
_add(
    "export",
    export,
    "testbed export",
    "testbed export --format sos -o reports.tgz --name lab7",
    "testbed export -t customer.yaml --complete -o as-it-should-be.tgz",
)
app.add_typer(fault, name="fault")
lab.add_typer(lab_class, name="class")
app.add_typer(lab, name="lab")
app.add_typer(scenario, name="scenario")
app.add_typer(bugs, name="bugs")
