"""What the page shows of an action being taught, read from its run's files. No gradio."""

from collections.abc import Sequence
from typing import Any

from huvidpo_core.engine import Engine, RunFolder
from huvidpo_core.errors import UserError
from huvidpo_core.ui import run_view
from huvidpo_core.ui import teach_words as said
from huvidpo_core.ui.plots import WAITING, Level, Line, grid, panel, points, smooth
from huvidpo_core.ui.run_words import Row, many, run_head
from huvidpo_core.ui.words import message, when

NOTHING = {"head": said.NOTHING_TO_SHOW, "made": "", "can_try": False, "can_use": False}


def look(engine: Engine, chosen: str, step: int) -> tuple[str, dict[str, Any]]:
    """The run that is shown, and what there is to see: as `run_view.look`, and these parts.

    head, plots, made: HTML; can_try: whether Create offers what was taught; can_use: whether it could.
    """
    chosen, found, parts = run_view.look(engine, ("teach",), chosen, step, _row, said.NO_RUNS)
    if not found:
        return chosen, parts | NOTHING
    run, asked, state = found
    checks = run.metrics("check")
    head = run_head(
        asked["title"], asked["action"], said.facts(asked, checks), state,
        state.status == "running" and run.asked_to_stop, run_view.last_words(run),
    )  # fmt: skip
    made = _made(engine, run) if state.status == "finished" else {}
    return chosen, parts | NOTHING | {"head": head, "plots": plots(run.metrics("step"), checks)} | made


def plots(steps: Sequence[dict[str, Any]], checks: Sequence[dict[str, Any]]) -> str:
    """All panels of a run, from the lines of its metrics."""
    if not steps and not checks:
        return WAITING
    until = max(row.get("steps", row["step"]) for row in (*steps, *checks))
    loss = points(steps, "loss")
    learned, kept = points(checks, "trained_loss"), points(checks, "loss")
    return grid(
        [
            panel(
                "Error at the checks",
                [Line("learned from", learned, "a dots"), Line("kept for checking", kept, "b dots")],
                [],
                until,
            ),
            panel(
                "Motion against your clips",
                [Line("", points(checks, "motion"), "a dots")],
                [Level("as much", 1.0)],
                until,
                percent=True,
            ),
            panel("Loss at each step", [Line("", loss, "a faint"), Line("", smooth(loss))], [], until),
        ]
    ) + (f'<p class="hv-hint">{said.BY_HEART}</p>' if kept else "")


def whereabouts(engine: Engine, run: RunFolder) -> tuple[str, str]:
    """The action and the pack that Create offers of a finished run; the pack is empty where it does not. Raises
    UserError."""
    action, pack = run.asked()["action"], engine.trainings.use(run).adopted
    there = action in engine.actions and pack in [choice.id for choice in engine.packs(action)]
    return action, pack if there else ""


def _made(engine: Engine, run: RunFolder) -> dict[str, Any]:
    try:
        action, pack = whereabouts(engine, run)
    except UserError as error:
        return {"made": message(str(error), "error")}
    if not pack:
        return {"made": said.made_words("", ""), "can_use": True}
    title = engine.actions[action].title  # as it is called by now
    menu = "" if pack == action else next(choice.title for choice in engine.packs(action) if choice.id == pack)
    return {"made": said.made_words(title, menu), "can_try": True}


def _row(told: run_view.Told) -> Row:
    run, asked, state = told
    about = f"{many(asked['clips'], 'clip')} · {when(asked.get('created', 0))}"
    return Row(run.path.name, asked["title"], about, state)
