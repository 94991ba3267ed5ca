"""Each match asks, and each target does, what it does in Linux."""

from __future__ import annotations

from dataclasses import replace
from ipaddress import IPv4Address

import pytest

from testbed.model import Outcome, Transport
from testbed.netfilter import (
    CtState,
    Kernel,
    KernelPacket,
    Passage,
    Routes,
    RuleHit,
    Ruleset,
)

ADDRESSES = """\
1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536
    inet 127.0.0.1/8 scope host lo
2: lan: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500
    inet 10.1.0.1/24 brd 10.1.0.255 scope global lan
3: wan: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500
    inet 10.2.0.1/24 brd 10.2.0.255 scope global wan
4: docker0: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500
    inet 172.17.0.1/16 brd 172.17.255.255 scope global docker0
5: veth1@if4: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500 master docker0 state UP
"""
ROUTES = """\
default via 10.2.0.9 dev wan
10.1.0.0/24 dev lan proto kernel scope link src 10.1.0.1
10.2.0.0/24 dev wan proto kernel scope link src 10.2.0.1
172.17.0.0/16 dev docker0 proto kernel scope link src 172.17.0.1
"""
PACKET = KernelPacket(
    source=IPv4Address("10.1.0.7"),
    destination=IPv4Address("10.2.0.20"),
    transport=Transport.TCP,
    sport=40000,
    dport=80,
)
UDP = replace(PACKET, transport=Transport.UDP, dport=53)
PING = replace(PACKET, transport=Transport.ICMP, sport=None, dport=None)
ANSWER = replace(PACKET, ct_state=CtState.ESTABLISHED)
TABLES = {
    "raw": ("PREROUTING", "OUTPUT"),
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
}


def router(**rules: str) -> Kernel:
    """A router between lan and wan; rules by table, a line each."""
    text = ""
    for table, builtin in TABLES.items():
        lines = rules.get(table, "").strip().splitlines()
        mine = {line.split()[1] for line in lines} - {*builtin}
        declared = [f":{chain} ACCEPT [0:0]" for chain in builtin]
        declared += [f":{chain} - [0:0]" for chain in sorted(mine)]
        text += "\n".join([f"*{table}", *declared, *lines, "COMMIT\n"])
    return Kernel(
        name="router",
        ruleset=Ruleset.parse(text),
        routes=Routes.parse(addresses=ADDRESSES, routes=ROUTES),
    )


def forwarded(
    packet: KernelPacket = PACKET, in_interface: str = "lan", **rules: str
) -> Passage:
    (passage,) = router(**rules).forward(packet, in_interface)
    return passage


def outcome(match: str, packet: KernelPacket = PACKET, where: str = "lan") -> object:
    return forwarded(packet, where, filter=f"-A FORWARD {match} -j DROP").outcome


