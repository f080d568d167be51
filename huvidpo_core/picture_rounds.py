"""Did it help? First frames in pairs, one by the painter as it was and one with a new LoRA, judged blind; the win rate.

Both are drawn from the same words and seed, of scenes that were not trained on. Which of the two is shown left is drawn
by lot, and nothing names them. What is liked better is a choice of a first frame like any other: it is kept, and counts
in the next training. That neither is better teaches nothing, and is kept with the round. A round lies in its run's
folder: `round.json`, and `round/HASH.png` until the run is removed.
"""

import json
import logging
import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from huvidpo_core import media
from huvidpo_core.blind_round import PAIRS, Score, unseen, win_rate
from huvidpo_core.config import Action, Style, build
from huvidpo_core.errors import Stopped, UserError
from huvidpo_core.files import whole_file
from huvidpo_core.models import cards
from huvidpo_core.models.painter_loras import PREFIX
from huvidpo_core.preferences.ballots import check_rater
from huvidpo_core.preferences.picture_choices import PictureChoices, picture_hash
from huvidpo_core.progress import Progress
from huvidpo_core.recipe import SEEDS, Recipe
from huvidpo_core.results import Picture
from huvidpo_core.training.record import CARD, RESULT, RunFolder

log = logging.getLogger(__name__)

FILE, FOLDER = "round.json", "round"
NOTHING_LEARNED = "Nothing was learned in this training, so with its LoRA the same pictures are drawn as without it."
_WRITING = threading.Lock()  # one that was pressed for, one that is drawn by itself, and what is said of a pair


@dataclass(frozen=True)
class _Pair:
    """As it is written down; pictures by their hashes."""

    offer: str  # under which choices are kept
    drawn: float  # seconds since the epoch
    recipe: dict
    base: str
    new: str
    new_left: bool
    alike: tuple[str, ...] = ()  # raters who saw no difference; where one of them has chosen since, the choice counts


class Look(NamedTuple):
    """A pair as it is shown: its words, and both pictures, uint8 (h, w, 3)."""

    offer: str
    prompt: str
    left: np.ndarray
    right: np.ndarray


