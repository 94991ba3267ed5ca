"""The pytest plugin: a sandbox around the run, the ``cluster`` fixture, the story.

It is loaded in every run of the environment it is installed in, so it imports the rest
of the testbed only when a test asks for a cluster.
"""

from __future__ import annotations

import contextlib
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from testbed.pytest_choice import TOPOLOGIES, chosen_topology, parametrize
from testbed.pytest_detection import wants_cluster
from testbed.pytest_options import add_options

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from testbed.emulation.neighbours import NeighbourTable
    from testbed.probe import LiveCluster
    from testbed.replay.plan import Replay

LIVE = pytest.StashKey["LiveCluster"]()
"""The cluster of an item, from when its fixture has it."""

_LAST = pytest.StashKey[pytest.Item]()
"""The item that had the cluster last."""

_REMARKS = pytest.StashKey[dict[str, tuple[str, ...]]]()
"""What there is to say of the clusters that were built in this session."""

_OVERFLOWS = pytest.StashKey[int]()
"""How often the machine's ARP table had been full when an item began."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of a run."""
    add_options(parser)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Say in which clusters a scenario runs."""
    parametrize(metafunc)


def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Run the whole session again inside a sandbox if any test asks for a cluster.

    With pytest-xdist, whose own hook comes before this one, it is the workers that get
    a sandbox each.
    """
    option = config.option
    if option.in_sandbox or option.collectonly or option.showfixtures:
        return None
    if hasattr(config, "workerinput"):
        return None  # started by pytest-xdist, and where it should be
    if not wants_cluster(config):
        return None
    from testbed.emulation import sandbox
    from testbed.errors import PrerequisiteError

    if option.replay:
        _check_replay(Path(option.replay))
    capture = config.pluginmanager.getplugin("capturemanager")
    if capture:
        capture.suspend_global_capture(in_=True)
    arguments = [str(argument) for argument in config.invocation_params.args]
    try:
        if config.getoption("dist", "no") == "no":
            program = [sys.executable, "-m", "pytest", "--in-sandbox"]
            return sandbox.run([*program, *arguments])
        if option.prove_red:
            raise pytest.UsageError("--prove-red goes without -n")
        sandbox.run(["true"])  # what keeps a worker from it is better said here
    except PrerequisiteError as error:
        raise pytest.UsageError(str(error)) from error
    if capture:
        capture.resume_global_capture()
    option.in_sandbox = True
    return None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(config: pytest.Config, specs: list[Any]) -> None:
    """Start each worker of pytest-xdist in a sandbox of its own."""
    if config.option.in_sandbox:
        from testbed.emulation import sandbox

        for spec in specs:
            spec.python = shlex.join(sandbox.python_argv())


def pytest_configure(config: pytest.Config) -> None:
    """Register the markers, and what only some runs need."""
    for marker in (
        "plugins(*names): run under each of these: subnet, multitenant, networkpolicy",
        "topology(file): run in the cluster of this file, beside the test's",
        "replay(directory): run in the replay of an import's directory beside the file",
        "symptom: shows a bug of the gallery as a user saw it",
        "fix: shows the same without the bug",
    ):
        config.addinivalue_line("markers", marker)
    if config.getoption("--topology") and config.getoption("--replay"):
        raise pytest.UsageError("--replay excludes --topology")
    if config.getoption("--prove-red"):
        from testbed.prove import RedProof

        config.pluginmanager.register(RedProof(), "testbed-prove-red")
    if config.option.in_sandbox and config.option.mutation_worker:
        from testbed.mutation.worker import Worker

        Worker.register(config, config.option.mutation_worker)
    if config.option.report:
        from testbed.report.plugin import RunReport

        report = RunReport(Path(config.option.report))
        config.pluginmanager.register(report, "testbed-report")
    _measure_flow_coverage(config)


def _measure_flow_coverage(config: pytest.Config) -> None:
    option = config.option
    directory = option.flow_coverage_report
    fail_under = option.flow_coverage_fail_under
    if directory or fail_under is not None:
        option.flow_coverage = True
    if option.flow_coverage:
        from testbed.coverage import plugin

        coverage = plugin.FlowCoverage(
            directory=Path(directory) if directory else None, fail_under=fail_under
        )
        config.pluginmanager.register(coverage, plugin.NAME)


@pytest.fixture(scope="session")
def topology(request: pytest.FixtureRequest) -> Path:
    """The topology file of the run; a module may override this fixture."""
    from testbed.topology.shipped import shipped

    chosen = chosen_topology(request.config)
    wanted = getattr(request, "param", "subnet")
    if isinstance(wanted, Path):
        return wanted
    return chosen or shipped(TOPOLOGIES[wanted])


