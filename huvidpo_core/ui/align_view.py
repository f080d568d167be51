"""What the page shows of a run, read from its files: plain values by part, so that only what changed is sent. No
gradio."""

import hashlib
from collections.abc import Sequence
from typing import Any

from huvidpo_core.engine import Engine, RunFolder, RunState
from huvidpo_core.errors import UserError
from huvidpo_core.ui import align_words as said
from huvidpo_core.ui.align_plots import plots

LATEST = -1  # in place of a check's step
NOTHING = {
    "head": said.NOTHING_TO_SHOW, "can_stop": False, "can_resume": "", "can_remove": False, "shown": False,
    "plots": "", "checks": (), "clips": "", "helped": "", "can_try": "", "can_use": None, "can_rate": False,
}  # fmt: skip


def look(engine: Engine, chosen: str, step: int) -> tuple[str, dict[str, Any]]:
    """The run that is shown, the newest if `chosen` is none, and what there is to see of it and of all.

    `step` is the check whose sample clips are shown. Parts:
        list, head, plots, clips, helped: HTML; checks: steps that have sample clips; shown: whether there is a run;
        can_stop, can_remove, can_rate: whether it can be; can_resume, can_try: what to call it, empty where it cannot;
        can_use: None where it is in use already, or not finished; live: whether something is going on.
    """
    runs = [(run, run.asked(), run.state()) for run in engine.trainings.runs()]
    names = [run.path.name for run, _, _ in runs]
    chosen = chosen if chosen in names else (names[0] if names else "")
    parts = {**NOTHING, "live": False}
    if chosen:
        run, asked, state = runs[names.index(chosen)]
        parts |= _of_run(engine, run, asked, state, step)
    listed = [(run.path.name, asked, state) for run, asked, state in runs]
    return chosen, parts | {"list": said.runs_list(listed, chosen, engine.actions)}


def _of_run(engine: Engine, run: RunFolder, asked: dict[str, Any], state: RunState, step: int) -> dict[str, Any]:
    checks, clips = run.metrics("check"), run.samples()
    running = state.status == "running"
    beta = checks[-1].get("beta", 0.0) if checks else 0.0
    step = step if step in clips else max(clips, default=0)
    resumable = {"new": "Start", "stopped": "Resume", "failed": "Try again", "died": "Resume"}
    finished = _of_finished(engine, run, asked) if state.status == "finished" else {}
    return {
        "head": said.run_head(asked, state, running and run.asked_to_stop, engine.actions, beta),
        "can_stop": running and not run.asked_to_stop,
        "can_resume": resumable.get(state.status, ""),
        "can_remove": not running,
        "shown": True,
        "plots": plots(run.metrics("step"), checks, asked["settings"]["least_motion"]),
        "checks": tuple(clips),
        "clips": said.samples(clips, step),
        "live": running,
    } | finished


def _of_finished(engine: Engine, run: RunFolder, asked: dict[str, Any]) -> dict[str, Any]:
    if not asked["pack"]:
        return {"helped": said.words.message(said.NO_PACK)}
    action = asked["action"]
    title = engine.actions[action].title if action in engine.actions else action
    use, queue = engine.trainings.use(run), engine.pair_queue(action)
    in_use = next((each.title for each in engine.packs(action) if each.id == f"{use.pack}/{use.adopted}"), "")
    try:
        score = engine.blind_rounds.score(run) if use.trial or use.adopted else None
    except UserError:  # what it was trained on cannot be read any more
        score = None
    waits = bool(score and score.pairs > score.rated)
    return {
        "helped": said.helped_words(in_use, bool(use.trial), score, queue, title),
        "can_try": "Make another round" if use.trial else "Make a blind round",
        "can_use": None if in_use else bool(score and score.rated),
        "can_rate": waits,
        "live": bool(use.trial and (queue.making or queue.ordered)),
    }


def fresh(parts: dict[str, Any], seen: dict[str, str]) -> tuple[set[str], dict[str, str]]:
    """Names of the parts that differ from those that were seen, and what is to be remembered as seen."""
    marks = {name: hashlib.sha256(repr(value).encode()).hexdigest()[:16] for name, value in parts.items()}
    return {name for name, mark in marks.items() if seen.get(name) != mark}, marks


def check_choices(checks: Sequence[int]) -> list[tuple[str, int]]:
    """The menu of checks."""
    return [("Latest", LATEST), *((f"Step {step}", step) for step in sorted(checks, reverse=True))]
