"""What a preference training may learn from: the votes and ratings of a data folder, or a dataset.

Pairs come from votes, and from ratings, of which those of one prompt are paired; single clips from ratings alone.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huvidpo_core.config import Action, Style, compose_prompt
from huvidpo_core.preferences.pairs import RatedClip, TrainingPair, from_ratings, from_votes, mask_of
from huvidpo_core.preferences.records import Answer, Rating
from huvidpo_core.preferences.singles import JudgedClip, from_single_ratings
from huvidpo_core.preferences.store import Store

if TYPE_CHECKING:
    from huvidpo_core.training.source import Source

BEGINNING, GOOD = 20, 60  # decided pairs: what shows an effect, and what a good one takes


@dataclass(frozen=True)
class Stock:
    """How much there is: pairs that were judged; of these, pairs in which one clip is better, and pairs in which raters
    contradict each other, so that neither is."""

    pairs: int
    decided: int
    disputed: int = 0

    @property
    def enough(self) -> bool:
        """Whether a training can begin."""
        return self.decided > 0


@dataclass(frozen=True)
class RatedStock:
    """How many clips were rated alone; of these, good and bad ones (`preferences.singles`)."""

    rated: int
    good: int
    bad: int

    @property
    def enough(self) -> bool:
        """Whether a training can begin."""
        return self.good > 0 and self.bad > 0


@dataclass(frozen=True)
class Supply:
    """The votes in `store`, on clips of these actions and styles."""

    store: Store
    actions: Mapping[str, Action]
    styles: Mapping[str, Style]

    def stock(self, action: str, raters: Collection[str] = ()) -> Stock:
        """How much these raters, by default all, have given for an action. Raises UserError."""
        answers = self._answers(action, raters)
        pairs = from_votes(answers) + self._rated(action, raters)
        taken_sides = {frozenset((answer.left, answer.right)) for answer in answers if mask_of(answer).any()}
        undecided = {frozenset((pair.first, pair.second)) for pair in pairs if not pair.decided}
        return Stock(len(pairs), sum(pair.decided > 0 for pair in pairs), len(taken_sides & undecided))

    def rated_stock(self, action: str, raters: Collection[str] = ()) -> RatedStock:
        """How many clips of an action these raters, by default all, have rated alone. Raises UserError."""
        ratings, clips = self._rated_clips(action, raters)
        judged = from_single_ratings(ratings, clips)
        good = sum(clip.good for clip in judged)
        return RatedStock(len(clips), good, len(judged) - good)

    def counts(self) -> dict[str, int]:
        """How many votes there are for each action that has any. Raises UserError."""
        return self.store.votes.counts()

    def raters(self) -> list[str]:
        """Who has voted or rated, by name. Raises UserError."""
        return self.store.votes.raters()

    def votes(self, action: str, raters: Collection[str] = ()) -> "Source":
        """What these raters, by default all, teach of an action. Raises UserError: nothing to learn from."""
        from huvidpo_core.training.source import Source

        pairs = from_votes(self._answers(action, raters)) + self._rated(action, raters)
        recipes = self._recipes({pair.first for pair in pairs})

        def text(pair: TrainingPair) -> str:
            recipe = recipes.get(pair.first, {})
            return self.text(recipe.get("prompt") or pair.prompt, action, recipe.get("style", ""))

        return Source.of(pairs, self.store.video, text)

    def ratings(self, action: str, raters: Collection[str] = ()) -> "Source":
        """What these raters, by default all, say of single clips. Raises UserError: nothing to learn from."""
        from huvidpo_core.training.source import Source

        judged = from_single_ratings(*self._rated_clips(action, raters))
        recipes = self._recipes({clip.clip for clip in judged})

        def text(clip: JudgedClip) -> str:
            return self.text(clip.prompt, action, recipes[clip.clip].get("style", ""))

        return Source.of_clips(judged, self.store.video, text)

    def dataset(self, folder: Path) -> "Source":
        """What a `videofolder` dataset teaches. Raises UserError: it cannot be read, or nothing to learn from."""
        from huvidpo_core.preferences.datasets import read_dataset
        from huvidpo_core.training.source import Source

        read = read_dataset(folder)
        files = {
            clip: path for pair, paths in read for clip, path in zip((pair.first, pair.second), paths, strict=True)
        }
        return Source.of([pair for pair, _ in read], files.__getitem__, lambda pair: pair.prompt)

    def text(self, prompt: str, action: str, style: str) -> str:
        """The whole text that the models see; the prompt alone where the style is not known."""
        known = self.styles.get(style)
        return compose_prompt(prompt, self.actions.get(action), known) if known else prompt

    def _answers(self, action: str, raters: Collection[str]) -> list[Answer]:
        answers = self.store.votes.history(action=action)
        return [
            answer
            for answer in answers
            if not raters or answer.rater in raters
            if answer.ballot.choice != "skip" and answer.repeat_of is None  # as `from_votes` takes them
        ]

    def _recipes(self, clips: Collection[str]) -> dict[str, Mapping[str, Any]]:
        return {clip.id: clip.recipe for clip in self.store.find(clips).values()}

    def _rated(self, action: str, raters: Collection[str]) -> list[TrainingPair]:
        return from_ratings(*self._rated_clips(action, raters))

    def _rated_clips(self, action: str, raters: Collection[str]) -> tuple[list[Rating], dict[str, RatedClip]]:
        """What these raters gave, to clips of all actions, and the clips of this one that are there."""
        ratings = [rating for rating in self.store.votes.ratings() if not raters or rating.rater in raters]
        clips = {}
        for clip in self.store.find({rating.clip for rating in ratings}).values():
            if clip.recipe.get("action") == action and self.store.video(clip.id).exists():
                frames, _ = self.store.length(clip.id)
                clips[clip.id] = RatedClip(frames, clip.recipe.get("prompt", ""), action)
        return ratings, clips