@pytest.mark.parametrize(
    ("match", "packet"),
    [
        ("", PACKET),
        ("-s 10.1.0.7", PACKET),
        ("-s 10.1.0.0/24", PACKET),
        ("-s 10.0.0.0/255.0.0.0", PACKET),
        ("-s 10.0.0.7/255.0.0.255", PACKET),
        ("-s 10.1.0.9/24", PACKET),
        ('-i "lan"', PACKET),
        ("! -s 10.2.0.0/24", PACKET),
        ("-s ! 10.2.0.0/24", PACKET),
        ("-s 10.9.0.1,10.1.0.7", PACKET),
        ("-d 10.2.0.20/32", PACKET),
        ("-d 0.0.0.0/0", PACKET),
        ("-p tcp", PACKET),
        ("-p 6", PACKET),
        ("-p all", PACKET),
        ("! -p udp", PACKET),
        ("! -p vrrp", PACKET),
        ("! -f", PACKET),
        ("-i lan", PACKET),
        ("-i l+", PACKET),
        ("! -i tun0", PACKET),
        ("-o wan", PACKET),
        ("! -o lan", PACKET),
        ("-i lan ! -o lan", PACKET),
        ("-p tcp -m tcp --dport 80", PACKET),
        ("-p tcp -m tcp ! --dport 81", PACKET),
        ("-p tcp -m tcp --dport 80:90", PACKET),
        ("-p tcp -m tcp --dport :80", PACKET),
        ("-p tcp -m tcp --dport 80:", PACKET),
        ("-p tcp -m tcp --sport 40000", PACKET),
        ("-p udp -m udp --dport 53", UDP),
        ("-p tcp -m multiport --dports 22,80,443", PACKET),
        ("-p tcp -m multiport --dports 22,70:90", PACKET),
        ("-p tcp -m multiport ! --dports 22,443", PACKET),
        ("-p tcp -m multiport --sports 40000", PACKET),
        ("-p tcp -m multiport --ports 40000,81", PACKET),
        ("-p tcp -m multiport --ports 80", PACKET),
        ("-p icmp", PING),
        ("-p icmp -m icmp --icmp-type 8", PING),
        ("-p icmp -m icmp --icmp-type 8/0", PING),
        ("-p icmp -m icmp --icmp-type any", PING),
        ("-p icmp -m icmp --icmp-type echo-request", PING),
        ("-p icmp -m icmp ! --icmp-type 0", PING),
        ("-p icmp -m icmp --icmp-type 0", replace(PING, ct_state=CtState.ESTABLISHED)),
        ("-p tcp -m tcp --syn", PACKET),
        ("-p tcp -m tcp --tcp-flags FIN,SYN,RST,ACK SYN", PACKET),
        ("-p tcp -m tcp ! --tcp-flags ALL NONE", PACKET),
        ("-p tcp -m tcp --tcp-flags SYN,ACK SYN,ACK", ANSWER),
        ("-p tcp -m tcp ! --syn", ANSWER),
        ("-m conntrack --ctstate NEW", PACKET),
        ("-m conntrack --ctstate RELATED,ESTABLISHED", ANSWER),
        ("-m conntrack ! --ctstate ESTABLISHED", PACKET),
        ("-m state --state NEW", PACKET),
        ("-m mark --mark 0x0/0x1", PACKET),
        ("-m mark ! --mark 0x1", PACKET),
        ("-m mark --mark 0x1/0x1", replace(PACKET, mark=0x8001)),
        ("-m mark --mark 0x8001", replace(PACKET, mark=0x8001)),
        ("-m connmark --mark 0x0", PACKET),
        ("-m addrtype --dst-type UNICAST", PACKET),
        ("-m addrtype ! --dst-type LOCAL", PACKET),
        ("-m addrtype ! --src-type LOCAL,BROADCAST", PACKET),
        ("-m physdev ! --physdev-is-in", PACKET),
        ("-m recent ! --rcheck --name seen --rsource", PACKET),
        ("-m recent --set --name seen --rsource", PACKET),
        ("-m limit --limit 3/min --limit-burst 10", PACKET),
        ("-m hashlimit --hashlimit-upto 3/min --hashlimit-name x", PACKET),
        ("-m statistic --mode random --probability 1.0", PACKET),
        ("-m iprange --src-range 10.1.0.5-10.1.0.9", PACKET),
        ("-m iprange ! --dst-range 10.3.0.1-10.3.0.9", PACKET),
        ('-m comment --comment "! -s 10.1.0.7"', PACKET),
    ],
)
def test_a_match_takes_what_it_asks_for(match: str, packet: KernelPacket) -> None:
    assert outcome(match, packet) is Outcome.DROPPED


