"""What the flows of one bridge say of its cluster. Pure.

Each flow that 3.11 programs follows from an object; read backwards, table by table, the
flows give back what the object must have said, but for names. What 3.11 does not
program is noted, and says nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from testbed.importing.facts import (
    AllowedFlow,
    BridgeFacts,
    EgressRuleFlow,
    EgressWay,
    PeerFlows,
    PodFlows,
    PolicyFlows,
    ServiceFlows,
)
from testbed.importing.fields import (
    at,
    loaded,
    network_at,
    outputs,
    peers_in,
    port_at,
    set_field,
    vnid_at,
)
from testbed.model import Plugin
from testbed.openflow import OFPort, Register, Table

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from ipaddress import IPv4Address, IPv4Network

    from testbed.importing.readers.flows import DumpLine

Fields: TypeAlias = "Mapping[str, str]"


def bridge_facts(lines: Iterable[DumpLine]) -> BridgeFacts:
    """Read a bridge's flows backwards."""
    facts = BridgeFacts()
    for line in lines:
        flow, match, hashed = line.known
        facts.hashes.append(hashed)
        facts.numbers.append(line.number)
        facts.tables.add(int(flow.table))
        read = _READERS.get(flow.table)
        try:
            is_known = read is not None and read(facts, line, match)
        except (ValueError, KeyError):
            is_known = False
        if not is_known:
            facts.strange.append(line.number)
    return facts


def _dispatch(facts: BridgeFacts, line: DumpLine, match: Fields) -> bool:
    flow = line.flow
    if "ct_state" in match:
        facts.quirks["dispatchOverlaps"] = flow.priority == 300
        facts.structure.setdefault(Plugin.NETWORKPOLICY, line.number)
    if match.get("in_port") == str(OFPort.VXLAN0.value) and "arp_spa" in match:
        facts.subnets.setdefault(network_at(match, "arp_tpa"), line.number)
    return True


def _from_vxlan(facts: BridgeFacts, line: DumpLine, match: Fields) -> bool:
    if "tun_src" not in match:
        return line.flow.priority == 0
    _peer(facts, line, at(match, "tun_src"))
    return True


def _from_pod(facts: BridgeFacts, line: DumpLine, match: Fields) -> bool:
    if line.flow.priority == 0:
        return True
    is_arp = "arp" in match
    pod = _pod(facts, line, at(match, "arp_spa" if is_arp else "nw_src"))
    pod.tables.add("20 arp" if is_arp else "20 ip")
    pod.ports.setdefault(match["in_port"], line.number)
    vnid = loaded(line.flow, Register.SOURCE_VNID)
    if vnid is None:
        return False
    pod.vnids.setdefault(vnid, line.number)
    pod.age = line.duration if pod.age is None else pod.age
    return True


def _tracking(facts: BridgeFacts, line: DumpLine, match: Fields) -> bool:
    if line.flow.priority and "nw_dst" in match:
        keeps = not any("nat(src" in action for action in line.flow.actions)
        facts.quirks["commitKeepsSourcePort"] = keeps
    return True


def _via_service(facts: BridgeFacts, line: DumpLine, match: Fields) -> bool:
    if line.flow.priority == 0:
        return True
    pod = _pod(facts, line, at(match, "nw_src"))
    pod.tables.add("25")
    vnid = loaded(line.flow, Register.SOURCE_VNID)
    if vnid is not None:
        pod.vnids.setdefault(vnid, line.number)
    return vnid is not None


def _routing(facts: BridgeFacts, line: DumpLine, match: Fields) -> bool:
    key = "arp_tpa" if "arp" in match else "nw_dst"
    goes_to = line.flow.actions[0]
    if key not in match or "ct_state" in match or "in_port" in match:
        return True
    network = network_at(match, key)
    known: Mapping[str, dict[IPv4Network, int]] = {
        f"goto_table:{Table.ARP_TO_LOCAL_POD.value}": facts.subnets,
        f"goto_table:{Table.IP_TO_LOCAL_POD.value}": facts.subnets,
        f"goto_table:{Table.ARP_TO_REMOTE_POD.value}": facts.cidrs,
        f"goto_table:{Table.IP_TO_REMOTE_POD.value}": facts.cidrs,
        f"goto_table:{Table.IP_TO_SERVICE.value}": facts.service_networks,
    }
    if goes_to in known:
        known[goes_to].setdefault(network, line.number)
    return True


