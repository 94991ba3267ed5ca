"""Many journeys at once, over switches made by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from testbed.errors import SwitchError
from testbed.ovs.trace import Question, Trace, TraceBridge
from testbed.tracing.waves import run

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    Journey = Generator[tuple[str, Question], Trace, list[str]]

MANY = 3000


def trace_of(packet: str) -> Trace:
    """A trace that tells which packet it is of."""
    bridge = TraceBridge(
        name=packet,
        flow="",
        steps=(),
        final_flow="",
        megaflow="",
        datapath_actions="",
    )
    return Trace(bridges=(bridge,))


class ByHand:
    """Answers all but what it is to refuse; ``log`` says what was done, in order."""

    def __init__(self, name: str = "", log: list[str] | None = None) -> None:
        self.name = name
        self.log = [] if log is None else log
        self.waves: list[list[str]] = []
        self.refused: set[str] = set()
        self.dies_after = 10 * MANY

    def ask(self, questions: Sequence[Question]) -> Iterator[Trace | SwitchError]:
        self.waves.append([question.packet for question in questions])
        self.log.append(f"{self.name} is asked")
        return self._answers(questions)

    def _answers(self, questions: Sequence[Question]) -> Iterator[Trace | SwitchError]:
        self.log.append(f"{self.name} is read")
        for question in questions:
            if not self.dies_after:
                raise SwitchError(f"{self.name} died")
            self.dies_after -= 1
            if question.packet in self.refused:
                yield SwitchError(f"{question.packet} is refused")
            else:
                yield trace_of(question.packet)


def follow(*stations: str, name: str = "") -> Journey:
    """Ask these nodes, one after the other; what was answered, and what failed."""
    seen = []
    for number, node in enumerate(stations):
        try:
            trace = yield node, Question(f"{name}-{number}")
        except SwitchError as error:
            seen.append(str(error))
        else:
            seen.append(trace.bridges[0].name)
    return seen


def test_a_journey_gets_the_answers_to_its_own_questions() -> None:
    stations = [("a", "b", "a")[: number % 4] for number in range(MANY)]
    journeys = [follow(*nodes, name=f"p{i}") for i, nodes in enumerate(stations)]

    results = run(journeys, {"a": ByHand(), "b": ByHand()})

    assert results == [
        [f"p{i}-{number}" for number in range(len(nodes))]
        for i, nodes in enumerate(stations)
    ]


def test_what_gathers_for_a_switch_is_asked_together() -> None:
    a, b = ByHand(), ByHand()

    run((follow("a", "b", name=str(i)) for i in range(MANY)), {"a": a, "b": b})

    for switch in (a, b):
        assert sum(map(len, switch.waves)) == MANY
        assert len(switch.waves) < MANY / 50
        assert max(map(len, switch.waves)) < MANY / 10


def test_all_switches_are_asked_before_any_is_read() -> None:
    log: list[str] = []
    switches = {name: ByHand(name, log) for name in ("a", "b", "c")}

    run([follow(name) for name in switches], switches)

    assert log[:3] == ["a is asked", "b is asked", "c is asked"]


def test_a_switch_has_more_to_do_while_its_answers_are_read() -> None:
    switch = ByHand("a")

    run((follow("a", "a") for _ in range(MANY)), {"a": switch})

    under_way = 0
    least = []
    for what in switch.log:
        under_way += 1 if what == "a is asked" else -1
        least.append(under_way)
    assert set(least[1:-1]) == {1, 2}


def test_journeys_set_out_as_others_end() -> None:
    under_way: set[int] = set()
    most = 0

    def one(number: int) -> Journey:
        under_way.add(number)
        seen = yield from follow("a", name=str(number))
        under_way.remove(number)
        return seen

    def setting_out() -> Iterator[Journey]:
        nonlocal most
        for number in range(2 * MANY):
            most = max(most, len(under_way))
            yield one(number)

    run(setting_out(), {"a": ByHand()})

    assert MANY / 10 < most < MANY


def test_a_question_that_is_refused_costs_no_other_its_answer() -> None:
    switch = ByHand()
    switch.refused = {"p1-0"}
    journeys = [follow("a", "a", name=f"p{number}") for number in range(3)]

    results = run(journeys, {"a": switch})

    assert results == [
        ["p0-0", "p0-1"],
        ["p1-0 is refused", "p1-1"],
        ["p2-0", "p2-1"],
    ]


def test_what_a_switch_that_dies_did_not_answer_fails_and_the_rest_goes_on() -> None:
    dying = ByHand("a")
    dying.dies_after = 2
    journeys = [follow("a", "b", name=f"p{number}") for number in range(4)]

    results = run(journeys, {"a": dying, "b": ByHand()})

    assert results == [
        ["p0-0", "p0-1"],
        ["p1-0", "p1-1"],
        ["a died", "p2-1"],
        ["a died", "p3-1"],
    ]


def test_a_switch_that_cannot_be_asked_fails_each_question() -> None:
    class Dead:
        def ask(self, questions: Sequence[Question]) -> list[Trace | SwitchError]:
            raise SwitchError(f"not one of {len(questions)}")

    assert run([follow("a"), follow("a")], {"a": Dead()}) == 2 * [["not one of 2"]]


def test_a_switch_that_is_not_there_is_the_journeys_error() -> None:
    results = run([follow("x", "a", "x", "x"), follow("a")], {"a": ByHand()})

    unknown = "there is no switch named x"
    assert results == [[unknown, "-1", unknown, unknown], ["-0"]]


def test_what_a_journey_raises_ends_the_run() -> None:
    def careless() -> Journey:
        yield "a", Question("p")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run([follow("a"), careless(), follow("a")], {"a": ByHand()})


def test_an_error_that_a_journey_does_not_expect_ends_the_run() -> None:
    def trusting() -> Journey:
        yield "x", Question("p")
        return []

    with pytest.raises(SwitchError, match="no switch named x"):
        run([trusting()], {})


def test_a_journey_may_end_before_it_asks_anything() -> None:
    assert run((follow() for _ in range(MANY)), {"a": ByHand()}) == MANY * [[]]
    assert run(iter([follow()]), {}) == [[]]


def test_a_switch_that_answers_too_few_is_not_waited_for() -> None:
    class Forgetful:
        def ask(self, questions: Sequence[Question]) -> list[Trace | SwitchError]:
            return [trace_of(question.packet) for question in questions[1:]]

    with pytest.raises(ValueError, match="shorter"):
        run([follow("a"), follow("a")], {"a": Forgetful()})
