"""What a VNID is called: the NetNamespaces that have it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from testbed.model import Cluster


def named(cluster: Cluster, vnid: int) -> str:
    """``NetNamespace shop``; several where namespaces share the VNID."""
    names = ", ".join(item.name for item in cluster.net_namespaces_of(vnid))
    return f"NetNamespace {names}"
