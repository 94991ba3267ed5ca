"""OpenShift's own objects as frozen values: what a cluster *is*, and nothing it does.

Field names are the API's in snake_case; addresses are ``ipaddress`` objects. Nothing
here reads files, talks to a switch or imports another part of the testbed.
"""

from testbed.model.cluster import Cluster
from testbed.model.network import (
    ClusterNetwork,
    ClusterNetworkEntry,
    HostSubnet,
    NetNamespace,
    Plugin,
)
from testbed.model.policy import (
    EgressNetworkPolicy,
    EgressRule,
    IngressRule,
    IPBlock,
    LabelRequirement,
    LabelSelector,
    NetworkPolicy,
    Operator,
    PolicyPeer,
    PolicyPort,
)
from testbed.model.quirks import Quirks
from testbed.model.traffic import Delivery, Outcome, Party, Traffic, Transport
from testbed.model.underlay import DOCKER_NETWORK, Underlay, UnderlayHost
from testbed.model.workload import (
    EndpointPort,
    Endpoints,
    EndpointSubset,
    HostPort,
    Namespace,
    Pod,
    Protocol,
    Service,
    ServicePort,
)

__all__ = [
    "DOCKER_NETWORK",
    "Cluster",
    "ClusterNetwork",
    "ClusterNetworkEntry",
    "Delivery",
    "EgressNetworkPolicy",
    "EgressRule",
    "EndpointPort",
    "EndpointSubset",
    "Endpoints",
    "HostPort",
    "HostSubnet",
    "IPBlock",
    "IngressRule",
    "LabelRequirement",
    "LabelSelector",
    "Namespace",
    "NetNamespace",
    "NetworkPolicy",
    "Operator",
    "Outcome",
    "Party",
    "Plugin",
    "Pod",
    "PolicyPeer",
    "PolicyPort",
    "Protocol",
    "Quirks",
    "Service",
    "ServicePort",
    "Traffic",
    "Transport",
    "Underlay",
    "UnderlayHost",
]
