"""Hooks, routing and translation come in Linux's order, on the way in, out and back."""

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
    Ruleset,
)

ADDRESSES = """\
1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536
    inet 127.0.0.1/8 scope host lo
2: lan: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500
    inet 10.1.0.1/24 brd 10.1.0.255 scope global lan
    inet 10.1.0.2/24 brd 10.1.0.255 scope global secondary lan
3: wan: <BROADCAST,MULTICAST,UP,LOWER_UP> mtu 1500
    inet 10.2.0.1/24 brd 10.2.0.255 scope global wan
"""
ROUTES = """\
default via 10.2.0.9 dev wan
10.1.0.0/24 dev lan proto kernel scope link src 10.1.0.1
10.2.0.0/24 dev wan proto kernel scope link src 10.2.0.1
unreachable 10.9.0.0/24
prohibit 10.9.1.0/24
blackhole 10.9.2.0/24
"""
HOOKS = {
    "raw": ("PREROUTING", "OUTPUT"),
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
    "security": ("INPUT", "FORWARD", "OUTPUT"),
}


def packet(
    source: str = "10.1.0.7", destination: str = "8.8.8.8", **fields: object
) -> KernelPacket:
    udp = KernelPacket(
        source=IPv4Address(source),
        destination=IPv4Address(destination),
        transport=Transport.UDP,
        sport=40000,
        dport=53,
    )
    return replace(udp, **fields)  # type: ignore[arg-type]


def kernel(rules: str = "", routes: str = ROUTES, **settings: object) -> Kernel:
    """A router between lan and wan; rules as ``nat PREROUTING -j …``, a line each."""
    lines = [line.split(maxsplit=1) for line in rules.strip().splitlines()]
    text = ""
    for table, chains in HOOKS.items():
        declared = [f":{chain} ACCEPT [0:0]" for chain in chains]
        own = [f"-A {rule}" for name, rule in lines if name == table]
        text += "\n".join([f"*{table}", *declared, *own, "COMMIT\n"])
    router = Kernel(
        name="router",
        ruleset=Ruleset.parse(text),
        routes=Routes.parse(addresses=ADDRESSES, routes=routes),
    )
    return replace(router, **settings)  # type: ignore[arg-type]


def watching() -> str:
    """A rule in every chain of every table that does nothing but be seen."""
    return "\n".join(
        f"{table} {chain}" for table, chains in HOOKS.items() for chain in chains
    )


def seen(passage: Passage) -> list[str]:
    """The tables and chains that a packet went through, and where it was routed."""
    return [
        "routing" if hit.table == "routing" else f"{hit.table} {hit.chain}"
        for hit in passage.hits
        if not hit.rule.startswith("policy")
    ]


def forwarded(router: Kernel, came: KernelPacket, by: str = "lan") -> Passage:
    (passage,) = router.forward(came, by)
    return passage


def sent(router: Kernel, own: KernelPacket) -> Passage:
    (passage,) = router.send(own)
    return passage


def answer_to(question: Passage) -> KernelPacket:
    out = question.packet
    return packet(
        str(out.destination),
        str(out.source),
        sport=out.dport,
        dport=out.sport,
        ct_state=CtState.ESTABLISHED,
    )


def test_a_forwarded_packet_is_routed_before_it_is_filtered() -> None:
    passage = forwarded(kernel(watching()), packet())

    assert seen(passage) == [
        "raw PREROUTING",
        "mangle PREROUTING",
        "nat PREROUTING",
        "routing",
        "mangle FORWARD",
        "filter FORWARD",
        "security FORWARD",
        "mangle POSTROUTING",
        "nat POSTROUTING",
    ]
    assert passage.outcome is None
    assert passage.out_interface == "wan"
    assert passage.next_hop == IPv4Address("10.2.0.9")


