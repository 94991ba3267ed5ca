"""What a machine can and cannot do for the testbed, and what to type to mend it.

``facts`` finds out, by trying wherever something can be tried (``probe`` does that
inside a throw-away sandbox). ``checks`` judges what was found, and touches nothing.
"""

from testbed.doctor.check import Check, Need, State
from testbed.doctor.checks import examine
from testbed.doctor.facts import Facts, gather

__all__ = ["Check", "Facts", "Need", "State", "examine", "gather"]
