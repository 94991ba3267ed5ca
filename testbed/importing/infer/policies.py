"""NetworkPolicies that do what table 80 does, under ovs-networkpolicy.

Selectors are spelled out in flows as the pods and VNIDs that they selected, so what a
policy said cannot be told: neither its name, nor what it would select tomorrow. What
can be told is what it allows now. For that, pods and namespaces get labels of ours, and
each pod that is isolated a policy with a rule for each of its flows.
"""

from __future__ import annotations

from collections import defaultdict
from ipaddress import IPv4Address
from typing import TYPE_CHECKING

from testbed.importing.case import label
from testbed.importing.facts import PolicyFlows
from testbed.importing.readers.api import text_at, value_at
from testbed.importing.remarks import Sort
from testbed.model import Plugin

if TYPE_CHECKING:
    from testbed.importing.case import Case, Made
    from testbed.importing.evidence import Bridge
    from testbed.importing.facts import AllowedFlow
    from testbed.importing.remarks import Place

POD_LABEL = "testbed/ip"
NAMESPACE_LABEL = "testbed/vnid"


def network_policies(case: Case) -> dict[str, bool]:
    """Take the NetworkPolicies, and infer what others do.

    Returns:
        The quirks of 3.11 that the flows show to be mended.
    """
    for item in case.catalogue.of("NetworkPolicy").values():
        case.take(item)
    if case.plugin is not Plugin.NETWORKPOLICY:
        return {}
    return _Maker(case).make()


