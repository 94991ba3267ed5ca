"""The ClusterNetwork: plugin, ranges, services, port."""

from __future__ import annotations

from collections import Counter
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Any

from testbed.importing.case import votes_of
from testbed.importing.remarks import Place, Sort
from testbed.model import Plugin

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from testbed.importing.case import Case
    from testbed.importing.evidence import Bridge
    from testbed.importing.facts import BridgeFacts
    from testbed.importing.readers.api import ApiObject, Values

_RULE_VERSION = 7
"""Of the flows of every 3.11; later releases count on."""

_RANGE = IPv4Network("10.128.0.0/14")
_SERVICES = IPv4Network("172.30.0.0/16")
_HOST_BITS = 9
_VXLAN = 4789
"""What openshift-ansible 3.11 sets up where nobody says otherwise."""


def cluster_network(case: Case) -> None:
    """Take the ClusterNetwork, or infer it."""
    found = case.catalogue.of("ClusterNetwork")
    _check_versions(case)
    item = found.get("default") or next(iter(found.values()), None)
    if item is None:
        _infer(case)
    else:
        case.take(item)
        _compare(case, item)
    values = case.made_of("ClusterNetwork")[0].values
    plugin = values.get("pluginName")
    case.plugin = next((known for known in Plugin if known == plugin), Plugin.SUBNET)
    case.ranges = tuple(_ranges(values))


def _votes(
    case: Case, told: Callable[[BridgeFacts], Mapping[Any, int]]
) -> dict[Any, list[Place]]:
    return votes_of((bridge, told(bridge.facts)) for _, bridge in case.bridges)


def _check_versions(case: Case) -> None:
    for _, bridge in case.bridges:
        for version, line in bridge.facts.rule_versions.items():
            if version != _RULE_VERSION:
                text = (
                    f"table 253 notes version {version} of the flows; 3.11 has "
                    f"{_RULE_VERSION}, so they are another release's"
                )
                place = bridge.at(line)
                case.tell(Sort.CONTRADICTORY, f"flows in {bridge.file}", text, place)
        noted, structure = bridge.facts.noted, bridge.facts.structure
        if noted and structure and not noted.keys() & structure.keys():
            text = (
                f"table 253 notes {next(iter(noted))}, and other flows are "
                f"{next(iter(structure))}'s; the note was taken"
            )
            places = (
                bridge.at(line) for line in (*noted.values(), *structure.values())
            )
            case.tell(Sort.CONTRADICTORY, f"flows in {bridge.file}", text, *places)


def _compare(case: Case, item: ApiObject) -> None:
    """Tell where flows are of another network than the object's."""
    ranges = set(_ranges(item.values))
    for what, told in (
        ("pluginName", _votes(case, lambda facts: facts.plugins)),
        ("serviceNetwork", _votes(case, lambda facts: facts.service_networks)),
        ("vxlanPort", _votes(case, lambda facts: facts.vxlan_ports)),
        ("clusterNetworks", _votes(case, lambda facts: facts.cidrs)),
    ):
        said = item.at(what) or (_VXLAN if what == "vxlanPort" else "")
        for value, places in told.items():
            agrees = (
                value in ranges
                if what == "clusterNetworks"
                else str(value) == str(said)
            )
            if not agrees:
                shown = "without it" if what == "clusterNetworks" else f"is {said}"
                text = (
                    f"{what} {shown}, and flows of {len(places)} nodes say {value}; "
                    "the object's was taken"
                )
                case.tell(Sort.CONTRADICTORY, str(item), text, item.place, places[0])


