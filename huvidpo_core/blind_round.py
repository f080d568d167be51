"""Did it help? Pairs of clips by two models, on scenes that were not trained on, judged blind; and the win rate.

Both clips of a pair share the first frame and the seed. The new LoRA is on trial meanwhile (`adoption`): nothing that a
rater sees before the vote names it.
"""

import json
import logging
import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from huvidpo_core import adoption
from huvidpo_core.config import Action
from huvidpo_core.errors import UserError
from huvidpo_core.models.menu import PackMenu
from huvidpo_core.pairing import Order
from huvidpo_core.preferences.judges import is_automatic
from huvidpo_core.preferences.records import Estimate
from huvidpo_core.recipe import Recipe
from huvidpo_core.supply import Supply
from huvidpo_core.training.record import CARD, RunFolder

log = logging.getLogger(__name__)

PAIRS = 8  # in a round
NORMAL_95 = 1.959964  # deviations, between which 95 % of a normal distribution lie

_SCORE = {"left": 1.0, "tie": 0.5, "both_bad": 0.5, "right": 0.0}


@dataclass(frozen=True)
class Score:
    """How the new LoRA does against what it was trained on."""

    pairs: int  # made so far, less those that were never judged and whose clips are gone
    rated: int  # of these, by the raters who count here
    wins: int  # votes for the new one
    ties: int
    losses: int
    win_rate: Estimate | None  # 0..1 over the rated pairs, a tie counting half; None before the first vote
    uncounted: int = 0  # of the pairs, judged by automatic raters whose votes do not count here
    skipped: int = 0  # of the pairs, answered by raters who count, but by no blind judgement
    coming: int = 0  # pairs that are still being made

    @property
    def left(self) -> int:
        """How many of the pairs are still to be answered."""
        return self.pairs - self.rated - self.skipped

    @property
    def over(self) -> bool:
        """Whether there is a round, all of it is made and all of it is answered."""
        return self.pairs > 0 and not self.left and not self.coming


@dataclass(frozen=True)
class BlindRounds:
    """Rounds for the runs of a data folder; `order` has a pair made in the background, `coming` tells of those that are
    not made yet."""

    packs: Path
    supply: Supply
    order: Callable[[Order], None]
    coming: Callable[[], Collection[Order]]

    def make(self, run: RunFolder, pairs: int = PAIRS) -> None:
        """Put a finished run's LoRA on trial and have a round made. Raises UserError."""
        action = run.asked()["action"]
        texts, styles = self._trained(run)
        scenes = self._unseen(action, texts, styles, pairs)
        use = adoption.try_out(run, self.packs)
        self._order(action, scenes, f"{use.pack}/{use.adopted or use.trial}", use.pack)

    def make_first(self, run: RunFolder) -> None:
        """`make`, where a run has just finished an alignment that changes something and nobody has tried yet."""
        asked = run.asked()
        if asked["kind"] != "align" or not asked["pack"] or run.state().status != "finished":
            return
        use = adoption.used(run, self.packs)
        if use.trial or use.adopted or not json.loads((run.path / CARD).read_text(encoding="utf-8"))["best_step"]:
            return
        try:
            self.make(run)
        except UserError as error:  # the page has a button for it, and says why not
            log.warning("no blind round was made: %s", error)

    def compare(self, action: str, one: str, other: str, pairs: int) -> None:
        """Have pairs of two packs or LoRAs made, by their ids. Raises UserError."""
        self._order(action, self._unseen(action, (), (), pairs), one, other)

    def score(self, run: RunFolder) -> Score:
        """What was said so far in this run's rounds: blind votes on scenes that it was not trained on, by the raters
        whose votes were asked for when it began, or else by people. Raises UserError."""
        asked, store = run.asked(), self.supply.store
        coming = self._coming(run)  # first: a pair that is finished meanwhile is then counted twice, not overlooked
        sides, named = self._sides(run), asked.get("raters")
        said: dict[str, list[float]] = defaultdict(list)
        answered, uncounted = set(), set()
        for answer in store.votes.history(action=asked["action"]):
            if answer.pair not in sides:
                continue
            left = _SCORE.get(answer.ballot.choice)
            if answer.rater not in named if named else is_automatic(answer.rater):
                if left is not None and is_automatic(answer.rater):
                    uncounted.add(answer.pair)
                continue
            answered.add(answer.pair)
            if left is not None and answer.blind and answer.repeat_of is None:
                new, _ = sides[answer.pair]
                said[answer.pair].append(left if answer.left == new else 1 - left)
        there = store.present()
        pairs = sum(pair in answered or there.issuperset(clips) for pair, clips in sides.items())
        votes = Counter(score for scores in said.values() for score in scores)
        rates = [sum(scores) / len(scores) for scores in said.values()]
        rate = win_rate(rates) if rates else None
        return Score(
            pairs, len(said), votes[1.0], votes[0.5], votes[0.0], rate,
            uncounted=len(uncounted), skipped=len(answered) - len(said), coming=coming,
        )  # fmt: skip

    def _coming(self, run: RunFolder) -> int:
        """How many pairs of this run's rounds are not made yet."""
        use, called_now = adoption.used(run, self.packs), PackMenu(self.packs).now
        both = [(order.recipe.pack or "", order.rival) for order in self.coming() if order.source == "models"]
        names = _names(use)
        return sum(use.pack in models and any(called_now(model) in names for model in models) for models in both)

    def _sides(self, run: RunFolder) -> dict[str, tuple[str, str]]:
        """The new model's clip and the other in each pair of this run's rounds, by the pair's id."""
        use, store = adoption.used(run, self.packs), self.supply.store
        names, called_now, (texts, _) = _names(use), PackMenu(self.packs).now, self._trained(run)
        pairs = store.votes.pairs("models", run.asked()["action"])
        clips = store.find({clip for pair in pairs.values() for clip in pair}).values()
        names |= {model for model in {clip.model for clip in clips} if called_now(model) in names}
        old = {clip.id for clip in clips if clip.model == use.pack}
        new = {
            clip.id
            for clip in clips
            if clip.model in names and clip.created >= use.since and not self._knows(texts, clip.recipe)
        }
        both = {
            pair: (two, one) if one in old else (one, two) for pair, (one, two) in pairs.items() if old & {one, two}
        }
        return {pair: clips for pair, clips in both.items() if clips[0] in new}

    def _order(self, action: str, scenes: Sequence[tuple[str, str]], one: str, other: str) -> None:
        for prompt, style in scenes:
            self.order(Order(Recipe(prompt, action, style, pack=one), "models", rival=other))

    def _trained(self, run: RunFolder) -> tuple[set[str], list[str]]:
        """The texts that a run learned from, and the styles of its clips."""
        from huvidpo_core.training.source import Source

        source = Source.load(run.path)
        clips = self.supply.store.find(source.clips).values()
        return {pair.text for pair in source.pairs}, [clip.recipe.get("style", "") for clip in clips]

    def _unseen(self, action: str, texts: Collection[str], styles: Sequence[str], count: int) -> list[tuple[str, str]]:
        def trained(prompt: str, style: str) -> bool:
            return self._knows(texts, {"prompt": prompt, "action": action, "style": style})

        return unseen(self.supply.actions[action], self.supply.styles, styles, count, random.SystemRandom(), trained)

    def _knows(self, texts: Collection[str], recipe: Mapping[str, str]) -> bool:
        """Whether a clip of this recipe shows a scene that is among the texts; a foreign dataset's have no style."""
        prompt = recipe.get("prompt", "")
        whole = self.supply.text(prompt, recipe.get("action", ""), recipe.get("style", ""))
        return prompt in texts or whole in texts