@dataclass(frozen=True)
class PictureRounds:
    """Rounds for the runs of kind "picture"."""

    draw: Callable[..., Iterator[Progress | Picture]]  # `Studio.draw`
    choices: PictureChoices
    actions: Mapping[str, Action]
    styles: Mapping[str, Style]
    text: Callable[[str, str, str], str]  # prompt, action, style -> the whole text; `Supply.text`
    attended: Callable[[RunFolder], bool]  # whether a round follows the run's end by itself; `Runs.attended`
    _drawing: list[Path] = field(default_factory=list)  # runs whose rounds are being drawn, some perhaps twice

    def drawing(self, run: RunFolder) -> bool:
        """Whether a round is being drawn here, or is about to be, the training having ended just now."""
        return run.path in self._drawing or (self.attended(run) and _lacks_one(run))

    def make_first(self, run: RunFolder) -> None:
        """`make`, when nobody else wants the models, where a run has just finished a training that changes something
        and has no round yet."""
        try:
            if _lacks_one(run):
                for _ in self.make(run, threading.Event(), patient=True):
                    pass
        except (UserError, Stopped) as error:  # the page has a button for it, and says why not
            log.warning("no blind round was drawn: %s", error)

    def make(
        self, run: RunFolder, stop: threading.Event, pairs: int = PAIRS, *, patient: bool = False
    ) -> Iterator[Progress | int]:
        """Draw a round, beside those there are; the last item is how many pairs can be told apart.

        Raises:
            UserError: the run has not finished, every scene was trained on, or the LoRA changes nothing.
            Stopped: `stop` was set; pairs that are finished stay.
        """
        lora, kept = run.path / RESULT, 0
        if not lora.is_file():
            raise UserError("This training has not finished, so there is no LoRA to look at yet. Resume it.")
        if cards.read_card(run.path / CARD).get("best_step") == 0:
            raise UserError(NOTHING_LEARNED)
        lot = random.SystemRandom()
        self._drawing.append(run.path)
        try:
            for number, (action, prompt, style) in enumerate(self._scenes(run, pairs, lot), 1):
                recipe = Recipe(prompt, action, style, seed=lot.randrange(SEEDS))
                both = []
                for file in (None, lora):
                    with closing(self.draw(recipe, stop, lora=file, patient=patient)) as items:
                        for item in items:
                            if isinstance(item, Picture):
                                both.append(item)
                            else:
                                yield replace(item, stage=f"{item.stage}, pair {number} of {pairs}", preview=None)
                kept += self._keep(run, *both, lot.random() < 0.5)
        finally:
            self._drawing.remove(run.path)
        if not kept:
            raise UserError("With this LoRA the same pictures are drawn as without it: there is nothing to compare.")
        yield kept

    def next(self, run: RunFolder, rater: str) -> Look | None:
        """The first pair that this rater has not judged; None where none is left. Raises UserError."""
        rater = check_rater(rater)
        judged = {choice.offer for choice in self.choices.list([rater])}
        pair = next((each for each in _pairs(run) if each.offer not in judged and rater not in each.alike), None)
        if pair is None:
            return None
        left, right = (media.read_image(_file(run, name)) for name in _sides(pair))
        return Look(pair.offer, pair.recipe["prompt"], left, right)

    def choose(self, run: RunFolder, offer: str, side: Literal["left", "right", "neither"], rater: str) -> None:
        """Write down which picture of a pair is better, or that neither is, which is no choice: nothing learns from it.
        Durable when this returns; what the rater said of the pair before no longer counts. Raises UserError."""
        pair = next((each for each in _pairs(run) if each.offer == offer), None)
        if pair is None or side not in ("left", "right", "neither"):
            raise UserError("These pictures are not there any more. Look at the round anew.")
        if side == "neither":
            rater = check_rater(rater)
            _rewrite(run, lambda pairs: [_alike(each, rater) if each.offer == offer else each for each in pairs])
            self.choices.withdraw(offer, rater)
            return
        left, right = _sides(pair)
        better, other = (left, right) if side == "left" else (right, left)
        recipe = pair.recipe | ({"painter": PREFIX + run.asked()["name"]} if better == pair.new else {})
        chosen, rejected = (media.read_image(_file(run, name)) for name in (better, other))
        self.choices.choose(offer, rater, recipe, chosen, [rejected])

    def score(self, run: RunFolder) -> Score:
        """What was said so far, by the raters whose choices were learned from. Raises UserError."""
        pairs = {pair.offer: pair for pair in _pairs(run)}
        raters = run.asked().get("raters") or ()
        said = {
            offer: {rater: 0.5 for rater in pair.alike if not raters or rater in raters}
            for offer, pair in pairs.items()
        }
        for choice in self.choices.list(raters) if pairs else ():
            if pair := pairs.get(choice.offer):
                said[choice.offer][choice.rater] = float(choice.chosen == pair.new)
        votes = Counter(score for scores in said.values() for score in scores.values())
        rates = [sum(scores.values()) / len(scores) for scores in said.values() if scores]
        return Score(len(pairs), len(rates), votes[1.0], votes[0.5], votes[0.0], win_rate(rates) if rates else None)

    def _scenes(self, run: RunFolder, count: int, lot: random.Random) -> list[tuple[str, str, str]]:
        """As many of action, prompt and style, none of which was trained on; actions take turns."""
        from huvidpo_core.training.source import Source

        texts = {lesson.text for lesson in Source.load(run.path).pairs}
        order = list(self.actions)
        lot.shuffle(order)
        share = -(-count // len(order))
        found: dict[str, list[tuple[str, str]]] = {}
        for action in order:

            def trained(prompt: str, style: str, action: str = action) -> bool:
                return self.text(prompt, action, style) in texts

            try:
                found[action] = unseen(self.actions[action], self.styles, (), share, lot, trained)
            except UserError as error:  # of this action; others may have some left
                reason = error
        if not found:
            raise reason
        scenes = [(action, *found[action][turn]) for turn in range(share) for action in found]
        return [scenes[number % len(scenes)] for number in range(count)]

    def _keep(self, run: RunFolder, base: Picture, new: Picture, new_left: bool) -> bool:
        """Put a pair into the run's folder, unless nobody could tell the two apart; whether it is there."""
        both = [picture.image if picture.drawn is None else picture.drawn for picture in (base, new)]
        names = [picture_hash(picture) for picture in both]
        if names[0] == names[1]:
            return False
        run.asked()  # a run that was removed meanwhile does not come back
        for name, picture in zip(names, both, strict=True):
            media.write_png(_file(run, name), picture)
        pair = _Pair(uuid.uuid4().hex, time.time(), base.recipe.to_dict(), *names, new_left)
        _rewrite(run, lambda pairs: [*pairs, pair])
        return True


def _lacks_one(run: RunFolder) -> bool:
    """Whether a training of first frames has ended, changes something and has no round. Raises UserError."""
    ended = run.asked()["kind"] == "picture" and run.state().status == "finished" and not _pairs(run)
    return ended and bool(cards.read_card(run.path / CARD).get("best_step"))


def _alike(pair: _Pair, rater: str) -> _Pair:
    """With this rater among those who saw no difference."""
    return replace(pair, alike=tuple(dict.fromkeys((*pair.alike, rater))))


def _pairs(run: RunFolder) -> list[_Pair]:
    """Those of the LoRA as it is now, whose pictures are there: a run that was prolonged has another."""
    try:
        since = (run.path / RESULT).stat().st_mtime
    except OSError:
        return []
    there = [pair for pair in _read(run) if pair.drawn >= since]
    return [pair for pair in there if _file(run, pair.base).is_file() and _file(run, pair.new).is_file()]


def _read(run: RunFolder) -> list[_Pair]:
    path = run.path / FILE
    try:
        values: Any = json.loads(path.read_text(encoding="utf-8"))
        return [build(_Pair, value, path.name) for value in values]
    except FileNotFoundError:
        return []
    except (OSError, ValueError, TypeError) as error:
        raise UserError(f"{path} is damaged ({error}). Delete that file.") from error


def _rewrite(run: RunFolder, change: Callable[[list[_Pair]], Sequence[_Pair]]) -> None:
    """Put what `change` makes of the pairs in their place."""
    with _WRITING, whole_file(run.path / FILE) as path:
        path.write_text(json.dumps([asdict(each) for each in change(_read(run))]) + "\n", encoding="utf-8")


def _sides(pair: _Pair) -> tuple[str, str]:
    """What is left and what is right."""
    return (pair.new, pair.base) if pair.new_left else (pair.base, pair.new)


def _file(run: RunFolder, picture: str) -> Path:
    return run.path / FOLDER / f"{picture}.png"
