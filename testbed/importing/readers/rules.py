"""What a node's iptables say of services, pods and egress IPs, as values.

Only the rules of kube-proxy and the SDN that name an object: the comments have what no
flow has, the names.

Source: kubernetes release-1.11 pkg/proxy/iptables/proxier.go, pkg/kubelet/dockershim/
network/hostport, and openshift/origin release-3.11 pkg/network/node/iptables.go.
"""

from __future__ import annotations

import contextlib
import re
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from testbed.importing.readers.host import NumberedLines

_SERVICE = re.compile(
    r"-A KUBE-SERVICES -d ([\d.]+)/32 -p (tcp|udp) -m comment --comment "
    r"\"([^/\" ]+)/([^:\" ]+):(\S*) (cluster IP|has no endpoints)\" "
    r"-m \w+ --dport (\d{1,5}) -j (\S+)"
)
_CHOICE = re.compile(r"-A (KUBE-SVC-\w+) .*-j (KUBE-SEP-\w+)")
_TARGET = re.compile(r"-A (KUBE-SEP-\w+) .*--to-destination ([\d.]+):(\d{1,5})")
_HOSTPORT = re.compile(
    r"-A KUBE-HP-\w+ .*--comment \"([^\"_ ]+)_([^\" ]+) hostport \d+\".*"
    r"--to-destination ([\d.]+):\d+"
)
_SNAT = re.compile(
    r"-A OPENSHIFT-MASQUERADE -s \S+ -m mark --mark (0x[0-9a-f]{1,8})(?:/0xffffffff)? "
    r"-j SNAT --to-source ([\d.]+)"
)
_MASQUERADED = re.compile(r"-A OPENSHIFT-MASQUERADE -s ([\d./]+) (?!-m mark)")
_VXLAN = re.compile(
    r"-A OPENSHIFT-FIREWALL-ALLOW -p udp .*--dport (\d{1,5}) .*\"VXLAN incoming\""
)
_COUNTERS = re.compile(r"^\[\d+:\d+\] ")


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxiedPort:
    """One port of a service, and who answers on it."""

    namespace: str
    name: str
    port_name: str
    ip: IPv4Address
    protocol: str
    port: int
    endpoints: tuple[tuple[IPv4Address, int], ...]
    line: int


@dataclass(slots=True, kw_only=True)
class Rules:
    """What was found, each value with its line.

    ``pods`` are namespace and name by address; ``egress_ips`` addresses by mark.
    """

    services: list[ProxiedPort] = field(default_factory=list)
    pods: dict[IPv4Address, tuple[str, str, int]] = field(default_factory=dict)
    egress_ips: dict[int, tuple[IPv4Address, int]] = field(default_factory=dict)
    cidrs: dict[IPv4Network, int] = field(default_factory=dict)
    vxlan_ports: dict[int, int] = field(default_factory=dict)
    tells_pods_apart: bool = False
    """Whether pods keep their address within the cluster: ovs-networkpolicy."""


def rules(lines: NumberedLines, *, with_services: bool = True) -> Rules:
    """Read what ``iptables-save`` printed, with counters or without.

    ``with_services`` is whether kube-proxy's rules are worth the time.
    """
    found = Rules()
    published: list[tuple[re.Match[str], int]] = []
    choices: dict[str, list[str]] = {}
    targets: dict[str, tuple[IPv4Address, int]] = {}
    for number, text in lines:
        if not with_services and "OPENSHIFT-" not in text and "KUBE-HP-" not in text:
            continue
        rule = _COUNTERS.sub("", text)
        if "KUBE-" in rule:
            if service := _SERVICE.match(rule):
                published.append((service, number))
            elif choice := _CHOICE.match(rule):
                choices.setdefault(choice[1], []).append(choice[2])
            elif target := _TARGET.match(rule):
                with contextlib.suppress(ValueError):
                    targets[target[1]] = IPv4Address(target[2]), int(target[3])
            elif pod := _HOSTPORT.match(rule):
                with contextlib.suppress(ValueError):
                    found.pods[IPv4Address(pod[3])] = pod[2], pod[1], number
        elif "OPENSHIFT-" in rule:
            _of_the_sdn(rule, number, found)
    for service, number in published:
        ip, protocol, namespace, name, port_name, _, port, chain = service.groups()
        answering = dict.fromkeys(
            targets[choice] for choice in choices.get(chain, ()) if choice in targets
        )
        with contextlib.suppress(ValueError):
            found.services.append(
                ProxiedPort(
                    namespace=namespace,
                    name=name,
                    port_name=port_name,
                    ip=IPv4Address(ip),
                    protocol=protocol.upper(),
                    port=int(port),
                    endpoints=tuple(answering),
                    line=number,
                )
            )
    return found


def _of_the_sdn(rule: str, number: int, found: Rules) -> None:
    with contextlib.suppress(ValueError):
        if snat := _SNAT.match(rule):
            found.egress_ips[int(snat[1], 16)] = IPv4Address(snat[2]), number
        elif source := _MASQUERADED.match(rule):
            found.cidrs.setdefault(IPv4Network(source[1]), number)
            found.tells_pods_apart |= "OPENSHIFT-MASQUERADE-2" in rule
        elif vxlan := _VXLAN.match(rule):
            found.vxlan_ports.setdefault(int(vxlan[1]), number)
