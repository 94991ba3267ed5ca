"""What a node's addresses and sysctls say of its kernel, as faults to be replayed.

Only two things of a kernel tell customers' nodes from healthy ones often enough: an MTU
of tun0 that is not the others' (BZ1564346), and a kernel that forwards nothing
(BZ1477716). They become faults of the topology: ``testbed fault clear`` ends them.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from testbed.errors import NotFoundError
from testbed.faults.kernel import IpForwardOff
from testbed.faults.links import MtuDrifted
from testbed.faults.reading import as_fields
from testbed.importing.readers.host import interfaces
from testbed.replay.collected import text_of_file
from testbed.topology.document import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from testbed.faults.fault import Fault
    from testbed.model import Cluster
    from testbed.topology import Topology

_FORWARDS_NOTHING = re.compile(r"net\.ipv4\.ip_forward\s*=\s*0\s*$")


def kernel_faults(
    cluster: Cluster, node: str, folder: Path
) -> Iterator[tuple[str, Fault]]:
    """Yield what is wrong with a node's kernel, each with the file and line.

    Args:
        cluster: the node's.
        node: its name.
        folder: what was collected of it.

    Raises:
        DumpError: a file cannot be read.
    """
    addresses = folder / "addresses"
    lines = (text_of_file(addresses) or "").splitlines()
    for interface in interfaces(enumerate(lines, 1)):
        if interface.name == "tun0" and interface.mtu:
            fault = MtuDrifted(node=node, device="tun0", mtu=interface.mtu)
            try:
                fault.check(cluster)
            except NotFoundError:
                continue  # it is as it should be, or no MTU that the kernel takes
            yield f"{addresses}:{interface.line}", fault
    sysctl = folder / "sysctl"
    for number, line in enumerate((text_of_file(sysctl) or "").splitlines(), 1):
        if _FORWARDS_NOTHING.match(line.strip()):
            yield f"{sysctl}:{number}", IpForwardOff(node=node)
            break


def with_faults(topology: Topology, faults: Iterable[Fault]) -> Topology:
    """The topology with these faults in its Underlay, after those that it lists."""
    listed = [{"kind": fault.kind, **as_fields(fault)} for fault in faults]
    if not listed:
        return topology
    underlay: Any = next(
        plain(source.node) for source in topology.objects if source.kind == "Underlay"
    )
    faulty = {**underlay, "faults": [*underlay.get("faults", []), *listed]}
    changed = topology.applied(json.dumps(faulty), "the replay")
    return replace(changed, warnings=topology.warnings)
