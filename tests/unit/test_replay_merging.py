"""A replayed node after an ``apply``: what the SDN touches, and what stays."""

from __future__ import annotations

import functools
from dataclasses import replace
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from testbed.host.egress import marks_by_sender
from testbed.host.iptables import node_rules
from testbed.openflow import Flow, Table
from testbed.pipeline import node_flows
from testbed.replay import Replayed
from testbed.topology import load, loads
from testbed.topology.shipped import shipped

if TYPE_CHECKING:
    from collections.abc import Iterable

    from testbed.topology import Topology

TENANTS = load(shipped("multitenant.yaml"))
NODE = "oc-01.test"
EGRESS_IP = """
apiVersion: network.openshift.io/v1
kind: NetNamespace
metadata: {name: shop}
netid: %d
egressIPs: [172.16.1.201]
---
apiVersion: network.openshift.io/v1
kind: HostSubnet
metadata: {name: oc-01.test}
hostIP: 172.16.1.15
egressIPs: [172.16.1.201]
"""


@functools.cache
def flows_of(topology: str) -> tuple[Flow, ...]:
    cluster = loads(topology, "").cluster
    return node_flows(cluster, cluster.node(NODE))


def computed(topology: Topology) -> tuple[Flow, ...]:
    return flows_of(topology.text())


def rules(topology: Topology) -> str:
    return node_rules(topology.cluster, topology.cluster.node(NODE))


def marks(topology: Topology) -> str:
    return marks_by_sender(topology.cluster, topology.cluster.node(NODE))


def replayed(
    collected: Iterable[Flow] | None = None, rules_collected: str | None = None
) -> Replayed:
    return Replayed(
        node=NODE,
        base=computed(TENANTS),
        collected=None if collected is None else tuple(collected),
        base_rules=rules(TENANTS) + marks(TENANTS),
        rules_collected=rules_collected,
    )


@functools.cache
def applied() -> Topology:
    """With another egress IP: flows in tables 100 and 101 change, and rules."""
    netid = TENANTS.cluster.vnid("shop")
    return TENANTS.applied(EGRESS_IP % netid, "egress.yaml")


@functools.cache
def deleted() -> Topology:
    return TENANTS.deleted(
        "{apiVersion: v1, kind: Pod, metadata: {name: web-1-4wq8n, namespace: shop}}",
        "",
    )


STALE = Flow(table=20, priority=100, match=("ip", "in_port=99"), actions=("drop",))
PEER = next(f for f in computed(TENANTS) if f.table == Table.FROM_VXLAN and f.match)


def test_without_a_change_it_has_what_was_collected() -> None:
    collected = [flow for flow in computed(TENANTS) if flow != PEER] + [STALE]

    assert replayed(collected).flows(computed(TENANTS)) == tuple(collected)


def test_a_flow_that_was_missing_is_missing_still() -> None:
    collected = [flow for flow in computed(TENANTS) if flow != PEER]

    assert PEER not in replayed(collected).flows(computed(applied()))


def test_a_flow_that_was_too_much_is_there_still() -> None:
    collected = [*computed(TENANTS), STALE]

    assert STALE in replayed(collected).flows(computed(applied()))


def test_a_flow_that_was_another_is_another_still() -> None:
    other = replace(PEER, actions=("drop",))
    collected = [other if flow == PEER else flow for flow in computed(TENANTS)]

    found = replayed(collected).flows(computed(applied()))

    assert other in found
    assert PEER not in found


def test_what_an_apply_adds_is_programmed() -> None:
    new = set(computed(applied())) - set(computed(TENANTS))

    assert new
    assert new <= set(replayed(computed(TENANTS)).flows(computed(applied())))


def test_what_an_apply_changes_is_programmed_anew_where_it_was_wrong() -> None:
    now = {flow.selector: flow for flow in computed(applied())}
    changed = next(
        f for f in computed(TENANTS) if now.get(f.selector, f).actions != f.actions
    )
    collected = [flow for flow in computed(TENANTS) if flow != changed]

    found = replayed(collected).flows(computed(applied()))

    assert now[changed.selector] in found


def test_what_a_delete_takes_away_goes_though_it_was_wrong() -> None:
    def selectors(flows: Iterable[Flow]) -> set[tuple[int, str]]:
        return {(int(flow.table), flow.selector) for flow in flows}

    gone = selectors(computed(TENANTS)) - selectors(computed(deleted()))
    collected = [
        replace(f, actions=("drop",)) if selectors([f]) <= gone else f
        for f in computed(TENANTS)
    ]

    found = replayed(collected).flows(computed(deleted()))

    assert len(gone) == 4
    assert gone.isdisjoint(selectors(found))


