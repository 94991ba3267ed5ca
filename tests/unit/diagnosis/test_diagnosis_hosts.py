"""What is wrong with nodes' kernels, ports and iptables."""

from __future__ import annotations

from ipaddress import IPv4Address
from typing import TYPE_CHECKING

import pytest

from testbed import faults
from testbed.diagnosis import Severity
from testbed.diagnosis.rule_text import words_of
from testbed.exporting import Format
from testbed.host.iptables import node_rules
from tests.unit.diagnosis.conftest import one, replacing

if TYPE_CHECKING:
    from tests.unit.diagnosis.conftest import Clinic, Files

ADDRESSES = "nodes/oc-02.test/addresses"
RULES = "nodes/oc-02.test/iptables"


@pytest.mark.parametrize(
    ("path", "old", "new", "check", "said"),
    [
        (
            ADDRESSES,
            "tun0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1450",
            "tun0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500",
            "mtu",
            "tun0's MTU 1500 is more than eth0's 1500 less 50",
        ),
        (
            ADDRESSES,
            "tun0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1450",
            "tun0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1400",
            "mtu",
            "1400, and 1450 on most",
        ),
        (ADDRESSES, "tun0: <BROADCAST,MULTICAST,UP,LOWER_UP>",
         "tun0: <BROADCAST,MULTICAST>", "link-down", "tun0 is down"),
        (
            ADDRESSES,
            "eth0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc pfifo_fast",
            "eth0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 qdisc netem",
            "queueing",
            "eth0 sends through a queue of kind netem",
        ),
        (ADDRESSES, "eth0: <BROADCAST,MULTICAST,UP,LOWER_UP>",
         "eth0: <NO-CARRIER,BROADCAST,MULTICAST,UP>", "link-down", "no carrier"),
        (ADDRESSES, "inet 10.129.0.1/23", "inet 10.129.0.9/23", "tun0-address",
         "tun0's address is not 10.129.0.1/23"),
        (ADDRESSES, "172.16.1.16/24", "172.16.1.17/24", "node-address",
         "no interface has its address 172.16.1.16"),
        ("nodes/oc-02.test/routes", "10.128.0.0/14 dev tun0", "10.99.0.0/16 dev tun0",
         "route-missing", "has no route 10.128.0.0/14 dev tun0"),
        ("nodes/oc-02.test/routes", "default via 172.16.1.253",
         "9.9.9.9 via 172.16.1.253",
         "no-default-route", "has no default route"),
        ("nodes/oc-02.test/sysctl", "net.ipv4.ip_forward = 1",
         "net.ipv4.ip_forward = 0",
         "ip-forward", "net.ipv4.ip_forward is 0"),
        ("oc-02.test/pods/web-1-k9s5c/addresses", "inet 10.129.0.9/23",
         "inet 10.129.0.14/23", "pod-address", "eth0 of Pod shop/web-1-k9s5c has"),
        ("oc-02.test/pods/web-1-k9s5c/routes", "default via 10.129.0.1",
         "default via 10.129.0.7", "pod-route", "no default route via 10.129.0.1"),
        (ADDRESSES, "vxlan_sys_4789", "vxlan_sys_4790", "vxlan-port",
         "speaks VXLAN on UDP 4790"),
        ("nodes/oc-02.test/ovs-show", "2(tun0)", "7(tun0)", "own-port",
         "tun0 has port 7 of br0"),
    ],
)  # fmt: skip
def test_a_node_that_is_otherwise_is_one_finding(  # noqa: PLR0913, PLR0917
    clinic: Clinic, path: str, old: str, new: str, check: str, said: str
) -> None:
    finding = clinic.only("multitenant", edit=replacing(path, old, new))

    assert finding.check == check
    assert said in finding.title
    assert finding.nodes == ("oc-02.test",)


def test_a_vnid_that_vxlan0_writes_over_all_is_a_finding(clinic: Clinic) -> None:
    def edit(files: Files) -> None:
        (path,) = (
            name
            for name, text in files.items()
            if "oc-02" in name and "Bridge br0" in text
        )
        files[path] = files[path].replace("key=flow", 'key=flow, out_key="2989"')

    found = clinic("multitenant", edit=edit, layout=Format.SOS).findings

    assert [(item.check, item.nodes) for item in found] == [
        ("vxlan-key", ("oc-02.test",))
    ]


