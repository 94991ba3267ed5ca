"""Random rules do in a real kernel what is read from their text.

The gateway is the kernel: nothing else uses its iptables. Packets are put on the wires
beside it, or sent by itself; every rule that counted a packet, and the packet as it
leaves, must be those of one of the ways that it was said to take. Addresses around it
are nobody's, with neighbours that never answer, so that nothing comes back uncalled.
"""

from __future__ import annotations

import contextlib
import select
import socket
import time
from collections import Counter
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Address
from itertools import cycle
from typing import TYPE_CHECKING, NamedTuple

import pytest
from hypothesis import HealthCheck, Phase, given, note, settings
from hypothesis import strategies as st
from scapy.layers.inet import ICMP, IP, TCP, UDP
from scapy.layers.l2 import Ether

from testbed.emulation import machines
from testbed.emulation.machines import Kind
from testbed.model import Outcome, Transport
from testbed.netfilter import CtState, Kernel, KernelPacket, Routes, Ruleset
from testbed.process import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from scapy.packet import Packet

    from testbed.emulation.machines import Machine
    from testbed.netfilter import Passage, Rule
    from testbed.probe import LiveCluster, Tap

NOBODY = "02:00:00:00:00:01"
INSIDE = ("172.16.1.141", "172.16.1.142", "172.16.1.143")
OUTSIDE = ("198.51.100.141", "198.51.100.142", "198.51.100.143")
OWN = ("172.16.1.253", "198.51.100.254")
FAR = "203.0.113.9"
"""Where no route leads."""
PORTS = (53, 80, 443, 5000)
BRIDGED = "net.bridge.bridge-nf-call-iptables"
"""Where it is 1, as in every new namespace, external0 is no interface like others."""
CONTROL_PORT = 65000
TIMEOUT = 3.0
ETH_P_ALL = 3
ECHO_REPLY = 0
OWN_ICMP = frozenset({ECHO_REPLY, 3, 5})
"""What a kernel sends by itself: answers, errors, and hints to a better way."""

CHAINS = {
    "raw": ("PREROUTING", "OUTPUT"),
    "mangle": ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING"),
    "nat": ("PREROUTING", "INPUT", "OUTPUT", "POSTROUTING"),
    "filter": ("INPUT", "FORWARD", "OUTPUT"),
}
USER_CHAINS = ("u1", "u2", "u3")
EMPTY = "".join(
    "\n".join([f"*{table}", *(f":{chain} ACCEPT" for chain in chains), "COMMIT\n"])
    for table, chains in CHAINS.items()
)
ANSWERS = (
    "-p icmp -m icmp --icmp-type 3 -j ACCEPT",
    "-p icmp -m icmp --icmp-type 5 -j ACCEPT",
    "-p icmp -m icmp --icmp-type 0 -j ACCEPT",
    "-p tcp -m tcp --tcp-flags RST RST -j ACCEPT",
)
"""The kernel's own answers pass here, so that they count nowhere else."""
CONTROL = f"-A PREROUTING -p udp -m udp --dport {CONTROL_PORT} -j DROP"
"""Behind what was sent before on the same wire, this counts what was sent last."""
TRACKING = "-A FORWARD -s 192.0.2.1/32 -m conntrack --ctstate NEW -j DROP"
"""Matches nothing; Linux tracks no connection before a rule asks about one."""

