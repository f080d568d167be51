"""What the Align tab says of a finished training: whether it helped, and what to do next. Pure functions, no gradio."""

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from huvidpo_core.engine import PairQueue, Score
from huvidpo_core.ui import words
from huvidpo_core.ui.align_words import several
from huvidpo_core.ui.run_words import many

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
UNMADE = "It can be put to use when the pairs of a round are answered."
PASSED_OVER = "No pair of the round was judged, so there is no win rate. Another round may tell."
MACHINES = "Automatic raters have judged {} of the round. A machine's votes do not count here: judge them yourself."
UNLEARNED = "Nothing was learned that held up, so there is nothing to use and nothing to compare."
NO_PACK = "This LoRA was trained on the bare base model; a LoRA is put to use beside an action pack."


def helped_words(
    adopted: str, on_trial: bool, score: Score | None, queue: PairQueue, title: str, whose: Sequence[str] = ()
) -> str:
    """Whether it helped, once all of the round is made and answered: a win rate that is seen earlier tempts to stop
    while it is ahead. `adopted` is what Create calls the LoRA that is in use, `whose` votes were learned from,
    everybody's if nobody is named."""
    parts = []
    if adopted:
        parts.append(words.message(in_use(adopted, "Learnt motion")))
    elif not on_trial:
        parts.append(f'<p class="hv-hint">{UNTRIED} Then it can be put to use.</p>')
    if score and score.over:
        parts.append(_score(score) if score.win_rate else words.message(PASSED_OVER))
    elif on_trial or score:
        parts.append(_unfinished(score, bool(adopted)))
    if on_trial and score and score.uncounted and not (whose or score.rated):
        parts.append(words.message(MACHINES.format(many(score.uncounted, "pair"))))
    if on_trial and (said := _making(queue)):
        parts.append(f'<p class="hv-hint" role="status">{said}</p>')
    if on_trial and score and score.left:
        verb, comes = ("waits", "comes") if score.left == 1 else ("wait", "come")
        where = f"in Prefer, under {escape(title)}, and {comes} first there"
        parts.append(f'<p class="hv-hint">{many(score.left, "pair")} of the round {verb} {where}.</p>')
    if on_trial and score and score.pairs:
        parts.append(_counting(whose))
    if queue.error:
        parts.append(words.message(queue.error, "error"))
    return f'<div class="hv-helped">{"".join(parts)}</div>'


def in_use(called: str, menu: str) -> str:
    """Of a LoRA that Create offers in a menu."""
    return f"It is in Create now, as “{called}” under {menu}. Press Try it in Create to go there with it chosen."


def unlearned(asked: Mapping[str, Any]) -> str:
    """Of a training, of clips or of first frames, whose best step is the start."""
    more = "Rate more clips in Create" if "good" in asked else "Rate more pairs in Prefer"
    if asked["kind"] == "picture":
        more = "Press Four to choose from in Create and choose more first frames"
    return words.message(f"{UNLEARNED} {more}, then train anew.")


def painter_words(called: str, score: Score | None, drawing: bool = False, whose: Sequence[str] = ()) -> str:
    """What became of a LoRA for first frames, and what the blind round says once all of it is drawn and judged: a rate
    that moves with each press would tell which picture was whose. `called` is its painter's title where it is in use,
    `whose` choices were learned from, everybody's if nobody is named."""
    parts = [words.message(in_use(called, "Drawn by"))] if called else []
    left = score.left if score else 0
    waits = f"{left} of {many(score.pairs, 'pair')} {'waits' if left == 1 else 'wait'} to be judged" if left else ""
    if drawing:
        parts.append(words.message(f"A blind round is being drawn: {waits or 'its pairs come here one by one'}."))
    elif left:
        parts.append(words.message(f"{waits}: press Judge the pairs. What comes out is shown at the end."))
    elif score and score.win_rate:
        parts.append(_score(score))
    if drawing or (score and score.pairs):
        parts.append(_counting(whose))
    return f'<div class="hv-helped">{"".join(parts)}{"" if called else UNSEEN}</div>'


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
        said = f"{decided} decided ({said}), {score.ties} not, which {'counts' if score.ties == 1 else 'count'} half"
    return (
        f'<div class="hv-verdict"><b>{rate.value:.0%}</b><span>of {many(score.rated, "pair")} went to the new model, '
        f"95 % interval {rate.low:.0%} to {rate.high:.0%}; {said}. "
        f"<strong>{verdict}</strong></span></div>"
    )


def _unfinished(score: Score | None, adopted: bool) -> str:
    """How much of a round is answered, and what comes when all of it is."""
    if not (score and (score.pairs or score.coming)):
        return "" if adopted else f'<p class="hv-hint">{UNMADE}</p>'
    answered = score.rated + score.skipped
    said = f"{answered} of {many(score.pairs + score.coming, 'pair')} of the round {'is' if answered == 1 else 'are'}"
    then = "the win rate is told" if adopted else "the win rate is told, and it can be put to use"
    return f'<p class="hv-hint">{said} answered. When all are, {then}.</p>'


def _counting(whose: Sequence[str]) -> str:
    """Who judges a round of a training that learned from some people only."""
    if not whose:
        return ""
    return words.message(
        f"Judgements by {several(whose)} count here, as in the training. Rate under that name; an automatic rater is "
        "asked in Prefer."
    )


def _making(queue: PairQueue) -> str:
    if not (queue.making or queue.ordered):
        return ""
    more = f", {many(queue.ordered, 'more pair')} after it" if queue.ordered else ""
    return f"A pair is being made: {escape(queue.making or 'waiting')}{more}."
