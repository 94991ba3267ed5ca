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
from testbed.exporting.objects import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.exporting.collection import Collection
    from testbed.model import HostSubnet

TOP = "openshift"
"""Of ``/tmp/openshift/``, where it all is."""

_SYSTEM = (
    ("journal-boot", "journalctl --boot -r -n 5000"),
    ("nmcli-dev", "nmcli --nocheck -f all dev show"),
    ("nmcli-con", "nmcli --nocheck -f all con show"),
    ("addresses", "ip addr show"),
    ("routes", "ip route show"),
    ("arp", "ip neighbor show"),
    ("iptables", "iptables-save"),
    ("hosts", "cat /etc/hosts"),
    ("resolv.conf", "cat /etc/resolv.conf"),
    ("modules", "lsmod"),
    ("sysctl", "sysctl -a"),
)
_NODE = (
    ("flows", "ovs-ofctl -O OpenFlow13 dump-flows br0"),
    ("ovs-show", "ovs-ofctl -O OpenFlow13 show br0"),
    ("tc-qdisc", "tc qdisc show"),
    ("tc-class", "tc class show"),
    ("tc-filter", "tc filter show"),
    ("docker-unit-file", "systemctl cat docker.service"),
    ("docker-network-file", "cat /etc/sysconfig/docker-network"),
)
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
        for name, command in _NODE:
            yield File(f"{folder}/{name}", _printed(collection, node, command))


def _system(collection: Collection, node: HostSubnet, folder: str) -> Iterator[File]:
    for name, command in _SYSTEM:
        yield File(f"{folder}/{name}", _printed(collection, node, command))
    yield File(f"{folder}/version", VERSION)
    yield File(f"{folder}/version", "cpe:/o:centos:centos:7\n")


def _printed(collection: Collection, node: HostSubnet, command: str) -> str:
    printed = collection.answers.node(node.name, command)
    if printed is None:
        return f"sh: {command.partition(' ')[0]}: command not found\n"
    return printed