def test_a_packet_to_the_machine_goes_through_input() -> None:
    passage = forwarded(kernel(watching()), packet(destination="10.2.0.1"))

    assert seen(passage) == [
        "raw PREROUTING",
        "mangle PREROUTING",
        "nat PREROUTING",
        "routing",
        "mangle INPUT",
        "filter INPUT",
        "security INPUT",
        "nat INPUT",
    ]
    assert passage.outcome is Outcome.DELIVERED
    assert (passage.out_interface, passage.next_hop) == (None, None)


def test_the_machines_own_packet_is_routed_first() -> None:
    passage = sent(kernel(watching()), packet("10.2.0.1"))

    assert seen(passage) == [
        "routing",
        "raw OUTPUT",
        "mangle OUTPUT",
        "nat OUTPUT",
        "filter OUTPUT",
        "security OUTPUT",
        "mangle POSTROUTING",
        "nat POSTROUTING",
    ]
    assert (passage.outcome, passage.out_interface) == (None, "wan")


def test_what_a_machine_sends_to_itself_comes_in_by_lo_and_is_translated_once() -> None:
    passage = sent(kernel(watching()), packet("10.2.0.1", "10.1.0.1"))

    assert seen(passage) == [
        "routing",
        "raw OUTPUT",
        "mangle OUTPUT",
        "nat OUTPUT",
        "filter OUTPUT",
        "security OUTPUT",
        "mangle POSTROUTING",
        "nat POSTROUTING",
        "raw PREROUTING",
        "mangle PREROUTING",
        "mangle INPUT",
        "filter INPUT",
        "security INPUT",
    ]
    assert passage.outcome is Outcome.DELIVERED


def test_what_comes_in_by_lo_can_be_told_from_what_comes_by_a_wire() -> None:
    router = kernel("filter INPUT -i lo -j ACCEPT\nfilter INPUT -j DROP")

    assert sent(router, packet("10.2.0.1", "10.1.0.1")).outcome is Outcome.DELIVERED
    assert forwarded(router, packet(destination="10.1.0.1")).outcome is Outcome.DROPPED


def test_a_packet_is_routed_to_where_it_was_translated_to() -> None:
    passage = forwarded(
        kernel("nat PREROUTING -j DNAT --to-destination 10.1.0.50:5353"),
        packet(destination="10.2.0.1"),
    )

    assert passage.out_interface == "lan"
    assert passage.next_hop is None
    assert str(passage.packet) == "udp 10.1.0.7:40000 > 10.1.0.50:5353"


def test_the_machines_own_packet_is_routed_again_when_it_is_translated() -> None:
    passage = sent(
        kernel("nat OUTPUT -j DNAT --to-destination 10.1.0.50"), packet("10.2.0.1")
    )

    assert passage.out_interface == "lan"
    assert seen(passage).count("routing") == 2


def test_rules_of_output_see_the_first_routes_interface() -> None:
    translating = "nat OUTPUT -j DNAT --to-destination 10.1.0.50\n"
    by_first = kernel(translating + "filter OUTPUT -o wan -j DROP")
    by_second = kernel(translating + "filter OUTPUT -o lan -j DROP")

    assert sent(by_first, packet("10.2.0.1")).outcome is Outcome.DROPPED
    assert sent(by_second, packet("10.2.0.1")).outcome is None


def test_the_machines_own_packet_may_be_translated_to_the_machine() -> None:
    passage = sent(kernel("nat OUTPUT -j REDIRECT --to-ports 5353"), packet("10.2.0.1"))

    assert passage.outcome is Outcome.DELIVERED
    assert str(passage.packet) == "udp 10.2.0.1:40000 > 127.0.0.1:5353"


def test_a_packet_may_leave_by_the_interface_it_came_by() -> None:
    passage = forwarded(kernel(), packet(destination="10.1.0.9"))

    assert (passage.outcome, passage.out_interface) == (None, "lan")


def test_the_way_in_is_not_known_after_routing_is_done() -> None:
    router = kernel("mangle POSTROUTING ! -i lan -j DROP")

    assert forwarded(router, packet()).outcome is Outcome.DROPPED


