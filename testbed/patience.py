"""How much longer than others this machine is waited for: ``TESTBED_PATIENCE``.

What is waited for in vain takes that much longer to be told; nothing else does.
"""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

from testbed.errors import EmulationError

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE = "TESTBED_PATIENCE"
"""Set by a machine whose processor is emulated, and by who shares one with many."""

_MOST = 1000.0


def patience(seconds: float, environment: Mapping[str, str] = os.environ) -> float:
    """So many seconds of a machine of its own, as this machine needs them.

    Args:
        seconds: what is enough on two processors with nothing else to do.
        environment: where ``TESTBED_PATIENCE`` is looked up: a factor from 1 to 1000.

    Raises:
        EmulationError: it is none.
    """
    text = environment.get(VARIABLE) or "1"
    try:
        factor = float(text)
    except ValueError:
        factor = math.nan
    if not 1 <= factor <= _MOST:
        raise EmulationError(f"{VARIABLE}: {text!r} is no number from 1 to {_MOST:g}")
    return seconds * factor