NETWORKS = (
    "172.16.1.0/24",
    "172.16.1.141",
    "198.51.100.0/24",
    "198.51.100.142/31",
    "198.51.0.141/255.255.0.255",
    "172.16.1.253",
    "127.0.0.0/8",
)
PROTOCOLS = (
    "-p udp",
    "! -p udp",
    "-p 17",
    "-p sctp",
    "-p vrrp",
    "-p icmp",
    "-p icmp -m icmp --icmp-type 8",
    "-p icmp -m icmp ! --icmp-type 8",
    "-p tcp",
    "-p tcp -m tcp --syn",
    "-p tcp -m tcp --tcp-flags SYN,ACK,FIN SYN,ACK",
    "-p tcp -m tcp ! --dport 443",
    "-p udp -m udp --dport 53:443",
    "-p udp -m udp --dport 5000",
    "-p udp -m udp --sport 1024:65535",
    "-p udp -m udp ! --sport :1023",
    "-p tcp -m multiport --dports 53,80:90",
    "-p udp -m multiport ! --dports 53,80",
    "-p udp -m multiport --ports 53,40000:50000",
)
OTHERS = (
    '-m comment --comment "\\"quoted\\" -j DROP"',
    "-m mark --mark 0x1/0x1",
    "-m mark ! --mark 0x0/0x3",
    "-m mark --mark 0x5",
    "-m addrtype --dst-type LOCAL",
    "-m addrtype ! --dst-type LOCAL",
    "-m addrtype --src-type UNICAST",
    "-m addrtype --dst-type BROADCAST,LOCAL",
    "-m limit --limit 1000/sec --limit-burst 1000",
    "-m recent --rcheck --name nobody --rsource",
    "-m iprange --src-range 172.16.1.140-172.16.1.142",
    "-m statistic --mode random --probability 0.5",
)
STATES = (
    "-m conntrack --ctstate NEW",
    "-m conntrack ! --ctstate NEW,UNTRACKED",
    "-m conntrack --ctstate RELATED,ESTABLISHED",
    "-m state --state ESTABLISHED",
    "-m conntrack --ctstate DNAT",
    "-m conntrack ! --ctstate SNAT",
    "-m connmark --mark 0x1/0x1",
)
INTERFACES = ("eth0", "external0", "lo", "ext+", "+")
MARKS = ("--set-xmark 0x1/0x1", "--set-mark 0x5", "--and-mark 0xe", "--xor-mark 0x3")
TARGETS = {
    "raw": ("-j CT --notrack", "-j MARK --set-xmark 0x1/0x1", "-j ACCEPT"),
    "mangle": (
        *(f"-j MARK {mark}" for mark in MARKS),
        "-j CONNMARK --save-mark",
        "-j CONNMARK --restore-mark --nfmask 0xf --ctmask 0xf",
        "-j CONNMARK --set-xmark 0x1/0x1",
        "-j ACCEPT",
        "-j DROP",
    ),
    "nat": ("-j ACCEPT", "-j MARK --set-xmark 0x1/0x1"),
    "filter": (
        "-j ACCEPT",
        "-j DROP",
        "-j REJECT --reject-with icmp-host-prohibited",
        "-p tcp -j REJECT --reject-with tcp-reset",
    ),
}
DESTINATIONS = tuple(f"-j DNAT --to-destination {ip}" for ip in (*INSIDE, *OWN))
TRANSLATING = {
    "PREROUTING": (
        *DESTINATIONS,
        "-p udp -j DNAT --to-destination 198.51.100.142:5000",
        "-p udp -j DNAT --to-destination :80",
        "-j DNAT --to-destination 172.16.1.141-172.16.1.143",
        "-p tcp -j REDIRECT --to-ports 5000",
        "-j REDIRECT",
    ),
    "OUTPUT": (
        *DESTINATIONS,
        "-p udp -j DNAT --to-destination 198.51.100.142:5000",
        "-j REDIRECT",
    ),
    "INPUT": ("-j SNAT --to-source 172.16.1.143",),
    "POSTROUTING": (
        "-j MASQUERADE",
        "-j SNAT --to-source 198.51.100.143",
        "-p udp -j SNAT --to-source 172.16.1.143:1024-2000",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """A packet to send: on a wire of the gateway's, or by itself."""

    by: str
    source: str
    destination: str
    transport: Transport
    dport: int | None


@st.composite
def rules(draw: st.DrawFn, table: str, chain: str, below: Sequence[str]) -> str:
    """A rule for a chain, which may lead to the chains below it."""
    parts = []
    for side in ("-s", "-d"):
        if draw(st.integers(0, 3)) == 0:
            negation = draw(st.sampled_from(["", "", "! "]))
            parts.append(f"{negation}{side} {draw(st.sampled_from(NETWORKS))}")
    if chain in ("PREROUTING", "INPUT", "FORWARD") and draw(st.integers(0, 4)) == 0:
        negation = draw(st.sampled_from(["", "! "]))
        parts.append(f"{negation}-i {draw(st.sampled_from(INTERFACES))}")
    if chain in ("OUTPUT", "FORWARD", "POSTROUTING") and draw(st.integers(0, 4)) == 0:
        negation = draw(st.sampled_from(["", "! "]))
        parts.append(f"{negation}-o {draw(st.sampled_from(INTERFACES))}")
    known = OTHERS if table == "raw" else (*OTHERS, *STATES)
    parts += draw(st.lists(st.sampled_from(known), max_size=1))
    targets = [*TARGETS[table], "-j RETURN", "", *(f"-j {name}" for name in below)]
    targets += [f"-g {name}" for name in below]
    if table == "nat":
        targets += TRANSLATING.get(chain, ())
    target = draw(st.sampled_from(targets))
    if not target.startswith("-p"):
        parts += draw(st.lists(st.sampled_from(PROTOCOLS), max_size=1))
    return " ".join(["-A", chain, *parts, target]).rstrip()


@st.composite
def rulesets(draw: st.DrawFn) -> str:
    """All tables, as input of iptables-restore."""
    lines: list[str] = []
    for table, built_in in CHAINS.items():
        lines.append(f"*{table}")
        for chain in built_in:
            drops = table == "filter" and draw(st.integers(0, 5)) == 0
            lines.append(f":{chain} {'DROP' if drops else 'ACCEPT'} [0:0]")
        lines += [f":{chain} - [0:0]" for chain in USER_CHAINS]
        lines += {"raw": [CONTROL], "filter": [TRACKING]}.get(table, [])
        for chain in built_in:
            if table != "nat" or chain in ("OUTPUT", "POSTROUTING"):
                lines += [f"-A {chain} {answer}" for answer in ANSWERS]
        for chain in (*built_in, *USER_CHAINS):
            is_own = chain in USER_CHAINS
            first = USER_CHAINS.index(chain) + 1 if is_own else 0
            below = USER_CHAINS[first:]  # no chain leads back to itself
            lines += draw(st.lists(rules(table, chain, below), max_size=4))
        lines.append("COMMIT")
    return "\n".join(lines) + "\n"


@st.composite
def asks(draw: st.DrawFn) -> Ask:
    """A packet from either side or from the gateway itself, to anywhere."""
    by = draw(st.sampled_from(["eth0", "external0", ""]))
    transports = (
        [Transport.UDP, Transport.TCP, Transport.ICMP] if by else [Transport.UDP]
    )
    transport = draw(st.sampled_from(transports))
    sources = {"eth0": (*INSIDE, OWN[1]), "external0": (*OUTSIDE, INSIDE[0]), "": OWN}[
        by
    ]
    local = () if by else ("127.0.0.1",)
    return Ask(
        by=by,
        source=draw(st.sampled_from(sources)),
        destination=draw(st.sampled_from((*INSIDE, *OUTSIDE, *OWN, FAR, *local))),
        transport=transport,
        dport=None if transport is Transport.ICMP else draw(st.sampled_from(PORTS)),
    )


class Left(NamedTuple):
    """A packet as it leaves the gateway; ports are ``None`` where it has none."""

    interface: str | None
    source: str
    destination: str
    sport: int | None
    dport: int | None

    def is_like(self, other: Left) -> bool:
        """The same, where nobody said which port the kernel would choose."""
        return self[:3] == other[:3] and all(
            mine is None or mine == seen
            for mine, seen in zip(self[3:], other[3:], strict=True)
        )


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Router:
    """The gateway, the wires beside it, and its own end of them."""

    machine: Machine
    routes: Routes
    rp_filter: int
    wires: dict[str, Tap]
    ends: dict[str, socket.socket]
    numbers: Iterator[int]

    def load(self, text: str) -> None:
        self.machine.run("iptables-restore", stdin=text)

    def kernel(self) -> Kernel:
        return Kernel(
            name=self.machine.name,
            ruleset=Ruleset.parse(self.machine.run("iptables-save", "-c")),
            routes=self.routes,
            rp_filter=self.rp_filter,
            route_localnet=False,
        )

    def put(self, packet: Packet, by: str, before: Kernel) -> None:
        """Put a packet on a wire, and wait until the gateway is through with it."""
        address = self.ends[by].getsockname()[4].hex(":")
        control = IP(src="192.0.2.1", dst="192.0.2.2") / UDP(dport=CONTROL_PORT)
        for each in (packet, control):
            frame = Ether(src=NOBODY, dst=address) / each
            self.wires[by].socket.send(bytes(frame))
        wait_until(
            lambda: controls(self.kernel()) > controls(before),
            timeout=TIMEOUT,
            what="the gateway has counted a control packet",
        )

    def speak(self, packet: KernelPacket) -> None:
        """Have the gateway itself send a datagram; it may not be let to."""

        def speak() -> None:
            with socket.socket(type=socket.SOCK_DGRAM) as speaking:
                speaking.bind((str(packet.source), packet.sport))
                with contextlib.suppress(OSError):
                    speaking.sendto(b"", (str(packet.destination), packet.dport))

        self.machine.call(speak)

    def left(self, ignored: frozenset[int]) -> list[Left]:
        """What left since it was last asked, but for these types of ICMP and resets."""
        found = []
        for interface, end in self.ends.items():
            while select.select([end], [], [], 0)[0]:
                data, address = end.recvfrom(1 << 11)
                frame = Ether(data)
                if address[2] != socket.PACKET_OUTGOING or IP not in frame:
                    continue
                ip = frame[IP]
                is_reset = TCP in frame and "R" in str(frame[TCP].flags)
                if is_reset or (ICMP in frame and frame[ICMP].type in ignored):
                    continue
                sport, dport = (
                    getattr(ip.payload, n, None) for n in ("sport", "dport")
                )
                found.append(Left(interface, ip.src, ip.dst, sport, dport))
        return found

    def assert_went(
        self, before: Kernel, passages: Sequence[Passage], ignored: frozenset[int]
    ) -> Passage | None:
        """The passage that a packet took; ``None`` where it could not be told.

        Two processors may take the packet and its control the other way round.
        """
        seen: list[Left] = []
        counted: Counter[tuple[str, int]] = Counter()
        deadline = time.monotonic() + TIMEOUT
        while time.monotonic() < deadline:
            seen += self.left(ignored)
            counted = counters(self.kernel()) - counters(before)
            for passage in passages:
                if counted == hits(passage) and is_like(leaving(passage), seen):
                    return passage
            if any(passage.outcome is Outcome.INCONCLUSIVE for passage in passages):
                return None
        lines = {(rule.table, rule.line): rule for rule in before.ruleset.rules}
        story = [f"{lines[key].text} ({times})" for key, times in counted.items()]
        said = [[passage.reason, *map(str, passage.hits)] for passage in passages]
        pytest.fail(f"counted: {story}\nleft: {seen}\nsaid: {said}")


def leaving(passage: Passage) -> list[Left]:
    packet = passage.packet
    if passage.outcome is not None:
        return []
    return [
        Left(
            passage.out_interface,
            str(packet.source),
            str(packet.destination),
            packet.sport,
            packet.dport,
        )
    ]


def is_like(said: Sequence[Left], seen: Sequence[Left]) -> bool:
    return len(said) == len(seen) and all(map(Left.is_like, said, seen))


def counters(kernel: Kernel) -> Counter[tuple[str, int]]:
    """What rules have counted of packets that are under test."""
    return Counter(
        {
            (rule.table, rule.line): rule.counters[0]
            for rule in kernel.ruleset.rules
            if rule.counters and not is_scaffold(rule)
        }
    )


def controls(kernel: Kernel) -> int:
    (rule,) = (rule for rule in kernel.ruleset.rules if rule.text == CONTROL)
    return rule.counters[0] if rule.counters else 0


def is_scaffold(rule: Rule) -> bool:
    """Whether it is no rule under test, or one that counts by chance alone."""
    watches_by_chance = rule.chance < 1 and str(rule.target) == "go on"
    return rule.text == CONTROL or rule.text.endswith(ANSWERS) or watches_by_chance


def hits(passage: Passage) -> Counter[tuple[str, int]]:
    """What rules are said to count of a packet."""
    return Counter(
        (hit.table, hit.line)
        for hit in passage.hits
        if hit.matched
        and hit.line is not None
        and hit.rule.startswith("-A")
        and not hit.rule.endswith(ANSWERS)
    )


@pytest.fixture(scope="module")
def numbers() -> Iterator[int]:
    """Ports that no connection has had for long."""
    return cycle(range(33000, 60000))


@pytest.fixture
def router(cluster: LiveCluster, numbers: Iterator[int]) -> Iterator[Router]:
    (machine,) = (m for m in machines.load() if m.kind is Kind.GATEWAY)
    neighbours = [
        *((ip, "eth0") for ip in INSIDE),
        *((ip, "external0") for ip in OUTSIDE),
    ]
    with contextlib.ExitStack() as stack:
        machine.write_sysctls({BRIDGED: "0"})
        stack.callback(machine.write_sysctls, {BRIDGED: "1"})
        machine.run("ip", "link", "set", "lo", "up")
        stack.callback(machine.run, "ip", "link", "set", "lo", "down")
        for ip, interface in neighbours:
            where = (ip, "dev", interface)
            nobody = ("lladdr", NOBODY, "nud", "permanent")
            machine.run("ip", "neigh", "replace", *where, *nobody)
            stack.callback(machine.run, "ip", "neigh", "del", *where)
        stack.callback(machine.run, "iptables-restore", stdin=EMPTY)
        yield Router(
            machine=machine,
            routes=Routes.parse(
                addresses=machine.run("ip", "-json", "address"),
                routes=machine.run("ip", "-json", "route", "show", "table", "all"),
            ),
            rp_filter=max(
                int(machine.run("cat", f"/proc/sys/net/ipv4/conf/{name}/rp_filter"))
                for name in ("all", "eth0", "external0")
            ),
            wires={"eth0": cluster.rogue.tap, "external0": cluster.external.tap},
            ends={
                name: stack.enter_context(machine.call(partial(packet_socket, name)))
                for name in ("eth0", "external0")
            },
            numbers=numbers,
        )


def packet_socket(interface: str) -> socket.socket:
    end = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_ALL))
    end.bind((interface, ETH_P_ALL))
    return end


