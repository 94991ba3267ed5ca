"""Names for the numbers of 3.11's pipeline.

Source: openshift/origin release-3.11 pkg/network/node/ovscontroller.go
"""

from __future__ import annotations

import enum


class Table(enum.IntEnum):
    """The pipeline's tables; the name says what enters, or what is decided there."""

    DISPATCH = 0
    FROM_VXLAN = 10
    FROM_POD = 20
    FROM_POD_CONNTRACK = 21
    FROM_POD_VIA_SERVICE = 25
    ROUTING = 30
    ARP_TO_LOCAL_POD = 40
    ARP_TO_REMOTE_POD = 50
    IP_TO_SERVICE = 60
    IP_TO_LOCAL_POD = 70
    POLICY = 80
    IP_TO_REMOTE_POD = 90
    EGRESS_ROUTING = 100
    EGRESS_NETWORK_POLICY = 101
    MULTICAST_FROM_POD = 110
    MULTICAST_TO_VXLAN = 111
    MULTICAST_TO_LOCAL_PODS = 120
    RULE_VERSION = 253

    def __str__(self) -> str:
        return f"{self.value} ({self.name})"


class OFPort(enum.IntEnum):
    """The two ofports that are the same on every node; pods get 3 and up."""

    VXLAN0 = 1
    TUN0 = 2


class Register(enum.StrEnum):
    """What the pipeline carries from table to table, in OVS's spelling."""

    SOURCE_VNID = "NXM_NX_REG0"
    DESTINATION_VNID = "NXM_NX_REG1"
    DESTINATION_OFPORT = "NXM_NX_REG2"