@pytest.mark.parametrize("destination", ["10.1.0.1", "10.1.0.2", "10.1.0.255"])
def test_a_machine_takes_what_is_for_its_addresses_and_broadcasts(
    destination: str,
) -> None:
    passage = forwarded(kernel(), packet(destination=destination))

    assert passage.outcome is Outcome.DELIVERED


@pytest.mark.parametrize(
    ("destination", "outcome", "reject_with"),
    [
        ("10.9.0.1", Outcome.REJECTED, "icmp-host-unreachable"),
        ("10.9.1.1", Outcome.REJECTED, "icmp-admin-prohibited"),
        ("10.9.2.1", Outcome.DROPPED, None),
    ],
)
def test_a_route_may_lead_nowhere(
    destination: str, outcome: Outcome, reject_with: str | None
) -> None:
    passage = forwarded(kernel(), packet(destination=destination))

    assert (passage.outcome, passage.reject_with) == (outcome, reject_with)
    assert passage.hits[-1].table == "routing"
    assert sent(kernel(), packet("10.2.0.1", destination)).outcome is Outcome.REJECTED


def test_without_a_route_the_sender_is_told() -> None:
    router = kernel(routes="10.1.0.0/24 dev lan scope link\n")

    passage = forwarded(router, packet())

    assert passage.outcome is Outcome.REJECTED
    assert passage.reject_with == "icmp-net-unreachable"
    assert passage.reason == "no route to 8.8.8.8"
    assert sent(router, packet("10.2.0.1")).reason == "no route to 8.8.8.8"


def test_a_machine_that_is_no_router_drops_what_is_for_others() -> None:
    host = kernel(is_router=False)

    assert forwarded(host, packet()).outcome is Outcome.DROPPED
    assert "ip_forward" in forwarded(host, packet()).reason
    assert forwarded(host, packet(destination="10.1.0.1")).outcome is Outcome.DELIVERED
    assert sent(host, packet("10.2.0.1")).outcome is None


@pytest.mark.parametrize(
    ("source", "destination"),
    [
        ("10.2.0.1", "8.8.8.8"),
        ("10.1.0.1", "10.2.0.1"),
        ("127.0.0.5", "8.8.8.8"),
        ("224.0.0.1", "8.8.8.8"),
        ("255.255.255.255", "8.8.8.8"),
        ("0.0.0.1", "8.8.8.8"),
        ("10.1.0.7", "0.0.0.1"),
    ],
)
def test_what_cannot_have_come_by_a_wire_is_dropped(
    source: str, destination: str
) -> None:
    passage = forwarded(kernel(), packet(source, destination))

    assert passage.outcome is Outcome.DROPPED
    assert "martian" in passage.reason
    assert passage.hits[-1].effect == passage.reason


def test_a_loopback_address_is_reached_through_a_wire_only_if_that_is_allowed() -> None:
    rules = "nat PREROUTING -j DNAT --to-destination 127.0.0.1"
    came, own = packet(destination="10.1.0.1"), packet("127.0.0.1")

    assert forwarded(kernel(rules), came).outcome is Outcome.DELIVERED
    assert sent(kernel(), own).outcome is None
    strict = kernel(rules, route_localnet=False)
    assert forwarded(strict, came).outcome is Outcome.DROPPED
    assert sent(strict, own).outcome is Outcome.REJECTED
    assert sent(strict, packet("127.0.0.1", "127.0.0.1")).outcome is Outcome.DELIVERED


@pytest.mark.parametrize(
    ("rp_filter", "source", "outcome"),
    [
        (0, "10.2.0.7", None),
        (1, "10.1.0.7", None),
        (1, "10.2.0.7", Outcome.DROPPED),
        (2, "10.2.0.7", None),
        (2, "10.9.0.7", Outcome.DROPPED),
    ],
)
def test_a_reverse_path_is_looked_for_if_the_machine_does(
    rp_filter: int, source: str, outcome: Outcome | None
) -> None:
    router = kernel(rp_filter=rp_filter)

    passage = forwarded(router, packet(source, "10.1.0.9"))

    assert passage.outcome is outcome