def _arp_to_local_pod(facts: BridgeFacts, line: DumpLine, match: Fields) -> bool:
    if line.flow.priority == 0:
        return True
    pod = _pod(facts, line, at(match, "arp_tpa"))
    pod.tables.add("40")
    for port in outputs(line.flow):
        pod.delivered.setdefault(port, line.number)
    return True


def _to_remote_pod(facts: BridgeFacts, line: DumpLine, match: Fields) -> bool:
    if line.flow.priority == 0:
        return True
    (host_ip,) = peers_in(line.flow)
    peer = _peer(facts, line, host_ip)
    network = network_at(match, "arp_tpa" if "arp" in match else "nw_dst")
    peer.subnets.setdefault(network, line.number)
    fixed = loaded(line.flow, "NXM_NX_TUN_ID[0..31]")
    peer.fixed_vnid = fixed if fixed is not None else peer.fixed_vnid
    return True


def _to_service(facts: BridgeFacts, line: DumpLine, match: Fields) -> bool:
    if "nw_dst" not in match:
        return line.flow.priority in (0, 200)
    ip = at(match, "nw_dst")
    service = facts.services.get(ip)
    if service is None:
        service = facts.services[ip] = ServiceFlows(ip=ip, line=line.number)
    vnid = loaded(line.flow, Register.DESTINATION_VNID)
    if vnid is None:
        return False
    service.vnids.setdefault(vnid, line.number)
    if "nw_frag" in match:
        return True
    protocol = "TCP" if "tcp" in match else "UDP"
    service.ports.setdefault((protocol, port_at(match)), line.number)
    return True


def _to_local_pod(facts: BridgeFacts, line: DumpLine, match: Fields) -> bool:
    if line.flow.priority == 0:
        return True
    pod = _pod(facts, line, at(match, "nw_dst"))
    pod.tables.add("70")
    vnid = loaded(line.flow, Register.DESTINATION_VNID)
    ofport = loaded(line.flow, Register.DESTINATION_OFPORT)
    if vnid is None or ofport is None:
        return False
    pod.vnids.setdefault(vnid, line.number)
    pod.delivered.setdefault(str(ofport), line.number)
    return True


def _policy(facts: BridgeFacts, line: DumpLine, match: Fields) -> bool:
    flow = line.flow
    if flow.priority in (0, 200, 300):
        if flow.priority == 200:
            facts.structure.setdefault(_plugin_of(match), line.number)
        return True
    to, sender = vnid_at(match, "reg1"), match.get("reg0")
    facts.vnids.setdefault(to, line.number)
    if flow.priority == 100 and sender is not None:
        return vnid_at(match, "reg0") == to  # ovs-multitenant's
    policy = facts.policies.get(to)
    if policy is None:
        policy = facts.policies[to] = PolicyFlows(vnid=to)
    match flow.priority:
        case 150:
            policy.allowed.append(
                AllowedFlow(
                    protocol=next((p for p in ("tcp", "udp") if p in match), ""),
                    vnid=None if sender is None else vnid_at(match, "reg0"),
                    source=network_at(match, "nw_src") if "nw_src" in match else None,
                    pod=at(match, "nw_dst") if "nw_dst" in match else None,
                    dport=port_at(match) if "tp_dst" in match else None,
                    line=line.number,
                )
            )
        case 100 if flow.drops:
            policy.isolated[at(match, "nw_dst")] = line.number
        case 50:
            policy.opened = line.number
        case _:
            return False
    return True


def _plugin_of(match: Fields) -> Plugin:
    """The plugin whose flow of priority 200 in table 80 has this match."""
    if "ct_state" in match:
        return Plugin.NETWORKPOLICY
    return Plugin.MULTITENANT if match else Plugin.SUBNET


