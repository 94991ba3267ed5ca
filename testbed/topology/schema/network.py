"""The kinds of network.openshift.io that shape the cluster network."""

from __future__ import annotations

from ipaddress import IPv4Network  # noqa: TC003 - pydantic reads it
from typing import Annotated

from pydantic import Field, ValidationInfo, field_validator, model_validator

from testbed.model import Plugin
from testbed.topology.fields import (
    MAC,
    Address,
    Cookie,
    NetID,
    Network,
    PortNumber,
    Range,
    TrueText,
    VNIDText,
    between,
    one_of,
)
from testbed.topology.schema.base import (
    Fields,
    KnownFields,
    Metadata,
    Object,
    same_as_the_name,
)

_HostSubnetLength = Annotated[int, between(2, 30)]


class ClusterNetworkEntry(Fields):
    """A range and the host bits of each node's part of it."""

    cidr: Network = Field(alias="CIDR")
    host_subnet_length: _HostSubnetLength

    @field_validator("host_subnet_length")
    @classmethod
    def _fits(cls, length: int, info: ValidationInfo) -> int:
        return _fitting(length, info.data.get("cidr"))


class ClusterNetwork(Object):
    """The ranges are in ``cluster_networks``, or before 3.7 in ``network``."""

    network: Network | None = None
    hostsubnetlength: _HostSubnetLength | None = None
    cluster_networks: list[ClusterNetworkEntry]
    service_network: Network
    plugin_name: Annotated[Plugin, one_of(Plugin)]
    vxlan_port: PortNumber = 4789

    @field_validator("hostsubnetlength")
    @classmethod
    def _fits(cls, length: int, info: ValidationInfo) -> int:
        return _fitting(length, info.data.get("network"))

    @model_validator(mode="before")
    @classmethod
    def _may_be_old(cls, values: dict[str, object]) -> dict[str, object]:
        return {"clusterNetworks": []} | values

    @field_validator("cluster_networks")
    @classmethod
    def _is_there(
        cls, entries: list[ClusterNetworkEntry], info: ValidationInfo
    ) -> list[ClusterNetworkEntry]:
        # What is wrong, and so told already, is not in ``info.data``.
        old = [info.data.get(field, ...) for field in ("network", "hostsubnetlength")]
        if not entries and None in old:
            raise ValueError("is missing")
        return entries


class HostSubnetAnnotations(Fields):
    """What makes a HostSubnet a ghost: no node stands behind it.

    That ``assign_subnet`` is there counts, not its value. The last two are ours: what a
    live node's flows say of it and no object does.
    """

    assign_subnet: str | None = Field(
        None, alias="pod.network.openshift.io/assign-subnet"
    )
    fixed_vnid: VNIDText | None = Field(
        None, alias="pod.network.openshift.io/fixed-vnid-host"
    )
    cookie: Cookie | None = Field(None, alias="testbed/cookie")
    tun0_mac: MAC | None = Field(None, alias="testbed/tun0-mac")


class HostSubnetMetadata(Metadata):
    """A HostSubnet's annotations matter, too."""

    annotations: HostSubnetAnnotations = HostSubnetAnnotations()


class HostSubnet(Object, KnownFields):
    """A node; the master allocates ``subnet`` when it is missing."""

    metadata: HostSubnetMetadata
    host: str | None = None
    host_ip: Address = Field(alias="hostIP")
    subnet: Network | None = None
    egress_ips: list[Address] = Field(default_factory=list, alias="egressIPs")
    egress_cidrs: list[Range] = Field(default_factory=list, alias="egressCIDRs")

    @field_validator("host")
    @classmethod
    def _is_the_name(cls, value: str, info: ValidationInfo) -> str:
        return same_as_the_name(value, info)


class NetNamespaceAnnotations(Fields):
    """Multicast, and what ``oc adm pod-network`` asks of the master."""

    multicast_enabled: TrueText = Field(
        default=False, alias="netnamespace.network.openshift.io/multicast-enabled"
    )
    change_network: str | None = Field(
        None, alias="pod.network.openshift.io/multitenant.change-network"
    )


class NetNamespaceMetadata(Metadata):
    """A NetNamespace's annotations matter, too."""

    annotations: NetNamespaceAnnotations = NetNamespaceAnnotations()


class NetNamespace(Object, KnownFields):
    """A namespace's VNID; the master allocates ``netid`` when it is missing."""

    metadata: NetNamespaceMetadata
    netname: str | None = None
    netid: NetID | None = None
    egress_ips: list[Address] = Field(default_factory=list, alias="egressIPs")

    @field_validator("netname")
    @classmethod
    def _is_the_name(cls, value: str, info: ValidationInfo) -> str:
        return same_as_the_name(value, info)


def _fitting(length: int, network: IPv4Network | None) -> int:
    if network and length > 32 - network.prefixlen:
        raise ValueError(f"must be at most the host bits of {network}, not {length}")
    return length
