"""What a preference training may learn from: the votes and ratings of a data folder, or a dataset.

Pairs come from votes, and from ratings, of which those of one prompt are paired where nobody voted on the two; single
clips from ratings alone; pairs of first frames from choices.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huvidpo_core import media
from huvidpo_core.config import Action, Style, compose_prompt
from huvidpo_core.errors import UserError
from huvidpo_core.preferences.judges import is_automatic
from huvidpo_core.preferences.pairs import RatedClip, TrainingPair, from_ratings, from_votes, mask_of
from huvidpo_core.preferences.picture_choices import PictureChoice, as_pairs
from huvidpo_core.preferences.records import Answer, Rating
from huvidpo_core.preferences.singles import JudgedClip, from_single_ratings
from huvidpo_core.preferences.store import Store
from huvidpo_core.recipe import is_own_painter

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
        answers, (ratings, clips) = self._answers(action, raters), self._rated_clips(action, raters)
        pairs = _judged(answers, ratings, clips)
        undecided = {_both(pair) for pair in pairs if not pair.decided}
        taken_sides = {frozenset((answer.left, answer.right)) for answer in answers if mask_of(answer).any()}
        for rater in {rating.rater for rating in ratings}:
            alone = from_ratings([rating for rating in ratings if rating.rater == rater], clips)
            taken_sides |= {_both(pair) for pair in alone if pair.decided}
        return Stock(len(pairs), len(pairs) - len(undecided), len(taken_sides & undecided))

    def rated_stock(self, action: str, raters: Collection[str] = ()) -> RatedStock:
        """How many clips of an action these raters, by default all, have rated alone. Raises UserError."""
        ratings, clips = self._rated_clips(action, raters)
        judged = from_single_ratings(ratings, clips)
        good = sum(clip.good for clip in judged)
        return RatedStock(len(clips), good, len(judged) - good)

    def choices(self, profile: str, raters: Collection[str] = ()) -> list[PictureChoice]:
        """What these raters, by default all, chose from a few first frames by this profile's own painter, with a LoRA
        or without: other painters' pictures are not what it would draw. Raises UserError."""
        made = self.store.picture_choices.list(raters)
        own = (choice for choice in made if choice.recipe.get("profile", profile) == profile)
        return [choice for choice in own if is_own_painter(choice.recipe.get("painter", ""))]

    def first_frames(self, profile: str, raters: Collection[str] = ()) -> "Source":
        """What these choices teach of first frames. Raises UserError: nothing to learn from."""
        from huvidpo_core.training.source import Source

        pairs = []
        for choice in self.choices(profile, raters):
            recipe = choice.recipe
            text = self.text(recipe.get("prompt", ""), recipe.get("action", ""), recipe.get("style", ""))
            pairs += as_pairs(choice, text)
        if not pairs:
            raise UserError(
                "No first frame has been chosen from others yet. In Create, with the profile's own painter, press Four "
                "to choose from, and choose; 20 choices are a beginning."
            )
        return Source.of(pairs, self.store.picture_choices.file, lambda pair: pair.prompt)

    def counts(self) -> dict[str, int]:
        """How many votes there are for each action that has any. Raises UserError."""
        return self.store.votes.counts()

    def raters(self) -> list[str]:
        """Who has voted or rated, by name. Raises UserError."""
        return self.store.votes.raters()

    def counted(self, action: str, raters: Sequence[str] = ()) -> list[str]:
        """Whose votes on pairs of an action count where these raters were asked for, everybody's if nobody is named.

        An automatic rater counts where it was asked for by name, or where no person has voted. Raises UserError.
        """
        known = self.raters()
        people = [rater for rater in known if not is_automatic(rater)]
        if raters or len(people) == len(known) or not (people and self.stock(action, people).pairs):
            return list(raters)
        return people

    def votes(self, action: str, raters: Collection[str] = ()) -> "Source":
        """What these raters, by default all, teach of an action. Raises UserError: nothing to learn from."""
        from huvidpo_core.training.source import Source

        pairs = _judged(self._answers(action, raters), *self._rated_clips(action, raters))
        if not pairs:
            raise UserError(
                f"There are no votes to learn from yet for the action '{action}'. Rate some pairs of it first; "
                f"{BEGINNING} are a beginning."
            )
        if not any(pair.decided for pair in pairs) and self.stock(action, raters).disputed:
            raise UserError(
                "Nothing can be learned from these votes: wherever a clip was called better, raters contradict each "
                "other. Choose whose votes are to count, or rate some more pairs."
            )
        recipes = self._recipes({pair.first for pair in pairs})

        def text(pair: TrainingPair) -> str:
            recipe = recipes.get(pair.first, {})
            return self.text(recipe.get("prompt") or pair.prompt, action, recipe.get("style", ""))

        return Source.of(pairs, self.store.video, text)

    def ratings(self, action: str, raters: Collection[str] = ()) -> "Source":
        """What these raters, by default all, say of single clips. Raises UserError: nothing to learn from."""
        from huvidpo_core.training.source import Source

        judged = from_single_ratings(*self._rated_clips(action, raters))
        if not judged:
            raise UserError(
                f"There are no ratings to learn from yet for the action '{action}': rate clips of it in Create, good "
                "ones 4 or 5, bad ones 1 or 2."
            )
        recipes = self._recipes({clip.clip for clip in judged})

        def text(clip: JudgedClip) -> str:
            return self.text(clip.prompt, action, recipes[clip.clip].get("style", ""))

        return Source.of_clips(judged, self.store.video, text)

    def dataset(self, folder: Path, action: str) -> "Source":
        """What a `videofolder` dataset teaches of an action: its pairs of that action, and those that name none. Clips
        made here carry their style, so that the text is what it was. Raises UserError: it cannot be read, or nothing to
        learn from.
        """
        from huvidpo_core.preferences.datasets import read_dataset
        from huvidpo_core.training.source import Source

        read = read_dataset(folder)
        if not (own := [(pair, paths) for pair, paths in read if pair.action in (action, "")]):
            others = ", ".join(sorted({pair.action for pair, _ in read}))
            raise UserError(f"{folder} has no pairs of the action '{action}', but of: {others}. Choose one of these.")
        files = {clip: path for pair, paths in own for clip, path in zip((pair.first, pair.second), paths, strict=True)}

        def text(pair: TrainingPair) -> str:
            recipe = media.read_recipe(files[pair.first]) or {}
            return self.text(pair.prompt, action, str(recipe.get("style", "")))

        return Source.of([pair for pair, _ in own], files.__getitem__, text)

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

    def _rated_clips(self, action: str, raters: Collection[str]) -> tuple[list[Rating], dict[str, RatedClip]]:
        """What these raters gave, to clips of all actions, and the clips of this one that are there."""
        ratings = [rating for rating in self.store.votes.ratings() if not raters or rating.rater in raters]
        clips = {}
        for clip in self.store.find({rating.clip for rating in ratings}).values():
            if clip.recipe.get("action") == action and self.store.video(clip.id).exists():
                frames, _ = self.store.length(clip.id)
                clips[clip.id] = RatedClip(frames, clip.recipe.get("prompt", ""), action)
        return ratings, clips


def _judged(answers: Sequence[Answer], ratings: Sequence[Rating], clips: Mapping[str, RatedClip]) -> list[TrainingPair]:
    """Each pair of clips once: a vote, which compares the two, counts for more than what each was rated alone."""
    voted = from_votes(answers)
    known = {_both(pair) for pair in voted}
    return voted + [pair for pair in from_ratings(ratings, clips) if _both(pair) not in known]


def _both(pair: TrainingPair) -> frozenset[str]:
    return frozenset((pair.first, pair.second))
