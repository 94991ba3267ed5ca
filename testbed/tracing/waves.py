"""Thousands of journeys at once, so that no switch waits for an answer to be read.

A journey is a generator: it yields the name of a node and a question for its switch,
and is sent the trace. It has but one question at a time; of thousands, each switch is
asked many together, a wave, and all switches work while the answers to one are read.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from testbed.errors import SwitchError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence

    from testbed.ovs.trace import Question, Trace

R = TypeVar("R")

_MOST_LIVE = 1024
"""Journeys under way: enough to keep every switch busy, few enough to hold."""
_MOST_TOGETHER = 128
"""Questions in a wave."""
_MOST_WAVES = 2
"""Waves under way to a switch: one to work on while the other's answers are read."""


class Askable(Protocol):
    """What ``testbed.ovs.TracedSwitch`` is."""

    def ask(self, questions: Sequence[Question]) -> Iterable[Trace | SwitchError]:
        """Begin to trace packets; the answers, in order, may come as they are taken."""


def run(
    journeys: Iterable[Generator[tuple[str, Question], Trace, R]],
    switches: Mapping[str, Askable],
) -> list[R]:
    """Lead journeys to their ends, in no particular order.

    A question that cannot be answered, or is for a switch that is not there, comes back
    as a ``SwitchError`` thrown into the journey. What a journey raises ends the run.

    Args:
        journeys: taken one by one, as others end.
        switches: each node's.

    Returns:
        What each journey returned, in the order of the journeys.
    """
    return _Run(journeys, switches).results()


@dataclass(frozen=True, slots=True)
class _Journey(Generic[R]):
    number: int
    way: Generator[tuple[str, Question], Trace, R]


@dataclass(frozen=True, slots=True)
class _Wave(Generic[R]):
    node: str
    journeys: list[_Journey[R]]
    answers: Iterator[Trace | SwitchError]


class _Run(Generic[R]):
    """The journeys under way: each waits in a node's queue, or for a wave's answer."""

    def __init__(
        self,
        journeys: Iterable[Generator[tuple[str, Question], Trace, R]],
        switches: Mapping[str, Askable],
    ) -> None:
        self._coming = enumerate(journeys)
        self._live = 0
        self._switches = switches
        self._queues: dict[str, deque[tuple[_Journey[R], Question]]] = {
            name: deque() for name in switches
        }
        self._waves: deque[_Wave[R]] = deque()
        self._waves_to: Counter[str] = Counter()
        self._results: dict[int, R] = {}

    def results(self) -> list[R]:
        self._proceed()
        while self._waves:
            wave = self._waves.popleft()
            for journey, answer in zip(wave.journeys, wave.answers, strict=True):
                self._advance(journey, answer)
            self._waves_to[wave.node] -= 1
            self._proceed()
        return [self._results[number] for number in range(len(self._results))]

    def _proceed(self) -> None:
        """Let more journeys set out, and ask what has gathered."""
        while self._live < _MOST_LIVE and (coming := next(self._coming, None)):
            self._live += 1
            self._advance(_Journey(*coming), None)
        for node, queue in self._queues.items():
            while queue and self._waves_to[node] < _MOST_WAVES:
                together = min(len(queue), _MOST_TOGETHER)
                self._ask(node, [queue.popleft() for _ in range(together)])

    def _ask(self, node: str, asked: list[tuple[_Journey[R], Question]]) -> None:
        journeys = [journey for journey, _ in asked]
        answers = _asked(self._switches[node], [question for _, question in asked])
        self._waves.append(_Wave(node, journeys, answers))
        self._waves_to[node] += 1

    def _advance(
        self, journey: _Journey[R], answer: Trace | SwitchError | None
    ) -> None:
        """Take a journey to its next question, or to its end."""
        try:
            node, question = _next_question(journey.way, answer)
            while node not in self._queues:
                answer = SwitchError(f"there is no switch named {node}")
                node, question = _next_question(journey.way, answer)
        except StopIteration as end:
            self._live -= 1
            self._results[journey.number] = end.value
        else:
            self._queues[node].append((journey, question))


def _next_question(
    way: Generator[tuple[str, Question], Trace, R], answer: Trace | SwitchError | None
) -> tuple[str, Question]:
    if answer is None:
        return next(way)
    return way.throw(answer) if isinstance(answer, SwitchError) else way.send(answer)


def _asked(switch: Askable, questions: list[Question]) -> Iterator[Trace | SwitchError]:
    """Ask at once; of a switch that fails, the answers not had are that error."""
    try:
        answers = switch.ask(questions)
    except SwitchError as error:
        return _failed(error, len(questions))
    return _each(answers, len(questions))


def _each(
    answers: Iterable[Trace | SwitchError], expected: int
) -> Iterator[Trace | SwitchError]:
    received = 0
    try:
        for answer in answers:
            received += 1
            yield answer
    except SwitchError as error:
        yield from _failed(error, expected - received)


def _failed(error: SwitchError, times: int) -> Iterator[SwitchError]:
    return (SwitchError(str(error)) for _ in range(times))
