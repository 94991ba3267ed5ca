"""Actions in the text OVS prints. Source: ovs-actions(7)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ipaddress import IPv4Address

    from testbed.openflow.names import OFPort, Register, Table

DROP = "drop"


def goto(table: Table) -> str:
    """Go on in a later table."""
    return f"goto_table:{table.value}"


def output(ofport: int | OFPort) -> str:
    """Send the packet out of a port."""
    return f"output:{int(ofport)}"


def output_register(register: Register) -> str:
    """Send the packet out of the port whose number the register holds."""
    return f"output:{register}[]"


def load(value: int, register: Register) -> str:
    """Set a register; zero prints as ``0``, anything else in hexadecimal."""
    return f"load:{value:#x}->{register}[]" if value else f"load:0->{register}[]"


def vnid_from_tunnel(register: Register) -> str:
    """Copy the VNID of the VXLAN header into a register."""
    return f"move:NXM_NX_TUN_ID[0..31]->{register}[]"


def vnid_to_tunnel(register: Register) -> str:
    """Copy a register into the VNID of the VXLAN header."""
    return f"move:{register}[]->NXM_NX_TUN_ID[0..31]"


def set_tunnel_vnid(vnid: int) -> str:
    """Set the VNID of the VXLAN header, whoever sent the packet."""
    value = f"{vnid:#x}" if vnid else "0"
    return f"load:{value}->NXM_NX_TUN_ID[0..31]"


def set_tunnel_destination(node_ip: IPv4Address) -> str:
    """Choose the node that the next output to vxlan0 goes to."""
    return f"set_field:{node_ip}->tun_dst"


def set_destination_mac(mac: str) -> str:
    """Address the frame to another interface."""
    return f"set_field:{mac}->eth_dst"


def set_packet_mark(mark: int) -> str:
    """Set the mark that the host's iptables see, which must not be zero."""
    return f"set_field:{mark:#x}->pkt_mark"


def track(table: Table) -> str:
    """Look the connection up in conntrack, then go on, in any table."""
    return f"ct(table={table.value})"


def track_and_restore(table: Table) -> str:
    """As ``track``, and undo for a reply what NAT did to its connection."""
    return f"ct(table={table.value},nat)"


def commit(table: Table | None = None, *, may_change_source_port: bool = False) -> str:
    """Make the connection known to conntrack, then go on, or do the next action.

    The source port changes where the connection could not be told from another one.
    ``ovs-ofctl`` also takes ``nat(src=0.0.0.0)`` for that and prints what is here.
    """
    arguments = ["commit"]
    if table is not None:
        arguments.append(f"table={table.value}")
    if may_change_source_port:
        arguments.append("nat(src)")
    return f"ct({','.join(arguments)})"


def note(*octets: int) -> str:
    """Attach bytes that change nothing, padded to six as OVS does."""
    padded = (*octets, *[0] * (6 - len(octets)))
    return f"note:{'.'.join(f'{octet:02x}' for octet in padded)}"
