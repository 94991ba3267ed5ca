"""Names and MAC addresses that the cluster's objects determine."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ipaddress import IPv4Address

    from testbed.model import Pod


def underlay_mac(ip: IPv4Address) -> str:
    """The MAC of a machine on the underlay: KVM's prefix and the address."""
    return ":".join(f"{byte:02x}" for byte in (0x52, 0x54, *ip.packed))


def sandbox_id(pod: Pod) -> str:
    """64 hexadecimal digits, as the container runtime names a pod's sandbox."""
    return hashlib.sha256(pod.key.encode()).hexdigest()


def veth_name(pod: Pod) -> str:
    """The node's end of the pod's veth pair: ``veth`` and eight digits.

    The real digits are random; these depend on the pod, so that runs compare.
    """
    return f"veth{sandbox_id(pod)[:8]}"