def test_a_pod_that_got_another_s_address_is_one_finding(clinic: Clinic) -> None:
    fault = faults.DuplicatePodIP(pod="shop/web-1-k9s5c", ip=IPv4Address("10.129.0.14"))
    edit = replacing(
        "oc-02.test/pods/web-1-k9s5c/addresses",
        "inet 10.129.0.9/23",
        "inet 10.129.0.14/23",
    )

    finding = clinic.only("multitenant", fault, edit=edit)

    assert finding.check == "pod-address"
    assert "that of Pod bank/api-2-qk9rs" in finding.title


@pytest.mark.parametrize(
    ("line", "check", "severity"),
    [
        ("10.129.0.9 dev tun0 lladdr 0a:58:00:00:00:01 REACHABLE", "stale-arp", 1),
        ("172.16.1.22 dev eth0  FAILED", "peer-silent", 1),
        ("172.16.1.22 dev eth0 lladdr 52:54:00:00:00:01 used 0/0/0 probes 1 STALE",
         "stale-arp", 0),
    ],
)  # fmt: skip
def test_a_wrong_neighbour_is_one_finding(
    clinic: Clinic, line: str, check: str, severity: int
) -> None:
    def edit(files: Files) -> None:
        files[one(files, "nodes/oc-02.test/arp")] += f"{line}\n"

    finding = clinic.only("multitenant", edit=edit)

    assert finding.check == check
    assert finding.severity is Severity(severity)


def test_neighbours_that_are_right_are_no_finding(clinic: Clinic) -> None:
    def edit(files: Files) -> None:
        files[one(files, "nodes/oc-02.test/arp")] += (
            "10.129.0.9 dev tun0 lladdr 0a:58:0a:81:00:09 REACHABLE\n"
            "10.129.0.99 dev tun0  FAILED\n"
            "172.16.1.253 dev eth0  FAILED\n"
        )

    assert clinic("multitenant", edit=edit).findings == ()


def test_an_egress_ip_that_another_node_holds_is_critical(clinic: Clinic) -> None:
    hosts = clinic.topology("networkpolicy").cluster.nodes
    home = next(host for host in hosts if host.egress_ips)
    here = next(host for host in hosts if home.egress_ips[0] not in host.egress_ips)
    edit = replacing(
        f"nodes/{here.name}/addresses",
        f"    inet {here.host_ip}/24",
        f"    inet {home.egress_ips[0]}/24 scope global secondary eth0\n"
        f"    inet {here.host_ip}/24",
    )

    finding = clinic.only("networkpolicy", edit=edit)

    assert finding.check == "egress-ip-held"
    assert "BZ1762235" in finding.bugs


def test_a_port_that_no_flow_is_for_is_a_warning(clinic: Clinic) -> None:
    edit = replacing(
        "nodes/oc-02.test/ovs-show",
        " LOCAL(br0)",
        " 99(vethdeadbeef): addr:aa:bb:cc:dd:ee:ff\n     config:     0\n LOCAL(br0)",
    )

    finding = clinic.only("multitenant", edit=edit)

    assert finding.check == "port-without-flows"
    assert "99 (vethdeadbeef)" in finding.title


@pytest.mark.parametrize(
    ("rule", "check"),
    [
        ("attempted resend after connection close", "iptables-rule-missing"),
        ("VXLAN incoming", "iptables-rule-missing"),
        ("rules for masquerading OpenShift traffic", "iptables-rule-missing"),
    ],
)
def test_a_missing_rule_of_the_sdn_is_one_finding(
    clinic: Clinic, rule: str, check: str
) -> None:
    finding = clinic.only(
        "multitenant",
        faults.RuleDeleted(
            node="oc-02", table="nat" if "masq" in rule else "filter", rule=rule
        ),
    )

    assert finding.check == check
    assert rule in finding.title


@pytest.mark.parametrize("table", ["nat", "filter"])
def test_a_flushed_table_is_one_finding(clinic: Clinic, table: str) -> None:
    finding = clinic.only(
        "multitenant", faults.IptablesFlushed(node="oc-02", table=table)
    )

    assert finding.check == "iptables-flushed"
    assert finding.severity is Severity.CRITICAL


