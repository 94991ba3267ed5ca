"""Faults come, stay whatever is applied, and leave nothing behind."""

from __future__ import annotations

import contextlib
import difflib
import json
from ipaddress import IPv4Address
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

from testbed.errors import (
    CommandError,
    EmulationError,
    NotFoundError,
    PrerequisiteError,
)
from testbed.faults import (
    KINDS,
    ArpStale,
    DnsmasqDead,
    EgressIpStale,
    FlowsWiped,
    HostSubnetForgotten,
    IpForwardOff,
    LinkFlapping,
    MtuDrifted,
    PodFlowsMissing,
    SwitchKilled,
    SwitchRestarted,
    VxlanBlocked,
)
from testbed.openflow import Table
from testbed.process import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from testbed.probe import LiveCluster

pytestmark = pytest.mark.plugins("multitenant")

Snapshot: TypeAlias = "Callable[[str], Mapping[str, str]]"

NODE, HERE, THERE = "oc-03", "shop/web-1-vh3rj", "shop/web-1-4wq8n"
NEWCOMER = """
kind: Pod
metadata: {name: newcomer, namespace: shop}
spec: {nodeName: oc-03.test}
"""


def differences(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """What is not as it was, a line each."""
    return "\n".join(
        f"{matter}: {line}"
        for matter in before.keys() | after.keys()
        for line in difflib.unified_diff(
            before.get(matter, "").splitlines(),
            after.get(matter, "").splitlines(),
            n=0,
            lineterm="",
        )
        if not line.startswith(("---", "+++", "@@"))
    )


def reaches(cluster: LiveCluster, sender: str, receiver: str, *options: str) -> bool:
    """Whether a ping is answered, by the kernels of both pods."""
    try:
        cluster.pod(sender).run(
            *("ping", "-c1", "-W1", *options, str(cluster.pod(receiver).ip))
        )
    except CommandError:
        return False
    return True


def test_a_fault_that_is_gone_has_left_nothing(
    cluster: LiveCluster,
    snapshot: Snapshot,
    case: Any,  # noqa: ANN401 - conftest's Case
) -> None:
    before = snapshot(NODE)

    # Where this kernel cannot do it, it is refused, and has left nothing either.
    with contextlib.suppress(PrerequisiteError), cluster.broken(case.fault):
        pass

    assert differences(before, snapshot(NODE)) == ""


def test_a_stale_egress_ip_that_is_gone_has_left_nothing(
    cluster: LiveCluster, snapshot: Snapshot, egress_ip: str
) -> None:
    with cluster.applied(egress_ip):
        before = snapshot(NODE)

        with cluster.broken(EgressIpStale(node=NODE, ip=IPv4Address("172.16.1.102"))):
            pass

        assert differences(before, snapshot(NODE)) == ""


def test_every_kind_of_fault_is_tried(tried: frozenset[str]) -> None:
    assert tried | {EgressIpStale.kind} == set(KINDS)


def test_faults_end_in_any_order(cluster: LiveCluster, snapshot: Snapshot) -> None:
    before = snapshot(NODE)
    wanted = [
        MtuDrifted(node=NODE, device="tun0", mtu=1400),
        VxlanBlocked(node=NODE),
        HostSubnetForgotten(node=NODE, peer="oc-01"),
        SwitchRestarted(node=NODE),
        IpForwardOff(node=NODE),
    ]
    there = [cluster.inject(fault) for fault in wanted]

    for fault in (there[1], there[0], there[4], there[3], there[2]):
        cluster.clear(fault)

    assert differences(before, snapshot(NODE)) == ""


def test_what_a_switch_forgets_when_it_is_killed_is_wrong_again_afterwards(
    cluster: LiveCluster,
) -> None:
    with cluster.broken(VxlanBlocked(node=NODE)):
        with cluster.broken(SwitchKilled(node=NODE)):
            pass

        assert not reaches(cluster, THERE, HERE)
    assert reaches(cluster, THERE, HERE)


def test_a_fault_stays_when_objects_are_applied(cluster: LiveCluster) -> None:
    sender, receiver = cluster.pod(THERE), cluster.pod(HERE)
    with cluster.broken(HostSubnetForgotten(node=NODE, peer="oc-01")):
        cluster.apply(NEWCOMER)
        verdict = cluster.probe(sender, cluster.pod("shop/newcomer"))
        assert not verdict.delivered
        assert ("oc-03.test", Table.FROM_VXLAN) in verdict.dropped_in
    assert cluster.probe(sender, receiver).delivered


def test_objects_are_applied_though_a_switch_is_dead(
    cluster: LiveCluster, snapshot: Snapshot, egress_ip: str
) -> None:
    before = snapshot(NODE)

    with cluster.broken(SwitchKilled(node=NODE)):
        cluster.apply(egress_ip)

    assert differences(before, snapshot(NODE)) == ""


def test_no_pod_comes_to_a_node_whose_switch_is_dead(cluster: LiveCluster) -> None:
    with (
        cluster.broken(SwitchKilled(node=NODE)),
        pytest.raises(EmulationError, match=r"no pod comes to oc-03.test .*clear"),
    ):
        cluster.apply(NEWCOMER)


def test_blocks_nest_and_each_ends_its_own_fault(cluster: LiveCluster) -> None:
    sender, receiver = cluster.pod(THERE), cluster.pod(HERE)
    with cluster.broken(PodFlowsMissing(pod=HERE)):
        with cluster.broken(FlowsWiped(node=NODE)):
            pass
        verdict = cluster.probe(sender, receiver)
        assert verdict.dropped(at=NODE, table=Table.IP_TO_LOCAL_POD)
    assert cluster.probe(sender, receiver).delivered


def test_a_fault_that_is_there_is_not_injected_twice(cluster: LiveCluster) -> None:
    cluster.inject(IpForwardOff(node=NODE))

    with pytest.raises(EmulationError, match=r"oc-03 forwards nothing .*, already"):
        cluster.inject(IpForwardOff(node="oc-03.test"))


def test_a_fault_does_not_outlive_the_test_that_injects_it(
    cluster: LiveCluster,
) -> None:
    # The test above has injected one, and not cleared it.
    assert cluster.faults == ()


def test_what_is_restored_within_a_block_has_the_blocks_fault_yet(
    cluster: LiveCluster,
) -> None:
    with cluster.broken(HostSubnetForgotten(node=NODE, peer="oc-01")):
        cluster.inject(IpForwardOff(node=NODE))

        cluster.restore()

        assert [getattr(fault, "kind", "") for fault in cluster.faults] == [
            "host-subnet-forgotten"
        ]


def test_what_the_cluster_lacks_is_told_before_anything_is_done(
    cluster: LiveCluster, snapshot: Snapshot
) -> None:
    before = snapshot(NODE)

    with pytest.raises(NotFoundError, match="no HostSubnet oc-09; there are: oc-01"):
        cluster.inject(HostSubnetForgotten(node=NODE, peer="oc-09"))

    assert differences(before, snapshot(NODE)) == ""


def test_large_packets_do_not_fit_through_a_wire_with_a_smaller_mtu(
    cluster: LiveCluster,
) -> None:
    large = ("-s", "1400", "-M", "do")
    assert reaches(cluster, HERE, THERE, *large)

    with cluster.broken(MtuDrifted(node=NODE, device="eth0", mtu=1400)):
        assert reaches(cluster, HERE, THERE)
        assert not reaches(cluster, HERE, THERE, *large)


def test_a_pod_that_remembers_a_wrong_mac_reaches_nobody_there(
    cluster: LiveCluster,
) -> None:
    there = cluster.pod(THERE)

    with cluster.broken(ArpStale(pod=HERE, ip=there.ip, mac="0a:58:00:00:00:63")):
        assert not reaches(cluster, HERE, THERE)
    assert reaches(cluster, HERE, THERE)


def test_without_dnsmasq_pods_resolve_no_name(cluster: LiveCluster) -> None:
    resolve = ("getent", "hosts", "kubernetes.default.svc.cluster.local")
    pod = cluster.pod(HERE)

    with (
        cluster.broken(DnsmasqDead(node=NODE)),
        pytest.raises(CommandError, match="getent"),
    ):
        pod.run(*resolve)


def test_a_flapping_link_comes_and_goes(cluster: LiveCluster) -> None:
    node = cluster.node(NODE)

    def is_up() -> bool:
        (link,) = json.loads(node.run("ip", "-json", "link", "show", "tun0"))
        return "UP" in link["flags"]

    with cluster.broken(LinkFlapping(node=NODE, device="tun0", period=0.2)):
        wait_until(is_up, timeout=20, what="tun0 comes")
        wait_until(lambda: not is_up(), timeout=20, what="tun0 goes")
        wait_until(is_up, timeout=20, what="tun0 comes again")
