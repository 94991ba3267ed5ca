"""A bridge as its flows: replace them, dump them, count what hits them."""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from testbed.errors import (
    CommandError,
    DeadlineError,
    FlowRejectedError,
    SwitchError,
)
from testbed.openflow import DumpedFlow, Flow, parse_dump
from testbed.patience import patience
from testbed.process import run

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from testbed.ovs.appctl import Appctl

_AGE = re.compile(r"duration=[0-9.]+s")

OPENFLOW_VERSION = "OpenFlow13"
"""The version 3.11 speaks; bundles work in it by an ONF extension."""

_TIMEOUT = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """A bridge reached through the management socket in its run directory."""

    run_dir: Path
    bridge: str = "br0"

    @property
    def _address(self) -> str:
        return f"unix:{self.run_dir / self.bridge}.mgmt"

    def _ofctl(self, *arguments: str, stdin: str = "") -> str:
        argv = ["ovs-ofctl", "-O", OPENFLOW_VERSION, *arguments]
        try:
            return run(argv, stdin=stdin, timeout=_TIMEOUT)
        except DeadlineError as error:
            raise SwitchError(
                f"ovs-vswitchd of {self.run_dir.name} says nothing "
                f"for {patience(_TIMEOUT):g} s"
            ) from error
        except CommandError as error:
            raise SwitchError(str(error)) from error

    def answers(self) -> bool:
        """Whether the bridge is there, and takes orders."""
        with contextlib.suppress(SwitchError):
            self._ofctl("show", self._address)
            return True
        return False

    def set_fragment_handling(self, mode: str) -> None:
        """Say how fragments are matched; 3.11 sets ``nx-match`` (ovs-ofctl(8))."""
        self._ofctl("set-frags", self._address, mode)

    def replace_flows(self, flows: Iterable[Flow]) -> None:
        """Make these the bridge's flows, in one atomic bundle.

        Flows that are there already keep their counters.

        Raises:
            FlowRejectedError: Open vSwitch refused one; nothing was changed.
        """
        text = "".join(f"{flow}\n" for flow in flows)
        try:
            self._ofctl("--bundle", "replace-flows", self._address, "-", stdin=text)
        except SwitchError as error:
            raise FlowRejectedError(str(error)) from error

    def add_flow(self, flow: Flow) -> None:
        """Add this flow, in the place of one with the same table and selector.

        Raises:
            SwitchError: Open vSwitch refused it.
        """
        self._ofctl("add-flow", self._address, str(flow))

    def delete_flow(self, flow: Flow) -> None:
        """Delete exactly this flow; the fault that proves a scenario's check."""
        selector = f"table={int(flow.table)},{flow.selector}".rstrip(",")
        self._ofctl("--strict", "del-flows", self._address, selector)

    @contextlib.contextmanager
    def with_flow(self, flow: Flow) -> Iterator[None]:
        """Have one more flow for the length of a ``with`` block."""
        self.add_flow(flow)
        try:
            yield
        finally:
            self.delete_flow(flow)

    @contextlib.contextmanager
    def without_flow(self, flow: Flow) -> Iterator[None]:
        """Lack one flow for the length of a ``with`` block."""
        self.delete_flow(flow)
        try:
            yield
        finally:
            self.add_flow(flow)

    def dump_flows(self) -> tuple[DumpedFlow, ...]:
        """Every flow with its counters and cookie."""
        return parse_dump(self._ofctl("--no-names", "dump-flows", self._address))


@dataclass(frozen=True)
class Counters:
    """What every flow of a bridge had counted at one moment.

    ``dump`` is how OVS printed it; most are never looked at, and cost no reading.
    """

    dump: str

    @cached_property
    def dumped(self) -> Mapping[tuple[int, str], DumpedFlow]:
        """The flows, by table and selector.

        Raises:
            SwitchError: OVS printed something else.
        """
        flows = parse_dump(self.dump)
        return {(int(item.flow.table), item.flow.selector): item for item in flows}

    @classmethod
    def read(cls, appctl: Appctl, bridge: str = "br0") -> Counters:
        """Count what has passed up to now.

        The datapath reports to the flows with a delay, so it is first made to: a
        pause wakes the revalidators to begin a round, which they finish when resumed,
        and before they heed another pause. Not ``revalidator/purge``, which under the
        kernel's datapath races with the handler threads and aborts ovs-vswitchd
        ("Invalid ukey transition", OVS 3.1.0). Before that, what the datapath has
        cached of flows that were changed must be known to be old. Cookies are not read.
        """
        appctl.wait_for_a_round()
        for _ in range(2):
            appctl("revalidator/pause")
            appctl("revalidator/resume")
        return cls(appctl("bridge/dump-flows", bridge))

    def since(self, earlier: Counters) -> tuple[tuple[Flow, int], ...]:
        """The flows that were hit since then, each with its number of packets.

        They are in the order in which packets meet them: by table, then by priority.
        Most lines of two dumps differ in their age only, and are not read.
        """
        then = Counters("\n".join(earlier._lines - self._lines)).dumped
        now = Counters("\n".join(self._lines - earlier._lines)).dumped
        found = [
            (
                dumped.flow,
                dumped.n_packets - (then[key].n_packets if key in then else 0),
            )
            for key, dumped in now.items()
        ]
        return tuple(sorted((pair for pair in found if pair[1]), key=_as_read))

    @cached_property
    def _lines(self) -> frozenset[str]:
        """The dump's lines, as if all flows were as old."""
        return frozenset(_AGE.sub("duration=0s", self.dump).splitlines())


def _as_read(hit: tuple[Flow, int]) -> tuple[int, int, str]:
    flow, _ = hit
    return int(flow.table), -flow.priority, flow.selector
