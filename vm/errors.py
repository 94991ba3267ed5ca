"""What can go wrong with a machine, besides the command it runs."""

from __future__ import annotations

from testbed.errors import SDNError


class ImageError(SDNError):
    """The machine's disk could not be made."""


class MachineError(SDNError):
    """A machine that did not start, hung, or died before its command ended.

    Attributes:
        came_up: whether it had begun its command.
        console: the end of what its kernel said, at most ``CONSOLE_LINES`` lines.
    """

    CONSOLE_LINES = 30

    def __init__(
        self, message: str, *, came_up: bool = True, console: str = ""
    ) -> None:
        self.came_up = came_up
        self.console = "\n".join(console.splitlines()[-self.CONSOLE_LINES :])
        super().__init__(message)
