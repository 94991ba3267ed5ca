"""The core kinds: namespaces, pods, services and their endpoints."""

from __future__ import annotations

import enum
from typing import Annotated, ClassVar

from pydantic import Field

from testbed.model import Protocol
from testbed.topology.fields import (
    Address,
    AnyRange,
    Bandwidth,
    ClusterIP,
    DNSName,
    Labels,
    Name,
    OFPort,
    PortNumber,
    TargetPort,
    between,
    one_of,
)
from testbed.topology.schema.base import Fields, KnownFields, Metadata, Object


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


class Affinity(enum.StrEnum):
    """Whether a service's client stays with the endpoint it got first."""

    NONE = "None"
    CLIENT_IP = "ClientIP"


class TrafficPolicy(enum.StrEnum):
    """Whether nodes pass outside traffic on to other nodes' pods."""

    CLUSTER = "Cluster"
    LOCAL = "Local"


_Protocol = Annotated[Protocol, one_of(Protocol)]


class Namespace(Object):
    """A Namespace or a Project: the same thing seen by an administrator or a user."""


class PodAnnotations(Fields):
    """Limits in bits/s, and one of ours: the port number that a pod insists on."""

    ofport: OFPort | None = Field(None, alias="testbed/ofport")
    ingress_bandwidth: Bandwidth | None = Field(
        None, alias="kubernetes.io/ingress-bandwidth"
    )
    egress_bandwidth: Bandwidth | None = Field(
        None, alias="kubernetes.io/egress-bandwidth"
    )


class PodMetadata(Metadata):
    """A pod's annotations matter, too."""

    annotations: PodAnnotations = PodAnnotations()


class ContainerPort(Fields):
    """A port that a service may name in ``targetPort``, or that the node publishes."""

    name: str | None = None
    host_port: PortNumber | None = None
    container_port: PortNumber
    protocol: _Protocol = Protocol.TCP


class Container(Fields):
    """Only its ports matter here."""

    ports: list[ContainerPort] = Field(default_factory=list)


class PodSpec(Fields):
    """What was asked for."""

    node_name: Name | None = None
    host_network: bool = False
    containers: list[Container] = Field(default_factory=list)


class PodStatus(Fields):
    """What was found; the node allocates ``pod_ip`` when it is missing."""

    phase: Annotated[Phase, one_of(Phase)] = Phase.RUNNING
    pod_ip: Address | None = Field(None, alias="podIP")


class Pod(Object):
    """A pod as the API server knows it."""

    metadata: PodMetadata
    spec: PodSpec
    status: PodStatus = PodStatus()


class ServicePort(KnownFields):
    """``target_port`` is ``port`` when it is missing; ``node_port`` is allocated."""

    name: str = ""
    protocol: _Protocol = Protocol.TCP
    port: PortNumber
    target_port: TargetPort | None = None
    node_port: PortNumber | None = None


class ClientIPConfig(KnownFields):
    """How long a client keeps its endpoint, in seconds."""

    timeout_seconds: Annotated[int, between(1, 86400)] = 10800


class SessionAffinityConfig(KnownFields):
    """What there is to say about affinity by address."""

    client_ip: ClientIPConfig = Field(ClientIPConfig(), alias="clientIP")


class ServiceSpec(KnownFields):
    """The API server allocates ``cluster_ip`` when it is missing."""

    unread: ClassVar[frozenset[str]] = frozenset(
        {
            "healthCheckNodePort",
            "loadBalancerIP",
            "publishNotReadyAddresses",
        }
    )

    cluster_ip: ClusterIP | None = Field(None, alias="clusterIP")
    type: Annotated[ServiceType, one_of(ServiceType)] = ServiceType.CLUSTER_IP
    ports: list[ServicePort] = Field(default_factory=list)
    selector: Labels = Field(default_factory=dict)
    session_affinity: Annotated[Affinity, one_of(Affinity)] = Affinity.NONE
    session_affinity_config: SessionAffinityConfig = SessionAffinityConfig()
    external_ips: list[Address] = Field(default_factory=list, alias="externalIPs")
    external_name: DNSName | None = None
    load_balancer_source_ranges: list[AnyRange] = Field(default_factory=list)
    external_traffic_policy: Annotated[TrafficPolicy, one_of(TrafficPolicy)] = (
        TrafficPolicy.CLUSTER
    )


class LoadBalancerIngress(Fields):
    """Where a load balancer takes traffic in; one with a host name only has no IP."""

    ip: Address | None = None


class LoadBalancerStatus(Fields):
    """What the load balancer's controller reported."""

    ingress: list[LoadBalancerIngress] = Field(default_factory=list)


class ServiceStatus(Fields):
    """What was found."""

    load_balancer: LoadBalancerStatus = LoadBalancerStatus()


class Service(Object):
    """A service as the API server knows it."""

    spec: ServiceSpec
    status: ServiceStatus = ServiceStatus()


class EndpointAddress(Fields):
    """One address that answers."""

    ip: Address


class EndpointPort(Fields):
    """One port on which it does."""

    name: str = ""
    port: PortNumber
    protocol: _Protocol = Protocol.TCP


class EndpointSubset(Fields):
    """``not_ready_addresses`` get no traffic and are left out."""

    addresses: list[EndpointAddress] = Field(default_factory=list)
    not_ready_addresses: list[EndpointAddress] = Field(default_factory=list)
    ports: list[EndpointPort] = Field(default_factory=list)


class Endpoints(Object):
    """The addresses behind a service."""

    subsets: list[EndpointSubset] = Field(default_factory=list)
