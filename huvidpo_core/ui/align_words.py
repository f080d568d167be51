"""What the Align tab says of votes, runs and what came of them, as short HTML. Pure functions, no gradio."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from huvidpo_core.config import Action
from huvidpo_core.engine import BEGINNING, GOOD, Lora, PairQueue, RatedStock, RunState, Score, Stock
from huvidpo_core.ui import words
from huvidpo_core.ui.run_words import Row, many

KTO = "kto"  # the loss that learns from clips rated alone
NO_RUNS = "No training yet. It appears here, and stays here, when you press Align."
NOTHING_TO_SHOW = (
    '<div class="hv-stage hv-empty"><div><b>Your training will be followed here</b><span class="hv-of-clips">'
    "Rate pairs of clips in Prefer, then press Align. The next clips are then more to your taste.</span>"
    '<span class="hv-of-pictures">Press Four to choose from in Create and choose the first frame that you like best, '
    "several times over, then press Align. The next first frames are then more to your taste.</span></div></div>"
)  # of the two, align.css shows the one that goes with the form
UNTRIED = (
    "Whether the clips are more to your taste, only your eyes can tell. A blind round makes pairs of clips, one by the "
    "model as it was and one by the new one, from the same first frame and seed, of scenes it was not trained on. You "
    "judge them in Prefer, where nothing says which is which."
)
UNSEEN = (
    '<p class="hv-hint">Whether the pictures are more to your taste, only your eyes can tell. A blind round draws '
    "pairs of first frames, one by the painter as it was and one by the new one, from the same words and seed, of "
    "scenes it was not trained on; nothing says which is which. In use, the LoRA stands under Drawn by in Create.</p>"
)
UNJUDGED = "It can be put to use as soon as one pair of the round is judged."
UNLEARNED = "Nothing was learned that held up, so there is nothing to use and nothing to compare."
NO_PACK = "This LoRA was trained on the bare base model; a LoRA is put to use beside an action pack."


def supply_words(stock: Stock, title: str, whose: Sequence[str]) -> str:
    """How much there is to learn from, and whether that is enough."""
    by = f" by {_several(whose)}" if whose else ""
    if not stock.pairs:
        return words.message(f"No votes on {title}{by} yet. Rate some pairs in Prefer first.")
    judged = f"{many(stock.pairs, 'judged pair')}{by}, {stock.decided} with a better clip"
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


def rated_words(stock: RatedStock, title: str, whose: Sequence[str]) -> str:
    """The same of clips that were rated alone."""
    by = f" by {_several(whose)}" if whose else ""
    if not stock.rated:
        return words.message(f"No rated clips of {title}{by} yet. Rate some in Create: good 4 or 5, bad 1 or 2.")
    if not stock.enough:
        lacks = "good ones: rate some 4 or 5" if stock.bad else "bad ones: rate some 1 or 2"
        said = f"It takes {lacks}" if stock.good or stock.bad else "None is good (4, 5) or bad (1, 2)"
    elif min(stock.good, stock.bad) < BEGINNING // 2:
        said = f"That is little; {BEGINNING // 2} of each are a beginning"
    else:
        said = "Enough to begin with" if min(stock.good, stock.bad) < GOOD // 2 else "That is plenty"
    return words.message(f"{many(stock.rated, 'rated clip')}{by}, {stock.good} good and {stock.bad} bad. {said}.")


def settings_words(settings: Any, needs: str) -> str:
    """What a preset says besides what the form shows, and how much memory it takes."""
    facts = (
        f"rank {settings.lora.rank}",
        f"a batch of {settings.batch}",
        f"{settings.held_out:.0%} held out",
        f"a check every {settings.check_every} steps",
    )
    return f'<p class="hv-hint">{escape(", ".join(facts)).capitalize()}. {escape(needs)}</p>'


def row(name: str, asked: Mapping[str, Any], state: RunState, actions: Mapping[str, Action], left: int = 0) -> Row:
    """A run in the list, by its folder's name, what was asked for and where it stands; `left` pairs of its round are
    to be judged."""
    about = f"{asked['name']} · {words.when(asked.get('created', 0))}"
    waits = f"{many(left, 'pair')} to judge" if left else ""
    return Row(name, action_title(asked, actions), about, state, waits)


def facts(asked: Mapping[str, Any], beta: float) -> list[str]:
    """What a run was asked for; `beta` is what was measured."""
    settings, what = asked["settings"], "ratings" if "good" in asked else "votes"
    what = "choices" if "choices" in asked else what
    dpo = asked.get("kind") == "picture" and settings["loss"] == "huvidpo"  # with one picture for a frame the same
    return [
        f"{what} of {_several(asked['raters'])}" if asked.get("raters") else f"everybody's {what}",
        _learned(asked),
        "Diffusion-DPO on pictures" if dpo else f"{settings['loss']} loss",
        f"beta {beta or settings['beta']:.4g}{' (measured)' if beta and not settings['beta'] else ''}"
        if beta or settings["beta"]
        else "beta is measured",
        f"learning rate {settings['lr']:g}",
        f"rank {settings['lora']['rank']}",
        f"begun {words.when(asked.get('created', 0))}",
    ]


def helped_words(adopted: str, on_trial: bool, score: Score | None, queue: PairQueue, title: str) -> str:
    """Whether it helped, as far as that is known; `adopted` is what Create calls the LoRA that is in use."""
    parts = []
    if adopted:
        parts.append(words.message(f"In use: choose “{adopted}” under Learnt motion in Create."))
    elif not on_trial:
        parts.append(f'<p class="hv-hint">{UNTRIED} Then it can be put to use.</p>')
    if score and score.rated and score.win_rate:
        parts.append(_score(score))
    if on_trial and not adopted and not (score and score.rated):
        parts.append(f'<p class="hv-hint">{UNJUDGED}</p>')
    if on_trial and (said := _making(queue)):
        parts.append(f'<p class="hv-hint" role="status">{said}</p>')
    if on_trial and score and score.pairs > score.rated:
        ready = many(score.pairs - score.rated, "pair")
        verb, comes = ("waits", "comes") if score.pairs - score.rated == 1 else ("wait", "come")
        where = f"in Prefer, under {escape(title)}, and {comes} first there"
        parts.append(f'<p class="hv-hint">{ready} of the round {verb} {where}.</p>')
    if queue.error:
        parts.append(words.message(queue.error, "error"))
    return f'<div class="hv-helped">{"".join(parts)}</div>'


def unlearned(asked: Mapping[str, Any]) -> str:
    """Of a training, of clips or of first frames, whose best step is the start."""
    more = "Rate more clips in Create" if "good" in asked else "Rate more pairs in Prefer"
    if asked["kind"] == "picture":
        more = "Press Four to choose from in Create and choose more first frames"
    return words.message(f"{UNLEARNED} {more}, then train anew; a lower learning rate may help, too.")


def painter_words(called: str, score: Score | None, drawing: bool = False) -> str:
    """What became of a LoRA for first frames, and what the blind round says once all of it is drawn and judged: a rate
    that moves with each press would tell which picture was whose. `called` is its painter's title where it is in
    use."""
    parts = [words.message(f"In use: choose “{called}” under Drawn by in Create.")] if called else []
    left = score.pairs - score.rated if score else 0
    waits = f"{left} of {many(score.pairs, 'pair')} {'waits' if left == 1 else 'wait'} to be judged" if left else ""
    if drawing:
        parts.append(words.message(f"A blind round is being drawn: {waits or 'its pairs come here one by one'}."))
    elif left:
        parts.append(words.message(f"{waits}: press Judge the pairs. What comes out is shown at the end."))
    elif score and score.win_rate:
        parts.append(_score(score))
    return f'<div class="hv-helped">{"".join(parts)}{"" if called else UNSEEN}</div>'


def loras_table(loras: Sequence[Lora], moves: bool = True) -> str:
    """What is known of each: its figures, what it was made from; of an action, or of those that draw first frames."""
    if not loras:
        none = "No LoRA for this action yet. Align makes one; or upload one."
        return f'<p class="hv-nothing">{none if moves else "No LoRA for first frames yet. Align makes one."}</p>'
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
    counted, merged, tried = card.get("pairs") or card.get("singles"), card.get("merged"), card.get("blind_round") or {}
    made = "not known"
    if merged:
        made = " + ".join(f"{part['weight']:g} x {part['name']}" for part in merged)
    elif counted:
        what = many(counted["trained"] + counted["held_out"], "pair" if "pairs" in card else "rated clip")
        made = f"{what}, {card.get('best_step', 0)} steps"
    elif "brought" in card:
        made = "uploaded"
    accuracy, rate = card.get("held_out_accuracy"), tried.get("win_rate")
    tied = f", {tried['ties']} tied" if tried.get("ties") else ""
    cells = (
        made,
        "" if accuracy is None else f"{accuracy:.0%} in order",
        f"{rate[0]:.0%} ({rate[1]:.0%} to {rate[2]:.0%}){tied}" if rate else "",
        f"{lora.size / 2**20:.1f} MB",
    )
    return "".join(f"<td>{escape(cell)}</td>" for cell in cells)


def _score(score: Score) -> str:
    rate = score.win_rate
    decided = score.wins + score.losses
    if not decided:
        verdict = "Neither was found better."
    elif rate.low > 0.5:
        verdict = "It helped."
    elif rate.high < 0.5:
        verdict = "It is worse than before: better not use it."
    else:
        verdict = "That may be luck. Another round makes it surer."
    said = f"{score.wins} won, {score.losses} lost"
    if score.ties:
        said = f"{decided} decided ({said}), {score.ties} not, which count half"
    return (
        f'<div class="hv-verdict"><b>{rate.value:.0%}</b><span>of {many(score.rated, "pair")} went to the new model, '
        f"95 % interval {rate.low:.0%} to {rate.high:.0%}; {said}. "
        f"<strong>{verdict}</strong></span></div>"
    )


def _making(queue: PairQueue) -> str:
    if not (queue.making or queue.ordered):
        return ""
    more = f", {many(queue.ordered, 'more pair')} after it" if queue.ordered else ""
    return f"A pair is being made: {escape(queue.making or 'waiting')}{more}."


def _learned(asked: Mapping[str, Any]) -> str:
    """How much a run learns from."""
    if "good" in asked:
        return f"{asked['good']} good and {many(asked['bad'], 'bad clip')}"
    if "choices" in asked:
        return f"{many(asked['choices'], 'choice')}, {many(asked['pairs'], 'pair')}"
    pairs = asked["pairs"]
    fewer = asked.get("taught", pairs) < pairs  # the others are ties
    return f"{asked['taught']} of {many(pairs, 'pair')}" if fewer else many(pairs, "pair")


def action_title(asked: Mapping[str, Any], actions: Mapping[str, Action]) -> str:
    """What a run's action is called."""
    name = asked["action"]
    if asked.get("kind") == "picture":
        return "First frames"
    return actions[name].title if name in actions else name


def _several(names: Sequence[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
