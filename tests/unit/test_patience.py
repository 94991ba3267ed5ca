"""A slow machine is given more time, and never less."""

from __future__ import annotations

import pytest

from testbed.errors import EmulationError
from testbed.patience import VARIABLE, patience
from testbed.process import run, wait_until


@pytest.mark.parametrize("text", ["", "1", "1.0"])
def test_a_machine_is_given_what_is_enough_for_most(text: str) -> None:
    assert patience(3.0, {VARIABLE: text} if text else {}) == 3.0


def test_a_slow_machine_is_given_more() -> None:
    assert patience(3.0, {VARIABLE: "2.5"}) == 7.5


@pytest.mark.parametrize("text", ["0", "0.5", "-1", "nan", "inf", "soon", "1001"])
def test_what_is_no_factor_is_refused_by_name(text: str) -> None:
    with pytest.raises(EmulationError, match=f"{VARIABLE}: '{text}' is no number"):
        patience(3.0, {VARIABLE: text})


def test_a_condition_and_a_program_are_waited_for_that_much_longer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(VARIABLE, "50")
    asked = 0

    def comes_late() -> bool:
        nonlocal asked
        asked += 1
        return asked > 30  # at a millisecond and more each

    wait_until(comes_late, timeout=0.02, what="it comes")
    assert run(["sleep", "0.1"], timeout=0.02) == ""
