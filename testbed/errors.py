"""Every exception of the testbed.

* SDNError
  x ProblemsError          files that cannot be used as they are
    + TopologyError        your file: each problem with file, line, object, field
    + LabError             a lab's directory: each problem with file, line and field
    + GalleryError         a bug's file: each problem with file, line and field
  x ImportRefusedError     what was to be imported cannot be, or not to there
  x ExportRefusedError     what was to be exported has no place there
  x DumpError              what a node printed and nobody can read: the line, and why
  x NotFoundError          a name that the cluster does not have
  x PrerequisiteError      your machine: what is missing and how to get it
  x SwitchError            Open vSwitch
    + FlowRejectedError    a flow it would not take
  x CommandError           a program that ran and refused, or could not be run
  x EmulationError         a cluster that could not be built or attached to
    + DeadlineError        a condition that did not come true in time

A lost packet is not here: it is a value, not an exception. Only a scenario turns it
into an ``AssertionError`` (see ``testbed.probe``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


class SDNError(Exception):
    """Base of every error the testbed raises on purpose."""


class ProblemsError(SDNError):
    """Files that cannot be used as they are.

    Attributes:
        problems: one line each, beginning with the file and mostly the line in it.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


class TopologyError(ProblemsError):
    """A topology file that describes no possible cluster.

    Attributes:
        problems: one line each, ``file:line: object: field: what is wrong``.
    """


class LabError(ProblemsError):
    """A lab, or a class's list, that cannot be used as it is.

    Attributes:
        problems: one line each, ``file:line: field: what is wrong``.
    """


class GalleryError(ProblemsError):
    """A bug's file of scenarios that is not in the gallery's shape.

    Attributes:
        problems: one line each, ``file:line: field: what is wrong``.
    """


class ImportRefusedError(SDNError):
    """A collection that cannot be read, says too little, or has no place to go."""


class ExportRefusedError(SDNError):
    """An export whose target is there already, or cannot be written."""


class DumpError(SDNError):
    """A node's own text, as of ``iptables-save``, that cannot be read."""


class NotFoundError(SDNError):
    """A node, pod, service or testbed of that name does not exist."""


class PrerequisiteError(SDNError):
    """This machine lacks something; the message says what and what to type.

    Attributes:
        lack: the same, without where to see whether that is all.
    """

    def __init__(self, lack: str) -> None:
        self.lack = lack
        super().__init__(f"{lack}; all it lacks is told by: testbed doctor")


class SwitchError(SDNError):
    """Open vSwitch did not do what it was told."""


class FlowRejectedError(SwitchError):
    """Open vSwitch refused a flow; the whole bundle was left out."""


class CommandError(SDNError):
    """A program ended with an error, or could not be run at all.

    Attributes:
        argv: the program and its arguments.
        returncode: its exit status; 127 when it is not installed.
        stderr: what it said.
    """

    def __init__(self, argv: Sequence[str], returncode: int, stderr: str) -> None:
        self.argv = tuple(argv)
        self.returncode = returncode
        self.stderr = stderr.strip()
        reason = self.stderr or "it said nothing"
        super().__init__(f"{' '.join(self.argv)} exited {returncode}: {reason}")


class EmulationError(SDNError):
    """An emulated cluster could not be built, entered or taken down."""


class DeadlineError(EmulationError):
    """A condition did not come true before its deadline."""
