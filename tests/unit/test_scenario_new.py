"""A scenario's file: Python that says what must happen, and nothing from a dump."""

from __future__ import annotations

import ast
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from testbed.cli.questions import Asked, traffic_of
from testbed.model import Namespace, Outcome
from testbed.oracle import expected
from testbed.scenario.complaint import Complaint
from testbed.scenario.text import scenario_name, scenario_text
from testbed.topology import load
from testbed.topology.shipped import shipped

if TYPE_CHECKING:
    from testbed.model import Cluster

TENANTS = load(shipped("multitenant.yaml")).cluster
WEB, CART, BANK = "shop/web-1-4wq8n", "shop/cart-1-2bhxp", "bank/ledger-0"


def complaint(  # noqa: PLR0913 - a question has as many words
    source: str = WEB,
    destination: str = CART,
    protocol: str | None = None,
    dport: int | None = None,
    *,
    cluster: Cluster = TENANTS,
    is_answered: bool = False,
) -> Complaint:
    asked = Asked(
        verb="explain",
        source=source,
        destination=destination,
        protocol=protocol,
        dport=dport,
    )
    traffic = traffic_of(cluster, asked)
    return Complaint(
        cluster=cluster,
        source=source,
        destination=destination,
        traffic=traffic,
        expected=expected(cluster, traffic),
        is_answered=is_answered,
        told="it got lost\n  traced: dropped",
        agrees=False,
        answer="",
        place="tonight",
    )


def text(about: Complaint) -> str:
    return scenario_text(about, "replay", "tonight", "test_it.py")


def body(about: Complaint) -> list[str]:
    """The lines of the only test."""
    tree = ast.parse(text(about))
    (test,) = (node for node in tree.body if isinstance(node, ast.FunctionDef))
    return [ast.unparse(statement) for statement in test.body]


def docstring(about: Complaint) -> str:
    return ast.get_docstring(ast.parse(text(about))) or ""


def test_a_scenario_asks_what_was_asked_and_claims_what_must_happen() -> None:
    assert body(complaint(dport=8080, is_answered=True)) == [
        f"sender = cluster.pod('{WEB}')",
        f"receiver = cluster.pod('{CART}')",
        "found = cluster.probe(sender, receiver, tcp=8080)",
        "assert found.delivered",
        "assert found.agrees",
        "assert found.answered",
    ]


def test_what_must_be_dropped_is_claimed_to_be() -> None:
    about = complaint(destination=BANK)

    assert about.expected.outcome is Outcome.DROPPED
    assert body(about)[-1] == "assert found.dropped()"


def test_where_the_answer_need_not_come_back_nothing_is_claimed_of_it() -> None:
    assert "assert found.answered" not in body(complaint(is_answered=False))


@pytest.mark.parametrize(
    ("destination", "receiver"),
    [
        ("svc:shop/web", "cluster.service('shop/web')"),
        ("node:oc-02", "cluster.node('oc-02.test')"),
        ("external:partner", "cluster.external"),
        (
            "external:mirror",
            "next((host for host in cluster.external_hosts if host.name == 'mirror'))",
        ),
        ("default/router-1-9jv4s", "cluster.node('oc-01.test')"),
        ("10.130.0.6", "IPv4Address('10.130.0.6')"),
        ("239.1.2.3", "IPv4Address('239.1.2.3')"),
    ],
)
def test_any_receiver_can_be_written(destination: str, receiver: str) -> None:
    assert body(complaint(destination=destination))[1] == f"receiver = {receiver}"


@pytest.mark.parametrize(
    ("protocol", "dport", "asked"),
    [("arp", None, ", arp=True"), ("icmp", None, ""), ("udp", 53, ", udp=53")],
)
def test_any_protocol_can_be_written(
    protocol: str, dport: int | None, asked: str
) -> None:
    lines = body(complaint(protocol=protocol, dport=dport))

    assert lines[2] == f"found = cluster.probe(sender, receiver{asked})"


def test_what_happened_is_in_the_docstring() -> None:
    told = docstring(complaint())

    assert told.startswith(f"{WEB} reaches {CART} (10.130.0.")
    assert "It was not so in tonight:\n\n    it got lost\n      traced: dropped" in told


def test_an_answer_that_is_lost_is_in_the_docstring() -> None:
    told = docstring(replace(complaint(), agrees=True, answer="lost on the way back"))

    assert "no answer came back, in tonight:" in " ".join(told.split())
    assert "The answer to it:\n\n    lost on the way back" in told


@pytest.mark.parametrize("dport", [None, 8080])
@pytest.mark.parametrize("destination", [CART, BANK, "svc:shop/web", "10.130.0.6"])
def test_a_scenario_fits_in_88_columns(destination: str, dport: int | None) -> None:
    written = text(complaint(destination=destination, dport=dport))

    assert max(map(len, written.splitlines())) <= 88


def test_a_scenario_is_named_after_its_claim() -> None:
    assert scenario_name(complaint(dport=8080)) == (
        "shop_web_1_4wq8n_reaches_shop_cart_1_2bhxp_tcp_8080"
    )


EVIL = '"""\nimport os\nos.system("id")\n\\" \\x27 \x1b[2J'


def test_nothing_that_was_told_is_code() -> None:
    about = replace(complaint(), told=EVIL, answer=EVIL, place=EVIL)

    tree = ast.parse(text(about))

    kinds = [type(node).__name__ for node in tree.body]
    assert kinds == [
        *("Expr", "ImportFrom", "ImportFrom", "Import", "If", "Assign"),
        "FunctionDef",
    ]
    assert "\x1b" not in text(about)


def test_no_name_of_a_collection_is_code() -> None:
    pod = replace(TENANTS.pods[0], name=EVIL, namespace="shop")
    cluster = replace(
        TENANTS, pods=(pod, *TENANTS.pods[1:]), namespaces=(Namespace(name="shop"),)
    )

    lines = body(complaint(source=pod.key, destination=CART, cluster=cluster))

    assert ast.literal_eval(lines[0].partition("cluster.pod(")[2][:-1]) == pod.key
    assert len(lines) == 5


def test_no_path_is_code() -> None:
    written = scenario_text(complaint(), "replay", 'a"+b\'"', "test_it.py")

    assert "pytest.mark.replay('a\"+b\\'\"')" in written
    ast.parse(written)
