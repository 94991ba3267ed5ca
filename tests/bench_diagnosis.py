"""How long `testbed diagnose` takes beside the import it needs: a large cluster.

Run as ``.venv/bin/python tests/bench_diagnosis.py [--nodes N] [--pods N] [--ill N]``.
The collection is that of ``bench_import.py``; of ``--ill`` nodes each lacks the flows
of a peer and of a pod, and has those of a pod that is gone.
"""

from __future__ import annotations

import argparse
import io
import resource
import sys
import tempfile
import time
from pathlib import Path

from testbed.diagnosis import diagnose
from testbed.importing import gather, merge

sys.path.insert(0, str(Path(__file__).parents[1]))
from tests.bench_import import cluster, tarball


def _spoilt(text: str, peer: str, pod: str) -> str:
    """A dump without a peer's and a pod's flows, and with a foreign pod's."""
    lines = [
        line
        for line in text.splitlines(keepends=True)
        if f"tun_src={peer} " not in line and pod not in line
    ]
    ghost = "cookie=0x0, duration=9.0s, table=40, n_packets=0, n_bytes=0, "
    lines.append(f" {ghost}priority=100,arp,arp_tpa={pod}9 actions=output:9999\n")
    return "".join(lines)


def main() -> None:
    """Make a collection, import and diagnose it, and print what each took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=200)
    parser.add_argument("--pods", type=int, default=20_000)
    parser.add_argument("--services", type=int, default=100)
    parser.add_argument("--ill", type=int, default=0)
    options = parser.parse_args()
    topology = cluster(options.nodes, options.pods, options.services)
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "collected.tgz")
        ill = {node.name for node in topology.cluster.nodes[: options.ill]}
        peer = str(topology.cluster.nodes[-1].host_ip)

        def spoil(name: str, text: str) -> str:
            if name not in ill:
                return text
            pod = topology.cluster.pods_on(topology.cluster.node(name))[0]
            return _spoilt(text, peer, str(pod.ip))

        flows = tarball(
            topology, path, with_objects=True, one_file=False, changed=spoil
        )
        began, used = time.perf_counter(), time.process_time()
        evidence = gather([path], io.BytesIO())
        imported = merge(evidence)
        imported_at, imported_used = time.perf_counter(), time.process_time()
        found = diagnose(evidence, imported)
        took = time.perf_counter() - imported_at
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(
        f"{options.nodes} nodes, {options.pods} pods, {flows} flows, {options.ill} "
        f"nodes ill: import {imported_at - began:.1f} s (processor "
        f"{imported_used - used:.1f} s), diagnosis {took:.1f} s (processor "
        f"{time.process_time() - imported_used:.1f} s), {len(found.findings)} "
        f"findings, memory {memory:.0f} MiB\n"
    )


if __name__ == "__main__":
    main()
