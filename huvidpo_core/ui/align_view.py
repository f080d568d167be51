"""What the page shows of an alignment, read from its run's files. No gradio."""

from typing import Any

from huvidpo_core.engine import Engine, RunFolder, RunState, Score
from huvidpo_core.errors import UserError
from huvidpo_core.ui import align_outcome as outcome
from huvidpo_core.ui import align_words as said
from huvidpo_core.ui import run_view, words
from huvidpo_core.ui.align_plots import plots
from huvidpo_core.ui.run_words import run_head

NOTHING = {
    "head": said.NOTHING_TO_SHOW, "helped": "", "can_try": "", "can_use": None, "can_rate": False, "can_draw": False,
    "to_judge": None, "offered": None,
}  # fmt: skip


def look(engine: Engine, chosen: str, step: int) -> tuple[str, dict[str, Any]]:
    """The run that is shown, and what there is to see: as `run_view.look`, and these parts.

    head, plots, helped: HTML; can_try: what to call it, empty where it cannot be; can_rate, can_draw: whether it can
    be; can_use: None where it is in use already, not finished, or has learned nothing, of clips False until all of a
    blind round is answered; to_judge: how many pairs of a blind round of first frames are left, None where there is
    none; offered: what Create offers of it, by menu (see `RunFollow.made_by`), None where that is nothing.
    """

    def row(told: run_view.Told) -> said.Row:
        run, asked, state = told
        judged = asked["kind"] == "picture" and state.status == "finished"  # on this page; clips are in Prefer
        score = _score(engine.picture_rounds, run) if judged else None
        return said.row(run.path.name, asked, state, engine.actions, score.left if score else 0)

    chosen, found, parts = run_view.look(engine, ("align", "picture"), chosen, step, row, said.NO_RUNS)
    return chosen, parts | NOTHING | (_of_run(engine, *found) if found else {})


def _of_run(engine: Engine, run: RunFolder, asked: dict[str, Any], state: RunState) -> dict[str, Any]:
    checks, settings = run.metrics("check"), asked["settings"]
    beta = checks[-1].get("beta", 0.0) if checks else 0.0
    facts = said.facts(asked, beta, unheld=bool(checks) and checks[-1].get("accuracy") is None)
    head = run_head(
        said.action_title(asked, engine.actions), asked["name"], facts, state,
        state.status == "running" and run.asked_to_stop, run_view.last_words(run),
    )  # fmt: skip
    least = None if asked["kind"] == "picture" else settings["least_motion"]
    course = plots(run.metrics("step"), checks, least, settings.get("winner_rise", 0.0))
    learned = not checks or checks[-1].get("best") != 0
    finished = _of_finished(engine, run, asked, learned) if state.status == "finished" else {}
    return {"head": head, "plots": course} | finished


def _of_finished(engine: Engine, run: RunFolder, asked: dict[str, Any], learned: bool) -> dict[str, Any]:
    use = engine.trainings.use(run)
    if not learned and not use.adopted:
        return {"helped": outcome.unlearned(asked)}
    if asked["kind"] == "picture":
        called = next((each.title for each in engine.painters() if use.adopted and each.id == use.adopted), "")
        score = _score(engine.picture_rounds, run)
        drawing = bool(score and engine.picture_rounds.drawing(run))
        return {
            "helped": outcome.painter_words(called, score, drawing, asked.get("raters") or ()),
            "can_use": None if called else True,
            "offered": {"painter": use.adopted} if called else None,
            "can_draw": True,
            "to_judge": score.left if score and score.pairs else None,
            "live": drawing,
        }
    if not asked["pack"]:
        return {"helped": words.message(outcome.NO_PACK)}
    action = asked["action"]
    title = engine.actions[action].title if action in engine.actions else action
    queue = engine.pair_queue(action)
    pack = f"{use.pack}/{use.adopted}"
    in_use = next((each.title for each in engine.packs(action) if each.id == pack), "")
    score = _score(engine.blind_rounds, run) if use.trial or use.adopted else None
    return {
        "helped": outcome.helped_words(in_use, bool(use.trial), score, queue, title, asked.get("raters") or ()),
        "can_try": "Make another round" if use.trial else "Make a blind round",
        "can_use": None if in_use else bool(score and score.over),
        "offered": {"action": action, "pack": pack} if in_use else None,
        "can_rate": bool(score and score.left),
        "live": bool(use.trial and (queue.making or queue.ordered)),
    }


def _score(rounds: Any, run: RunFolder) -> Score | None:
    """What was said in this run's rounds; None where that, or what it was trained on, cannot be read any more."""
    try:
        return rounds.score(run)
    except UserError:
        return None
