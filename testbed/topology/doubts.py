"""What 3.11 makes of objects that were hardly meant that way: warnings, no errors."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from testbed.model import Plugin
from testbed.topology import schema
from testbed.topology.master import ADMIN_NAMESPACE
from testbed.topology.policies import network_policy
from testbed.topology.problem import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from ipaddress import IPv4Address

    from testbed.model import Cluster, LabelSelector, NetworkPolicy
    from testbed.topology.objects import Entry, Path, Source
    from testbed.topology.problem import Problem


def doubts(
    entries: Iterable[Entry[schema.Object]], cluster: Cluster
) -> Iterator[Problem]:
    """Yield a warning for each object that does not do what it says."""
    labels: dict[str, list[Mapping[str, str]]] = defaultdict(list)
    for pod in cluster.pods:
        labels[pod.namespace].append(pod.labels)
    for value, source in entries:
        match value:
            case schema.NetworkPolicy():
                yield from _network_policy(value, source, cluster)
            case schema.EgressNetworkPolicy():
                yield from _egress_network_policy(value, source, cluster)
            case schema.NetNamespace():
                yield from _net_namespace(value, source, cluster)
            case schema.HostSubnet():
                yield from _host_subnet(value, source, cluster)
            case schema.Service():
                yield from _service(value, source, labels[value.metadata.namespace])


def _network_policy(
    value: schema.NetworkPolicy, source: Source, cluster: Cluster
) -> Iterator[Problem]:
    plugin, quirks = cluster.network.plugin, cluster.quirks
    if plugin is not Plugin.NETWORKPOLICY:
        yield source.problem((), f"{plugin} enforces none")
        return
    policy = network_policy(value)
    if value.spec.egress is not None:
        yield source.problem(("spec", "egress"), "is ignored by 3.11")
    if not policy.affects_ingress:
        text = "is not about ingress, so 3.11 does nothing about it"
        if quirks.egress_only_policy_breaks_namespace:
            text = (
                "without Ingress it makes flows that Open vSwitch rejects: all "
                f"policies of {policy.namespace} fail and deny (BZ1905761)"
            )
        yield source.problem(("spec", "policyTypes"), text)
        return
    pods = [pod.labels for pod in cluster.pods_in(policy.namespace)]
    if not policy.pod_selector.is_empty and not _any(policy.pod_selector, pods):
        yield source.problem(("spec", "podSelector"), "selects no pod")
    for number, rule in enumerate(policy.ingress):
        where: Path = ("spec", "ingress", number)
        for index, port in enumerate(rule.ports):
            if not isinstance(port.port, int):
                what = f"a port by name ({port.port})" if port.port else "no number"
                effect = (
                    f"every pod of {policy.namespace} is denied all (BZ1768926)"
                    if quirks.unsupported_port_denies_namespace
                    else "allows nothing"
                )
                text = f"{what} is more than 3.11 supports: {effect}"
                yield source.problem((*where, "ports", index), text)
        yield from _peers(policy, number, source, cluster)


def _peers(
    policy: NetworkPolicy, number: int, source: Source, cluster: Cluster
) -> Iterator[Problem]:
    namespaces = [item.labels for item in cluster.namespaces]
    for index, peer in enumerate(policy.ingress[number].peers):
        where: Path = ("spec", "ingress", number, "from", index)
        pods = [pod.labels for pod in cluster.pods_in(policy.namespace)]
        if peer.ip_block and cluster.quirks.ip_block_ignored:
            yield source.problem(where, "ipBlock is unknown to 3.11: allows nobody")
        elif (
            peer.pod_selector
            and peer.namespace_selector
            and cluster.quirks.combined_selectors_ignored
        ):
            text = "podSelector with namespaceSelector: 3.11 allows nobody"
            yield source.problem(where, text)
        elif peer.namespace_selector and not _any(peer.namespace_selector, namespaces):
            text = "selects no namespace"
            yield source.problem((*where, "namespaceSelector"), text)
        elif peer.pod_selector and not peer.pod_selector.is_empty:
            if peer.namespace_selector:
                pods = [
                    pod.labels
                    for item in cluster.namespaces
                    if peer.namespace_selector.selects(item.labels)
                    for pod in cluster.pods_in(item.name)
                ]
            if not _any(peer.pod_selector, pods):
                yield source.problem((*where, "podSelector"), "selects no pod")


def _any(selector: LabelSelector, labels: Iterable[Mapping[str, str]]) -> bool:
    return any(selector.selects(item) for item in labels)


def _egress_network_policy(
    value: schema.EgressNetworkPolicy, source: Source, cluster: Cluster
) -> Iterator[Problem]:
    namespace = value.metadata.namespace
    plugin = cluster.network.plugin
    if not plugin.has_vnids:
        yield source.problem((), f"{plugin} enforces none")
        return
    vnid = cluster.vnid(namespace)
    sharing = [item.name for item in cluster.net_namespaces_of(vnid)]
    several = cluster.egress_network_policies_of(namespace)
    if vnid == 0:
        yield source.problem((), "is not enforced in a global namespace")
    elif value.spec.egress and len(sharing) > 1:
        text = f"drops all that leaves {' and '.join(sharing)}, which share VNID {vnid}"
        yield source.problem((), text)
    elif value.spec.egress and len(several) > 1:
        names = " and ".join(policy.name for policy in several)
        text = f"is not the only one: {names} together drop all that leaves {namespace}"
        yield source.problem((), text)
    for number, rule in enumerate(value.spec.egress):
        name = rule.to.dns_name
        if name and not cluster.resolve(name):
            path: Path = ("spec", "egress", number, "to", "dnsName")
            text = f"no externalHosts of the Underlay has {name} among its dnsNames"
            yield source.problem(path, text)


def _net_namespace(
    value: schema.NetNamespace, source: Source, cluster: Cluster
) -> Iterator[Problem]:
    name, annotations = value.metadata.name, value.metadata.annotations
    plugin = cluster.network.plugin
    change = annotations.change_network
    change_path: Path = (
        "metadata",
        "annotations",
        "pod.network.openshift.io/multitenant.change-network",
    )
    if change and plugin is not Plugin.MULTITENANT:
        text = f"{plugin} does not renumber namespaces; refused"
        yield source.problem(change_path, text)
    elif change == "isolate" and name == ADMIN_NAMESPACE:
        yield source.problem(change_path, f"{name} cannot be isolated; refused")
    elif change and change.startswith("join:"):
        other = change.removeprefix("join:")
        if all(item.name != other for item in cluster.net_namespaces):
            text = f"there is no NetNamespace {shown(other)}; refused"
            yield source.problem(change_path, text)
    elif change and change not in ("global", "isolate"):
        text = f"{shown(change)} is not global, isolate or join:NAME; refused"
        yield source.problem(change_path, text)
    if not plugin.has_vnids:
        if value.egress_ips or annotations.multicast_enabled:
            text = f"{plugin} has no egress IPs and no multicast"
            yield source.problem((), text)
        return
    sharing = cluster.net_namespaces_of(cluster.vnid(name))
    if plugin is Plugin.NETWORKPOLICY and len(sharing) > 1 and sharing[-1].name != name:
        last = sharing[-1].name
        text = f"is {last}'s, too: policies of both bear on both, and see {last}'s pods"
        yield source.problem(("netid",), text)
    if value.egress_ips and sharing[-1].name != name:
        user = sharing[-1]
        text = f"count for nothing: VNID {user.netid} leaves by those of {user.name}"
        yield source.problem(("egressIPs",), text)
    else:
        yield from _wanted_egress_ips(value, source, cluster)


def _wanted_egress_ips(
    value: schema.NetNamespace, source: Source, cluster: Cluster
) -> Iterator[Problem]:
    name = value.metadata.name
    vnid = cluster.vnid(name)
    offers = {
        ip: [node.name for node in cluster.nodes if ip in node.egress_ips]
        for ip in value.egress_ips
    }
    for number, ip in enumerate(value.egress_ips):
        path: Path = ("egressIPs", number)
        offering = offers[ip]
        rivals = [
            other for other in offers if other != ip and offers[other] == offering
        ]
        asking = [
            item.name
            for item in cluster.net_namespaces
            if ip in item.egress_ips and item.netid != vnid
        ]
        if asking:
            text = f"{ip} is asked for by {asking[0]}, too: neither leaves the cluster"
            yield source.problem(path, text)
        if not offering:
            text = f"no node has {ip}"
            if len(value.egress_ips) > 1 and _in_egress_cidrs(ip, cluster):
                text += "; one of several is not chosen from egressCIDRs"
            yield source.problem(path, text)
        elif len(offering) > 1:
            names = " and ".join(offering)
            yield source.problem(path, f"{ip} is claimed by {names}, so by none")
        elif rivals:
            text = f"{offering[0]} has {rivals[0]} for {name}, too: neither is used"
            yield source.problem(path, text)


def _in_egress_cidrs(ip: IPv4Address, cluster: Cluster) -> bool:
    return any(ip in cidr for node in cluster.nodes for cidr in node.egress_cidrs)


def _host_subnet(
    value: schema.HostSubnet, source: Source, cluster: Cluster
) -> Iterator[Problem]:
    for number, ip in enumerate(value.egress_ips):
        path: Path = ("egressIPs", number)
        if not cluster.network.plugin.has_vnids:
            yield source.problem(path, f"{cluster.network.plugin} has no egress IPs")
        elif ip == value.host_ip:
            yield source.problem(path, f"{ip} is the node's own; it is not set up")
        elif ip not in cluster.underlay.subnet:
            subnet = cluster.underlay.subnet
            text = f"{ip} is outside the node's network {subnet}; it is not set up"
            yield source.problem(path, text)
        elif ip in (taken := _addresses_of_machines(cluster)):
            text = f"{ip} is {taken[ip]}'s, too; both answer for it"
            yield source.problem(path, text)


def _addresses_of_machines(cluster: Cluster) -> dict[IPv4Address, str]:
    underlay = cluster.underlay
    return {
        **{rogue.ip: rogue.name for rogue in underlay.rogues},
        **{host.host_ip: host.name for host in cluster.host_subnets},
        underlay.gateway: "the gateway",
    }


def _service(
    value: schema.Service, source: Source, pods: Iterable[Mapping[str, str]]
) -> Iterator[Problem]:
    selector = value.spec.selector
    if selector and not any(selector.items() <= labels.items() for labels in pods):
        yield source.problem(("spec", "selector"), "selects no pod")
