"""OpenFlow as text and values: flows, tables, registers, ports, actions. Pure."""

from testbed.openflow.flow import (
    DEFAULT_PRIORITY,
    DumpedFlow,
    Flow,
    parse_dump,
    table_miss,
)
from testbed.openflow.names import OFPort, Register, Table

__all__ = [
    "DEFAULT_PRIORITY",
    "DumpedFlow",
    "Flow",
    "OFPort",
    "Register",
    "Table",
    "parse_dump",
    "table_miss",
]