@pytest.mark.parametrize(
    ("match", "packet"),
    [
        ("-s 10.1.0.8", PACKET),
        ("! -s 10.1.0.0/24", PACKET),
        ("! -s 10.9.0.1,10.1.0.7", PACKET),
        ("-d 10.2.0.21/32", PACKET),
        ("-p udp", PACKET),
        ("-p vrrp", PACKET),
        ("-p 47", PACKET),
        ("! -p all", PACKET),
        ("! -p tcp", PACKET),
        ("-f", PACKET),
        ("-i wan", PACKET),
        ("! -i l+", PACKET),
        ("-o lan", PACKET),
        ("-o w", PACKET),
        ("-p tcp -m tcp --dport 81", PACKET),
        ("-p tcp -m tcp ! --dport 80", PACKET),
        ("-p tcp -m tcp --dport 81:90", PACKET),
        ("-p tcp -m tcp --sport :1023", PACKET),
        ("-p udp -m udp --dport 80", PACKET),
        ("-p tcp -m multiport --dports 22,81:90", PACKET),
        ("-p tcp -m multiport --ports 22", PACKET),
        ("-p icmp -m icmp --icmp-type 0", PING),
        ("-p icmp -m icmp --icmp-type 3/4", PING),
        ("-p icmp -m icmp --icmp-type 8/1", PING),
        ("-p icmp -m icmp ! --icmp-type any", PING),
        ("-p tcp -m tcp --syn", ANSWER),
        ("-p tcp -m tcp --tcp-flags ALL ACK", PACKET),
        ("-m conntrack --ctstate INVALID", PACKET),
        ("-m conntrack --ctstate DNAT", PACKET),
        ("-m state --state RELATED,ESTABLISHED", PACKET),
        ("-m mark --mark 0x1/0x1", PACKET),
        ("-m connmark --mark 0x1", PACKET),
        ("-m addrtype --dst-type LOCAL", PACKET),
        ("-m addrtype --src-type LOCAL,MULTICAST", PACKET),
        ("-m physdev --physdev-is-in", PACKET),
        ("-m physdev --physdev-in veth1", PACKET),
        ("-m recent --rcheck --seconds 10800 --name seen --rsource", PACKET),
        ("-m recent --update --name seen --rsource", PACKET),
        ("-m recent ! --set --name seen --rsource", PACKET),
        ("-m hashlimit --hashlimit-above 3/min --hashlimit-name x", PACKET),
        ("-m statistic --mode random --probability 0.0", PACKET),
        ("-m iprange --src-range 10.1.0.8-10.1.0.9", PACKET),
    ],
)
def test_a_match_leaves_what_it_does_not_ask_for(
    match: str, packet: KernelPacket
) -> None:
    passage = forwarded(packet, filter=f"-A FORWARD {match} -j DROP")

    assert (passage.outcome, passage.out_interface) == (None, "wan")


@pytest.mark.parametrize(
    ("match", "packet"),
    [
        ("-m set --match-set blocked src", PACKET),
        ("-m owner --uid-owner 0", PACKET),
        ("-p tcp -m tcp --dport ssh", PACKET),
        ("-p tcp -m tcp --dport 80", replace(PACKET, dport=None)),
        ("-p tcp -m tcp --sport 40000", replace(PACKET, sport=None)),
        ("-p tcp -m multiport --ports 40000", replace(PACKET, sport=None)),
        ("-p tcp -m tcp --syn", replace(PACKET, ct_state=CtState.INVALID)),
        ("-m connmark --mark 0x1", ANSWER),
    ],
)
def test_what_cannot_be_told_is_said_with_the_rule(
    match: str, packet: KernelPacket
) -> None:
    passage = forwarded(packet, filter=f"-A FORWARD {match} -j DROP")

    assert passage.outcome is Outcome.INCONCLUSIVE
    assert passage.hits[-1].rule == f"-A FORWARD {match} -j DROP"
    assert not passage.hits[-1].matched
    assert passage.hits[-1].rule in passage.reason


def test_what_cannot_be_told_does_not_matter_where_another_match_fails() -> None:
    match = "-m set --match-set blocked src -d 10.9.9.9"

    assert outcome(match) is None


def test_what_cannot_be_told_does_not_matter_where_the_rule_would_only_log() -> None:
    passage = forwarded(filter="-A FORWARD -m set --match-set blocked src -j LOG")

    assert passage.outcome is None


@pytest.mark.parametrize("ports", ["1024:65535", "1024:", "! 22", "! :1023"])
def test_a_port_that_a_kernel_chose_is_an_ephemeral_one(ports: str) -> None:
    negation, _, ranges = ports.rpartition(" ")
    match = f"-p tcp -m tcp {negation} --sport {ranges}"

    assert outcome(match, replace(PACKET, sport=None)) is Outcome.DROPPED


def test_of_what_comes_by_a_bridge_nobody_can_tell_the_port() -> None:
    match = "-m physdev --physdev-is-in"

    assert outcome(match, PACKET, "docker0") is Outcome.INCONCLUSIVE