def test_a_reverse_path_is_looked_for_where_the_machine_itself_is_meant() -> None:
    passage = forwarded(kernel(rp_filter=1), packet("10.2.0.7", "10.1.0.1"))

    assert passage.outcome is Outcome.DROPPED
    assert "rp_filter is 1" in passage.reason


@pytest.mark.parametrize(
    ("destination", "outcome"),
    [
        ("224.0.0.1", Outcome.DELIVERED),
        ("239.1.1.1", Outcome.INCONCLUSIVE),
        ("255.255.255.255", Outcome.DELIVERED),
    ],
)
def test_a_packet_for_many_is_taken_if_that_can_be_told(
    destination: str, outcome: Outcome
) -> None:
    assert forwarded(kernel(), packet(destination=destination)).outcome is outcome


def test_who_has_no_address_yet_may_ask_for_one() -> None:
    passage = forwarded(kernel(rp_filter=1), packet("0.0.0.0", "255.255.255.255"))  # noqa: S104

    assert passage.outcome is Outcome.DELIVERED


def test_several_ways_of_a_route_share_its_packets() -> None:
    routes = """\
default metric 100
\tnexthop via 10.2.0.8 dev wan weight 3
\tnexthop via 10.1.0.8 dev lan weight 1
"""
    passages = kernel(routes=routes).forward(packet(), "lan")

    assert [(p.out_interface, p.probability) for p in passages] == [
        ("wan", 0.75),
        ("lan", 0.25),
    ]


def test_arp_is_nothing_that_a_kernel_routes() -> None:
    with pytest.raises(ValueError, match="no ARP"):
        packet(transport=Transport.ARP)


# Answers


def test_an_answer_is_not_shown_to_the_table_nat() -> None:
    passage = forwarded(
        kernel("nat PREROUTING -j DNAT --to-destination 10.1.0.50"),
        packet(ct_state=CtState.ESTABLISHED),
    )

    assert str(passage.packet.destination) == "8.8.8.8"


@pytest.mark.parametrize("state", [CtState.INVALID, CtState.UNTRACKED])
def test_what_belongs_to_no_connection_is_not_shown_to_it_either(
    state: CtState,
) -> None:
    passage = forwarded(kernel("nat POSTROUTING -j MASQUERADE"), packet(ct_state=state))

    assert str(passage.packet.source) == "10.1.0.7"


def test_an_error_goes_with_its_connection_but_a_related_one_begins_its_own() -> None:
    router = kernel("nat POSTROUTING -j MASQUERADE")
    related = packet(ct_state=CtState.RELATED)

    assert str(forwarded(router, related).packet.source) == "10.2.0.1"
    error = replace(related, transport=Transport.ICMP, sport=None, dport=None)
    assert str(forwarded(router, error).packet.source) == "10.1.0.7"


TRANSLATING = """\
nat PREROUTING -p udp -j DNAT --to-destination 10.2.0.50:5353
nat POSTROUTING -j MASQUERADE
"""


def test_an_answer_is_led_back_by_undoing_both_translations() -> None:
    question = forwarded(kernel(TRANSLATING), packet(destination="10.1.0.2"))

    back = question.reply(answer_to(question))

    assert str(question.packet) == "udp 10.2.0.1:40000 > 10.2.0.50:5353"
    assert str(back) == "udp 10.1.0.2:53 > 10.1.0.7:40000"
    assert back.ct_state is CtState.ESTABLISHED