def _names(use: adoption.Use) -> set[str]:
    """All that a run's LoRA was called, as clips name it."""
    return {f"{use.pack}/{name}" for name in (use.trial, use.adopted, *use.former) if name}


def unseen(
    action: Action,
    styles: Mapping[str, object],
    wanted: Sequence[str],
    count: int,
    lot: random.Random,
    trained: Callable[[str, str], bool],
) -> list[tuple[str, str]]:
    """`count` scenes of an action as prompt and style, none of which was trained on, as different as can be.

    Prompts that were trained on in no style come before others, and the styles are those that were trained on, if that
    can be.

    Args:
        action: whose scenes.
        styles: all that there are, by name.
        wanted: those to choose from where possible, each as often as it counts.
        count: how many; scenes come again when there are fewer, and then have another first frame.
        lot: draws among what is equally good.
        trained: whether a prompt was trained on in a style.

    Raises:
        UserError: every scene was trained on.
    """
    prompts = dict.fromkeys((*action.scenes, *action.examples))
    known = {prompt for prompt in prompts if any(trained(prompt, style) for style in styles)}
    free = [(prompt, style) for prompt in prompts for style in styles if not trained(prompt, style)]
    if not free:
        raise UserError(
            f"Every scene of '{action.title}' was trained on. Add some to its 'scenes' in assets/actions.toml."
        )
    share = Counter(wanted)
    lot.shuffle(free)
    taken: Counter[str] = Counter()
    chosen: list[tuple[str, str]] = []
    for _ in range(count):

        def how_worn(scene: tuple[str, str]) -> tuple[float, ...]:
            prompt, style = scene
            overused = (taken[style] + 1) / share[style] if share[style] else math.inf
            return overused == math.inf, chosen.count(scene), prompt in known, taken[prompt], overused

        chosen.append(min(free, key=how_worn))
        taken.update(chosen[-1])
    return chosen


def win_rate(scores: Sequence[float]) -> Estimate:
    """The mean of one score for each pair, 0..1, and Wilson's 95 % interval (1927, "Probable inference").

    The pair is what counts, for several votes on one are not independent; with ties the interval is a little wide.
    """
    n, p, z = len(scores), sum(scores) / len(scores), NORMAL_95
    middle, half = p + z**2 / (2 * n), z * math.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    low, high = ((middle + sign * half) / (1 + z**2 / n) for sign in (-1, 1))
    return Estimate(p, max(0.0, low), min(1.0, high))
