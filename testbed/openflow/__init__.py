"""OpenFlow as text and values: flows, tables, registers, ports, actions. Pure."""

from testbed.openflow.difference import (
    Deviation,
    FlowDifference,
    could_match,
    flow_differences,
)
from testbed.openflow.flow import (
    DEFAULT_PRIORITY,
    DumpedFlow,
    Flow,
    parse_dump,
    parse_flow,
    table_miss,
)
from testbed.openflow.names import OFPort, Register, Table

__all__ = [
    "DEFAULT_PRIORITY",
    "Deviation",
    "DumpedFlow",
    "Flow",
    "FlowDifference",
    "OFPort",
    "Register",
    "Table",
    "could_match",
    "flow_differences",
    "parse_dump",
    "parse_flow",
    "table_miss",
]
