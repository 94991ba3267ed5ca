"""What holds for scenarios of all bugs."""

from __future__ import annotations

from pathlib import Path

import pytest

from testbed.pytest_choice import TOPOLOGIES
from testbed.topology.shipped import shipped


@pytest.fixture(autouse=True)
def shipped_cluster(pytestconfig: pytest.Config) -> None:
    """Skip where another cluster was chosen than those that are shipped."""
    chosen = pytestconfig.getoption("--topology")
    ours = [shipped(name).resolve() for name in TOPOLOGIES.values()]
    is_other = chosen and Path(chosen).resolve() not in ours
    if is_other or pytestconfig.getoption("--replay"):
        pytest.skip("bugs are shown in the clusters that come with the testbed")
