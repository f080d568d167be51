"""The plots of a training: what is drawn where."""

import re

import pytest

from huvidpo_core.ui.align_plots import plots
from huvidpo_core.ui.plots import WAITING, smooth, ticks


def steps(values, total=10):
    return [{"step": n, "steps": total, "loss": value, "lr": 1e-4} for n, value in enumerate(values, start=1)]


def test_nothing_measured_yet():
    """Before the first step a sentence; a panel without values says so and the others are drawn."""
    assert plots([], []) == WAITING
    drawn = plots(steps([0.7, 0.6]), [])
    assert drawn.count("<figure") == 5 and drawn.count("<svg") == 2 and drawn.count("Not measured yet") == 3


def test_a_value_is_drawn_where_the_axes_say():
    """A motion of 95 % at step 5 of 10 lies half way across, and half way between the ticks 90 % and 100 %."""
    checks = [{"step": 0, "motion": 1.0}, {"step": 5, "motion": 0.95}]
    drawn = plots(steps([0.7]), checks)
    panel = drawn[drawn.index("Motion against") :]
    panel = panel[: panel.index("</figure>")]
    places = {step: (float(x), float(y)) for x, y, step in
              re.findall(r'cx="([\d.]+)" cy="([\d.]+)" r="3"><title>step (\d+)', panel)}  # fmt: skip
    labels = {text: float(y) - 3.5 for y, text in re.findall(r'y="([\d.]+)" text-anchor="end">([^<]+)<', panel)}
    across = {text: float(x) for x, text in re.findall(r'x="([\d.]+)" y="[\d.]+" text-anchor="middle">([^<]+)<', panel)}
    assert places["5"][0] == pytest.approx((across["0"] + across["10"]) / 2, abs=0.2)
    assert places["5"][1] == pytest.approx((labels["90 %"] + labels["100 %"]) / 2, abs=0.2)
    assert places["0"][1] == pytest.approx(labels["100 %"], abs=0.2)
    assert "<b>95 %</b>" in panel and 'class="hv-level"' in panel


def test_the_error_is_that_of_held_out_clips_as_shares_with_the_limit():
    """Of the checks, not of single steps, in per cent; the limit is drawn where it is near what was measured, and told
    in any case."""
    checks = [
        {"step": 0, "winner_change": 0.0, "loser_change": 0.0},
        {"step": 5, "winner_change": -0.004, "loser_change": 0.006},
    ]
    by_step = [row | {"winner_change": 9.0, "loser_change": 9.0} for row in steps([0.7])]

    def panel(limit):
        drawn = plots(by_step, checks, 0.9, limit)
        drawn = drawn[drawn.index("Held-out error against") :]
        return drawn[: drawn.index("</figure>")]

    near, far = panel(0.01), panel(0.2)
    assert "better clips -0.4 %, worse clips 0.6 %" in near and "900 %" not in near
    assert "ends with the better above 1 %" in near and near.count('class="hv-level"') == 1
    assert "ends with the better above 20 %" in far and 'class="hv-level"' not in far


def test_what_is_no_number_is_left_out():
    """NaN, infinity and None break neither the axes nor the line."""
    drawn = plots(steps([0.7, float("nan"), float("inf"), 0.5]), [{"step": 0, "accuracy": None, "motion": 1.0}])
    assert "nan" not in drawn and "inf" not in drawn


def test_long_runs_are_drawn_with_few_points():
    """Ten thousand steps in a few kilobytes, the last value among them."""
    drawn = plots(steps([n / 1e4 for n in range(10_000)], 10_000), [])
    assert len(drawn) < 40_000 and "312.0 " in drawn


def test_running_means():
    """Over a twelfth of the points; the first ones over those there are."""
    points = [(x, float(x % 2)) for x in range(24)]
    assert smooth(points)[:3] == [(0, 0.0), (1, 0.5), (2, 0.5)] and {y for _, y in smooth(points)[1:]} == {0.5}
    assert smooth([]) == []


@pytest.mark.parametrize(
    ("low", "high", "whole", "expected"),
    [
        (0, 300, True, [0, 100, 200, 300]),
        (0, 3, True, [0, 1, 2, 3]),
        (0.9, 1.0, False, [0.9, 0.925, 0.95, 0.975, 1.0]),
        (5, 5, False, [2, 4, 6, 8]),
        (-0.003, 0.0021, False, [-0.004, -0.002, 0, 0.002, 0.004]),
    ],
)
def test_ticks_are_round_and_hold_the_values(low, high, whole, expected):
    assert ticks(low, high, whole) == pytest.approx(expected)
