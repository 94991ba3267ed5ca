"""The pytest plugin: a sandbox around the run, the ``cluster`` fixture, the story.

It is loaded in every run of the environment it is installed in, so it imports the rest
of the testbed only when a test asks for a cluster.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from testbed.probe import LiveCluster

FIXTURES = frozenset({"cluster", "running_cluster"})
"""What a test must ask for to be run in a sandbox."""

TOPOLOGIES = {
    "subnet": "four-node.yaml",
    "multitenant": "multitenant.yaml",
    "networkpolicy": "networkpolicy.yaml",
}
"""The shipped cluster of each SDN plugin."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of a run."""
    group = parser.getgroup("testbed", "OpenShift SDN testbed")
    group.addoption(
        "--topology",
        metavar="FILE",
        help="the cluster to build (default: four-node.yaml, and for scenarios that "
        "say which plugins they are about, the shipped one of each)",
    )
    group.addoption(
        "--datapath",
        choices=["system", "netdev"],
        help="insist on the kernel's datapath or the userspace one",
    )
    group.addoption(
        "--captures",
        metavar="DIR",
        default="captures",
        help="where the packets of failed scenarios are kept (default: %(default)s)",
    )
    group.addoption("--in-sandbox", action="store_true", help=argparse.SUPPRESS)
    group.addoption(
        "--prove-red",
        action="store_true",
        help="after each scenario, delete the flows it hits and see it fail",
    )
    group.addoption(
        "--flow-coverage",
        action="store_true",
        help="print which kinds of flows the scenarios hit, and which none does",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Run the whole session again inside a sandbox if any test asks for a cluster."""
    option = config.option
    if option.in_sandbox or option.collectonly or option.showfixtures:
        return None
    if not any(_wants_cluster(path) for path in _test_files(config)):
        return None
    from testbed.emulation import sandbox
    from testbed.errors import PrerequisiteError

    capture = config.pluginmanager.getplugin("capturemanager")
    if capture:
        capture.suspend_global_capture(in_=True)
    arguments = [str(argument) for argument in config.invocation_params.args]
    try:
        return sandbox.run([sys.executable, "-m", "pytest", "--in-sandbox", *arguments])
    except PrerequisiteError as error:
        raise pytest.UsageError(str(error)) from error


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, and what only some runs need."""
    config.addinivalue_line(
        "markers",
        "plugins(*names): run under each of these SDN plugins: subnet, multitenant, "
        "networkpolicy",
    )
    if config.getoption("--prove-red"):
        from testbed.prove import RedProof

        config.pluginmanager.register(RedProof(), "testbed-prove-red")
    if config.getoption("--flow-coverage"):
        from testbed.coverage import FlowCoverage

        config.pluginmanager.register(FlowCoverage(), "testbed-flow-coverage")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a scenario once under each plugin that it is about.

    A topology that was chosen has one plugin; scenarios about others are left out.
    """
    marker = metafunc.definition.get_closest_marker("plugins")
    if marker is None or "topology" not in metafunc.fixturenames:
        return
    unknown = set(marker.args) - set(TOPOLOGIES)
    if unknown:
        raise pytest.UsageError(
            f"{metafunc.definition.nodeid}: there is no plugin "
            f"{', '.join(sorted(unknown))}; there are: {', '.join(TOPOLOGIES)}"
        )
    chosen = metafunc.config.getoption("--topology")
    if chosen and (plugin := _plugin_of(Path(chosen))) not in marker.args:
        reason = f"is about {' and '.join(marker.args)}; the topology is {plugin}"
        plugins = [pytest.param(plugin, marks=pytest.mark.skip(reason))]
    elif chosen:
        plugins = [pytest.param(plugin)]
    else:
        plugins = [pytest.param(name) for name in TOPOLOGIES if name in marker.args]
    metafunc.parametrize("topology", plugins, indirect=True, scope="session")


@pytest.fixture(scope="session")
def topology(request: pytest.FixtureRequest) -> Path:
    """The topology file of the run; a module may override this fixture."""
    from testbed.topology.shipped import shipped

    chosen = request.config.getoption("--topology")
    plugin = getattr(request, "param", "subnet")
    return Path(chosen) if chosen else shipped(TOPOLOGIES[plugin])


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
    topology: Path, pytestconfig: pytest.Config
) -> Iterator[LiveCluster]:
    """The cluster of the run, built once."""
    from testbed.emulation.build import running_cluster
    from testbed.emulation.prerequisites import choose_datapath
    from testbed.emulation.wiring import Datapath
    from testbed.probe import LiveCluster
    from testbed.topology import load

    loaded = load(topology)
    for warning in loaded.warnings:
        warnings.warn(str(warning), stacklevel=1)
    insisted = pytestconfig.getoption("--datapath")
    datapath = choose_datapath(Datapath(insisted) if insisted else None)
    with (
        running_cluster(loaded.cluster, datapath),
        LiveCluster.attach(loaded) as live,
    ):
        yield live


@pytest.fixture
def cluster(running_cluster: LiveCluster) -> Iterator[LiveCluster]:
    """The running cluster, with nothing sent, seen or counted yet.

    What a scenario changes is changed back after it.
    """
    running_cluster.start_scenario()
    yield running_cluster
    running_cluster.restore()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Tell the story of a scenario that failed, and keep its packets."""
    report = yield
    live = getattr(item, "funcargs", {}).get("cluster")
    if live is not None and report.when == "call" and report.failed:
        from testbed.errors import SDNError
        from testbed.probe import LiveCluster
        from testbed.probe.story import tell, write_capture

        if not isinstance(live, LiveCluster):
            return report  # a fixture of that name that is not ours
        name = re.sub(r"[^\w.-]+", "_", item.nodeid.rpartition("/")[2])
        capture = Path(item.config.getoption("--captures")) / f"{name}.pcapng"
        try:
            write_capture(live, capture)
            kept = f"capture of all taps: {capture.resolve()}"
        except OSError as error:
            kept = f"no capture of the taps: {error}"
        try:
            story = tell(live)
        except SDNError as error:
            story = f"no story: {error}"
        report.sections.append(("testbed", f"{story}\n{kept}"))
    return report


def _plugin_of(topology: Path) -> str:
    """The short name of a topology's plugin."""
    from testbed.errors import TopologyError
    from testbed.topology import load

    try:
        plugin = load(topology).cluster.network.plugin
    except TopologyError as error:
        raise pytest.UsageError(str(error)) from error
    return plugin.rpartition("-ovs-")[2]


def _test_files(config: pytest.Config) -> Iterator[Path]:
    """The files that the run will collect tests and fixtures from."""
    for argument in config.args:
        path = Path(config.invocation_params.dir, argument.partition("::")[0])
        for pattern in [*config.getini("python_files"), "conftest.py"]:
            yield from path.rglob(pattern)
        if path.is_file():
            yield path
        yield from (parent / "conftest.py" for parent in path.parents)


def _wants_cluster(path: Path) -> bool:
    """Whether a test or fixture in the file has a parameter named like our fixture.

    Read from the text, because importing would be collecting: the session would run
    twice up to there, and print twice.
    """
    try:
        tree = ast.parse(path.read_bytes())
    except (OSError, SyntaxError, ValueError):
        return False  # pytest will say so
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    fixtures = [function for function in functions if _is_fixture(function)]
    tests = [function for function in functions if function.name.startswith("test")]
    wanted = FIXTURES - {function.name for function in fixtures}
    return any(
        argument.arg in wanted
        for function in (*fixtures, *tests)
        for argument in function.args.args
    )


def _is_fixture(function: ast.FunctionDef) -> bool:
    return any("fixture" in ast.unparse(item) for item in function.decorator_list)