def frame_of(packet: KernelPacket, identifier: int) -> Packet:
    ip = IP(src=str(packet.source), dst=str(packet.destination))
    is_question = packet.ct_state is CtState.NEW
    match packet.transport:
        case Transport.ICMP:
            return ip / ICMP(type=packet.icmp_type, id=identifier)
        case Transport.TCP:
            flags = "S" if is_question else "SA"
            return ip / TCP(sport=packet.sport, dport=packet.dport, flags=flags)
        case _:
            return ip / UDP(sport=packet.sport, dport=packet.dport)


@settings(
    max_examples=25,
    deadline=None,
    # Each step of shrinking would wait for what does not come; the rules are few.
    phases=(Phase.explicit, Phase.reuse, Phase.generate),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(text=rulesets(), questions=st.lists(asks(), min_size=3, max_size=8))
def test_packets_hit_the_rules_that_are_said_and_leave_as_said(
    router: Router, text: str, questions: list[Ask]
) -> None:
    note(text)
    router.load(text)
    for question in questions:
        note(str(question))
        number = next(router.numbers)
        has_ports = question.dport is not None
        packet = KernelPacket(
            source=IPv4Address(question.source),
            destination=IPv4Address(question.destination),
            transport=question.transport,
            sport=number if has_ports else None,
            dport=question.dport,
        )
        before = router.kernel()
        if question.by:
            router.put(frame_of(packet, number), question.by, before)
            passages = before.forward(packet, question.by)
        else:
            router.speak(packet)
            passages = before.send(packet)
        passage = router.assert_went(before, passages, OWN_ICMP)
        if passage is not None and passage.outcome is None:
            assert_is_answered_as_said(router, passage, number)


def assert_is_answered_as_said(router: Router, question: Passage, number: int) -> None:
    """Whoever the packet was led to answers it; untracked, it begins another."""
    sent, by = question.packet, question.out_interface
    is_tracked = sent.ct_state is not CtState.UNTRACKED
    has_ports = sent.transport is not Transport.ICMP
    if by is None or not is_tracked or (has_ports and None in (sent.sport, sent.dport)):
        return
    answer = KernelPacket(
        source=sent.destination,
        destination=sent.source,
        transport=sent.transport,
        sport=sent.dport,
        dport=sent.sport,
        ct_state=CtState.ESTABLISHED,
    )
    before = router.kernel()
    router.put(frame_of(answer, number), by, before)
    passages = before.forward(answer, by, answers=question)
    router.assert_went(before, passages, OWN_ICMP - {ECHO_REPLY})