class _Maker:
    def __init__(self, case: Case) -> None:
        self._case = case
        self._pods = {
            text_at(made.values, "status", "podIP"): made
            for made in case.made_of("Pod")
            if not value_at(made.values, "spec", "hostNetwork")
        }
        self._quirks: dict[str, bool] = {}
        self._lost = 0

    def make(self) -> dict[str, bool]:
        case = self._case
        made = 0
        for vnid, (bridge, flows) in sorted(self._by_vnid().items()):
            namespace = case.namespace_of(vnid)
            if case.catalogue.has_any("NetworkPolicy", {namespace}):
                continue
            made += self._policies(namespace, bridge, flows)
        if made:
            text = (
                f"{made} were made of table 80: they allow what its flows allow now. "
                "Names, selectors and what later pods would get are lost"
            )
            case.tell(Sort.MISSING, "NetworkPolicies", text)
        return self._quirks

    def _by_vnid(self) -> dict[int, tuple[Bridge, PolicyFlows]]:
        """Each VNID's flows, as most of the nodes have them that have its pods."""
        found: dict[int, list[tuple[Bridge, PolicyFlows]]] = defaultdict(list)
        for _, bridge in self._case.bridges:
            vnids = {v for pod in bridge.facts.pods.values() for v in pod.vnids}
            for vnid in vnids:
                flows = bridge.facts.policies.get(vnid, PolicyFlows(vnid=vnid))
                found[vnid].append((bridge, flows))
        chosen = {}
        for vnid, candidates in found.items():
            votes: dict[object, list[tuple[Bridge, PolicyFlows]]] = defaultdict(list)
            for bridge, flows in candidates:
                votes[_essence(flows)].append((bridge, flows))
            most = max(votes, key=lambda essence: len(votes[essence]))
            chosen[vnid] = votes[most][0]
            if len(votes) > 1:
                places = (_place(*told[0]) for told in votes.values())
                text = (
                    f"{len(votes[most])} of {len(candidates)} nodes have the same "
                    "flows in table 80, others do not; what most have was taken"
                )
                subject = f"policies of VNID {vnid}"
                self._case.tell(Sort.CONTRADICTORY, subject, text, *places)
        return chosen

    def _policies(self, namespace: str, bridge: Bridge, flows: PolicyFlows) -> int:
        """Make a namespace's policies, and count them."""
        is_open = bool(flows.opened)
        rules: dict[str, list[AllowedFlow]] = defaultdict(list)
        for flow in flows.allowed:
            rules[str(flow.pod or "")].append(flow)
        selected = {str(ip) for ip in flows.isolated} | rules.keys()
        if not is_open:
            selected.add("")
        for ip in sorted(selected):
            selector: dict[str, object] = {}
            place = _place(bridge, flows)
            if ip:
                pod = self._pod(ip, namespace, place)
                if pod is None:
                    continue
                selector = {"matchLabels": {POD_LABEL: ip}}
            elif is_open:
                # It allows to all pods, and yet isolates none: no 3.11 made that.
                self._lose(place, flows.vnid)
                continue
            ingress = []
            for flow in rules.get(ip, ()):
                rule = self._rule(flow, flows.vnid, bridge)
                if rule is not None:
                    ingress.append(rule)
            spec: dict[str, object] = {
                "podSelector": selector,
                "policyTypes": ["Ingress"],
            }
            if ingress:
                spec["ingress"] = ingress
            name = f"to-{ip.replace('.', '-')}" if ip else "to-all"
            key = f"{namespace}/inferred-{name}"
            self._case.infer("NetworkPolicy", key, {"spec": spec}, place)
            what = f"{len(ingress)} rules" if ingress else "denies all"
            self._case.tell(
                Sort.INFERRED,
                f"NetworkPolicy {key}",
                f"{what}, of table 80; the name is ours",
                place,
            )
        return len(selected)

    def _rule(
        self, flow: AllowedFlow, vnid: int, bridge: Bridge
    ) -> dict[str, object] | None:
        place = bridge.at(flow.line)
        rule: dict[str, object] = {}
        if flow.dport is not None and flow.protocol:
            rule["ports"] = [{"protocol": flow.protocol.upper(), "port": flow.dport}]
        peer: dict[str, object] = {}
        source = flow.source
        if flow.vnid is None:
            if source is not None:
                peer["ipBlock"] = {"cidr": str(source)}
                self._quirks["ipBlockIgnored"] = False
        else:
            if flow.vnid != vnid:
                peer["namespaceSelector"] = self._namespace(flow.vnid)
                if source is not None:
                    self._quirks["combinedSelectorsIgnored"] = False
            if source is not None:
                sender = str(source.network_address)
                home = self._case.namespace_of(flow.vnid)
                if self._pod(sender, home, place) is None:
                    return None
                peer["podSelector"] = {"matchLabels": {POD_LABEL: sender}}
            elif flow.vnid == vnid:
                peer["podSelector"] = {}
        if peer:
            rule["from"] = [peer]
        return rule

    def _pod(self, ip: str, namespace: str, place: Place) -> Made | None:
        """The pod of an address, with the label that policies select it by."""
        pod = self._pods.get(ip) or self._remote_pod(ip, namespace, place)
        if pod is not None:
            label(pod.values["metadata"], POD_LABEL, ip)
        return pod

    def _remote_pod(self, ip: str, namespace: str, place: Place) -> Made | None:
        """A pod that no bridge was collected of, on the node whose subnet it is in."""
        address = IPv4Address(ip)
        case = self._case
        home = next((m for m in case.hosts if m.subnet and address in m.subnet), None)
        if home is None or home.bridge is not None:
            what = f"{home.name}'s flows do not have it" if home else "it is no node's"
            text = f"table 80 knows pod {ip}, and {what}; what is about it is left out"
            case.tell(Sort.CONTRADICTORY, f"pod {ip}", text, place)
            return None
        key = f"{namespace}/pod-{ip.replace('.', '-')}"
        fields: dict[str, object] = {
            "spec": {"nodeName": home.name},
            "status": {"phase": "Running", "podIP": ip},
        }
        case.infer("Pod", key, fields, place)
        self._pods[ip] = case.made["Pod", key]
        text = f"{ip} on {home.name}, which another node's table 80 knows"
        case.tell(Sort.INFERRED, f"Pod {key}", text, place)
        return self._pods[ip]

    def _namespace(self, vnid: int) -> dict[str, object]:
        """A selector of the namespaces of a VNID, by a label of ours."""
        for made in self._case.made_of("NetNamespace"):
            if made.values.get("netid") == vnid:
                known = self._case.made.get(("Namespace", made.key))
                if known is None:
                    self._case.infer("Namespace", made.key, {}, *made.places)
                    known = self._case.made["Namespace", made.key]
                label(known.values["metadata"], NAMESPACE_LABEL, str(vnid))
        return {"matchLabels": {NAMESPACE_LABEL: str(vnid)}}

    def _lose(self, place: Place, vnid: int) -> None:
        text = "table 80 allows to all of its pods and isolates none; left out"
        self._case.tell(Sort.CONTRADICTORY, f"policies of VNID {vnid}", text, place)


def _essence(flows: PolicyFlows) -> object:
    """What flows do, wherever they stand."""
    allowed = frozenset(
        (flow.protocol, flow.vnid, flow.source, flow.pod, flow.dport)
        for flow in flows.allowed
    )
    return allowed, frozenset(flows.isolated), bool(flows.opened)


def _place(bridge: Bridge, flows: PolicyFlows) -> Place:
    has_any = flows.allowed or flows.isolated or flows.opened
    return bridge.at(flows.line) if has_any else bridge.place
