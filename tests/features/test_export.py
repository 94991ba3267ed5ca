"""A running cluster, exported as a customer would send it, is imported as it was."""

from __future__ import annotations

import io
import os
from dataclasses import fields, replace
from typing import TYPE_CHECKING

import pytest

from testbed.exporting import Format
from testbed.importing import Imported, ImportedNode, Sort, gather, merge
from testbed.openflow import Deviation
from testbed.pipeline import node_flows
from testbed.topology import load
from testbed.topology.shipped import shipped
from tests.shell import Shell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from testbed.model import Cluster

pytestmark = [pytest.mark.emulation, pytest.mark.usefixtures("datapath")]

NETWORK_POLICY = shipped("networkpolicy.yaml")


class Exporter(Shell):
    """A user with a testbed."""

    def exported(self, target: Path, *options: str) -> Imported:
        """What an import makes of what an export wrote."""
        done = self("export", *options, "-o", str(target))
        assert (done.returncode, done.stdout) == (0, f"{target}\n"), done.stderr
        return merge(gather([target], io.BytesIO()))


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exporter]:
    shell = Exporter(tmp_path_factory.mktemp("state"))
    up = shell("up", "--topology", str(NETWORK_POLICY))
    assert up.returncode == 0, up.stderr
    yield shell
    shell("down")


@pytest.fixture(scope="module")
def cluster() -> Cluster:
    return load(NETWORK_POLICY).cluster


@pytest.fixture
def without_a_flow(running: Exporter) -> Iterator[None]:
    """One flow of oc-03 is gone while the test runs."""
    oc_03 = ("exec", "oc-03", "--", "ovs-ofctl", "-O", "OpenFlow13")
    flow = "table=10,priority=100,tun_src=172.16.1.15,actions=goto_table:30"
    cookie = running(*oc_03, "dump-flows", "br0", "table=10,tun_src=172.16.1.15")
    number = cookie.stdout.split("cookie=")[1].partition(",")[0]
    gone = running(*oc_03, "del-flows", "br0", "table=10,tun_src=172.16.1.15")
    assert gone.returncode == 0, gone.stderr
    yield
    running(*oc_03, "add-flow", "br0", f"cookie={number},{flow}")


def values(cluster: Cluster, field: str) -> object:
    """A field of a cluster, in an order that does not depend on the file's."""
    found = getattr(cluster, field)
    return sorted(found, key=repr) if isinstance(found, tuple) else found


def contradictions(imported: Imported) -> list[str]:
    return [str(r) for r in imported.remarks if r.sort is Sort.CONTRADICTORY]


@pytest.mark.parametrize("layout", list(Format))
def test_an_export_of_a_running_cluster_is_imported_as_that_cluster(
    layout: Format, running: Exporter, cluster: Cluster, tmp_path: Path
) -> None:
    imported = running.exported(
        tmp_path / "export.tgz", "--format", layout, "--complete"
    )

    again = imported.topology.cluster
    for field in fields(cluster):
        assert values(again, field.name) == values(cluster, field.name)
    for node in imported.nodes:
        assert set(node.flows) == set(node_flows(cluster, cluster.node(node.name)))
    assert contradictions(imported) == []


@pytest.mark.usefixtures("without_a_flow")
@pytest.mark.parametrize("layout", list(Format))
def test_what_is_not_as_computed_is_exported_as_it_is(
    layout: Format, running: Exporter, tmp_path: Path
) -> None:
    imported = running.exported(
        tmp_path / "export.tgz", "--format", layout, "--complete"
    )

    counted = {node.name: node.deviations for node in imported.nodes}
    assert counted["oc-03.test"][str(Deviation.MISSING)] == 1
    assert sum(sum(deviations.values()) for deviations in counted.values()) == 1


def rules(node: ImportedNode) -> list[str]:
    """A node's rules, without counters; the testbed's own of table mangle aside.

    A master's are there twice, with what was counted meanwhile.
    """
    text = [text.text for _, text in node.texts if text.kind == "iptables"][-1]
    tables = (table for table in text.split("*") if not table.startswith("mangle"))
    lines = (line for table in tables for line in table.splitlines())
    return sorted(line.partition(" [")[0] for line in lines if line[:1] in ":-")


def routes(node: ImportedNode) -> set[object]:
    return {
        replace(route, line=0)
        for pod, text in node.texts
        if not pod
        for route in text.routes
    }


def addresses(node: ImportedNode, names: set[str]) -> set[object]:
    return {
        (interface.name, interface.mac, interface.mtu, interface.addresses)
        for pod, text in node.texts
        if not pod
        for interface in text.interfaces
        if interface.name in names
    }


@pytest.mark.parametrize(
    "told",
    [rules, routes, lambda node: addresses(node, {"eth0", "tun0"})],
    ids=["iptables", "routes", "addresses"],
)
def test_what_is_computed_says_the_same_as_a_running_node(
    told: Callable[[ImportedNode], object], running: Exporter, tmp_path: Path
) -> None:
    seen = running.exported(tmp_path / "seen.tgz")
    computed = running.exported(
        tmp_path / "computed.tgz", "--topology", str(NETWORK_POLICY)
    )

    for one, other in zip(seen.nodes, computed.nodes, strict=True):
        assert told(one) == told(other)


def test_nothing_of_this_machine_is_in_an_export(
    running: Exporter, tmp_path: Path
) -> None:
    target = tmp_path / "export"
    done = running("export", "--output", str(target))
    assert done.returncode == 0, done.stderr

    kernel = os.uname()
    texts = {path: path.read_text() for path in target.rglob("*") if path.is_file()}
    assert len(texts) > 100
    for path, text in texts.items():
        assert kernel.release not in text, path
    for name in ("journal-full", "modules", "docker-ps"):
        (text,) = {t.partition("\n")[2] for p, t in texts.items() if p.name == name}
        assert text.endswith("command not found\n")
    settings = target / "openshift-sdn-debug/nodes/oc-03.test/sysctl"
    lines = settings.read_text().splitlines()[2:]
    assert all(line.startswith("net.") for line in lines)
