"""What the Align tab says of votes, runs and what came of them, as short HTML. Pure functions, no gradio."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from huvidpo_core.config import Action
from huvidpo_core.engine import BEGINNING, GOOD, Lora, PairQueue, Progress, RunState, Score, Stock
from huvidpo_core.ui import words

STATUS = {
    "new": "Not started",
    "running": "Running",
    "stopped": "Stopped",
    "finished": "Finished",
    "failed": "Failed",
    "died": "Ended unexpectedly",
}
NO_RUNS = '<p class="hv-nothing">No training yet. It appears here, and stays here, when you press Align.</p>'
NOTHING_TO_SHOW = (
    '<div class="hv-stage hv-empty"><div><b>Your training will be followed here</b><span>Rate pairs of clips in '
    "Prefer, then press Align. The next clips are then more to your taste.</span></div></div>"
)
NO_CLIPS = '<p class="hv-nothing">Sample clips come with the first check.</p>'
UNTRIED = (
    "Whether the clips are more to your taste, only your eyes can tell. A blind round makes pairs of clips, one by the "
    "model as it was and one by the new one, from the same first frame and seed, of scenes it was not trained on. You "
    "judge them in Prefer, where nothing says which is which."
)
NO_PACK = "This LoRA was trained on the bare base model; a LoRA is put to use beside an action pack."


def supply_words(stock: Stock, title: str, whose: Sequence[str]) -> str:
    """How much there is to learn from, and whether that is enough."""
    by = f" by {_several(whose)}" if whose else ""
    if not stock.pairs:
        return words.message(f"No votes on {title}{by} yet. Rate some pairs in Prefer first.")
    judged = f"{_many(stock.pairs, 'judged pair')}{by}, {stock.decided} with a better clip"
    if not stock.enough and stock.disputed:
        said = "The raters contradict each other: choose whose votes are to count"
    elif not stock.enough:
        said = "Nothing can be learned from ties alone: rate some more"
    elif stock.decided < BEGINNING:
        said = f"That is little; {BEGINNING} are a beginning"
    elif stock.decided < GOOD:
        said = f"Enough to begin with; {GOOD} are good"
    else:
        said = "That is plenty"
    split = f", {stock.disputed} on which raters disagree" if stock.disputed else ""
    return words.message(f"{judged}{split}. {said}.")


def settings_words(settings: Any) -> str:
    """What a preset says besides what the form shows."""
    facts = (
        f"rank {settings.lora.rank}",
        _many(settings.batch, "pair") + " a step",
        f"{settings.held_out:.0%} of the pairs held out",
        f"a check every {settings.check_every} steps",
    )
    return f'<p class="hv-hint">{escape(", ".join(facts)).capitalize()}.</p>'


def runs_list(
    runs: Sequence[tuple[str, Mapping[str, Any], RunState]], chosen: str, actions: Mapping[str, Action]
) -> str:
    """All runs, by folder, what was asked and where they stand; to be pressed."""
    if not runs:
        return NO_RUNS
    rows = "".join(
        f'<button type="button" class="hv-run-row" data-run="{escape(name, quote=True)}" '
        f'aria-pressed="{str(name == chosen).lower()}"><b>{escape(_title(asked, actions))}</b>{_chip(state)}'
        f"<span>{escape(asked['name'])} · {words.when(asked.get('created', 0))}</span>"
        f"<span>{_count(state)}</span></button>"
        for name, asked, state in runs
    )
    return f'<div class="hv-runs">{rows}</div>'


def run_head(
    asked: Mapping[str, Any], state: RunState, stopping: bool, actions: Mapping[str, Action], beta: float
) -> str:
    """A run's name, what it was asked for, and where it stands."""
    settings = asked["settings"]
    facts = [
        f"votes of {_several(asked['raters'])}" if asked.get("raters") else "everybody's votes",
        _many(asked["pairs"], "pair"),
        f"{settings['loss']} loss",
        f"beta {beta or settings['beta']:.4g}{' (measured)' if beta and not settings['beta'] else ''}"
        if beta or settings["beta"]
        else "beta is measured",
        f"learning rate {settings['lr']:g}",
        f"rank {settings['lora']['rank']}",
        f"begun {words.when(asked.get('created', 0))}",
    ]
    chips = "".join(f"<li>{escape(fact)}</li>" for fact in facts)
    return (
        f'<div class="hv-recipe hv-run-head"><h2>{escape(_title(asked, actions))} '
        f"<span>{escape(asked['name'])}</span> {_chip(state)}</h2><ul>{chips}</ul></div>{_status(state, stopping)}"
    )


def _status(state: RunState, stopping: bool) -> str:
    if state.status == "running":
        if stopping:
            return words.stopping_bar()
        steps = state.steps if state.step else 1
        stage = state.stage or "training"
        return words.progress_bar(Progress(stage, state.step, max(1, steps), state.seconds_left))
    done = f"Step {state.step} of {state.steps}. " if state.step and state.status != "finished" else ""
    kind = "error" if state.status in ("failed", "died") else "info"
    return words.message(done + (state.message or f"{STATUS[state.status]}."), kind)


