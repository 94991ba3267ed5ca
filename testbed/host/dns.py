"""Name service: each node's dnsmasq, and the resolv.conf of nodes and pods.

On a real node dnsmasq forwards ``cluster.local`` to the SDN process; here it answers
by itself, from a file of the same names. Source: openshift/origin release-3.11
pkg/dns; openshift-ansible roles/openshift_node (origin-dns.conf).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ipaddress import IPv4Address
    from pathlib import Path

    from testbed.model import Cluster, HostSubnet, Pod, Service

CLUSTER_DOMAIN = "cluster.local"


def dnsmasq_configuration(names: Path) -> str:
    """The node's dnsmasq.conf: serve every interface but lo, ask nobody else.

    Args:
        names: the file with the contents of ``hosts_file``.
    """
    return "\n".join(
        [
            "no-resolv",
            "no-hosts",
            "domain-needed",
            f"local=/{CLUSTER_DOMAIN}/",
            f"addn-hosts={names}",
            "dns-forward-max=5000",
            "cache-size=5000",
            "min-port=1024",
            "bind-dynamic",
            "except-interface=lo",
            "",
        ]
    )


def hosts_file(cluster: Cluster) -> str:
    """All names a node resolves, as hosts(5) has them: nodes, outside, services.

    A headless service's name has the addresses of its endpoints. What is outside the
    cluster has the names that EgressNetworkPolicies may call it by.
    """
    lines = [f"{node.host_ip}\t{node.name}" for node in cluster.nodes]
    lines += [
        f"{host.ip}\t{name}"
        for host in cluster.underlay.external_hosts
        for name in host.dns_names
    ]
    lines += [
        f"{address}\t{service_name(service)}"
        for service in cluster.services
        for address in _addresses(cluster, service)
    ]
    return "".join(f"{line}\n" for line in lines)


def service_name(service: Service) -> str:
    """``name.namespace.svc.cluster.local``."""
    return f"{service.name}.{service.namespace}.svc.{CLUSTER_DOMAIN}"


def node_resolv_conf(node: HostSubnet) -> str:
    """A node asks its own dnsmasq."""
    return f"nameserver {node.host_ip}\nsearch {CLUSTER_DOMAIN}\n"


def pod_resolv_conf(node: HostSubnet, pod: Pod) -> str:
    """A pod asks its node's dnsmasq, and may shorten names of its namespace."""
    search = f"{pod.namespace}.svc.{CLUSTER_DOMAIN} svc.{CLUSTER_DOMAIN}"
    return (
        f"nameserver {node.host_ip}\n"
        f"search {search} {CLUSTER_DOMAIN}\n"
        "options ndots:5\n"
    )


def _addresses(cluster: Cluster, service: Service) -> tuple[IPv4Address, ...]:
    if service.cluster_ip is not None:
        return (service.cluster_ip,)
    endpoints = cluster.endpoints_of(service)
    subsets = endpoints.subsets if endpoints else ()
    return tuple(address for subset in subsets for address in subset.addresses)
