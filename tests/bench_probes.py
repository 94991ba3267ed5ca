"""How many packets a second are sent and observed, in the shipped cluster.

Prints a table; run by hand: ``.venv/bin/python tests/bench_probes.py``. Every packet
must be delivered and answered, or the run fails.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import time
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from testbed.emulation import sandbox
from testbed.emulation.build import running_cluster
from testbed.emulation.prerequisites import choose_datapath
from testbed.model import Outcome, Traffic, Transport
from testbed.probe import LiveCluster
from testbed.probe.observation import observe
from testbed.topology import load
from testbed.topology.shipped import shipped

if TYPE_CHECKING:
    from testbed.model import Cluster

BATCH = 5_000
KINDS = (
    (Transport.ARP, None),
    (Transport.ICMP, None),
    (Transport.UDP, 53),
    (Transport.TCP, 80),
)


def main() -> int:
    """Measure inside a sandbox of this process's own."""
    if not sandbox.inside():
        return sandbox.run([sys.executable, __file__, *sys.argv[1:]])
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    runs = parser.parse_args().runs
    topology = load(shipped("four-node.yaml"))
    with (
        running_cluster(topology.cluster, choose_datapath()),
        LiveCluster.attach(topology) as live,
    ):
        table = Table(title=f"packets a second, median of {runs} (least to most)")
        for column in ("what", "packets", "per second", "µs of this process each"):
            table.add_column(column, justify="left" if column == "what" else "right")
        for name, traffics in batches(topology.cluster).items():
            for wires in (False, True):
                what = f"{name}, wires too" if wires else name
                table.add_row(what, *measured(live, traffics, runs=runs, wires=wires))
        Console(width=100).print(table)
    return 0


def batches(cluster: Cluster) -> dict[str, list[Traffic]]:
    """What to send: one pair of pods over VXLAN, and all pods to all."""
    near, far = (cluster.pods_on(node)[0] for node in cluster.nodes[:2])
    pods = [pod for pod in cluster.pods if not pod.host_network][:16]
    pairs = list(itertools.permutations(pods, 2))
    found = {
        f"{transport} over VXLAN": [
            Traffic(sender=near, destination=far.ip, transport=transport, dport=dport)
        ]
        * BATCH
        for transport, dport in KINDS
    }
    found[f"{len(pods)} pods to all, arp icmp udp:53 tcp:80"] = [
        Traffic(sender=one, destination=other.ip, transport=transport, dport=dport)
        for one, other in pairs
        for transport, dport in KINDS
    ] * 3
    return found


def measured(
    live: LiveCluster, traffics: list[Traffic], *, runs: int, wires: bool
) -> tuple[str, str, str]:
    """How many, how fast, and how much of the processor this process takes."""
    rates, costs = [], []
    for _ in range(runs):
        start, used = time.monotonic(), time.process_time()
        seen = observe(live, traffics, wires=wires)
        rates.append(len(traffics) / (time.monotonic() - start))
        costs.append((time.process_time() - used) / len(traffics) * 1e6)
        for item in seen:
            if item.outcome is not Outcome.DELIVERED or item.answer is None:
                sys.exit(f"not delivered and answered: {item}")
    least, most = min(rates), max(rates)
    return (
        f"{len(traffics)}",
        f"{statistics.median(rates):,.0f} ({least:,.0f} to {most:,.0f})",
        f"{statistics.median(costs):.1f}",
    )


if __name__ == "__main__":
    sys.exit(main())
