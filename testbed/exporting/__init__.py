"""A cluster as its operator would send it: `testbed export`, the reverse of an import.

::

    topology ─► objects (oc get) ─┐
    running testbed ─► live ──────┼─► debug_sh | network_check | sosreport ─► save
    topology ─► printed ─► Computed     (files: path and text)
                (answers: what commands print)

The layouts are pure: each asks the same ``Answers`` for what a command prints on a
node, be they a running testbed's (``live``) or computed (``Computed``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.exporting import debug_sh, network_check, sosreport
from testbed.exporting.answers import Answers, Computed
from testbed.exporting.archive import pack, save
from testbed.exporting.collection import Collection, File, Format

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

__all__ = [
    "Answers",
    "Collection",
    "Computed",
    "File",
    "Format",
    "archive_name",
    "export",
    "pack",
    "save",
]

_LAYOUTS: Mapping[Format, Callable[[Collection], Iterator[File]]] = {
    Format.DEBUG_SH: debug_sh.debug_sh,
    Format.NETWORK_CHECK: network_check.network_check,
    Format.SOS: sosreport.sos,
}
_NAMES: Mapping[Format, Callable[[Collection], str]] = {
    Format.DEBUG_SH: debug_sh.archive_name,
    Format.NETWORK_CHECK: network_check.archive_name,
    Format.SOS: sosreport.archive_name,
}


def export(
    collection: Collection, layout: Format, *, complete: bool = False
) -> Iterator[File]:
    """Yield the files that a tool would have made of a cluster.

    Args:
        collection: the cluster.
        layout: the tool.
        complete: also what no tool collects: policies, namespaces and the testbed's
            own document, so that an import is the same cluster again.
    """
    yield from _LAYOUTS[layout](collection)
    if complete:
        yield from collection.completing()


def archive_name(collection: Collection, layout: Format) -> str:
    """What the tool would call its archive."""
    return _NAMES[layout](collection)