def test_a_node_without_collected_flows_has_the_computed_ones() -> None:
    assert replayed(None).flows(computed(applied())) == computed(applied())


@settings(deadline=None)
@given(st.data())
def test_what_was_as_computed_is_as_computed_after_an_apply(
    data: st.DataObject,
) -> None:
    flows = computed(TENANTS)
    wrong = data.draw(st.sets(st.integers(0, len(flows) - 1)))
    collected = [flow for number, flow in enumerate(flows) if number not in wrong]
    lacked = {flow.selector for number, flow in enumerate(flows) if number in wrong}

    found = replayed(collected).flows(computed(applied()))

    right = {flow for flow in computed(applied()) if flow.selector not in lacked}
    assert right <= set(found) <= set(computed(applied()))


INVALID = next(line for line in rules(TENANTS).splitlines() if "INVALID" in line)


def test_rules_without_a_change_are_those_collected() -> None:
    collected = rules(TENANTS).replace(f"{INVALID}\n", "")

    found = replayed(None, collected).rules(rules(TENANTS))

    assert sorted(found.splitlines()) == sorted(collected.splitlines())


def test_a_rule_that_was_missing_is_missing_still() -> None:
    collected = rules(TENANTS).replace(f"{INVALID}\n", "")

    assert INVALID not in replayed(None, collected).rules(rules(applied()))


def test_a_rule_that_an_apply_adds_comes_where_it_belongs() -> None:
    found = replayed(None, rules(TENANTS)).rules(rules(applied()))

    def masquerade(text: str) -> list[str]:
        lines = text.splitlines()
        return [line for line in lines if line.startswith("-A OPENSHIFT-MASQUERADE ")]

    assert "--to-source 172.16.1.201" in masquerade(found)[0]
    assert masquerade(found) == masquerade(rules(applied()))


def test_a_rule_that_an_apply_takes_away_goes() -> None:
    fault = Replayed(
        node=NODE,
        base=(),
        collected=None,
        base_rules=rules(applied()),
        rules_collected=rules(applied()),
    )

    assert "172.16.1.201" not in fault.rules(rules(TENANTS))


def test_chains_of_kube_proxy_are_written_anew_when_they_change() -> None:
    service = "KUBE-SERVICES"
    odd = f"-A {service} -d 192.0.2.1/32 -j DROP"
    collected = rules(TENANTS).replace("COMMIT\n", f"{odd}\nCOMMIT\n", 2)
    fewer = TENANTS.deleted(
        "{apiVersion: v1, kind: Service, metadata: {name: web, namespace: shop}}", ""
    )

    def nat(topology: Topology) -> str:
        found = replayed(None, collected).rules(rules(topology))
        return found.partition("*nat")[2].partition("COMMIT")[0]

    assert odd in nat(applied())
    assert odd not in nat(fewer)


def test_tables_that_the_sdn_does_not_have_are_replayed() -> None:
    raw = "*raw\n:PREROUTING ACCEPT [0:0]\n-A PREROUTING -j NOTRACK\nCOMMIT\n"

    assert raw in replayed(None, raw + rules(TENANTS)).rules(rules(TENANTS))


def test_the_testbeds_marks_come_after_what_was_collected() -> None:
    mangle = "*mangle\n:PREROUTING ACCEPT [9:99]\n-A PREROUTING -j LOG\nCOMMIT\n"

    found = replayed(None, mangle).rules(marks(applied())).splitlines()

    ours = [line for line in marks(applied()).splitlines() if line.startswith("-A")]
    assert ours
    assert [line for line in found if line.startswith("-A")] == [
        "-A PREROUTING -j LOG",
        *ours,
    ]


def test_a_testbeds_own_marks_are_there_once() -> None:
    found = replayed(None, rules(TENANTS) + marks(TENANTS)).rules(marks(applied()))

    ours = [line for line in marks(applied()).splitlines() if line.startswith("-A")]
    assert [line for line in found.splitlines() if line.startswith("-A")] == ours


def test_marks_are_known_again_as_iptables_save_spells_them() -> None:
    ours = [line for line in marks(applied()).splitlines() if line.startswith("-A")]
    saved = marks(TENANTS).replace(
        "-i tun0 -d 10.128.0.0/14", "-d 10.128.0.0/14 -i tun0"
    )
    assert saved != marks(TENANTS)

    found = replayed(None, rules(TENANTS) + saved).rules(marks(applied()))

    assert [line for line in found.splitlines() if line.startswith("-A")] == ours


def test_a_node_without_collected_rules_has_the_computed_ones() -> None:
    assert replayed(None, None).rules(rules(applied())) == rules(applied())
