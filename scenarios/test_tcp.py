"""Real TCP, end to end: what probes of single packets cannot show."""

from __future__ import annotations

import hashlib
import os
import sys
from typing import TYPE_CHECKING
from urllib.request import urlopen

import pytest

from testbed.patience import patience

if TYPE_CHECKING:
    from pathlib import Path

    from testbed.probe import Pod

pytestmark = pytest.mark.plugins("subnet", "multitenant", "networkpolicy")

SIZE = 4 << 20
PORT = 8080


@pytest.mark.parametrize("place", ["neighbour", "remote"])
def test_some_megabytes_over_http_arrive_unchanged(
    pod: Pod, place: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    server: Pod = request.getfixturevalue(place)
    contents = os.urandom(SIZE)
    (tmp_path / "file").write_bytes(contents)

    def download() -> bytes:
        with urlopen(
            f"http://{server.ip}:{PORT}/file", timeout=patience(20)
        ) as response:
            return bytes(response.read())

    http_server = ["-m", "http.server", str(PORT), "--directory", str(tmp_path)]
    with server.serve(sys.executable, *http_server, port=PORT):
        received = pod.machine.call(download)

    assert hashlib.sha256(received).digest() == hashlib.sha256(contents).digest()
