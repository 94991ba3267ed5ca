"""Which lines of a collection ``iptables-restore`` gets to read, and which it never."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.replay.rules import read_rules, text_of

GOLDEN = Path(__file__).parents[1] / "golden" / "services.iptables"


def saved(rule: str) -> str:
    return f"*filter\n:INPUT ACCEPT [0:0]\n{rule}\nCOMMIT\n"


def test_what_a_node_of_3_11_has_is_read_back_whole() -> None:
    found = read_rules(GOLDEN.read_text(), "rules")

    assert text_of(found.tables) == GOLDEN.read_text()
    assert found.remarks == ()


@pytest.mark.parametrize(
    "rule",
    [
        "-A INPUT -s 10.0.0.0/8 ! -i lo -p tcp -m tcp --dport 22 -j ACCEPT",
        '-A INPUT -m comment --comment "say \\"no\\" to a/b" -j REJECT',
        "-A INPUT -m statistic --mode random --probability 0.5 -j DROP",
        "-A INPUT -m mark --mark 0x1/0x1 -j MARK --set-xmark 0x0/0xffffffff",
        "-A INPUT -f -j DROP",
        "-A INPUT -m owner --gid-owner 0 -g OTHER",
        "-A INPUT -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss 1300",
    ],
)
def test_a_saved_rule_is_taken(rule: str) -> None:
    found = read_rules(saved(rule))

    assert [item.text for item in found.tables["filter"].rules] == [rule]
    assert found.remarks == ()


@pytest.mark.parametrize(
    "rule",
    [
        "-A INPUT --modprobe=/tmp/x -m nothing -j ACCEPT",
        "-A INPUT --modp /tmp/x -m nothing",
        "-A INPUT -M /tmp/x -m nothing",
        "-A INPUT -M/tmp/x -m nothing",
        "-A INPUT -4M/tmp/x -m nothing",
        "-A INPUT -vM/tmp/x -m nothing",
        "-A INPUT -s --comment -M/tmp/x -m nothing",
        '-A INPUT -s "--comment" "-M/tmp/x" -m nothing',
        '-A INPUT -m comment --comment "-M/tmp/x"',
        "-A INPUT -m ../../../tmp/x",
        "-A INPUT -j ../../../tmp/x",
        "-A INPUT --match=../../../tmp/x",
        "-A INPUT --j x/y",
        "-A INPUT -t nat -j ACCEPT",
        "-A INPUT -A OUTPUT -j ACCEPT",
        "-A INPUT -D OUTPUT 1",
        "-A INPUT -F",
        "-A INPUT -m comment --comment \x1b[2J",
        '-A INPUT -m comment --comment "open',
        "-A INPUT\t-M/tmp/x",
        "-A INPUT -s\xa0-M/tmp/x",
        "-I INPUT -j ACCEPT",
        "-P INPUT DROP",
        "-N OTHER",
        "INPUT -j ACCEPT",
    ],
)
def test_what_no_iptables_save_prints_is_left_out_and_told(rule: str) -> None:
    found = read_rules(saved(rule), "nodes/oc-03/iptables")

    assert found.tables["filter"].rules == []
    (remark,) = found.remarks
    assert remark.startswith("nodes/oc-03/iptables:3: left out: ")
    assert remark.isprintable()


@pytest.mark.parametrize(
    "text",
    ["*broute\n", "-A INPUT -j ACCEPT\n", ":INPUT ACCEPT [0:0]\n", "ip6tables\n"],
)
def test_what_is_in_no_table_is_left_out_and_told(text: str) -> None:
    found = read_rules(text, "rules")

    assert not found.tables
    assert len(found.remarks) == 1


def test_counters_are_not_restored() -> None:
    found = read_rules(
        "*filter\n:INPUT DROP [7:99]\n[3:180] -A INPUT -j DROP\nCOMMIT\n"
    )

    assert text_of(found.tables) == (
        "*filter\n:INPUT DROP [0:0]\n-A INPUT -j DROP\nCOMMIT\n"
    )


def test_of_two_outputs_the_last_counts() -> None:
    found = read_rules(saved("-A INPUT -j DROP") + saved("-A INPUT -j ACCEPT"))

    assert [rule.text for rule in found.tables["filter"].rules] == [
        "-A INPUT -j ACCEPT"
    ]
