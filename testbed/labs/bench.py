"""What is done to, and asked of, the cluster of the sandbox this process is in."""

from __future__ import annotations

import importlib.util
import traceback
from typing import TYPE_CHECKING

from testbed.errors import LabError, SDNError
from testbed.faults import ledger
from testbed.faults.injection import inject
from testbed.faults.reading import parse_fault
from testbed.labs.exam import Exam
from testbed.labs.findings import Done
from testbed.labs.model import Answer, Apply, Inject, Run
from testbed.labs.whereabouts import place_of
from testbed.ovs import Counters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from testbed.labs.findings import Finding
    from testbed.labs.model import Lab, Step, Task
    from testbed.probe import LiveCluster
    from testbed.topology import Topology


class Bench:
    """A running cluster, and a student's hands.

    Args:
        live: the cluster.
        changed: is told what it has become, each time that objects are applied.
        tells_where: whether findings say where each packet was dropped.
    """

    def __init__(
        self,
        live: LiveCluster,
        changed: Callable[[Topology], None] = lambda _: None,
        *,
        tells_where: bool = True,
    ) -> None:
        self.live = live
        self._tells_where = tells_where
        self._changed = changed

    def perform(self, steps: Iterable[Step]) -> list[Done]:
        """Do steps, one after the other.

        Raises:
            SDNError: one of them cannot be done.
        """
        return [self._do(step) for step in steps]

    def become(self, topology: Topology) -> None:
        """Have other objects."""
        self.live.become(topology)
        self._changed(topology)

    def examine(self, lab: Lab, task: Task, answer: str = "") -> list[Finding]:
        """Look whether a task is solved.

        Raises:
            LabError: the lab's own check is broken.
        """
        exam = Exam(self.live, answer, tells_where=self._tells_where)
        self._settle()
        try:
            if task.packets:
                exam.packets(task.packets)
            if task.check:
                _call(lab.checks, task.check, exam)
        except SDNError as error:
            if isinstance(error, LabError):
                raise
            # A student may delete whatever a task is about.
            exam.note(passed=False, text=str(error).splitlines()[0])
        return exam.findings

    def _settle(self) -> None:
        """Wait until flows that were changed by hand are what packets meet.

        Open vSwitch looks at what it has cached a moment later. To read counters is to
        wait for that, as they come from there.
        """
        self.live.connections.forget()
        for _, appctl in self.live.connections.answering():
            Counters.read(appctl)

    def _do(self, step: Step) -> Done:
        match step:
            case Apply():
                change = self.live.delete if step.deleted else self.live.apply
                change(step.text)
                self._changed(self.live.topology)
                return Done(command=step.command)
            case Run():
                output = place_of(self.live, step.where).run(*step.argv)
                return Done(
                    command=step.command, output=output, answer=_found(step, output)
                )
            case Inject():
                self._inject(step)
                return Done(command=step.command)
            case Answer():
                return Done(command=step.command, answer=step.text)

    def _inject(self, step: Inject) -> None:
        """Break the cluster, and note it nowhere: to find it is the student's part."""
        fault = parse_fault(step.kind, step.fields)
        inject(self.live.objects, ledger.standing(), fault)


def _found(step: Run, output: str) -> str:
    if step.answer is None:
        return ""
    found = [match[1] for match in step.answer.finditer(output)]
    if not found:
        raise LabError(
            [f"{step.command}: wrote nothing that {step.answer.pattern} matches"]
        )
    return " ".join(found)


def _call(path: Path, name: str, exam: Exam) -> None:
    """Have a function of a lab's checks.py judge.

    It may claim as scenarios do: a claim that fails is a finding.
    """
    try:
        _function(path, name)(exam)
    except AssertionError as error:
        said = str(error).splitlines() or [f"a claim of {name} failed"]
        exam.note(passed=False, text=said[0])
    except OSError as error:
        # Who serves where a check wants to, say.
        exam.note(passed=None, text=f"could not be told: {error}")
    except SDNError:
        raise
    except Exception as error:
        where = [
            f"{frame.filename}:{frame.lineno}"
            for frame in traceback.extract_tb(error.__traceback__)
            if frame.filename == str(path)
        ]
        problem = f"{where[-1] if where else path}: {name}: {error!r}"
        raise LabError([problem]) from error


def _function(path: Path, name: str) -> Callable[[Exam], None]:
    spec = importlib.util.spec_from_file_location(f"checks_of_{path.parent.name}", path)
    if spec is None or spec.loader is None:
        raise LabError([f"{path}: is no Python module"])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    function: Callable[[Exam], None] = getattr(module, name)
    return function
