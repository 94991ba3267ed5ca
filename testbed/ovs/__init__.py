"""The only code that speaks to Open vSwitch: its daemons, database and switches."""

from testbed.ovs.appctl import Appctl
from testbed.ovs.daemons import SwitchDaemons, start_daemons
from testbed.ovs.database import Bridge, Port, configure
from testbed.ovs.switch import Counters, Switch

__all__ = [
    "Appctl",
    "Bridge",
    "Counters",
    "Port",
    "Switch",
    "SwitchDaemons",
    "configure",
    "start_daemons",
]
