"""A node's kernel that is told otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from testbed.faults.fault import Fault

if TYPE_CHECKING:
    from collections.abc import Mapping

    from testbed.faults.site import Site

_IP_FORWARD = "net.ipv4.ip_forward"


@dataclass(frozen=True, kw_only=True)
class IpForwardOff(Fault):
    """The node's kernel forwards nothing, so its pods reach no one outside (BZ1477716).

    Between pods br0 forwards, and goes on.
    """

    @property
    def told(self) -> str:
        """Who does not forward."""
        return f"{self.on} forwards nothing ({_IP_FORWARD} is 0)"

    def inject(self, site: Site) -> Mapping[str, object]:
        """Set the sysctl."""
        machine = site.machine(self.node)
        before = machine.read_sysctls([_IP_FORWARD])
        machine.write_sysctls({_IP_FORWARD: "0"})
        return dict(before)

    def undo(self, site: Site, memo: Mapping[str, object]) -> None:
        """Set it back."""
        values = {name: str(value) for name, value in memo.items()}
        site.machine(self.node).write_sysctls(values)
