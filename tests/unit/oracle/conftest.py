"""A cluster of four nodes, and a way to ask the oracle about it in few words."""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING, Any

import pytest

from testbed.model import (
    Cluster,
    HostSubnet,
    Namespace,
    NetNamespace,
    Plugin,
    Pod,
    Quirks,
    Traffic,
    Transport,
    UnderlayHost,
)
from testbed.oracle import Expectation, expected

if TYPE_CHECKING:
    from testbed.model import Party

PODS = (
    ("shop/web", "oc-04.test", "10.131.1.241", {"app": "web"}),
    ("shop/db", "oc-04.test", "10.131.0.16", {"app": "db"}),
    ("shop/cache", "oc-01.test", "10.128.0.9", {"app": "cache"}),
    ("bank/teller", "oc-04.test", "10.131.0.20", {"app": "web"}),
    ("bank/vault", "oc-02.test", "10.129.0.7", {"app": "vault"}),
    ("default/registry", "oc-03.test", "10.130.0.5", {"app": "registry"}),
)


@dataclass(frozen=True)
class Asker:
    """Puts questions in short notation; every change gives another asker."""

    cluster: Cluster

    def __call__(self, sender: str, to: str, what: str = "tcp/80") -> Expectation:
        name, _, port = what.partition("/")
        return expected(
            self.cluster,
            Traffic(
                sender=self.party(sender),
                destination=self.address(to),
                transport=Transport(name),
                dport=int(port) if port else None,
            ),
        )

    def verdict(self, sender: str, to: str, what: str = "tcp/80") -> tuple[str, str]:
        answer = self(sender, to, what)
        return str(answer.outcome), answer.decided_by

    def seen(self, sender: str, to: str, what: str = "tcp/80") -> list[str]:
        """Every delivery as ``receiver source vnid destination:port``."""
        return [
            f"{name_of(item.receiver)} {item.source} {item.vnid} "
            f"{item.destination}:{item.dport}"
            for item in self(sender, to, what).deliveries
        ]

    def having(self, **fields: Any) -> Asker:  # noqa: ANN401 - any field of a Cluster
        return Asker(replace(self.cluster, **fields))

    def under(self, plugin: Plugin) -> Asker:
        return self.having(network=replace(self.cluster.network, plugin=plugin))

    def without(self, quirk: str) -> Asker:
        return self.having(quirks=Quirks(**{quirk: False}))

    def with_namespace(self, name: str, **fields: Any) -> Asker:  # noqa: ANN401 - of it
        return self.having(
            net_namespaces=tuple(
                replace(item, **fields) if item.name == name else item
                for item in self.cluster.net_namespaces
            )
        )

    def with_node(self, name: str, **fields: Any) -> Asker:  # noqa: ANN401 - of it
        return self.having(
            host_subnets=tuple(
                replace(item, **fields) if item.name.startswith(name) else item
                for item in self.cluster.host_subnets
            )
        )

    def party(self, name: str) -> Party:
        if "/" in name:
            return self.cluster.pod(name)
        underlay = self.cluster.underlay
        hosts: list[UnderlayHost | HostSubnet] = [
            *underlay.external_hosts,
            *underlay.rogues,
            *self.cluster.ghosts,
        ]
        found = [host for host in hosts if host.name == name]
        return found[0] if found else self.cluster.node(name)

    def address(self, name: str) -> IPv4Address:
        if name[0].isdigit():
            return IPv4Address(name)
        party = self.party(name)
        return party.host_ip if isinstance(party, HostSubnet) else party.ip


def name_of(party: Party) -> str:
    return party.key if isinstance(party, Pod) else party.name.split(".", 1)[0]


@pytest.fixture(scope="session")
def town(four_nodes: Cluster) -> Asker:
    pods = tuple(
        Pod(
            namespace=key.split("/", 1)[0],
            name=key.split("/", 1)[1],
            node=node,
            ip=IPv4Address(ip),
            ofport=ofport,
            labels=labels,
        )
        for ofport, (key, node, ip, labels) in enumerate(PODS, start=3)
    )
    router = Pod(
        namespace="default",
        name="router",
        node="oc-01.test",
        ip=IPv4Address("172.16.1.15"),
        ofport=None,
        host_network=True,
    )
    ghost = HostSubnet(
        name="f5",
        host_ip=IPv4Address("172.16.1.200"),
        subnet=IPv4Network("10.128.4.0/23"),
        uid="uid-of-f5",
        is_node=False,
        fixed_vnid=7,
    )
    return Asker(
        replace(
            four_nodes,
            host_subnets=(*four_nodes.host_subnets, ghost),
            namespaces=(
                Namespace(name="shop", labels={"kind": "trade"}),
                Namespace(name="bank", labels={"kind": "money"}),
                Namespace(name="default", labels={"kind": "system"}),
            ),
            net_namespaces=(
                NetNamespace(name="shop", netid=4711),
                NetNamespace(name="bank", netid=4712),
                NetNamespace(name="default", netid=0),
            ),
            pods=(*pods, router),
            services=(),
            underlay=replace(
                four_nodes.underlay,
                external_hosts=(
                    UnderlayHost(
                        name="www",
                        ip=IPv4Address("198.51.100.10"),
                        dns_names=("www.example.com",),
                    ),
                    UnderlayHost(
                        name="api",
                        ip=IPv4Address("198.51.100.20"),
                        dns_names=("www.example.com", "api.example.com"),
                    ),
                ),
                rogues=(UnderlayHost(name="rogue", ip=IPv4Address("172.16.1.66")),),
            ),
        )
    )


@pytest.fixture(scope="session")
def sub(town: Asker) -> Asker:
    return town.under(Plugin.SUBNET)


@pytest.fixture(scope="session")
def mt(town: Asker) -> Asker:
    return town.under(Plugin.MULTITENANT)


@pytest.fixture(scope="session")
def np(town: Asker) -> Asker:
    return town.under(Plugin.NETWORKPOLICY)
