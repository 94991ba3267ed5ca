"""The API objects' shape: which fields the testbed reads, under the API's names.

Types are as strict as the API's. What an object means beside others is for ``check``.
"""

from __future__ import annotations

import enum
from ipaddress import IPv4Network  # noqa: TC003 - pydantic reads it
from typing import Annotated

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.alias_generators import to_camel

from testbed.model import Plugin, Protocol
from testbed.topology.fields import (
    Address,
    ClusterIP,
    Name,
    NetID,
    Network,
    OFPort,
    PortNumber,
    TargetPort,
    between,
    one_of,
)
from testbed.topology.problem import shown


class Phase(enum.StrEnum):
    """Where in its life a pod is; only a running one has a network for certain."""

    PENDING = "Pending"
    RUNNING = "Running"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"
    UNKNOWN = "Unknown"


class ServiceType(enum.StrEnum):
    """How a service is published; ``ExternalName`` is a DNS alias and nothing else."""

    CLUSTER_IP = "ClusterIP"
    NODE_PORT = "NodePort"
    LOAD_BALANCER = "LoadBalancer"
    EXTERNAL_NAME = "ExternalName"


_Protocol = Annotated[Protocol, one_of(Protocol)]
_HostSubnetLength = Annotated[int, between(2, 30)]


class _Fields(BaseModel):
    model_config = ConfigDict(
        alias_generator=to_camel, extra="ignore", frozen=True, strict=True
    )


class Metadata(_Fields):
    """What every object of the API has."""

    name: Name
    namespace: Name = "default"
    uid: str | None = None
    labels: dict[str, str] = Field(default_factory=dict)


class Object(_Fields):
    """Any object of the API."""

    metadata: Metadata


class ClusterNetworkEntry(_Fields):
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


class HostSubnet(Object):
    """A node; the master allocates ``subnet`` when it is missing."""

    host: str | None = None
    host_ip: Address = Field(alias="hostIP")
    subnet: Network | None = None

    @field_validator("host")
    @classmethod
    def _is_the_name(cls, value: str, info: ValidationInfo) -> str:
        return _same_as_the_name(value, info)


class NetNamespace(Object):
    """A namespace's VNID; the master allocates ``netid`` when it is missing."""

    netname: str | None = None
    netid: NetID | None = None

    @field_validator("netname")
    @classmethod
    def _is_the_name(cls, value: str, info: ValidationInfo) -> str:
        return _same_as_the_name(value, info)


class Namespace(Object):
    """A Namespace or a Project: the same thing seen by an administrator or a user."""


class Annotations(_Fields):
    """The one annotation of ours: the port number that a pod insists on."""

    ofport: OFPort | None = Field(None, alias="testbed/ofport")


class PodMetadata(Metadata):
    """A pod's annotations matter, too."""

    annotations: Annotations = Annotations()


class ContainerPort(_Fields):
    """A port that a service may name in ``targetPort``."""

    name: str | None = None
    container_port: PortNumber
    protocol: _Protocol = Protocol.TCP


class Container(_Fields):
    """Only its ports matter here."""

    ports: list[ContainerPort] = Field(default_factory=list)


class PodSpec(_Fields):
    """What was asked for."""

    node_name: Name | None = None
    host_network: bool = False
    containers: list[Container] = Field(default_factory=list)


class PodStatus(_Fields):
    """What was found; the node allocates ``pod_ip`` when it is missing."""

    phase: Annotated[Phase, one_of(Phase)] = Phase.RUNNING
    pod_ip: Address | None = Field(None, alias="podIP")


class Pod(Object):
    """A pod as the API server knows it."""

    metadata: PodMetadata
    spec: PodSpec
    status: PodStatus = PodStatus()


class ServicePort(_Fields):
    """``target_port`` is ``port`` when it is missing."""

    name: str = ""
    protocol: _Protocol = Protocol.TCP
    port: PortNumber
    target_port: TargetPort | None = None


class ServiceSpec(_Fields):
    """The API server allocates ``cluster_ip`` when it is missing."""

    cluster_ip: ClusterIP | None = Field(None, alias="clusterIP")
    type: Annotated[ServiceType, one_of(ServiceType)] = ServiceType.CLUSTER_IP
    ports: list[ServicePort] = Field(default_factory=list)
    selector: dict[str, str] = Field(default_factory=dict)


class Service(Object):
    """A service as the API server knows it."""

    spec: ServiceSpec


class EndpointAddress(_Fields):
    """One address that answers."""

    ip: Address


class EndpointPort(_Fields):
    """One port on which it does."""

    name: str = ""
    port: PortNumber
    protocol: _Protocol = Protocol.TCP


class EndpointSubset(_Fields):
    """``notReadyAddresses`` get no traffic and are left out."""

    addresses: list[EndpointAddress] = Field(default_factory=list)
    ports: list[EndpointPort] = Field(default_factory=list)


class Endpoints(Object):
    """The addresses behind a service."""

    subsets: list[EndpointSubset] = Field(default_factory=list)


class UnderlayHost(_Fields):
    """A machine that is no node."""

    name: Name
    ip: Address


class Underlay(Object):
    """Our own kind, the only one without a name; what is missing is chosen to fit."""

    metadata: Metadata = Metadata(name="underlay")
    subnet: Network | None = None
    gateway: Address | None = None
    external_network: Network | None = None
    external_gateway: Address | None = None
    external_hosts: list[UnderlayHost] | None = None
    rogues: list[UnderlayHost] = Field(default_factory=list)
    mtu: Annotated[int, between(576, 65485)] = 1450


def _fitting(length: int, network: IPv4Network | None) -> int:
    if network and length > 32 - network.prefixlen:
        raise ValueError(f"must be at most the host bits of {network}, not {length}")
    return length


def _same_as_the_name(value: str, info: ValidationInfo) -> str:
    metadata = info.data.get("metadata")
    if metadata and value != metadata.name:
        raise ValueError(
            f"must be {metadata.name!r} as metadata.name, not {shown(value)}"
        )
    return value
