"""What a customer sends, as a cluster: `testbed import`.

Tarballs, directories, single files and standard input, whatever collected them and
however much of it is there::

    archive ─► lines ─► recognise ─► readers ─┬─► API objects ─► catalogue ─┐
    (members)  (cleaned)  (sections)          └─► flows ─► bridge (facts) ──┼─► merge
                                              └─► addresses, rules, …  ─────┘     │
                        topology.yaml, nodes/, report ◄─ write ◄─ settle ◄─ infer ┘

Reading (``archive`` to ``evidence``) streams and keeps little: objects as far as the
testbed reads them, texts of nodes word for word. From ``merge`` on all is pure.
``machines`` decides which text is of which node, ``infer`` makes the objects that
nobody collected, ``settle`` leaves out what no cluster can be. Whatever is decided
is told, with file and line.

An import's directory is one more input: importing it again makes the same topology.
"""

from testbed.importing.evidence import Evidence, gather
from testbed.importing.merge import Imported, ImportedNode, merge
from testbed.importing.remarks import Place, Remark, Sort
from testbed.importing.report import manifest, report
from testbed.importing.streams import Limits
from testbed.importing.write import check_target, write

__all__ = [
    "Evidence",
    "Imported",
    "ImportedNode",
    "Limits",
    "Place",
    "Remark",
    "Sort",
    "check_target",
    "gather",
    "manifest",
    "merge",
    "report",
    "write",
]