def _egress(facts: BridgeFacts, line: DumpLine, match: Fields) -> bool:
    flow = line.flow
    if flow.priority == 300 and "udp" in match:
        facts.vxlan_ports.setdefault(port_at(match), line.number)
    elif flow.priority == 200 and "nw_dst" in match:
        facts.host_ips.setdefault(at(match, "nw_dst"), line.number)
    elif flow.priority == 150 and "ct_state" in match:
        facts.quirks["repliesTakeEgressIp"] = False
    elif "reg0" in match:
        vnid = vnid_at(match, "reg0")
        facts.vnids.setdefault(vnid, line.number)
        peers = peers_in(flow)
        mac = set_field(flow, "eth_dst")
        if peers:
            is_committed = flow.actions[0].startswith("ct(commit")
            facts.quirks["remoteEgressNotCommitted"] = not is_committed
        elif not mac and not flow.drops:
            return False
        facts.ways[vnid] = EgressWay(
            vnid=vnid,
            line=line.number,
            is_here=bool(mac),
            node_ip=peers[0] if peers else None,
            mac=mac,
        )
    return True


def _egress_rule(facts: BridgeFacts, line: DumpLine, match: Fields) -> bool:
    if "reg0" not in match:
        return line.flow.priority == 0
    vnid = vnid_at(match, "reg0")
    facts.vnids.setdefault(vnid, line.number)
    facts.egress_rules[vnid].append(
        EgressRuleFlow(
            priority=line.flow.priority,
            destination=network_at(match, "nw_dst") if "nw_dst" in match else None,
            allow=not line.flow.drops,
            line=line.number,
            is_for_all="ip" not in match,
        )
    )
    return True


def _multicast(facts: BridgeFacts, line: DumpLine, match: Fields) -> bool:
    if "reg0" not in match:
        return line.flow.priority == 0
    facts.multicast.setdefault(vnid_at(match, "reg0"), line.number)
    return True


def _multicast_to_vxlan(facts: BridgeFacts, line: DumpLine, _match: Fields) -> bool:
    for host_ip in peers_in(line.flow):
        peer = facts.peers.get(host_ip)
        if peer is None:
            peer = facts.peers[host_ip] = PeerFlows(host_ip=host_ip, line=line.number)
        peer.tables.add(int(line.flow.table))
    return True


def _multicast_to_pods(_facts: BridgeFacts, line: DumpLine, match: Fields) -> bool:
    return line.flow.priority == 0 or "reg0" in match


def _version(facts: BridgeFacts, line: DumpLine, _match: Fields) -> bool:
    first, _, rest = line.flow.actions[0].removeprefix("note:").partition(".")
    plugin, version = int(first, 16), int(rest.partition(".")[0], 16)
    facts.rule_versions[version] = line.number
    if not 0 <= plugin < len(Plugin):
        return False
    facts.noted[list(Plugin)[plugin]] = line.number
    return True


_READERS: Mapping[int, Callable[[BridgeFacts, DumpLine, Fields], bool]] = {
    Table.DISPATCH: _dispatch,
    Table.FROM_VXLAN: _from_vxlan,
    Table.FROM_POD: _from_pod,
    Table.FROM_POD_CONNTRACK: _tracking,
    Table.FROM_POD_VIA_SERVICE: _via_service,
    Table.ROUTING: _routing,
    Table.ARP_TO_LOCAL_POD: _arp_to_local_pod,
    Table.ARP_TO_REMOTE_POD: _to_remote_pod,
    Table.IP_TO_SERVICE: _to_service,
    Table.IP_TO_LOCAL_POD: _to_local_pod,
    Table.POLICY: _policy,
    Table.IP_TO_REMOTE_POD: _to_remote_pod,
    Table.EGRESS_ROUTING: _egress,
    Table.EGRESS_NETWORK_POLICY: _egress_rule,
    Table.MULTICAST_FROM_POD: _multicast,
    Table.MULTICAST_TO_VXLAN: _multicast_to_vxlan,
    Table.MULTICAST_TO_LOCAL_PODS: _multicast_to_pods,
    Table.RULE_VERSION: _version,
}


def _peer(facts: BridgeFacts, line: DumpLine, host_ip: IPv4Address) -> PeerFlows:
    peer = facts.peers.get(host_ip)
    if peer is None:
        peer = facts.peers[host_ip] = PeerFlows(host_ip=host_ip, line=line.number)
    peer.tables.add(int(line.flow.table))
    peer.cookies.setdefault(line.flow.cookie, line.number)
    return peer


def _pod(facts: BridgeFacts, line: DumpLine, ip: IPv4Address) -> PodFlows:
    pod = facts.pods.get(ip)
    if pod is None:
        pod = facts.pods[ip] = PodFlows(ip=ip, line=line.number)
    return pod
