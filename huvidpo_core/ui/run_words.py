"""What the page says of a training run, whichever stage it is, as short HTML. Pure functions, no gradio."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from huvidpo_core.engine import Progress, RunState
from huvidpo_core.errors import UserError
from huvidpo_core.ui import words

STATUS = {
    "new": "Not started",
    "running": "Running",
    "stopped": "Stopped",
    "finished": "Finished",
    "failed": "Failed",
    "died": "Ended unexpectedly",
}
LR_STEP = 1e-4  # of a press on a learning rate's arrows
COUNTED = re.compile(r", (\d+) of (\d+)$")  # how far a stage before the first step is
NO_CLIPS = '<p class="hv-nothing">Samples come with the first check.</p>'


@dataclass(frozen=True)
class Row:
    """A run in the list: its folder's name, what it is called, what else tells it from others, where it stands; what
    of it waits for the person."""

    name: str
    title: str
    about: str
    state: RunState
    waits: str = ""


def runs_list(rows: Sequence[Row], chosen: str, nothing: str) -> str:
    """All runs, to be pressed; `nothing` is what to say where there is none."""
    if not rows:
        return f'<p class="hv-nothing">{escape(nothing)}</p>'
    return f'<div class="hv-runs">{"".join(_row(row, row.name == chosen) for row in rows)}</div>'


def unlisted(reasons: Sequence[str]) -> str:
    """Why runs are not in the list, a line each."""
    said = "".join(words.message(reason, "error") for reason in reasons)
    return f'<div class="hv-unlisted">{said}</div>' if said else ""


def _row(row: Row, chosen: bool) -> str:
    waits = f"<em>{escape(row.waits)}</em>" if row.waits else ""
    count = f"step {row.state.step} of {row.state.steps}" if row.state.steps else ""
    return (
        f'<button type="button" class="hv-run-row" data-run="{escape(row.name, quote=True)}" '
        f'aria-pressed="{str(chosen).lower()}"><b>{escape(row.title)}</b>{chip(row.state)}'
        f"<span>{escape(row.about)}</span><span>{count}</span>{waits}</button>"
    )


def run_head(title: str, name: str, facts: Sequence[str], state: RunState, stopping: bool, last_words: str = "") -> str:
    """What a run is called, what it was asked for, and where it stands; `last_words` are its log's."""
    chips = "".join(f"<li>{escape(fact)}</li>" for fact in facts)
    return (
        f'<div class="hv-recipe hv-run-head"><h2>{escape(title)} <span>{escape(name)}</span> {chip(state)}</h2>'
        f"<ul>{chips}</ul></div>{status(state, stopping, last_words)}"
    )


def chip(state: RunState) -> str:
    """Where a run stands, in a word."""
    return f'<i class="hv-chip hv-chip-{state.status}">{STATUS[state.status]}</i>'


def status(state: RunState, stopping: bool, last_words: str = "") -> str:
    """Where a run stands: a bar while it goes on, then a sentence."""
    if state.status == "running":
        if stopping:
            return words.stopping_bar()
        if counted := COUNTED.search(state.stage):
            return words.bar(state.stage.capitalize(), share=_share(*map(int, counted.groups())))
        steps = state.steps if state.step else 1
        return words.progress_bar(Progress(state.stage or "training", state.step, max(1, steps), state.seconds_left))
    done = f"Step {state.step} of {state.steps}. " if state.step and state.status != "finished" else ""
    log = f" The log ends with: {last_words}" if last_words and state.status == "died" else ""
    kind = "error" if state.status in ("failed", "died") else "info"
    return words.message(done + (state.message or f"{STATUS[state.status]}.") + log, kind)


def _share(done: int, total: int) -> int:
    return round(100 * min(done, total) / max(1, total))


def samples(by_step: Mapping[int, Sequence[Path]], step: int, kept: int = 0) -> str:
    """The clips of the first check beside those of another, from the same first frames and seeds; the step that was
    `kept` is marked."""
    if not by_step:
        return NO_CLIPS
    first = min(by_step)
    columns = [(first, by_step[first])]
    if step != first:
        columns.append((step, by_step.get(step, ())))
    mark = {kept: f"Step {kept} (kept)", first: "Before"}
    heads = "".join(f"<b>{mark.get(number, f'Step {number}')}</b>" for number, _ in columns)
    cells = "".join(
        _sample(clip, f"Sample {row + 1}, step {number}")
        for row in range(len(columns[0][1]))
        for number, clips in columns
        for clip in clips[row : row + 1]
    )
    alone = " hv-alone" if len(columns) == 1 else ""  # nothing to stand beside: two in a row
    return f'<div class="hv-samples{alone}">{heads}{cells}</div>'


def _sample(file: Path, label: str) -> str:
    if file.suffix == ".png":
        return f'<img src="{words.url(file)}" alt="{label}">'
    return f'<video src="{words.url(file)}" aria-label="{label}" autoplay loop muted playsinline></video>'


def whole(what: str, value: float | None) -> int | None:
    """A number that is counted in, None where nothing was typed. Raises UserError for a broken one."""
    if value is not None and not float(value).is_integer():
        raise UserError(f"{what} must be a whole number, not {value:g}.")
    return None if value is None else int(value)


def many(count: int, noun: str) -> str:
    """'1 clip', '2 clips'."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
