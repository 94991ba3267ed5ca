"""Whatever a collection holds, a diagnosis comes of it, or one clear error."""

from __future__ import annotations

import contextlib
import random
from typing import TYPE_CHECKING

import pytest

from testbed.errors import SDNError
from tests.unit.diagnosis.conftest import one

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.diagnosis.conftest import Clinic, Files

FLOW = " cookie=0x0, duration=1.0s, table={}, n_packets=0, n_bytes=0, {} actions={}\n"
STRANGE_FLOWS = [
    FLOW.format(20, "priority=100,ip,in_port=vethx,nw_src=999.1.1.1", "load:zz->X[]"),
    FLOW.format(70, "priority=100,ip,nw_dst=10.129.0.9/33", "goto_table:80"),
    FLOW.format(80, "priority=150,reg1=", "output:NXM_NX_REG2[]"),
    FLOW.format(80, "priority=150,reg1=0xzz,reg0=nonsense", "drop"),
    FLOW.format(111, "priority=100", "set_field:nobody->tun_dst"),
    FLOW.format(200, "priority=7,{braces}", "drop"),
    FLOW.format(60, "priority=100,ip,nw_dst=1.2.3.4", "load:0x2->NXM_NX_REG2[]"),
    FLOW.format(253, "", "note:zz"),
    FLOW.format(10, "priority=100,tun_src=fe80::1", "goto_table:30"),
    FLOW.format(120, "priority=100,reg0=0x1", "output:"),
]


@pytest.mark.parametrize("flow", STRANGE_FLOWS)
def test_a_strange_flow_is_told_and_nothing_more(clinic: Clinic, flow: str) -> None:
    def edit(files: Files) -> None:
        files[one(files, "nodes/oc-02.test/flows")] += flow

    found = clinic("multitenant", edit=edit)

    assert len(found.findings) <= 2


RULES = [
    "*nat\n",
    "*nat\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -j\n",
    '*filter\n:INPUT ACCEPT [0:0]\n-A INPUT -m comment --comment "open\nCOMMIT\n',
    "*nat\n:OPENSHIFT-MASQUERADE - [0:0]\n-A OPENSHIFT-MASQUERADE -m mark --mark x\n",
    "-A INPUT -j ACCEPT\n",
    "*nat\nCOMMIT\n*nat\nCOMMIT\n",
]


@pytest.mark.parametrize("rules", RULES)
def test_broken_rules_are_no_traceback(clinic: Clinic, rules: str) -> None:
    def edit(files: Files) -> None:
        files[one(files, "nodes/oc-02.test/iptables")] = rules

    clinic("multitenant", edit=edit)


def without_network(files: Files) -> None:
    for name in ("clusternetwork", "hostsubnets", "netnamespaces"):
        del files[one(files, f"master/{name}")]


def without_pods(files: Files) -> None:
    del files[one(files, "master/pods")]


def two_plugins(files: Files) -> None:
    path = one(files, "master/clusternetwork")
    files[path] = files[path].replace("multitenant", "networkpolicy")


def one_node_s_files_under_another(files: Files) -> None:
    ours = one(files, "nodes/oc-02.test/flows")
    theirs = one(files, "nodes/oc-03.test/flows")
    files[ours], files[theirs] = files[theirs], files[ours]


@pytest.mark.parametrize(
    "edit",
    [without_network, without_pods, two_plugins, one_node_s_files_under_another],
)
def test_contradictions_are_no_traceback(
    clinic: Clinic, edit: Callable[[Files], None]
) -> None:
    clinic("multitenant", edit=edit)


@pytest.mark.parametrize("seed", range(6))
def test_lines_lost_doubled_and_torn_are_no_traceback(
    clinic: Clinic, seed: int
) -> None:
    chance = random.Random(seed)  # noqa: S311 - no secret

    def edit(files: Files) -> None:
        for path, text in files.items():
            lines = text.splitlines(keepends=True)
            for _ in range(min(20, len(lines))):
                place = chance.randrange(len(lines))
                line = lines[place]
                lines[place] = chance.choice(
                    ["", line * 2, line[: chance.randrange(len(line) + 1)], line[::-1]]
                )
            files[path] = "".join(lines)

    with contextlib.suppress(SDNError):
        clinic("multitenant", edit=edit)