@pytest.fixture(scope="session")
def replay(request: pytest.FixtureRequest) -> Path | None:
    """The import's directory whose flows and rules the cluster has, if it has."""
    chosen = request.config.getoption("--replay")
    return Path(chosen) if chosen else getattr(request, "param", None)


@pytest.fixture
def shared_conntrack(cluster: LiveCluster) -> None:
    """Skip where br0 and iptables do not share conntrack."""
    if cluster.datapath == "netdev":
        pytest.skip(
            "pod to service under ovs-networkpolicy needs br0 and iptables to share "
            "conntrack, which only the kernel's datapath does"
        )


@pytest.fixture(scope="session")
def running_cluster(
    topology: Path, replay: Path | None, pytestconfig: pytest.Config
) -> Iterator[LiveCluster]:
    """The cluster of the run, built once."""
    from testbed.emulation.build import running_cluster
    from testbed.emulation.prerequisites import choose_datapath
    from testbed.emulation.wiring import Datapath
    from testbed.faults.reading import declared
    from testbed.probe import LiveCluster
    from testbed.topology import load

    collected = _collected(replay) if replay else None
    loaded = collected.topology if collected else load(topology)
    remarks = pytestconfig.stash.setdefault(_REMARKS, {})
    remarks[f"warnings of {topology}"] = loaded.warnings
    insisted = pytestconfig.getoption("--datapath")
    datapath = choose_datapath(Datapath(insisted) if insisted else None)
    with contextlib.ExitStack() as stack:
        stack.enter_context(running_cluster(loaded.cluster, datapath))
        if collected:
            from testbed.replay.install import install

            installed = install(collected)
            remarks[installed.summary] = installed.remarks
        live = stack.enter_context(LiveCluster.attach(loaded))
        for fault in declared(loaded):
            live.inject(fault)
        live.keep()
        yield live
        if (item := pytestconfig.stash.get(_LAST, None)) and not _is_mutating(item):
            from testbed.report.items import note_cluster_end

            note_cluster_end(item)


@pytest.fixture
def cluster(
    request: pytest.FixtureRequest, running_cluster: LiveCluster
) -> Iterator[LiveCluster]:
    """The running cluster, with nothing sent, seen or counted yet.

    What a scenario changes is changed back after it.
    """
    request.node.stash[LIVE] = running_cluster
    request.config.stash[_LAST] = request.node
    request.node.stash[_OVERFLOWS] = _neighbour_table().overflows
    running_cluster.start_scenario()
    yield running_cluster
    running_cluster.restore()


@pytest.hookimpl(wrapper=True, trylast=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None]:
    """Note what a scenario leaves behind as soon as it ends."""
    failed = True
    try:
        yield
        failed = False
    finally:
        if LIVE in item.stash and not _is_mutating(item):
            from testbed.report.items import note_end

            note_end(item, failed=failed)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tell the story of a scenario that failed, and keep its packets."""
    report = yield
    if LIVE in item.stash and not _is_mutating(item):
        from testbed.report.items import note_report

        note_report(item, report)
        if report.failed:
            report.sections += _told_of_the_machine(item)
    return report


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say what is doubtful in a topology, what was replayed and what was not."""
    for title, remarks in config.stash.get(_REMARKS, {}).items():
        if remarks or title.startswith("replay"):
            terminalreporter.section(title)
        for remark in remarks:
            terminalreporter.write_line(remark)


def _collected(directory: Path) -> Replay:
    """What is to be replayed of an import's directory."""
    from testbed.replay.reading import replay

    return replay(directory)


def _check_replay(directory: Path) -> None:
    """Refuse what cannot be replayed before a sandbox is entered."""
    from testbed.errors import SDNError
    from testbed.replay.install import check_flows

    try:
        check_flows(_collected(directory))
    except SDNError as error:
        raise pytest.UsageError(str(error)) from error


def _neighbour_table() -> NeighbourTable:
    from testbed.emulation.neighbours import neighbour_table

    return neighbour_table()


def _told_of_the_machine(item: pytest.Item) -> Iterator[tuple[str, str]]:
    """What of this machine may have failed a scenario, with the section's title."""
    table = _neighbour_table()
    overflows = table.overflows - item.stash.get(_OVERFLOWS, table.overflows)
    if overflows:
        yield (
            "testbed: this machine",
            (
                f"its ARP table, {table.limit} entries for all that runs on it, was "
                f"full {overflows} times while the scenario ran: packets were lost; "
                "type: sudo sysctl -w net.ipv4.neigh.default.gc_thresh3=16384"
            ),
        )


def _is_mutating(item: pytest.Item) -> bool:
    """Whether scenarios fail by the hundred, and are meant to."""
    return bool(item.config.option.mutation_worker)