def test_an_answer_is_filtered_on_its_way_to_who_asked_with_its_own_source() -> None:
    router = kernel(
        TRANSLATING
        + "filter FORWARD -s 10.2.0.50 -d 10.1.0.7 -p udp --sport 5353 -j ACCEPT\n"
        "filter FORWARD -m conntrack --ctstate ESTABLISHED -j DROP"
    )
    question = forwarded(router, packet(destination="10.1.0.2"))

    (answer,) = router.forward(answer_to(question), "wan", answers=question)

    assert (answer.outcome, answer.out_interface) == (None, "lan")
    assert str(answer.packet) == "udp 10.1.0.2:53 > 10.1.0.7:40000"
    assert [hit.effect for hit in answer.hits if hit.table == "conntrack"] == [
        "destination back to 10.1.0.7",
        "source back to 10.1.0.2",
    ]


def test_the_answer_of_the_machine_itself_is_undone_as_well() -> None:
    router = kernel("nat PREROUTING -j REDIRECT --to-ports 5353")
    question = forwarded(router, packet())

    (answer,) = router.send(answer_to(question), answers=question)

    assert str(question.packet) == "udp 10.1.0.7:40000 > 10.1.0.1:5353"
    assert str(answer.packet) == "udp 8.8.8.8:53 > 10.1.0.7:40000"
    assert answer.out_interface == "lan"


def test_the_answer_to_the_machines_own_question_comes_to_where_it_was_asked() -> None:
    router = kernel("nat OUTPUT -j DNAT --to-destination 10.1.0.50\n" + TRANSLATING)
    question = sent(router, packet("10.2.0.1"))

    (answer,) = router.forward(answer_to(question), "lan", answers=question)

    assert str(question.packet) == "udp 10.1.0.1:40000 > 10.1.0.50:53"
    assert answer.outcome is Outcome.DELIVERED
    assert str(answer.packet) == "udp 8.8.8.8:53 > 10.2.0.1:40000"


def test_a_port_alone_may_be_translated_and_undone() -> None:
    router = kernel("nat PREROUTING -p udp -j DNAT --to-destination :5353")
    question = forwarded(router, packet())

    (answer,) = router.forward(answer_to(question), "wan", answers=question)

    assert str(answer.packet) == "udp 8.8.8.8:53 > 10.1.0.7:40000"


def test_an_answer_that_is_not_tracked_is_not_led_back() -> None:
    router = kernel(TRANSLATING + "raw PREROUTING -i wan -j NOTRACK")
    question = forwarded(router, packet(destination="10.1.0.2"))

    (answer,) = router.forward(answer_to(question), "wan", answers=question)

    assert answer.outcome is Outcome.DELIVERED
    assert str(answer.packet.source) == "10.2.0.50"


def test_nothing_is_an_answer_to_what_is_not_tracked() -> None:
    question = forwarded(kernel("raw PREROUTING -j NOTRACK"), packet())
    stray = replace(answer_to(question), ct_state=CtState.NEW)

    assert question.reply(stray) == stray


@pytest.mark.parametrize(
    "other",
    [
        {"source": IPv4Address("10.2.0.51")},
        {"destination": IPv4Address("10.2.0.2")},
        {"sport": 5354},
        {"dport": 40001},
        {"transport": Transport.TCP},
    ],
)
def test_what_answers_something_else_stays_as_it_is(other: dict[str, object]) -> None:
    router = kernel(TRANSLATING)
    question = forwarded(router, packet(destination="10.1.0.2"))
    stray = replace(answer_to(question), **other)  # type: ignore[arg-type]

    assert question.reply(stray) == stray
    (passage,) = router.forward(stray, "wan", answers=question)
    assert passage.packet.source == stray.source


def test_an_answer_to_a_port_nobody_noted_keeps_its_own() -> None:
    question = forwarded(
        kernel(TRANSLATING), packet(destination="10.1.0.2", sport=None)
    )

    back = question.reply(replace(answer_to(question), dport=40009))

    assert str(back) == "udp 10.1.0.2:53 > 10.1.0.7:40009"