def _infer(case: Case) -> None:
    subject = "ClusterNetwork default"
    assumed: list[str] = []
    places: list[Place] = []

    def first(what: str, votes: dict[Any, list[Place]]) -> object:
        taken = case.agreed(subject, what, votes)
        if taken is not None:
            places.append(votes[taken][0])
        return taken

    plugin = first("pluginName", _votes(case, lambda facts: facts.plugins))
    if plugin is None:
        plugin, why = _plugin_without_flows(case)
        assumed.append(f"pluginName {plugin}, as {why}")
    cidrs = _votes(case, lambda facts: facts.cidrs) or _from_rules(case)
    if not cidrs:
        cidrs = {_RANGE: []}
        assumed.append(f"clusterNetworks {_RANGE}")
    places += [told[0] for told in cidrs.values() if told]
    services = first(
        "serviceNetwork",
        _votes(case, lambda facts: facts.service_networks) or _from_routes(case, cidrs),
    )
    if services is None:
        services = _SERVICES
        assumed.append(f"serviceNetwork {services}")
    port = first(
        "vxlanPort", _votes(case, lambda facts: facts.vxlan_ports) or _ports(case)
    )
    fields: Values = {
        "clusterNetworks": [
            {"CIDR": str(cidr), "hostSubnetLength": _host_bits(case, cidr)}
            for cidr in cidrs
        ],
        "pluginName": str(plugin),
        "serviceNetwork": str(services),
        "vxlanPort": port or _VXLAN,
    }
    case.infer("ClusterNetwork", "default", fields, *places)
    ranges = ", ".join(f"{cidr}:{_host_bits(case, cidr)}" for cidr in cidrs)
    text = f"{plugin}, {ranges}, services {services}, VXLAN port {port or _VXLAN}"
    case.tell(Sort.INFERRED, subject, text, *dict.fromkeys(places))
    if assumed:
        text = f"assumed, as nothing says so: {'; '.join(assumed)}"
        case.tell(Sort.MISSING, subject, text)


def _plugin_without_flows(case: Case) -> tuple[Plugin, str]:
    for machine in case.machines.all:
        for text, rules in machine.rules:
            if rules.cidrs:
                if rules.tells_pods_apart:
                    return (
                        Plugin.NETWORKPOLICY,
                        f"{text.place} has OPENSHIFT-MASQUERADE-2",
                    )
                break
    if case.catalogue.of("NetworkPolicy"):
        return Plugin.NETWORKPOLICY, "there are NetworkPolicies"
    if case.catalogue.of("EgressNetworkPolicy"):
        return Plugin.MULTITENANT, "there are EgressNetworkPolicies"
    return Plugin.SUBNET, "it is the default"


def _from_rules(case: Case) -> dict[Any, list[Place]]:
    """The ranges whose traffic the nodes masquerade."""
    votes: dict[Any, list[Place]] = {}
    for machine in case.machines.all:
        for text, rules in machine.rules:
            for cidr, line in rules.cidrs.items():
                votes.setdefault(cidr, []).append(text.at(line))
    return votes


def _from_routes(
    case: Case, cidrs: Mapping[Any, list[Place]]
) -> dict[Any, list[Place]]:
    """The range that is routed to tun0 and is no pods'."""
    votes: dict[Any, list[Place]] = {}
    for machine in case.machines.all:
        for text, route in machine.routes:
            is_pods = route.destination in cidrs or route.src is not None
            if route.dev == "tun0" and not is_pods:
                place = text.at(route.line)
                votes.setdefault(route.destination, []).append(place)
    return votes


def _ports(case: Case) -> dict[Any, list[Place]]:
    votes: dict[Any, list[Place]] = {}
    for machine in case.machines.all:
        for text in machine.texts:
            for port, line in text.vxlan_ports:
                votes.setdefault(port, []).append(text.at(line))
        for text, rules in machine.rules:
            for port, line in rules.vxlan_ports.items():
                votes.setdefault(port, []).append(text.at(line))
    return votes


def _host_bits(case: Case, cidr: object) -> int:
    """How many bits are left to a node's pods, as most subnets of a range say."""
    subnets = [
        subnet
        for _, bridge in case.bridges
        for told in (bridge.facts.subnets, *_peer_subnets(bridge))
        for subnet in told
    ]
    subnets += [machine.subnet for machine in case.machines.all if machine.subnet]
    lengths = Counter(
        subnet.prefixlen
        for subnet in subnets
        if isinstance(cidr, IPv4Network) and subnet.subnet_of(cidr)
    )
    return 32 - lengths.most_common(1)[0][0] if lengths else _HOST_BITS


def _peer_subnets(bridge: Bridge) -> list[Mapping[IPv4Network, int]]:
    return [peer.subnets for peer in bridge.facts.peers.values()]


def _ranges(values: Values) -> list[IPv4Network]:
    found = []
    entries = values.get("clusterNetworks")
    texts = [
        entry.get("CIDR")
        for entry in (entries if isinstance(entries, list) else ())
        if isinstance(entry, dict)
    ]
    for text in texts or [values.get("network")]:
        try:
            found.append(IPv4Network(str(text)))
        except ValueError:
            continue
    return found
