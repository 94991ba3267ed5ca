"""Three witnesses side by side, and where they part.

``agreement`` compares them, ``explain`` says in words what follows, ``facts`` are what
is seen to be wrong with a cluster without sending anything.
"""

from testbed.verdict.explain import Explanation
from testbed.verdict.facts import Fact, Kind
from testbed.verdict.verdict import Verdict

__all__ = ["Explanation", "Fact", "Kind", "Verdict"]