def test_an_address_is_local_to_the_interface_that_has_it() -> None:
    to_wan = replace(PACKET, destination=IPv4Address("10.2.0.1"))
    rule = "-A INPUT -m addrtype --dst-type LOCAL --limit-iface-in -j DROP"

    assert forwarded(to_wan, "lan", filter=rule).outcome is Outcome.DELIVERED
    from_wan = replace(to_wan, source=IPv4Address("10.2.0.7"))
    assert forwarded(from_wan, "wan", filter=rule).outcome is Outcome.DROPPED


def test_a_client_that_nobody_has_seen_is_mentioned_with_the_rule() -> None:
    rule = "-A FORWARD -m recent --rcheck --name seen --rsource -j DROP"

    passage = forwarded(filter=rule)

    (mention,) = (hit for hit in passage.hits if hit.rule == rule)
    assert not mention.matched
    assert "who came lately is not known" in mention.effect


def test_a_limit_that_is_taken_to_hold_is_mentioned_with_the_rule() -> None:
    passage = forwarded(filter="-A FORWARD -m limit --limit 3/min -j DROP")

    assert "within its limit" in passage.hits[-1].effect


@pytest.mark.parametrize(
    ("mode", "chance"),
    [
        ("--mode random --probability 0.25", 0.25),
        ("--mode random ! --probability 0.25", 0.75),
        ("--mode nth --every 4 --packet 0", 0.25),
    ],
)
def test_chance_leads_both_ways(mode: str, chance: float) -> None:
    dropped, passed = router(filter=f"-A FORWARD -m statistic {mode} -j DROP").forward(
        PACKET, "lan"
    )

    assert (dropped.outcome, dropped.probability) == (Outcome.DROPPED, chance)
    assert (passed.outcome, passed.probability) == (None, 1 - chance)


def test_each_way_tells_of_its_own_rules_only() -> None:
    one, other = router(
        mangle="-A FORWARD -m statistic --mode random --probability 0.5 -j ACCEPT\n"
        "-A FORWARD -j MARK --set-mark 0x7"
    ).forward(PACKET, "lan")

    assert effects(one) == ["accept (with a chance of 0.5)", "accept"]
    assert effects(other) == ["mark 0x7", "accept"]


def effects(passage: Passage) -> list[str]:
    return [hit.effect for hit in passage.hits if hit.table != "routing"]


@pytest.mark.parametrize(
    ("target", "reject_with"),
    [
        ("REJECT", "icmp-port-unreachable"),
        ("REJECT --reject-with icmp-host-prohibited", "icmp-host-prohibited"),
        ("REJECT --reject-with host-prohib", "icmp-host-prohibited"),
        ("REJECT --reject-with tcp-reset", "tcp-reset"),
    ],
)
def test_a_rejected_packets_sender_is_told_how(target: str, reject_with: str) -> None:
    passage = forwarded(filter=f"-A FORWARD -p tcp -j {target}")

    assert passage.outcome is Outcome.REJECTED
    assert passage.reject_with == reject_with
    assert passage.hits[-1].effect == f"reject with {reject_with}"


def test_accept_ends_a_table_and_no_other() -> None:
    passage = forwarded(
        mangle="-A FORWARD -j ACCEPT\n-A FORWARD -j DROP",
        filter="-A FORWARD -j REJECT",
    )

    assert passage.outcome is Outcome.REJECTED


def test_a_policy_decides_at_the_end_of_a_built_in_chain() -> None:
    kernel = router()
    text = "*filter\n:FORWARD DROP [0:0]\n:MINE - [0:0]\n-A FORWARD -j MINE\nCOMMIT\n"
    (passage,) = replace(kernel, ruleset=Ruleset.parse(text)).forward(PACKET, "lan")

    assert passage.outcome is Outcome.DROPPED
    assert passage.hits[-1] == RuleHit(
        table="filter", chain="FORWARD", rule="policy DROP", line=2, effect="drop"
    )


def test_a_chain_that_decides_nothing_leads_back() -> None:
    passage = forwarded(
        filter="-A FORWARD -j MINE\n-A FORWARD -j DROP\n-A MINE -s 10.9.9.9 -j ACCEPT"
    )

    assert effects(passage) == ["jump to MINE", "drop"]


