"""Judging what was found on a machine: pure, so that each failure can be shown."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from testbed.doctor.check import State, missing, ok, warning
from testbed.emulation.prerequisites import PROGRAMS, TUN, install

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from testbed.doctor.check import Check, Need
    from testbed.doctor.facts import Facts

_SETUP = "./run setup"
_PYTHON = (3, 11)
_KERNEL = (5, 3)
"""The first with pidfd_open(2), by which ``testbed down`` waits for the end."""


def examine(facts: Facts, need: Need) -> tuple[Check, ...]:
    """Judge a machine for a cluster, what is needed most first."""
    return tuple(check for look in _LOOKS for check in look(facts, need))


def usable(checks: Sequence[Check]) -> bool:
    """Whether the testbed runs on that machine."""
    return all(check.state is not State.MISSING for check in checks)


def complete(checks: Sequence[Check]) -> bool:
    """Whether it runs with all that it has."""
    return all(check.state is State.OK for check in checks)


def _python(facts: Facts, _: Need) -> Iterator[Check]:
    found = ".".join(map(str, facts.python))
    if facts.python >= _PYTHON:
        yield ok("python", found)
    else:
        wanted = ".".join(map(str, _PYTHON))
        yield missing("python", found, f"it takes {wanted}", remedy=_SETUP)


def _kernel(facts: Facts, _: Need) -> Iterator[Check]:
    numbers = facts.kernel.split("-")[0].split(".")[:2]
    version = tuple(int(part) for part in numbers if part.isdecimal())
    if version >= _KERNEL:
        yield ok("kernel", facts.kernel)
    else:
        wanted = ".".join(map(str, _KERNEL))
        yield missing("kernel", facts.kernel, f"it takes {wanted}")


def _programs(facts: Facts, _: Need) -> Iterator[Check]:
    """Yield the other programs, package by package; Open vSwitch has its own check."""
    for package in dict.fromkeys(PROGRAMS.values()):
        programs = tuple(name for name in PROGRAMS if PROGRAMS[name] == package)
        absent = tuple(name for name in programs if name in facts.missing)
        if absent:
            found = f"no {', '.join(absent)}"
            yield missing(
                package, found, "nothing can be built", remedy=install(absent)
            )
        elif package == "openvswitch-switch":
            yield from _switch(facts)
        elif package == "dnsmasq-base":
            yield ok(package, facts.dnsmasq)
        elif package == "mininet":
            yield from _mininet(facts)
        else:
            yield ok(package, ", ".join(programs))


def _switch(facts: Facts) -> Iterator[Check]:
    problem = facts.tried.get("ovs-vswitchd", "")
    found = facts.switch or "of unknown version"
    if problem:
        yield missing("openvswitch-switch", found, f"none would run: {problem}")
    else:
        yield ok("openvswitch-switch", found)


def _mininet(facts: Facts) -> Iterator[Check]:
    if facts.mininet:
        yield ok("mininet", facts.mininet)
    else:
        yield missing(
            "mininet",
            "mnexec without the Python package",
            "this Python does not see the system's packages",
            remedy=_SETUP,
        )


def _scapy(facts: Facts, _: Need) -> Iterator[Check]:
    if facts.scapy:
        yield ok("scapy", facts.scapy)
    else:
        yield missing("scapy", "none", "no packet can be sent", remedy=_SETUP)


def _sandbox(facts: Facts, __: Need) -> Iterator[Check]:
    who = "root" if facts.user == 0 else "an ordinary user"
    if not facts.sandbox:
        yield ok("sandbox", f"made as {who}")
        return
    said, _, remedy = facts.sandbox.partition("; type: ")
    meaning = f"{who} may not make the namespaces that all runs in"
    yield missing("sandbox", said, meaning, remedy=remedy)


def _tun(facts: Facts, __: Need) -> Iterator[Check]:
    tried = facts.tried.get("tap", "")
    if facts.tun:
        found, _, remedy = facts.tun.partition("; type: ")
        meaning = "the userspace datapath needs it"
    elif tried:
        found, meaning, remedy = tried, "the userspace datapath makes its ports so", ""
    else:
        yield ok(str(TUN), "usable")
        return
    # The kernel's datapath does without.
    judge = warning if facts.modules["openvswitch"] == "loaded" else missing
    yield judge(str(TUN), found, meaning, remedy=remedy)


def _datapath(facts: Facts, _: Need) -> Iterator[Check]:
    problem = facts.tried.get("kernel datapath", "")
    if problem:
        yield missing(
            "datapath",
            f"system, which fails: {problem}",
            "--datapath netdev does without",
            remedy="sudo rmmod openvswitch",
        )
    elif facts.modules["openvswitch"] == "loaded":
        yield ok("datapath", "system: the kernel module openvswitch is loaded")
    else:
        there = facts.modules["openvswitch"] == "loadable"
        yield warning(
            "datapath",
            "netdev: the kernel module openvswitch is "
            + ("not loaded" if there else "not there for this kernel"),
            "pod to service under ovs-networkpolicy cannot be tried",
            remedy=_modprobe(facts, "openvswitch"),
        )


def _devices(facts: Facts, _: Need) -> Iterator[Check]:
    for kind in ("veth", "bridge"):
        if problem := facts.tried.get(kind, ""):
            yield missing(
                kind,
                problem,
                "machines cannot be wired",
                remedy=_modprobe(facts, kind),
            )


def _iptables(facts: Facts, _: Need) -> Iterator[Check]:
    if not facts.iptables:
        return
    refused = {
        name.removeprefix("iptables "): said
        for name, said in facts.tried.items()
        if name.startswith("iptables ") and said
    }
    backend = facts.iptables.removeprefix("iptables ")
    unsaved = facts.tried.get("iptables-save", "")
    if refused:
        first = next(iter(refused.values()))
        legacy = "legacy" in backend and facts.user
        yield missing(
            "iptables rules",
            f"{backend} refuses {', '.join(refused)}: {first}",
            "nodes' rules cannot be loaded",
            remedy="sudo update-alternatives --set iptables /usr/sbin/iptables-nft"
            if legacy
            else "sudo apt install linux-modules-extra-$(uname -r)",
        )
    elif unsaved:
        yield warning(
            "iptables rules",
            f"{backend} loads them all and cannot show them: {unsaved}",
            "what a node's rules counted is not told",
            remedy="sudo update-alternatives --set iptables /usr/sbin/iptables-nft",
        )
    elif facts.tried:
        yield ok("iptables rules", f"{backend}; takes all matches and targets used")


def _conntrack(facts: Facts, _: Need) -> Iterator[Check]:
    if problem := facts.tried.get("conntrack", ""):
        yield missing(
            "connection tracking",
            problem,
            "services cannot be changed",
            remedy=_modprobe(facts, "nf_conntrack_netlink"),
        )


def _shaping(facts: Facts, _: Need) -> Iterator[Check]:
    meanings = {
        "htb": "bandwidth limits of pods do not bite",
        "netem": "no delay or loss can be put on a wire",
    }
    for kind, meaning in meanings.items():
        if kind not in facts.tried:
            continue
        if problem := facts.tried[kind]:
            name = f"sch_{kind}"
            yield warning(name, problem, meaning, remedy=_modprobe(facts, name))
        else:
            yield ok(f"sch_{kind}", "usable")


def _memory(facts: Facts, need: Need) -> Iterator[Check]:
    found = f"{facts.memory >> 20} MiB free; {need} take {need.memory >> 20}"
    if facts.memory >= 2 * need.memory:
        yield ok("memory", found)
    elif facts.memory >= need.memory:
        yield warning("memory", found, "that is little to spare")
    else:
        yield missing("memory", found, "the kernel would end some of it")


def _cores(facts: Facts, _: Need) -> Iterator[Check]:
    if facts.cores > 1:
        yield ok("cores", str(facts.cores))
    else:
        yield warning("cores", str(facts.cores), "it runs, slowly")


def _files(facts: Facts, need: Need) -> Iterator[Check]:
    found = f"{facts.files} may be open; {need} take about {need.files}"
    if facts.files >= need.files:
        yield ok("open files", found)
    else:
        yield missing(
            "open files",
            found,
            "packets of so many cannot be watched",
            remedy=f"ulimit -n {need.files}",
        )


def _neighbours(facts: Facts, need: Need) -> Iterator[Check]:
    entries, limit = facts.neighbours
    found = (
        f"{entries} of {limit} entries are taken, in all namespaces together; "
        f"{need} take up to {need.neighbours}"
    )
    if entries + need.neighbours <= limit:
        yield ok("ARP table", found)
    else:
        yield warning(
            "ARP table",
            found,
            "when it is full packets are lost",
            remedy="sudo sysctl -w net.ipv4.neigh.default.gc_thresh3=16384",
        )


def _state(facts: Facts, _: Need) -> Iterator[Check]:
    if facts.state_problem:
        yield missing(
            "state directory",
            facts.state_problem,
            "no testbed can be noted",
            remedy="export TESTBED_STATE_DIR=$HOME/.testbed",
        )
    else:
        yield ok("state directory", str(facts.state))


def _testbeds(facts: Facts, _: Need) -> Iterator[Check]:
    running = f"running: {', '.join(facts.testbeds) or 'none'}"
    if facts.orphans:
        pids = " ".join(map(str, facts.orphans))
        yield warning(
            "testbeds",
            f"{running}; sandboxes that are noted nowhere: {pids}",
            "they take memory, and no command reaches them",
            remedy=f"kill {pids}",
        )
    elif facts.stale:
        gone = ", ".join(facts.stale)
        yield ok("testbeds", f"{running}; forgotten, for they are gone: {gone}")
    else:
        yield ok("testbeds", running)


def _others(facts: Facts, _: Need) -> Iterator[Check]:
    if facts.switches:
        counted = Counter(facts.switches)
        found = ", ".join(f"{number} {name}" for name, number in counted.items())
        yield ok("other switches", f"{found}; no conflict, for ours are private")
    else:
        yield ok("other switches", "none")


_LOOKS: tuple[Callable[[Facts, Need], Iterator[Check]], ...] = (
    _python,
    _kernel,
    _programs,
    _scapy,
    _sandbox,
    _datapath,
    _tun,
    _devices,
    _iptables,
    _conntrack,
    _shaping,
    _memory,
    _cores,
    _files,
    _neighbours,
    _state,
    _testbeds,
    _others,
)


def _modprobe(facts: Facts, module: str) -> str:
    return f"sudo modprobe {module}" if facts.modules[module] == "loadable" else ""
