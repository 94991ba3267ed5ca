"""Kubernetes' two marks: packets to be masqueraded, and packets to be dropped.

A chain of table nat marks, where a packet is decided upon; what the mark means is done
elsewhere. 3.11 has kube-proxy and kubelet masquerade what has bit 0, not Kubernetes'
usual bit 14.

Source: kubernetes release-1.11 pkg/proxy/iptables/proxier.go and
pkg/kubelet/kubelet_network.go; openshift/origin release-3.11
pkg/cmd/server/kubernetes/network (the bit)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from testbed.host.rules import Chain, comment

if TYPE_CHECKING:
    from collections.abc import Iterator

MARK_MASQUERADE = "KUBE-MARK-MASQ"
MARK_DROP = "KUBE-MARK-DROP"

_MASQUERADE = "0x1/0x1"
_DROP = "0x8000/0x8000"


def mark_filter_chains() -> Iterator[Chain]:
    """Yield the chains that drop, and that let through, what is marked."""
    yield Chain(
        name="KUBE-FIREWALL",
        rules=(
            (
                f"{comment('kubernetes firewall for dropping marked packets')} "
                f"-m mark --mark {_DROP} -j DROP"
            ),
        ),
    )
    yield Chain(
        name="KUBE-FORWARD",
        rules=(
            (
                f"{comment('kubernetes forwarding rules')} "
                f"-m mark --mark {_MASQUERADE} -j ACCEPT"
            ),
        ),
    )


def mark_nat_chains() -> Iterator[Chain]:
    """Yield the chains that mark, and that masquerade what is marked."""
    yield Chain(name=MARK_DROP, rules=(f"-j MARK --set-xmark {_DROP}",))
    yield Chain(name=MARK_MASQUERADE, rules=(f"-j MARK --set-xmark {_MASQUERADE}",))
    yield Chain(
        name="KUBE-POSTROUTING",
        rules=(
            (
                f"{comment('kubernetes service traffic requiring SNAT')} "
                f"-m mark --mark {_MASQUERADE} -j MASQUERADE"
            ),
        ),
    )
