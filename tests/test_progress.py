"""The estimate of the time left."""

import pytest

from huvidpo_core import progress


def test_the_estimate_leaves_the_first_step_out(monkeypatch):
    """A slow first step, which pays for encoding and warming, says nothing yet and does not spoil the estimate."""
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    watch = progress.Stopwatch("animating", 5)
    now = 30.0
    assert watch.at(1).seconds_left is None
    now = 32.0
    assert watch.at(2).seconds_left == pytest.approx(6)
    now = 34.0
    assert watch.at(3).seconds_left == pytest.approx(4)
    assert watch.at(5).seconds_left == 0


def test_what_went_into_something_else_is_no_part_of_a_step(monkeypatch):
    """Nine seconds of a check between steps of two; before the first step there is nothing to leave out."""
    now = 0.0
    monkeypatch.setattr(progress.time, "monotonic", lambda: now)
    watch = progress.Stopwatch("training", 5)
    watch.leave_out(7.0)
    watch.at(1)
    now = 2.0
    assert watch.at(2).seconds_left == pytest.approx(6)
    now = 13.0
    watch.leave_out(9.0)
    assert watch.at(3).seconds_left == pytest.approx(4)
