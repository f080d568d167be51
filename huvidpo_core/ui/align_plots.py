"""The panels of an alignment's course. No gradio."""

from collections.abc import Sequence
from typing import Any

from huvidpo_core.ui.plots import WAITING, Level, Line, grid, panel, points, smooth


def plots(
    steps: Sequence[dict[str, Any]],
    checks: Sequence[dict[str, Any]],
    least_motion: float | None = 0.9,
    winner_rise: float = 0.0,
) -> str:
    """All panels of a run, from the lines of its metrics, and what ends it: `least_motion` and `winner_rise` of its
    settings. Without `least_motion` nothing moves."""
    if not steps and not checks:
        return WAITING
    until = max(row.get("steps", row["step"]) for row in (*steps, *checks))
    loss, held_loss = points(steps, "loss"), points(checks, "loss")
    what = "clips" if least_motion is not None else "pictures"
    panels = [
        panel(
            "Loss",
            [Line("", loss, "a faint"), Line("training", smooth(loss)), Line("held out", held_loss, "b dots")],
            [Level("at the start", held_loss[0][1])] if held_loss and held_loss[0][0] == 0 else [],
            until,
        ),
        panel(
            "Held-out error against the base model",
            [
                Line(f"better {what}", points(checks, "winner_change"), "a dots"),
                Line(f"worse {what}", points(checks, "loser_change"), "b dots"),
            ],
            [Level("ends with the better above", winner_rise)],
            until,
            percent=True,
        ),
        panel(
            "Held-out pairs put in order",
            [Line("", points(checks, "accuracy"), "a dots")],
            [Level("by chance", 0.5)],
            until,
            percent=True,
        ),
        panel("Learning rate", [Line("", points(steps, "lr"))], [], until),
    ]
    if least_motion is not None:
        moved = [Line("", points(checks, "motion"), "a dots")]
        levels = [Level("ends below", least_motion)]
        panels.insert(3, panel("Motion against the base model", moved, levels, until, percent=True))
    return grid(panels)
