"""What the page shows of a training run, whichever stage it is, read from its files: plain values by part, so that only
what changed is sent. No gradio."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from huvidpo_core.engine import Engine, Kind, RunFolder, RunState
from huvidpo_core.ui.run_words import Row, runs_list, samples, unlisted
from huvidpo_core.ui.shown import shown

LATEST = -1  # in place of a check's step: the latest, or what a finished run kept
NOTHING = {
    "can_stop": False, "can_resume": "", "can_remove": False, "shown": False, "plots": "", "checks": ((), 0),
    "clips": "", "live": False,
}  # fmt: skip
RESUME = {"new": "Start", "stopped": "Resume", "failed": "Try again", "died": "Resume"}
LOG = 300  # characters of a log's last line

Told = tuple[RunFolder, dict[str, Any], RunState]  # a run, what was asked for, where it stands


def look(
    engine: Engine, kinds: Sequence[Kind], chosen: str, step: int, row: Callable[[Told], Row], nothing: str
) -> tuple[str, Told | None, dict[str, Any]]:
    """The run that is shown, the newest of these kinds if `chosen` is none, and what there is to see of it and of all.

    `step` is the check whose sample clips are shown; `row` makes a run's line in the list, `nothing` stands there when
    there is none. Parts:
        list, clips: HTML; unlisted: HTML, of runs of whichever kind that cannot be opened, why not; checks: steps that
        have sample clips, and which of them was kept, if any, else 0; shown: whether there is a run; can_stop,
        can_remove: whether it can be; can_resume: what to call it, empty where it cannot; live: whether something is
        going on.
    """
    told = [(run, run.asked(), run.state()) for run in engine.trainings.runs(*kinds)]
    for run, _, state in told:
        if state.status == "running":
            engine.trainings.follow(run)  # a command line may have started it
    names = [run.path.name for run, *_ in told]
    chosen = chosen if chosen in names else (names[0] if names else "")
    parts: dict[str, Any] = dict(NOTHING)
    found = told[names.index(chosen)] if chosen else None
    if found:
        parts |= _of_run(found[0], found[2], step, engine.data)
    reasons = engine.trainings.unlisted()
    listed = runs_list([row(each) for each in told], chosen, "" if reasons else nothing)
    return chosen, found, parts | {"list": listed, "unlisted": unlisted(reasons)}


def _of_run(run: RunFolder, state: RunState, step: int, data: Path) -> dict[str, Any]:
    clips, running = shown(run.samples(), data), state.status == "running"
    kept = _kept(run) if state.status == "finished" else 0
    kept = kept if kept in clips else 0
    return {
        "can_stop": running and not run.asked_to_stop,
        "can_resume": RESUME.get(state.status, ""),
        "can_remove": not running,
        "shown": True,
        "checks": (tuple(clips), kept),
        "clips": samples(clips, step if step in clips else kept or max(clips, default=0), kept),
        "live": running,
    }


def _kept(run: RunFolder) -> int:
    """The step whose LoRA a finished run kept; 0 where it learned nothing, or keeps what it has at its end."""
    checks = run.metrics("check")
    return checks[-1].get("best", 0) if checks else 0


def last_words(run: RunFolder) -> str:
    """The last line of a run's log, empty if it has none."""
    try:
        with (run.path / "log.txt").open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - 4000))
            lines = file.read().decode(errors="replace").split("\n")
    except OSError:
        return ""
    return next((line.strip()[:LOG] for line in reversed(lines) if line.strip()), "")


def fresh(parts: dict[str, Any], seen: dict[str, str]) -> tuple[set[str], dict[str, str]]:
    """Names of the parts that differ from those that were seen, and what is to be remembered as seen."""
    marks = {name: hashlib.sha256(repr(value).encode()).hexdigest()[:16] for name, value in parts.items()}
    return {name for name, mark in marks.items() if seen.get(name) != mark}, marks


def check_choices(checks: Sequence[int], kept: int = 0) -> list[tuple[str, int]]:
    """The menu of checks; it begins with the one that was `kept`, while none is with the latest."""
    first = f"Step {kept} (kept)" if kept else "Latest"
    return [(first, LATEST), *((f"Step {step}", step) for step in sorted(checks, reverse=True))]
