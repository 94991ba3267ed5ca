"""Which flows the scenarios hit, and which none does: line coverage for OpenFlow.

A *kind* is what flows have in common that differ in addresses, ofports and VNIDs only:
one pod's table 20 is like another's. What counts are the flows of the clusters as they
were built, and those that scenarios added by ``cluster.apply``.

``kinds`` says what is alike, ``unreachable`` what cannot be hit and why; ``ledger``
adds up; ``document`` is the result for programs (``coverage.json``), ``summary`` and
``page`` for people; ``plugin`` is what pytest calls.
"""

from testbed.coverage.kinds import Kind, kind_of

__all__ = ["Kind", "kind_of"]