def samples(by_step: Mapping[int, Sequence[Path]], step: int) -> str:
    """The clips of step 0 beside those of another."""
    if not by_step:
        return NO_CLIPS
    first = min(by_step)
    columns = [(first, by_step[first])]
    if step != first:
        columns.append((step, by_step.get(step, ())))
    heads = "".join(f"<b>{'Before' if number == first else f'Step {number}'}</b>" for number, _ in columns)
    cells = "".join(
        f'<video src="{words.url(clip)}" aria-label="Sample {row + 1}, step {number}" autoplay loop muted playsinline>'
        "</video>"
        for row in range(len(columns[0][1]))
        for number, clips in columns
        for clip in clips[row : row + 1]
    )
    return f'<div class="hv-samples" style="--columns:{len(columns)}">{heads}{cells}</div>'


def helped_words(adopted: str, on_trial: bool, score: Score | None, queue: PairQueue, title: str) -> str:
    """Whether it helped, as far as that is known; `adopted` is what Create calls the LoRA that is in use."""
    parts = []
    if adopted:
        parts.append(words.message(f"In use: choose “{adopted}” under Learnt motion in Create."))
    elif not on_trial:
        parts.append(f'<p class="hv-hint">{UNTRIED}</p>')
    if score and score.rated and score.win_rate:
        parts.append(_score(score))
    if on_trial and (said := _making(queue)):
        parts.append(f'<p class="hv-hint" role="status">{said}</p>')
    if on_trial and score and score.pairs > score.rated:
        ready = _many(score.pairs - score.rated, "pair")
        verb = "waits" if score.pairs - score.rated == 1 else "wait"
        parts.append(f'<p class="hv-hint">{ready} of the round {verb} in Prefer, under {escape(title)}.</p>')
    if queue.error:
        parts.append(words.message(queue.error, "error"))
    return f'<div class="hv-helped">{"".join(parts)}</div>'


def loras_table(loras: Sequence[Lora]) -> str:
    """What is known of each: its figures, what it was made from."""
    if not loras:
        return '<p class="hv-nothing">No LoRA for this action yet. Align makes one; or upload one.</p>'
    rows = "".join(f"<tr><td><b>{escape(lora.name)}</b></td>{_known(lora)}</tr>" for lora in loras)
    heads = "<th>Name</th><th>Made from</th><th>Held out</th><th>Blind round</th><th>Size</th>"
    return (
        f'<div class="hv-votes"><div class="hv-wide-table"><table><thead><tr>{heads}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div></div>"
    )


def lora_link(file: Path) -> str:
    """A link that saves a LoRA."""
    name = escape(file.name, quote=True)
    return f'<a class="hv-button" href="{words.url(file)}" download="{name}">{name}</a>'


def _known(lora: Lora) -> str:
    card = lora.card
    pairs, merged, tried = card.get("pairs"), card.get("merged"), card.get("blind_round") or {}
    made = "not known"
    if merged:
        made = " + ".join(f"{part['weight']:g} x {part['name']}" for part in merged)
    elif pairs:
        made = f"{_many(pairs['trained'] + pairs['held_out'], 'pair')}, {card.get('best_step', 0)} steps"
    elif "brought" in card:
        made = "uploaded"
    accuracy, rate = card.get("held_out_accuracy"), tried.get("win_rate")
    cells = (
        made,
        "" if accuracy is None else f"{accuracy:.0%} in order",
        f"{rate[0]:.0%} ({rate[1]:.0%} to {rate[2]:.0%})" if rate else "",
        f"{lora.size / 2**20:.1f} MB",
    )
    return "".join(f"<td>{escape(cell)}</td>" for cell in cells)


def _score(score: Score) -> str:
    rate = score.win_rate
    if rate.low > 0.5:
        verdict = "It helped."
    elif rate.high < 0.5:
        verdict = "It is worse than before: better not use it."
    else:
        verdict = "That may be luck. Another round makes it surer."
    return (
        f'<div class="hv-verdict"><b>{rate.value:.0%}</b><span>of {_many(score.rated, "pair")} went to the new model, '
        f"95 % interval {rate.low:.0%} to {rate.high:.0%}; {score.wins} won, {score.ties} tied, {score.losses} lost. "
        f"<strong>{verdict}</strong></span></div>"
    )


def _making(queue: PairQueue) -> str:
    if not (queue.making or queue.ordered):
        return ""
    more = f", {_many(queue.ordered, 'more pair')} after it" if queue.ordered else ""
    return f"A pair is being made: {escape(queue.making or 'waiting')}{more}."


def _count(state: RunState) -> str:
    return f"step {state.step} of {state.steps}" if state.steps else ""


def _chip(state: RunState) -> str:
    return f'<i class="hv-chip hv-chip-{state.status}">{STATUS[state.status]}</i>'


def _title(asked: Mapping[str, Any], actions: Mapping[str, Action]) -> str:
    name = asked["action"]
    return actions[name].title if name in actions else name


def _several(names: Sequence[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last


def _many(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
