"""Connections to the nodes' ovs-vswitchd, of which some may be dead or hang."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Self

from testbed.errors import SwitchError
from testbed.ovs import Appctl, SwitchDaemons

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path
    from types import TracebackType

_PATIENCE = 2.0
"""Seconds in which a daemon that is alive says its version."""


class Connections:
    """A control connection per node, opened when it is first needed.

    A daemon that does not answer is not asked again until ``forget``, so that whoever
    looks for what is wrong waits for it once.
    """

    def __init__(self, run_dirs: Mapping[str, Path]) -> None:
        self._run_dirs = run_dirs
        self._open: dict[str, Appctl] = {}
        self._failed: dict[str, SwitchError] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for appctl in self._open.values():
            appctl.close()

    def of(self, node: str) -> Appctl:
        """The connection to a node's ovs-vswitchd.

        Raises:
            SwitchError: it is dead, or hangs.
        """
        if node in self._failed:
            raise self._failed[node]
        if node not in self._open:
            self._open[node] = self._opened(node)
        return self._open[node]

    def answering(self) -> Iterator[tuple[str, Appctl]]:
        """Yield the nodes whose ovs-vswitchd answers, each with its connection."""
        for node in self._run_dirs:
            with contextlib.suppress(SwitchError):
                yield node, self.of(node)

    def forget(self, doubtful: Collection[str] = ()) -> None:
        """Try again those that did not answer, and those that were restarted.

        Nodes that are ``doubtful`` must say once more that they are alive.
        """
        self._failed.clear()
        for node, appctl in list(self._open.items()):
            if node in doubtful or appctl.path != self._socket(node):
                self._open.pop(node).close()

    def _opened(self, node: str) -> Appctl:
        socket = self._socket(node)
        try:
            with Appctl(socket, timeout=_PATIENCE) as ping:
                ping("version")
        except SwitchError as error:
            self._failed[node] = error
            raise
        return Appctl(socket)

    def _socket(self, node: str) -> Path:
        return SwitchDaemons(run_dir=self._run_dirs[node]).control_socket