def test_masquerade_above_an_egress_ip_s_rule_is_critical(clinic: Clinic) -> None:
    cluster = clinic.topology("networkpolicy").cluster
    node = next(n.name for n in cluster.nodes if "-j SNAT" in node_rules(cluster, n))

    finding = clinic.only(
        "networkpolicy",
        faults.ChainReordered(
            node=node,
            table="nat",
            chain="OPENSHIFT-MASQUERADE",
            first="OPENSHIFT-MASQUERADE-2",
        ),
    )

    assert finding.check == "iptables-order"
    assert finding.severity is Severity.CRITICAL
    assert "not its egress IP" in finding.breaks


def test_a_service_s_missing_rule_is_one_finding_about_the_service(
    clinic: Clinic,
) -> None:
    finding = clinic.only(
        "multitenant",
        faults.RuleDeleted(
            node="oc-02", table="nat", rule='"shop/web:http cluster IP"'
        ),
    )

    assert finding.check == "service-rules"
    assert finding.object == "Service shop/web"


def test_an_endpoint_that_is_none_is_named(clinic: Clinic) -> None:
    def edit(files: Files) -> None:
        path = one(files, RULES)
        line = next(
            line
            for line in files[path].splitlines()
            if '"shop/web:http"' in line and "DNAT" in line
        )
        head, _, _ = line.partition("--to-destination")
        wrong = f"{head}--to-destination 10.131.0.99:8080"
        files[path] = files[path].replace(line, f"{line}\n{wrong}")

    finding = clinic.only("multitenant", edit=edit)

    assert finding.check == "service-rules"
    assert "10.131.0.99:8080" in finding.breaks


def test_marks_of_two_bits_are_critical(clinic: Clinic) -> None:
    edit = replacing(
        RULES,
        "-A KUBE-MARK-MASQ -j MARK --set-xmark 0x1/0x1",
        "-A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000",
    )

    finding = clinic.only("multitenant", edit=edit)

    assert finding.check == "masquerade-mark"
    assert finding.bugs == ("BZ1552869",)


def test_the_other_bit_everywhere_is_a_choice(clinic: Clinic) -> None:
    def edit(files: Files) -> None:
        path = one(files, RULES)
        files[path] = files[path].replace("0x1/0x1", "0x4000/0x4000")

    assert clinic("multitenant", edit=edit).findings == ()


def test_a_rule_against_vxlan_is_critical_whoever_made_it(clinic: Clinic) -> None:
    edit = replacing(
        RULES,
        "-A INPUT -m conntrack",
        "-A INPUT -p udp -m udp --dport 4789 -j DROP\n-A INPUT -m conntrack",
    )

    finding = clinic.only("multitenant", edit=edit)

    assert finding.check == "vxlan-blocked"


@pytest.mark.parametrize(
    ("one_way", "other_way"),
    [
        ("-A X -s 10.1.0.1/32 -p tcp -j ACCEPT", "-A X -p tcp -s 10.1.0.1 -j ACCEPT"),
        (
            "-A X -p udp -m udp --dport 53 -m comment --comment dns -j ACCEPT",
            '-A X -p udp -m comment --comment "dns" --dport 53 -j ACCEPT',
        ),
        ("-A X -j REJECT", "-A X -j REJECT --reject-with icmp-port-unreachable"),
        (
            "-A X -m mark --mark 0x0060006e -j DROP",
            "-A X -m mark --mark 0x60006e/0xffffffff -j DROP",
        ),
    ],
)
def test_rules_that_do_the_same_are_the_same(one_way: str, other_way: str) -> None:
    assert words_of(one_way) == words_of(other_way)


def test_rules_that_do_not_do_the_same_are_not_the_same() -> None:
    assert words_of("-A X -s 10.1.0.1/32 -j ACCEPT") != words_of(
        "-A X -d 10.1.0.1/32 -j ACCEPT"
    )
    assert words_of("-A X ! -o tun0 -j ACCEPT") != words_of("-A X -o tun0 -j ACCEPT")
