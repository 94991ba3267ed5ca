"""Whether two matches overlap, and whether one takes all that the other does."""

from __future__ import annotations

import pytest

from testbed.errors import SwitchError
from testbed.mutation.fields import Match


def match(text: str) -> Match:
    return Match(tuple(text.split(",")) if text else ())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("", "udp,tp_dst=53"),
        ("ip", "udp,nw_dst=10.128.0.2,tp_dst=53"),
        ("ip,nw_dst=10.128.0.0/14", "ip,nw_dst=10.131.0.0/23"),
        ("ip,in_port=3", "in_port=3"),
        ("ip,nw_src=10.128.0.0/14", "ip,nw_dst=10.128.0.0/14"),
        ("reg0=0", "reg1=0"),
        ("ct_state=+trk", "ct_state=+trk+rpl"),
        ("ct_state=-trk,ip", "ip"),
        ("arp,arp_sha=00:00:0a:80:00:02/00:00:ff:ff:ff:ff", "arp"),
        ("ip,nw_frag=later", "udp"),
    ],
)
def test_matches_that_a_packet_could_fit_both_overlap(one: str, other: str) -> None:
    assert match(one).overlaps(match(other))
    assert match(other).overlaps(match(one))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("ip", "arp"),
        ("tcp", "udp"),
        ("in_port=1", "in_port=2"),
        ("ip,nw_dst=10.128.0.0/23", "ip,nw_dst=10.131.0.0/23"),
        ("udp,tp_dst=53", "udp,tp_dst=4789"),
        ("reg0=0", "reg0=0x2a"),
        ("ct_state=-trk", "ct_state=+trk+rpl"),
        ("ip,nw_frag=later", "ip,nw_frag=no"),
        (
            "arp,arp_sha=00:00:0a:80:00:02/00:00:ff:ff:ff:ff",
            "arp,arp_sha=00:00:0a:80:00:03/00:00:ff:ff:ff:ff",
        ),
        ("tun_src=172.16.1.15", "tun_src=172.16.1.16"),
    ],
)
def test_matches_that_no_packet_fits_both_do_not(one: str, other: str) -> None:
    assert not match(one).overlaps(match(other))
    assert not match(other).overlaps(match(one))


@pytest.mark.parametrize(
    ("wide", "narrow"),
    [
        ("", ""),
        ("", "arp"),
        ("ip", "tcp,tp_dst=80"),
        ("in_port=1", "ip,in_port=1,nw_src=10.128.0.0/14"),
        ("ip,nw_dst=10.128.0.0/14", "ip,nw_dst=10.131.0.0/23"),
        ("ct_state=+rpl", "ct_state=+rpl+trk,ip"),
        ("ip,nw_frag=yes", "ip,nw_frag=later"),
    ],
)
def test_a_match_contains_what_says_more(wide: str, narrow: str) -> None:
    assert match(wide).contains(match(narrow))


@pytest.mark.parametrize(
    ("narrow", "wide"),
    [
        ("arp", ""),
        ("ip,nw_dst=10.131.0.0/23", "ip,nw_dst=10.128.0.0/14"),
        ("ip,nw_src=10.128.0.0/14", "ip,nw_dst=10.128.0.0/14"),
        ("ip,nw_dst=10.131.0.0/23", "ip,nw_dst=10.128.0.0/23"),
        ("ip,nw_frag=later", "ip,nw_frag=yes"),
        ("in_port=1", "in_port=2"),
    ],
)
def test_a_match_does_not_contain_what_says_less_or_otherwise(
    narrow: str, wide: str
) -> None:
    assert not match(narrow).contains(match(wide))


def test_a_field_that_is_unknown_is_an_error() -> None:
    with pytest.raises(SwitchError, match="metadata_of_old"):
        match("metadata_of_old=gold").overlaps(match("metadata_of_old=silver"))
