"""Who may import whom: what keeps the three witnesses independent of each other."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

TESTBED = Path(__file__).parents[2] / "testbed"
MODULES = sorted(TESTBED.rglob("*.py"))

MAY_IMPORT = {
    "errors": set[str](),
    "model": {"errors"},
    "openflow": {"errors", "model"},
    "shelf": {"errors"},
    "topology": {"errors", "model", "shelf"},
    "oracle": {"errors", "model"},
    "egress": {"errors", "model"},
    "pipeline": {"errors", "model", "openflow", "egress"},
    "host": {"errors", "model", "openflow", "egress"},
    "netfilter": {"errors", "model"},
    "importing": {
        *("errors", "garbage", "model", "openflow", "topology", "egress", "pipeline"),
    },
    # Not pure: it breaks the cluster that it is given, by what ``probe`` can do alone.
    "mutation": {
        *("errors", "model", "openflow", "pipeline", "host", "coverage", "probe"),
        *("faults", "netfilter", "pytest_choice"),
    },
}
"""What each part that is pure may use of the testbed besides itself."""

HOME = {"ovs": "ovs", "mininet": "emulation", "scapy": "probe"}
"""The one part that may import each of these packages."""


def imports(source: str) -> Iterator[str]:
    """Dotted names; a relative import is ``testbed`` and no more."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str(module), names=names, level=0):
                yield from (f"{module}.{alias.name}" for alias in names)
            case ast.ImportFrom():
                yield "testbed"


def violations(part: str, source: str) -> list[str]:
    """The imports that break the rules in a module of ``testbed.<part>``."""
    found = []
    for name in imports(source):
        package, _, rest = name.partition(".")
        other = rest.partition(".")[0]
        allowed = (
            part not in MAY_IMPORT or other in MAY_IMPORT[part] | {part}
            if package == "testbed"
            else HOME.get(package, part) == part
        )
        if not allowed:
            found.append(f"{part} imports {name}")
    return found


@pytest.mark.parametrize("module", MODULES, ids=lambda p: str(p.relative_to(TESTBED)))
def test_a_module_imports_only_what_its_layer_may(module: Path) -> None:
    part = module.relative_to(TESTBED).with_suffix("").parts[0]

    assert violations(part, module.read_text()) == []


@pytest.mark.parametrize("part", sorted({*MAY_IMPORT, *HOME.values()}))
def test_the_rules_are_about_parts_that_exist(part: str) -> None:
    parts = {path.relative_to(TESTBED).with_suffix("").parts[0] for path in MODULES}

    assert part in parts


@pytest.mark.parametrize(
    ("part", "source"),
    [
        ("model", "import testbed.openflow"),
        ("model", "from testbed.topology import load"),
        ("openflow", "from testbed import pipeline"),
        ("pipeline", "from testbed.host import routes"),
        ("pipeline", "from testbed.ovs.switch import Switch"),
        ("host", "import testbed.emulation.node"),
        ("netfilter", "from testbed.host.iptables import node_rules"),
        ("mutation", "from testbed.emulation.changes import change_cluster"),
        ("oracle", "from testbed.openflow import Flow"),
        ("oracle", "from testbed.egress import egress_state"),
        ("oracle", "from testbed.pipeline import node_flows"),
        ("topology", "from testbed.openflow import Table"),
        ("oracle", "def late() -> None:\n    import testbed.pipeline"),
        ("oracle", "if TYPE_CHECKING:\n    from testbed.openflow import Flow"),
        ("pipeline", "from ..host import routes"),
        ("oracle", "import testbed"),
        ("probe", "import ovs.db.idl"),
        ("cli", "from mininet.net import Mininet"),
        ("ovs", "from scapy.all import IP"),
    ],
)
def test_an_import_across_the_layers_is_noticed(part: str, source: str) -> None:
    assert len(violations(part, source)) == 1


@pytest.mark.parametrize(
    ("part", "source"),
    [
        ("model", "from testbed.model.cluster import Cluster"),
        ("pipeline", "from testbed.openflow import Flow, Table"),
        ("ovs", "import ovs.db.idl\nfrom testbed.openflow import Flow"),
        ("emulation", "from mininet.net import Mininet\nfrom testbed import ovs"),
        ("probe", "from scapy.layers.l2 import Ether"),
        ("verdict", "import testbed.oracle\nimport testbed.pipeline"),
        ("oracle", "import ipaddress"),
    ],
)
def test_an_import_within_the_layers_is_fine(part: str, source: str) -> None:
    assert violations(part, source) == []
