"""The use cases of rating: pairs are made and shown, answers taken, what they say told, votes sent and brought."""

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np

from huvidpo_core import media, sharing
from huvidpo_core.config import Action, Profile, Style
from huvidpo_core.errors import UserError, enough_memory
from huvidpo_core.gallery import Gallery
from huvidpo_core.pairing import Order, Pairing, PairQueue
from huvidpo_core.preferences.records import Ballot, Revealed, Showing, VotesReport
from huvidpo_core.preferences.store import Store
from huvidpo_core.progress import Progress
from huvidpo_core.results import PackChoice, Picture
from huvidpo_core.workbench import Workbench


class Rating:
    """The part of the engine that people and automatic raters meet in Prefer."""

    def __init__(
        self,
        profile: Profile,
        data: Path,
        store: Store,
        bench: Workbench,
        clips: Gallery,
        pairing: Pairing,
        actions: Mapping[str, Action],
        styles: Mapping[str, Style],
        called_now: Callable[[str], str],
        models: Callable[[], Sequence[PackChoice]],
    ) -> None:
        """Of the clips and votes in `store`, below `data`; `bench` has the profile's judge, `pairing` makes pairs,
        `called_now` tells of a model that a vote names what it is called now, `models` which there are."""
        self.profile, self.data, self.store = profile, data, store
        self.actions, self.styles = actions, styles
        self._bench, self._clips, self._pairing, self._called_now = bench, clips, pairing, called_now
        self._models = models

    # Pairs

    def make_pairs(self, order: Order) -> None:
        """Have pairs made in the background. Raises UserError for an order that cannot be carried out."""
        self._pairing.order(order)

    def make_pairs_now(
        self, orders: Sequence[Order], stop: threading.Event, share: slice = slice(None)
    ) -> Iterator[Progress | int]:
        """Make one pair of each of these orders, or of a share of them, here; the last item is how many.

        Raises:
            UserError: one of the orders cannot be carried out, of whichever share; none is made then. Or making one
                failed; those before it stay.
            Stopped: `stop` was set; pairs that are finished stay.
        """
        maker, own = self._pairing.maker, orders[share]
        for order in dict.fromkeys(orders):
            maker.check(order)
        for number, order in enumerate(own, 1):
            for item in maker.make(order, stop):
                yield replace(item, stage=f"{item.stage}, pair {number} of {len(own)}")
        yield len(own)

    def pair_queue(self, action: str | None = None, rater: str = "") -> PairQueue:
        """How many pairs are ready for this rater (or for who asked last), being made and ordered; the last error."""
        return self._pairing.queue(action, rater)

    def stop_pairs(self) -> None:
        """Make no more pairs; those that are finished stay."""
        self._pairing.stop()

    def bring_clips(self, files: Sequence[Path], prompt: str, action: str, method: str = "") -> list[str]:
        """Take in MP4s and GIFs, or folders of them, and pair those of one prompt; their ids. With a `method`, the name
        of what made them, they are paired with clips of other models and ranked by that name. Raises UserError."""
        from huvidpo_core.bringing import Porter

        there = self._models()
        own = {name for each in there for name in (each.id, each.title, each.title.removesuffix(" (motion)"))}
        return Porter(self.profile.video, self._clips, self.store.votes, self.actions, self.styles, own).bring(
            files, prompt, action, method
        )

    def without_pair(self, clips: Sequence[str]) -> list[str]:
        """Those of these clips, by id, that stand in no pair so far. Raises UserError."""
        waiting = {clip.id for clip in self.store.list(paired=False)}
        return [clip for clip in clips if clip in waiting]

    def judge_pairs(
        self, rater: Literal["profile", "vlm"], stop: threading.Event, action: str | None = None
    ) -> Iterator[Progress | int]:
        """Let an automatic rater vote on all pairs it has not seen; the last item is how many. Raises UserError,
        Stopped; the votes until then stay.

        "profile" is what the profile judges with; "vlm" the vision-language model that HUVIDPO_JUDGE_URL, _MODEL and
        _KEY name.
        """
        from huvidpo_core.preferences.judges import ProfileRater, judge_pairs
        from huvidpo_core.preferences.vlm import VlmRater

        if rater not in ("profile", "vlm"):
            raise UserError(f"There is no automatic rater '{rater}'. Choose one of: profile, vlm.")
        with enough_memory():
            judge = VlmRater.from_environment(stop=stop) if rater == "vlm" else ProfileRater(*self._bench.judges())
            yield from judge_pairs(self.store.votes, judge, self._frames, stop, action)

    # Votes

    def next_pair(self, rater: str, action: str | None = None, after: str = "") -> Showing | None:
        """The pair this rater is to judge now, the same until it is answered; None: none is left. Raises UserError.

        With `after`, the id of a showing: the pair that comes when that is answered. More pairs are made in the
        background if the last order is to be kept up (`Order.keep`).
        """
        showing = self.store.votes.show(rater, action, after)
        self._pairing.keep_ready(rater, action)
        return showing

    def vote(self, showing_id: str, rater: str, ballot: Ballot) -> Revealed:
        """Take an answer, durable when this returns. Raises UserError for any that cannot be one."""
        told = self.store.votes.vote(showing_id, rater, ballot)
        left, right = map(self._called_now, (told.left_model, told.right_model))
        return replace(told, left_model=left, right_model=right)

    def rate_clip(self, clip_id: str, rater: str, score: int) -> None:
        """Rate one clip alone, 1 to 5, in place of this rater's earlier score for it: the paper's way, whose pairs are
        made from the rated clips of one prompt. Raises UserError.
        """
        self.store.votes.rate_clip(clip_id, rater, score)

    def choose_first_frame(self, offer: str, rater: str, chosen: Picture, others: Sequence[Picture]) -> None:
        """Write down that of some first frames of one prompt this one is better than the others; durable when this
        returns. Whoever chooses again from the same `offer`, any 1 to 32 letters and digits, means the new choice.

        Raises:
            UserError: there is no other one, or none that differs.
        """
        drawn = [picture.image if picture.drawn is None else picture.drawn for picture in (chosen, *others)]
        self.store.picture_choices.choose(offer, rater, chosen.recipe.to_dict(), drawn[0], drawn[1:])

    def choose_no_first_frame(self, offer: str, rater: str) -> None:
        """None of them: what was chosen from the same offer before no longer counts. Raises UserError."""
        self.store.picture_choices.withdraw(offer, rater)

    def undo_vote(self, rater: str) -> Showing | None:
        """Take this rater's last answer back and open its pair again; None where there is none. Raises UserError."""
        return self.store.votes.undo(rater)

    def rated(self, rater: str) -> int:
        """How many pairs this rater has answered, skipped ones left out. Raises UserError."""
        return sum(self.store.votes.counts(rater).values())

    def raters(self) -> list[str]:
        """Everybody who was shown a pair, automatic raters too, by name. Raises UserError."""
        return self.store.votes.raters()

    def what_votes_say(self, action: str | None = None, rater: str | None = None) -> VotesReport:
        """The numbers of the panel, of one action or of all, of one rater or of all. Raises UserError."""
        from huvidpo_core.evaluation.metrics import clip_motion
        from huvidpo_core.preferences.ranking import report

        answers = self.store.votes.history(rater, action)
        clips = {clip for answer in answers for clip in (answer.left, answer.right)}
        names = {clip.id: clip.model for clip in self.store.find(clips).values()}
        now = {name: self._called_now(name) for name in set(names.values())}  # a LoRA that was renamed is one model
        models = {clip: now[name] for clip, name in names.items()}
        return report(answers, models, self.store.motions(clips, clip_motion))

    # Exchange

    def export(self, output: Path, action: str | None = None, *, parquet: bool = False) -> Path:
        """Write clips and votes as a `videofolder` dataset, whole or not at all; returns it. Raises UserError."""
        from huvidpo_core.preferences.exchange import export

        if action not in (None, *self.actions):
            raise UserError(f"There is no action '{action}'. Choose one of: {', '.join(self.actions)}.")
        return export(self.store, output, action=action, parquet=parquet)

    def export_archive(
        self, stop: threading.Event, action: str | None = None, *, parquet: bool = False
    ) -> Iterator[Progress | Path]:
        """The same as one .zip, for a browser; the last item is where it lies. Raises UserError, Stopped."""
        return sharing.export_archive(self.store, self.data, stop, action, parquet)

    def import_votes(self, files: Sequence[Path], stop: threading.Event) -> Iterator[Progress | int]:
        """Bring in what was exported, a folder, a .zip or its files, nothing twice; the last item is how many votes are
        new. Raises UserError, Stopped; no vote is then brought in."""
        return sharing.import_files(self.store, self.data, files, stop)

    def push_votes(self) -> None:
        """Push the votes to the hub from now on, if HUVIDPO_DATASET_REPO asks for it. Raises UserError."""
        sharing.push_to_hub(self.store, self.data)

    def _frames(self, clip_id: str) -> np.ndarray:
        return media.read_video(self._clips.get(clip_id).video).frames
