"""How namespaces leave the cluster: egress IPs of table 100, policies of table 101.

Table 100 says which node a VNID leaves by, not from which address: that is in the
node's iptables, or else in its addresses; where neither was collected it is invented.
Table 101 has an EgressNetworkPolicy's rules as they were, but for DNS names, of which
only the addresses are left.
"""

from __future__ import annotations

from collections import defaultdict
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

from testbed.egress import egress_mark
from testbed.importing.remarks import Place, Sort
from testbed.openflow import Table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from testbed.importing.case import Case, Made
    from testbed.importing.evidence import Bridge
    from testbed.importing.facts import EgressRuleFlow
    from testbed.importing.machines import Machine

_EVERYWHERE = "0.0.0.0/0"


def egress(case: Case) -> dict[str, list[IPv4Address]]:
    """Infer egress IPs and EgressNetworkPolicies that nobody collected.

    Returns:
        The addresses of the DNS names that rules needed.
    """
    for item in case.catalogue.of("EgressNetworkPolicy").values():
        case.take(item)
    if not case.plugin.has_vnids:
        return {}
    _egress_ips(case)
    names: dict[str, list[IPv4Address]] = {}
    for vnid, (bridge, rules) in sorted(_rules(case).items()):
        sharing = {
            made.key
            for made in case.made_of("NetNamespace")
            if made.values.get("netid") == vnid
        }
        if not case.catalogue.has_any("EgressNetworkPolicy", sharing):
            names |= _policy(case, vnid, bridge, rules)
    return names


def _egress_ips(case: Case) -> None:
    """Give VNIDs that leave by an address of their own one that they leave by."""
    nodes: dict[int, dict[IPv4Address | None, list[Place]]] = defaultdict(dict)
    for machine, bridge in case.bridges:
        for vnid, way in bridge.facts.ways.items():
            node_ip = machine.host_ip if way.is_here else way.node_ip
            nodes[vnid].setdefault(node_ip, []).append(bridge.at(way.line))
    by_ip = {machine.host_ip: machine for machine in case.hosts if machine.host_ip}
    for vnid, votes in sorted(nodes.items()):
        owner = _owner(case, vnid)
        if owner is None:
            continue
        node_ip = case.agreed(str(owner), "the node it leaves by", votes)
        place = votes[node_ip][0]
        node = by_ip.get(node_ip) if node_ip else None
        if node is None:
            ip = _invented(case)
            text = f"asked for an egress IP that no node has (which one, is ours: {ip})"
        else:
            ip, how = _address(case, vnid, node)
            text = f"leaves by {node.name}, from {ip}, {how}"
            _offer(case, node, ip)
        owner.values["egressIPs"] = [str(ip)]
        case.tell(Sort.INFERRED, str(owner), text, place)


def _owner(case: Case, vnid: int) -> Made | None:
    """The NetNamespace that can be given an egress IP: one that nobody showed whole."""
    sharing = [m for m in case.made_of("NetNamespace") if m.values.get("netid") == vnid]
    for made in sharing:
        item = case.catalogue.of("NetNamespace").get(made.key)
        if item is not None and (
            not case.catalogue.is_from_a_table(item) or item.at("egressIPs")
        ):
            return None
    return sharing[-1] if sharing else None


def _address(case: Case, vnid: int, machine: Machine) -> tuple[IPv4Address, str]:
    """The address that a VNID leaves from on a node, and how that is known."""
    for text, rules in machine.rules:
        known = rules.egress_ips.get(egress_mark(vnid))
        if known:
            return known[0], f"as {text.at(known[1])} has it"
    offered = _offered(case, machine) - _asked(case)
    if len(offered) == 1:
        return next(iter(offered)), "the only one its HostSubnet has to offer"
    others = _extra_addresses(machine) - _asked(case)
    if len(others) == 1:
        return next(iter(others)), "the only further address that the node has"
    return _invented(case), "an address of ours, as nothing says its own"


def _extra_addresses(machine: Machine) -> set[IPv4Address]:
    """What a node's interface has besides the node's own address."""
    return {
        address.ip
        for _, interface in machine.interfaces
        if machine.host_ip in {address.ip for address in interface.addresses}
        for address in interface.addresses
        if address.ip != machine.host_ip
    }


def _offered(case: Case, machine: Machine) -> set[IPv4Address]:
    made = case.made["HostSubnet", machine.name]
    return set(_ips(made.values.get("egressIPs")))


def _asked(case: Case) -> set[IPv4Address]:
    return {
        ip
        for made in case.made_of("NetNamespace")
        for ip in _ips(made.values.get("egressIPs"))
    }


def _ips(value: object) -> Iterable[IPv4Address]:
    for text in value if isinstance(value, list) else ():
        try:
            yield IPv4Address(text)
        except ValueError:
            continue


def _offer(case: Case, machine: Machine, ip: IPv4Address) -> None:
    values = case.made["HostSubnet", machine.name].values
    offered = values.setdefault("egressIPs", [])
    if isinstance(offered, list) and str(ip) not in offered:
        offered.append(str(ip))


