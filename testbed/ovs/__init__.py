"""The only code that speaks to Open vSwitch: its daemons, database and switches."""

from testbed.ovs.appctl import Appctl
from testbed.ovs.daemons import (
    SwitchDaemons,
    kill_vswitchd,
    restart_vswitchd,
    start_daemons,
)
from testbed.ovs.database import (
    Bridge,
    Port,
    change_ports,
    configure,
    interface_options,
    set_hardware_address,
    set_interface_mtu,
    set_interface_options,
)
from testbed.ovs.dummy import DummySwitches, start_dummy_switches
from testbed.ovs.switch import Counters, Switch
from testbed.ovs.trace import Trace, TracedSwitch

__all__ = [
    "Appctl",
    "Bridge",
    "Counters",
    "DummySwitches",
    "Port",
    "Switch",
    "SwitchDaemons",
    "Trace",
    "TracedSwitch",
    "change_ports",
    "configure",
    "interface_options",
    "kill_vswitchd",
    "restart_vswitchd",
    "set_hardware_address",
    "set_interface_mtu",
    "set_interface_options",
    "start_daemons",
    "start_dummy_switches",
]
