"""In which clusters a scenario runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

TOPOLOGIES = {
    "subnet": "four-node.yaml",
    "multitenant": "multitenant.yaml",
    "networkpolicy": "networkpolicy.yaml",
}
"""The shipped cluster of each SDN plugin."""


def chosen_topology(config: pytest.Config) -> Path | None:
    """The topology that the command line names."""
    if directory := config.getoption("--replay"):
        return Path(directory, "topology.yaml")
    file = config.getoption("--topology")
    return Path(file) if file else None


def parametrize(metafunc: pytest.Metafunc) -> None:
    """Run a scenario once under each plugin that it is about, or in its own cluster.

    A topology that was chosen has one plugin; scenarios about others are left out.
    """
    if "topology" not in metafunc.fixturenames:
        return
    chosen = chosen_topology(metafunc.config)
    if chosen is None and (own := _own_cluster(metafunc)):
        names = ("topology", "replay")
        metafunc.parametrize(names, [own], indirect=True, scope="session")
        return
    marker = metafunc.definition.get_closest_marker("plugins")
    if marker is None:
        return
    unknown = set(marker.args) - set(TOPOLOGIES)
    if unknown:
        raise pytest.UsageError(
            f"{metafunc.definition.nodeid}: there is no plugin "
            f"{', '.join(sorted(unknown))}; there are: {', '.join(TOPOLOGIES)}"
        )
    if chosen and (plugin := _plugin_of(chosen)) not in marker.args:
        reason = f"is about {' and '.join(marker.args)}; the topology is {plugin}"
        plugins = [pytest.param(plugin, marks=pytest.mark.skip(reason))]
    elif chosen:
        plugins = [pytest.param(plugin)]
    else:
        plugins = [pytest.param(name) for name in TOPOLOGIES if name in marker.args]
    metafunc.parametrize("topology", plugins, indirect=True, scope="session")


def _own_cluster(metafunc: pytest.Metafunc) -> Any:  # noqa: ANN401 - pytest's own
    """What the file of a scenario names as its cluster: a topology, and its replay."""
    here = metafunc.definition.path.parent
    if marker := metafunc.definition.get_closest_marker("replay"):
        directory = here / marker.args[0]
        own = directory / "topology.yaml", directory
    elif marker := metafunc.definition.get_closest_marker("topology"):
        own = here / marker.args[0], None
    else:
        return None
    return pytest.param(*own, id=str(marker.args[0]))


def _plugin_of(topology: Path) -> str:
    """The short name of a topology's plugin."""
    from testbed.errors import TopologyError
    from testbed.topology import load

    try:
        plugin = load(topology).cluster.network.plugin
    except TopologyError as error:
        raise pytest.UsageError(str(error)) from error
    return plugin.rpartition("-ovs-")[2]