def test_a_source_port_may_be_translated_and_undone() -> None:
    router = kernel("nat POSTROUTING -p udp -j SNAT --to-source 10.2.0.1:5000")
    question = forwarded(router, packet())

    (answer,) = router.forward(answer_to(question), "wan", answers=question)

    assert str(question.packet) == "udp 10.2.0.1:5000 > 8.8.8.8:53"
    assert str(answer.packet) == "udp 8.8.8.8:53 > 10.1.0.7:40000"


def test_masquerade_prefers_an_address_that_the_gateway_knows() -> None:
    addresses = """\
1: lan: <UP> mtu 1500
    inet 10.1.0.1/24 scope global lan
2: wan: <UP> mtu 1500
    inet 10.2.0.1/24 scope global wan
    inet 10.3.0.1/24 scope global wan
"""
    routes = Routes.parse(addresses=addresses, routes="default via 10.3.0.9 dev wan\n")
    router = replace(kernel("nat POSTROUTING -j MASQUERADE"), routes=routes)

    assert str(forwarded(router, packet()).packet.source) == "10.3.0.1"


def test_what_was_never_translated_is_no_other_by_being_led_back() -> None:
    question = forwarded(kernel(), packet())

    back = question.reply(answer_to(question))

    assert str(back) == "udp 8.8.8.8:53 > 10.1.0.7:40000"


# Texts


def test_a_hit_says_where_it_was_and_what_it_did() -> None:
    passage = forwarded(kernel("filter FORWARD -p udp -j DROP"), packet())

    assert [str(hit) for hit in passage.hits] == [
        "routing main: default via 10.2.0.9 dev wan: out of wan",
        "filter, line 22: -A FORWARD -p udp -j DROP: drop",
    ]
    assert passage.reason == "by rule -A FORWARD -p udp -j DROP"


def test_a_policy_and_a_martian_are_hits_as_well() -> None:
    passed = forwarded(kernel(), packet())
    martian = forwarded(kernel(), packet("10.2.0.1"))

    assert str(passed.hits[-1]) == "filter FORWARD, line 20: policy ACCEPT: accept"
    assert str(martian.hits[-1]) == "routing: martian: 10.2.0.1 is this machine's own"


@pytest.mark.parametrize(
    ("came", "text"),
    [
        (packet(), "udp 10.1.0.7:40000 > 8.8.8.8:53"),
        (packet(sport=None, dport=None), "udp 10.1.0.7:* > 8.8.8.8:*"),
        (
            packet(transport=Transport.ICMP, sport=None, dport=None),
            "icmp 10.1.0.7 > 8.8.8.8",
        ),
    ],
)
def test_a_packets_text_is_what_is_known_of_it(came: KernelPacket, text: str) -> None:
    assert str(came) == text


def test_what_comes_round_by_lo_is_tracked_as_it_was_sent() -> None:
    """Linux net/netfilter/xt_CT.c: what was seen before is let be."""
    router = kernel(
        "raw PREROUTING -j CT --notrack\n"
        "filter INPUT -m conntrack --ctstate NEW -j ACCEPT\n"
        "filter INPUT -j DROP"
    )

    (own,) = router.send(packet("10.1.0.1", "10.2.0.1"))
    (others,) = router.forward(packet(destination="10.2.0.1"), "lan")

    assert own.outcome is Outcome.DELIVERED
    assert others.outcome is Outcome.DROPPED


@pytest.mark.parametrize("match", ["--mark 0x0", "! --mark 0x5"])
def test_what_is_not_tracked_has_no_connection_whose_mark_could_match(
    match: str,
) -> None:
    router = kernel(
        "raw PREROUTING -j CT --notrack\n"
        "mangle PREROUTING -j CONNMARK --set-mark 0x5\n"
        f"filter FORWARD -m connmark {match} -j DROP"
    )

    (passage,) = router.forward(packet(), "lan")

    assert passage.outcome is None
    assert passage.connmark == 0
