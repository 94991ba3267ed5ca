"""Findings about egress IPs that objects do not agree on.

Source: openshift/origin release-3.11 pkg/network/common/egressip.go
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from testbed.diagnosis.finding import Evidence, Finding, Severity, names

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from testbed.importing.catalogue import Catalogue
    from testbed.importing.readers.api import ApiObject


def egress_objects(catalogue: Catalogue) -> Iterator[Finding]:
    """Find egress IPs that two nodes, two namespaces or no node have."""
    offered = _by_egress_ip(catalogue.of("HostSubnet").values())
    asked = _by_egress_ip(catalogue.of("NetNamespace").values())
    for ip, hosts in offered.items():
        if len(hosts) > 1:
            yield _egress_ip(
                "egress-ip-twice",
                ip,
                hosts,
                f"egress IP {ip} is that of {names(item.key for item in hosts)}",
                "no node uses it: what the namespace sends out of the cluster is "
                "dropped",
            )
    for ip, namespaces in asked.items():
        netids = {item.at("netid") for item in namespaces}
        if len(netids) > 1:
            yield _egress_ip(
                "egress-ip-shared",
                ip,
                namespaces,
                f"egress IP {ip} is asked for by {len(namespaces)} namespaces: "
                f"{', '.join(item.key for item in namespaces[:4])}",
                "what all of them send out of the cluster is dropped",
            )
        elif ip not in offered and catalogue.is_complete("HostSubnet"):
            yield _egress_ip(
                "egress-ip-nowhere",
                ip,
                namespaces,
                f"egress IP {ip} of namespace {namespaces[0].key} is no node's",
                "what the namespace sends out of the cluster is dropped, if it has no "
                "other",
            )


def _by_egress_ip(items: Iterable[ApiObject]) -> dict[str, list[ApiObject]]:
    found: dict[str, list[ApiObject]] = defaultdict(list)
    for item in items:
        ips = item.at("egressIPs")
        for ip in ips if isinstance(ips, list) else ():
            if isinstance(ip, str) and item not in found[ip]:
                found[ip].append(item)
    return found


def _egress_ip(
    check: str, ip: str, items: list[ApiObject], what: str, breaks: str
) -> Finding:
    return Finding(
        check=check,
        severity=Severity.CRITICAL,
        what=what,
        breaks=breaks,
        object=str(items[0]),
        evidence=tuple(Evidence(f"{item}: {ip}", str(item.place)) for item in items),
        bugs=("BZ1762235",) if check == "egress-ip-twice" else (),
        advice="give each egress IP to one HostSubnet and one NetNamespace",
        weight=60,
    )
