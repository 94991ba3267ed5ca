"""The part of ``testbed lab`` that runs inside the sandbox.

Run as ``python -m testbed.cli.lab_worker REQUEST``, in JSON; answers so on stdout.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from testbed.cli import explained
from testbed.cli.options import TOPOLOGY
from testbed.labs.bench import Bench
from testbed.labs.findings import answer_of
from testbed.labs.read import read_lab
from testbed.labs.request import Request
from testbed.probe import LiveCluster
from testbed.process import write_whole
from testbed.topology import load

if TYPE_CHECKING:
    from typing import NoReturn

    from testbed.labs.findings import Done
    from testbed.labs.model import Lab
    from testbed.topology import Topology


def main() -> NoReturn:
    """Do what the request in argv says."""
    with explained():
        request = Request(**json.loads(sys.argv[1]))
        lab = read_lab(Path(request.directory))
        with LiveCluster.attach(load(TOPOLOGY)) as live:
            bench = Bench(live, _note)
            done = [item for step in request.do for item in _do(bench, lab, *step)]
            findings = None
            if request.check is not None:
                task = lab.tasks[request.check]
                answer = request.answer or answer_of(done)
                findings = bench.examine(lab, task, answer)
    answered = {
        "done": [asdict(item) for item in done],
        "findings": [asdict(finding) for finding in findings or ()],
        "pods": len(live.objects.pods),
    }
    print(json.dumps(answered))  # noqa: T201 - data
    sys.exit(0)


def _do(bench: Bench, lab: Lab, number: int, which: str) -> list[Done]:
    task = lab.tasks[number]
    return bench.perform(task.begin if which == "begin" else task.solution)


def _note(topology: Topology) -> None:
    write_whole(TOPOLOGY, topology.text())


if __name__ == "__main__":
    main()