def test_return_leads_back_behind_the_jump() -> None:
    passage = forwarded(
        filter="-A FORWARD -j MINE\n-A FORWARD -j DROP\n-A MINE -j RETURN\n"
        "-A MINE -j ACCEPT"
    )

    assert effects(passage) == ["jump to MINE", "return", "drop"]


def test_return_from_a_built_in_chain_leads_to_its_policy() -> None:
    passage = forwarded(filter="-A FORWARD -j RETURN\n-A FORWARD -j DROP")

    assert effects(passage) == ["return", "accept"]


def test_goto_does_not_lead_back_to_where_it_was() -> None:
    passage = forwarded(
        filter="-A FORWARD -j ONE\n-A FORWARD -j REJECT\n"
        "-A ONE -g TWO\n-A ONE -j DROP\n-A TWO -s 10.9.9.9 -j DROP"
    )

    assert effects(passage) == [
        "jump to ONE",
        "go to TWO",
        "reject with icmp-port-unreachable",
    ]


@pytest.mark.parametrize("target", ["-j LOG --log-prefix -x", "-j TRACE", ""])
def test_a_rule_that_only_watches_leads_on(target: str) -> None:
    passage = forwarded(filter=f"-A FORWARD {target}\n-A FORWARD -j DROP")

    assert effects(passage) == ["go on", "drop"]


@pytest.mark.parametrize(
    ("target", "mark"),
    [
        ("--set-xmark 0x1/0x1", 0xF1),
        ("--set-xmark 0x1", 0x1),
        ("--set-xmark 0x30/0x10", 0xD0),
        ("--set-mark 0x30/0x10", 0xF0),
        ("--set-mark 0x7", 0x7),
        ("--and-mark 0x30", 0x30),
        ("--or-mark 0x5", 0xF5),
        ("--xor-mark 0x30", 0xC0),
    ],
)
def test_a_mark_is_set_bit_by_bit(target: str, mark: int) -> None:
    marked = replace(PACKET, mark=0xF0)

    passage = forwarded(marked, mangle=f"-A PREROUTING -j MARK {target}")

    assert passage.packet.mark == mark
    assert effects(passage)[0] == f"mark {mark:#x}"


def test_a_connection_remembers_a_mark_for_its_answers() -> None:
    kernel = router(
        mangle="-A PREROUTING -j CONNMARK --restore-mark --nfmask 0xf --ctmask 0xff\n"
        "-A FORWARD -m conntrack --ctstate NEW -j MARK --set-mark 0x25\n"
        "-A POSTROUTING -j CONNMARK --save-mark --nfmask 0xf --ctmask 0xf",
    )
    (question,) = kernel.forward(PACKET, "lan")

    (answer,) = kernel.forward(answer_to(question), "wan", answers=question)

    assert (question.packet.mark, question.connmark) == (0x25, 0x5)
    assert answer.packet.mark == 0x5


def answer_to(question: Passage) -> KernelPacket:
    sent = question.packet
    return KernelPacket(
        source=sent.destination,
        destination=sent.source,
        transport=sent.transport,
        sport=sent.dport,
        dport=sent.sport,
        ct_state=CtState.ESTABLISHED,
    )


def test_the_mark_of_a_connection_nobody_saw_begin_cannot_be_told() -> None:
    rules = "-A PREROUTING -j CONNMARK --restore-mark"

    assert forwarded(ANSWER, mangle=rules).outcome is Outcome.INCONCLUSIVE


def test_a_mark_that_is_overwritten_need_not_be_known() -> None:
    passage = forwarded(ANSWER, mangle="-A FORWARD -j CONNMARK --save-mark")

    assert (passage.outcome, passage.connmark) == (None, 0)


def test_what_is_not_tracked_is_not_translated() -> None:
    passage = forwarded(
        raw="-A PREROUTING -j CT --notrack",
        nat="-A PREROUTING -j DNAT --to-destination 10.2.0.99",
    )

    assert passage.packet.destination == PACKET.destination
    assert passage.packet.ct_state is CtState.UNTRACKED


