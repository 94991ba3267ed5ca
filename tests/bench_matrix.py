"""Everyone to everyone with three witnesses, beside Mininet's pingall in the same run.

``testbed matrix`` inside its sandbox, without the interpreter's start: 16 pods on four
nodes with arp, icmp, udp:53 and tcp:80, half of which NetworkPolicies drop; then 100
pods with icmp. The peer pings with one packet among 16 hosts on four switches, half of
which flows keep apart, and waits one second for what does not come. All witnesses must
agree, or the run fails.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from mininet.net import Mininet
from mininet.node import OVSSwitch
from mininet.topo import LinearTopo
from rich.console import Console
from rich.table import Table

from testbed.emulation import sandbox
from testbed.emulation.build import running_cluster
from testbed.emulation.prerequisites import choose_datapath
from testbed.model import Outcome, Traffic
from testbed.ovs import start_daemons
from testbed.ovs.daemons import create_database
from testbed.probe import LiveCluster
from testbed.selection import protocols
from testbed.topology import loads

if TYPE_CHECKING:
    from collections.abc import Sequence

    from testbed.model import Cluster
    from testbed.verdict import Verdict

NODES = 4
HEAD = """\
apiVersion: network.openshift.io/v1
kind: ClusterNetwork
metadata: {name: default}
clusterNetworks:
- {CIDR: 10.128.0.0/14, hostSubnetLength: 9}
pluginName: redhat/openshift-ovs-networkpolicy
serviceNetwork: 172.30.0.0/16
"""
NODE = """\
---
apiVersion: network.openshift.io/v1
kind: HostSubnet
metadata: {{name: node-{number}.test}}
hostIP: 192.168.10.{number}
"""
POLICY = """\
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {{name: own-pods-only, namespace: {namespace}}}
spec:
  podSelector: {{}}
  ingress:
  - from:
    - podSelector: {{}}
"""
POD = """\
---
apiVersion: v1
kind: Pod
metadata: {{name: pod-{number}, namespace: {namespace}}}
spec: {{nodeName: node-{node}.test}}
"""


def main() -> int:
    """Measure ours in a sandbox of this process's own, and the peer in another."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--part", choices=["peer"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not sandbox.inside():
        own = [sys.executable, __file__, *sys.argv[1:]]
        return sandbox.run(own) or sandbox.run([*own, "--part=peer"])
    if options.part:
        return peer()
    table = Table(title=f"three witnesses, seconds, median of {options.runs}")
    for column in ("what", "probes", "delivered", "dropped", "seconds"):
        table.add_column(column, justify="left" if column == "what" else "right")
    for pods, namespaces, asked in (
        (16, 3, "arp,icmp,udp:53,tcp:80"),
        (100, 2, "icmp"),
    ):
        table.add_row(*measured(pods, namespaces, asked, options.runs))
    Console(width=100).print(table)
    return 0


def topology(pods: int, namespaces: int) -> str:
    """Pods in turn on each node, in namespaces that let only their own in."""
    names = [f"team-{number}" for number in range(namespaces)]
    nodes = itertools.cycle(range(1, NODES + 1))
    documents = [HEAD]
    documents += [NODE.format(number=number) for number in range(1, NODES + 1)]
    documents += [POLICY.format(namespace=name) for name in names]
    for number in range(pods):
        namespace = names[number * namespaces // pods]
        documents.append(
            POD.format(number=number, namespace=namespace, node=next(nodes))
        )
    return "".join(documents)


def measured(pods: int, namespaces: int, asked: str, runs: int) -> tuple[str, ...]:
    """One row: what was asked, what became of it and how long it took."""
    loaded = loads(topology(pods, namespaces), "matrix.yaml")
    traffics = everyone(loaded.cluster, asked)
    seconds = []
    with (
        running_cluster(loaded.cluster, choose_datapath()),
        LiveCluster.attach(loaded) as live,
    ):
        for _ in range(runs):
            start = time.monotonic()
            verdicts = live.probe_all(traffics)
            seconds.append(time.monotonic() - start)
            refuse_disagreement(verdicts)
    delivered = sum(item.outcome is Outcome.DELIVERED for item in verdicts)
    return (
        f"{pods} pods, {asked}",
        f"{len(verdicts):,}",
        f"{delivered:,}",
        f"{len(verdicts) - delivered:,}",
        f"{statistics.median(seconds):.2f} ({min(seconds):.2f} to {max(seconds):.2f})",
    )


def everyone(cluster: Cluster, asked: str) -> list[Traffic]:
    """From every pod to every other."""
    return [
        Traffic(
            sender=sender, destination=receiver.ip, transport=transport, dport=dport
        )
        for transport, dport in protocols(asked)
        for sender, receiver in itertools.permutations(cluster.pods, 2)
    ]


def refuse_disagreement(verdicts: Sequence[Verdict]) -> None:
    """End the run if the witnesses disagree, or nothing is dropped."""
    if wrong := [item.line for item in verdicts if not item.agrees]:
        sys.exit("\n".join(["the witnesses disagree:", *wrong[:5]]))
    if not any(item.outcome is Outcome.DROPPED for item in verdicts):
        sys.exit("nothing was dropped")


def peer() -> int:
    """Run Mininet's pingall among hosts of which half cannot reach each other."""
    # Mininet raises limits of the whole machine; here it may not.
    for options in (["--bind"], ["-o", "remount,ro,bind"]):
        subprocess.run(["mount", *options, "/proc/sys", "/proc/sys"], check=True)
    database = Path("/run/testbed/empty.db")
    create_database(database)
    with start_daemons(Path("/run/openvswitch"), database=database):
        lost, seconds = pingall()
    Console(width=100).print(
        f"mininet pingall, 16 hosts, one ping each, {lost:.0f} % lost: {seconds:.1f} s"
    )
    return 0


def pingall() -> tuple[float, float]:
    """The share of pings lost, in percent, and how long all took."""
    net = Mininet(
        LinearTopo(k=4, n=4), switch=OVSSwitch, controller=None, waitConnected=False
    )
    for switch in net.switches:
        switch.datapath, switch.failMode = "user", "standalone"
    net.start()
    try:
        hosts = net.hosts
        apart = [(a, b) for a in hosts[:8] for b in hosts[8:]]
        for switch in net.switches:
            for one, other in (pair for a, b in apart for pair in ((a, b), (b, a))):
                match = f"priority=9,ip,nw_src={one.IP()},nw_dst={other.IP()}"
                switch.dpctl("add-flow", f"{match},actions=drop")
            switch.dpctl("add-flow", "priority=0,actions=normal")
        start = time.monotonic()
        lost = net.pingAll(timeout="1")
        return lost, time.monotonic() - start
    finally:
        net.stop()


if __name__ == "__main__":
    sys.exit(main())
