"""Build a whole cluster inside the sandbox this process is in."""

from __future__ import annotations

import concurrent.futures
import contextlib
import re
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from testbed.emulation import machines, sandbox
from testbed.emulation.init import MARK
from testbed.emulation.machines import RUN_DIR, Kind, Machine
from testbed.emulation.net import ClusterNet
from testbed.emulation.nodes import NodeBuild, running_node
from testbed.emulation.services import serving
from testbed.emulation.start import stop_machine
from testbed.emulation.wiring import (
    GATEWAY,
    SWITCH,
    Datapath,
    external_machine,
    rogue_machine,
    switch_ports,
    wires,
)
from testbed.emulation.wiring import machines as machines_of
from testbed.errors import EmulationError
from testbed.host.underlay import (
    external_neighbours,
    gateway_links,
    host_links,
    switch_forwarding,
    switch_links,
)
from testbed.ovs.daemons import create_database
from testbed.process import run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from testbed.emulation.wiring import Wire
    from testbed.model import Cluster

NETNS_DIR = Path("/run/netns")
"""Where ``ip netns`` keeps its names; a sandbox has its own."""

ECHO_PORTS = (7, 80)
"""Where an external host echoes, on UDP and TCP."""


@contextlib.contextmanager
def running_cluster(
    cluster: Cluster,
    datapath: Datapath,
    *,
    progress: Callable[[str], None] = lambda _: None,
) -> Iterator[ClusterNet]:
    """Run a cluster until the ``with`` block ends; yields the live Mininet object.

    Handles to its machines are noted for others (``machines.load``).

    Args:
        cluster: what to build.
        datapath: who forwards the packets.
        progress: told of each thing that is ready, in a few words.

    Raises:
        EmulationError, SwitchError, CommandError: something would not come up.
    """
    if not sandbox.inside():
        raise EmulationError("a cluster is built inside a sandbox and nowhere else")
    create_database(RUN_DIR / "empty.db")
    version = _ovs_version()
    net = ClusterNet()
    with contextlib.ExitStack() as stack:
        stack.callback(_take_down, net)
        started = net.add_machines(machines_of(cluster))
        progress(f"{len(started)} machines")
        wired = tuple(wires(cluster, datapath))
        net.add_wires(wired)
        progress(f"{len(wired)} wires")
        builds = [
            NodeBuild(
                cluster=cluster,
                node=node,
                machines=started,
                datapath=datapath,
                database=RUN_DIR / "empty.db",
                ovs_version=version,
            )
            for node in cluster.nodes
        ]
        with concurrent.futures.ThreadPoolExecutor() as pool:
            surroundings = pool.submit(
                _surround, stack, cluster, started, wired, datapath
            )
            nodes = {
                pool.submit(_enter, stack, build): build.node.name for build in builds
            }
            for done in concurrent.futures.as_completed(nodes):
                done.result()
                progress(nodes[done])
            surroundings.result()
        machines.save(started.values(), datapath)
        yield net


def _take_down(net: ClusterNet) -> None:
    """End what runs, and leave the sandbox as it was, for another cluster.

    Also after a build that failed halfway. Mininet ends what it started; only machines
    that came later are ended by their pid.
    """
    started = {host.pid for host in net.hosts}
    if machines.FILE.exists():
        for machine in machines.load():
            if machine.pid not in started:
                stop_machine(machine)
    net.stop()
    names = [path.name for path in NETNS_DIR.iterdir()]
    run(
        ["ip", "-batch", "-"],
        stdin="".join(f"netns delete {name}\n" for name in names),
    )
    for path in RUN_DIR.iterdir():
        if path != MARK:
            shutil.rmtree(path) if path.is_dir() else path.unlink()


def _enter(stack: contextlib.ExitStack, build: NodeBuild) -> None:
    stack.enter_context(running_node(build))


def _surround(
    stack: contextlib.ExitStack,
    cluster: Cluster,
    started: Mapping[str, Machine],
    wired: tuple[Wire, ...],
    datapath: Datapath,
) -> None:
    """Set up switch, gateway, external hosts, rogues and ghosts."""
    underlay = cluster.underlay
    gateway = started[GATEWAY]
    external_ports = [w.far.interface for w in wired if w.far.machine == GATEWAY]
    ports = switch_ports(cluster)
    started[SWITCH].configure_links(switch_links(ports))
    run(["bridge", "-n", SWITCH, "-batch", "-"], stdin=switch_forwarding(ports))
    gateway.configure_links(
        gateway_links(underlay, external_ports) + external_neighbours(underlay)
    )
    gateway.write_sysctls({"net.ipv4.ip_forward": "1"})
    strangers = [
        *((rogue_machine(rogue), rogue.ip) for rogue in underlay.rogues),
        *((ghost.name, ghost.host_ip) for ghost in cluster.ghosts),
    ]
    for name, ip in strangers:
        started[name].configure_links(host_links(ip, underlay.subnet, underlay.gateway))
    for host in underlay.external_hosts:
        machine = started[external_machine(host)]
        machine.configure_links(
            host_links(host.ip, underlay.external_network, underlay.external_gateway)
        )
        echo = [sys.executable, "-m", "testbed.emulation.echo", *map(str, ECHO_PORTS)]
        stack.enter_context(serving(machine, echo, ports=ECHO_PORTS))
    if datapath is Datapath.NETDEV:
        for machine in started.values():
            if machine.kind in (Kind.GATEWAY, Kind.EXTERNAL, Kind.ROGUE, Kind.GHOST):
                machine.run("ethtool", "-K", "eth0", "tx", "off")


def _ovs_version() -> str:
    found = re.search(r"\d+(\.\d+)+", run(["ovs-vswitchd", "--version"]))
    return found.group() if found else "unknown"