@pytest.mark.parametrize(
    ("to", "destination", "dport"),
    [
        ("10.2.0.99", "10.2.0.99", 80),
        ("10.2.0.99:8080", "10.2.0.99", 8080),
        (":8080", "10.2.0.20", 8080),
        ("10.2.0.99:70-90", "10.2.0.99", 80),
        ("10.2.0.99:90-99", "10.2.0.99", None),
    ],
)
def test_dnat_gives_another_destination(
    to: str, destination: str, dport: int | None
) -> None:
    passage = forwarded(nat=f"-A PREROUTING -p tcp -j DNAT --to-destination {to}")

    assert str(passage.packet.destination) == destination
    assert passage.packet.dport == dport
    assert passage.packet.source == PACKET.source


def test_dnat_to_a_range_leads_to_each_of_its_addresses() -> None:
    passages = router(
        nat="-A PREROUTING -j DNAT --to-destination 10.2.0.90-10.2.0.92"
    ).forward(PACKET, "lan")

    assert {
        str(passage.packet.destination): passage.probability for passage in passages
    } == {f"10.2.0.{last}": pytest.approx(1 / 3) for last in (90, 91, 92)}


def test_a_range_of_half_the_internet_is_not_followed() -> None:
    rules = "-A PREROUTING -j DNAT --to-destination 1.0.0.0-128.0.0.0"

    assert forwarded(nat=rules).outcome is Outcome.INCONCLUSIVE


@pytest.mark.parametrize(
    ("to", "source", "sport"),
    [
        ("10.2.0.77", "10.2.0.77", 40000),
        ("10.2.0.77:1024-2000", "10.2.0.77", None),
        ("10.2.0.77 --random", "10.2.0.77", None),
    ],
)
def test_snat_gives_another_source(to: str, source: str, sport: int | None) -> None:
    passage = forwarded(nat=f"-A POSTROUTING -p tcp -j SNAT --to-source {to}")

    assert (str(passage.packet.source), passage.packet.sport) == (source, sport)
    assert passage.packet.destination == PACKET.destination


def test_masquerade_gives_the_address_of_the_way_out() -> None:
    passage = forwarded(nat="-A POSTROUTING -j MASQUERADE")

    assert passage.packet.source == IPv4Address("10.2.0.1")
    assert passage.hits[-1].effect == "snat to 10.2.0.1"


def test_redirect_leads_to_the_machine_itself() -> None:
    passage = forwarded(nat="-A PREROUTING -p tcp -j REDIRECT --to-ports 3128")

    assert passage.outcome is Outcome.DELIVERED
    assert str(passage.packet.destination) == "10.1.0.1"
    assert passage.packet.dport == 3128


def test_redirect_by_an_interface_without_address_drops() -> None:
    passage = forwarded(PACKET, "veth1", nat="-A PREROUTING -j REDIRECT")

    assert passage.outcome is Outcome.DROPPED
    assert "veth1 has no address" in passage.reason


def test_an_echo_request_has_no_port_to_translate() -> None:
    passage = forwarded(PING, nat="-A PREROUTING -j DNAT --to-destination 10.2.0.99:80")

    assert passage.packet.dport is None


def test_a_translated_connection_is_known_as_such() -> None:
    passage = forwarded(
        nat="-A PREROUTING -j DNAT --to-destination 10.2.0.99",
        filter="-A FORWARD -m conntrack --ctstate DNAT -j REJECT",
    )

    assert passage.outcome is Outcome.REJECTED


def test_a_translation_is_the_last_thing_its_table_does() -> None:
    passage = forwarded(
        nat="-A PREROUTING -j DNAT --to-destination 10.2.0.98\n"
        "-A PREROUTING -j DNAT --to-destination 10.2.0.99"
    )

    assert str(passage.packet.destination) == "10.2.0.98"


def test_a_target_that_is_not_understood_is_said_with_its_rule() -> None:
    passage = forwarded(mangle="-A PREROUTING -p tcp -j TPROXY --on-port 3128")

    assert passage.outcome is Outcome.INCONCLUSIVE
    assert passage.hits[-1].effect == "could not tell: -j TPROXY --on-port 3128"
