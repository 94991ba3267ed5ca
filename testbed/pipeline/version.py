"""Table 253: a note to the SDN itself, which no packet ever reaches.

When the SDN starts, it reads back which plugin set the bridge up and with which version
of the flows. If either differs, it builds the bridge anew.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.openflow import DEFAULT_PRIORITY, Flow, Table
from testbed.openflow.actions import note

if TYPE_CHECKING:
    from collections.abc import Iterator

    from testbed.model import Cluster

_RULE_VERSION = 7
"""The same in every build of 3.11, although a later one changed a flow."""


def version_flows(cluster: Cluster) -> Iterator[Flow]:
    """Yield the one flow whose note holds the plugin and the version."""
    yield Flow(
        table=Table.RULE_VERSION,
        priority=DEFAULT_PRIORITY,
        actions=(note(cluster.network.plugin.plugin_id, _RULE_VERSION),),
    )
