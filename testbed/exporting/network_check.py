"""The files of ``oc adm diagnostics NetworkCheck``. Pure.

They hold what the commands print and nothing else, appended: master/routes has the
kernel's first and then OpenShift's. Of pods only the diagnostic ones are looked into,
and a cluster here has none.

Source: openshift/origin release-3.11 pkg/oc/cli/admin/diagnostics/diagnostics/cluster/
network (in_pod/util/log.go, results.go).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.exporting.collection import File
from testbed.exporting.commands import CPE, HOST, IP, NMCLI, NODE, outputs
from testbed.exporting.objects import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.exporting.collection import Collection
    from testbed.model import HostSubnet

TOP = "openshift"
"""Of ``/tmp/openshift/``, where it all is."""

_SYSTEM = (
    ("journal-boot", "journalctl --boot -r -n 5000"),
    *NMCLI,
    *IP,
    ("arp", "ip neighbor show"),
    *HOST,
)
_NODE = (*NODE, ("docker-network-file", "cat /etc/sysconfig/docker-network"))
_MASTER = (
    "nodes",
    "pods",
    "services",
    "endpoints",
    "routes",
    "clusternetwork",
    "hostsubnets",
    "netnamespaces",
)


def network_check(collection: Collection) -> Iterator[File]:
    """Yield the files; what is appended to one is in it already."""
    texts: dict[str, str] = {}
    for path, text in _appended(collection):
        texts[path] = texts.get(path, "") + text
    for path, text in texts.items():
        yield File(f"{TOP}/{path}", text)


def archive_name(collection: Collection) -> str:
    """A name for a tarball of that directory; the tool leaves a directory."""
    return f"{TOP}-networkcheck-{collection.moment:%Y-%m-%d}.tgz"


def _appended(collection: Collection) -> Iterator[File]:
    yield from _system(collection, collection.master, "master")
    for name in _MASTER:
        yield File(f"master/{name}", collection.api.yaml(name))
    for node in collection.cluster.nodes:
        folder = f"nodes/{node.name}"
        yield from _system(collection, node, folder)
        yield from outputs(collection, node, folder, _NODE, _shown)


def _system(collection: Collection, node: HostSubnet, folder: str) -> Iterator[File]:
    yield from outputs(collection, node, folder, _SYSTEM, _shown)
    yield File(f"{folder}/version", VERSION)
    yield File(f"{folder}/version", CPE)


def _shown(command: str, printed: str | None) -> str:
    if printed is None:
        return f"sh: {command.partition(' ')[0]}: command not found\n"
    return printed