def _invented(case: Case) -> IPv4Address:
    """An address of the nodes' network that nobody has, from its end."""
    taken = {machine.host_ip for machine in case.hosts if machine.host_ip}
    for machine in case.hosts:
        taken |= {route.via for _, route in machine.routes if route.via}
        taken |= _offered(case, machine)
        taken |= _extra_addresses(machine)
    first = min((m.host_ip for m in case.hosts if m.host_ip), default=None)
    network = IPv4Network((first or IPv4Address("192.168.122.0"), 24), strict=False)
    taken |= _asked(case)
    # The last address is often the gateway's, and the testbed's own choice for it.
    return next(ip for ip in list(network.hosts())[-2::-1] if ip not in taken)


def _rules(case: Case) -> dict[int, tuple[Bridge, list[EgressRuleFlow]]]:
    """Each VNID's flows of table 101, as most nodes have them."""
    found: dict[int, list[tuple[Bridge, list[EgressRuleFlow]]]] = defaultdict(list)
    for _, bridge in case.bridges:
        for vnid, rules in bridge.facts.egress_rules.items():
            found[vnid].append((bridge, rules))
    chosen = {}
    told = sum(
        1 for _, b in case.bridges if Table.EGRESS_NETWORK_POLICY in b.facts.tables
    )
    for vnid, candidates in found.items():
        if len(candidates) * 2 < told:
            text = (
                f"{len(candidates)} of {told} nodes have rules in table 101; left out"
            )
            subject = f"EgressNetworkPolicy of VNID {vnid}"
            bridge, rules = candidates[0]
            case.tell(Sort.CONTRADICTORY, subject, text, bridge.at(rules[0].line))
            continue
        votes: dict[object, list[Place]] = {}
        for bridge, rules in candidates:
            alike = frozenset(
                (rule.priority, rule.destination, rule.allow, rule.is_for_all)
                for rule in rules
            )
            votes.setdefault(alike, []).append(bridge.at(rules[0].line))
        most = max(votes, key=lambda alike: len(votes[alike]))
        chosen[vnid] = next(
            (bridge, rules)
            for bridge, rules in candidates
            if bridge.at(rules[0].line) == votes[most][0]
        )
        if len(votes) > 1:
            places = (places[0] for places in votes.values())
            text = "not all nodes have the same rules; what most have was taken"
            case.tell(
                Sort.CONTRADICTORY,
                f"EgressNetworkPolicy of VNID {vnid}",
                text,
                *places,
            )
    return chosen


def _policy(
    case: Case, vnid: int, bridge: Bridge, rules: list[EgressRuleFlow]
) -> dict[str, list[IPv4Address]]:
    namespace = case.namespace_of(vnid)
    place = bridge.at(rules[0].line)
    if any(rule.is_for_all for rule in rules):
        _drop_all(case, vnid, namespace, place)
        return {}
    names: dict[str, list[IPv4Address]] = {}
    egress: list[dict[str, object]] = []
    by_priority: dict[int, list[EgressRuleFlow]] = defaultdict(list)
    for rule in rules:
        by_priority[rule.priority].append(rule)
    for priority in range(max(by_priority), 0, -1):
        alike = by_priority.get(priority, [])
        if len(alike) == 1:
            cidr = alike[0].destination
            to = {"cidrSelector": str(cidr) if cidr else _EVERYWHERE}
        else:
            # Several addresses, or none, are what a DNS name had.
            name = f"rule-{max(by_priority) - priority + 1}.vnid-{vnid}.invalid"
            names[name] = [
                rule.destination[0] for rule in alike if rule.destination is not None
            ]
            to = {"dnsName": name}
        allow = alike[0].allow if alike else False
        if len({rule.allow for rule in alike}) > 1:
            text = (
                f"flows of priority {priority} both allow and deny; the first was taken"
            )
            places = (bridge.at(rule.line) for rule in alike)
            case.tell(
                Sort.CONTRADICTORY, f"EgressNetworkPolicy of VNID {vnid}", text, *places
            )
        egress.append({"type": "Allow" if allow else "Deny", "to": to})
    key = f"{namespace}/inferred"
    case.infer("EgressNetworkPolicy", key, {"spec": {"egress": egress}}, place)
    text = f"{len(egress)} rules, of table 101"
    if names:
        text += (
            f"; {len(names)} were by DNS name, of which only the addresses are known"
        )
    case.tell(Sort.INFERRED, f"EgressNetworkPolicy {key}", text, place)
    return names


def _drop_all(case: Case, vnid: int, namespace: str, place: Place) -> None:
    """Two policies that deny everything: so 3.11 drops all, whoever made it do so."""
    for number in (1, 2):
        spec = {"egress": [{"type": "Deny", "to": {"cidrSelector": _EVERYWHERE}}]}
        key = f"{namespace}/inferred-{number}"
        case.infer("EgressNetworkPolicy", key, {"spec": spec}, place)
    text = (
        f"all that leaves is dropped, as where several namespaces share VNID {vnid} or "
        "one has several policies; what they said is lost"
    )
    subject = f"EgressNetworkPolicy {namespace}/inferred-1 and -2"
    case.tell(Sort.INFERRED, subject, text, place)
