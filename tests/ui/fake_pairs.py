"""Pairs and votes in memory, with the real engine's signatures: what the Prefer tab is pressed against."""

import random
import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path

from huvidpo_core import media
from huvidpo_core.engine import Order, PairQueue, Progress
from huvidpo_core.errors import Stopped, UserError
from huvidpo_core.pairing import READY
from huvidpo_core.preferences.ballots import check_ballot, check_rater, check_score
from huvidpo_core.preferences.records import Ballot, Estimate, Revealed, Showing, Standing, VotesReport
from huvidpo_core.preferences.vlm import VlmRater


class FakePairs:
    """Every two clips of one action are a pair; each rater sees each once, in an order and on sides drawn by lot."""

    def start_pairs(self) -> None:
        self.standing: dict[str, Showing] = {}  # by id, not answered yet
        self.votes: list[tuple[Showing, Ballot]] = []
        self.scores: dict[tuple[str, str], int] = {}
        self.taken_back: list[tuple[Showing, Ballot]] = []
        self.orders: list[Order] = []
        self.for_rating: set[str] = set()  # clips that were made or brought for pairs
        self.methods: dict[str, str] = {}  # by the clip that was brought
        self._lots = random.Random(0)

    def next_pair(self, rater: str, action: str | None = None, after: str = "") -> Showing | None:
        check_rater(rater)
        for showing in self.standing.values():
            if showing.rater == rater and action in (None, showing.action) and showing.id != after:
                return showing
        given = [*self.standing.values(), *(showing for showing, _ in self.votes)]
        done = {frozenset((showing.left, showing.right)) for showing in given if showing.rater == rater}
        for first, second in self._pairs(action):
            if {first.id, second.id} not in done:
                sides = [first, second]
                self._lots.shuffle(sides)
                frames, fps = media.read_video(first.video)
                showing = Showing(
                    uuid.uuid4().hex, rater, sides[0].id, sides[1].id, first.recipe.prompt, first.recipe.action,
                    len(frames), round(fps),
                )  # fmt: skip
                self.standing[showing.id] = showing
                return showing
        return None

    def vote(self, showing_id: str, rater: str, ballot: Ballot) -> Revealed:
        if any(showing.id == showing_id for showing, _ in self.votes):
            raise UserError("This pair has already been answered. Undo takes the last vote back.")
        showing = self.standing.get(showing_id)
        if showing is None:
            raise UserError("There is no such pair. Ask for the next one.")
        if showing.rater != rater:
            raise UserError("This pair was shown to another rater. Ask for one of your own.")
        self.votes.append((showing, check_ballot(ballot, showing.frames)))
        del self.standing[showing_id]
        return Revealed(showing, ballot.choice, self._model(showing.left), self._model(showing.right))

    def undo_vote(self, rater: str) -> Showing | None:
        for number in reversed(range(len(self.votes))):
            showing = self.votes[number][0]
            if showing.rater == rater:
                self.taken_back.append(self.votes.pop(number))
                self.standing = {showing.id: showing, **self.standing}
                return showing
        return None

    def pair_queue(self, action: str | None = None, rater: str = "") -> PairQueue:
        done = sum(showing.rater == rater and action in (None, showing.action) for showing, _ in self.votes)
        kept = READY if any(order.keep for order in self.orders) else 0
        return PairQueue(len(self._pairs(action)) - done, "", 0, "", kept)

    def make_pairs(self, order: Order) -> None:
        """Make them at once."""
        order.recipe.check(self.actions, self.styles)
        self.orders.append(order)
        for seed in range(2 * order.count):
            *_, picture = self.first_frame(order.recipe.with_(seed=seed), threading.Event())
            *_, clip = self.animate(picture.recipe, picture.image, threading.Event())
            self.for_rating.add(clip.id)

    def stop_pairs(self) -> None:
        self.orders.clear()

    def bring_clips(self, files: Sequence[Path], prompt: str, action: str, method: str = "") -> list[str]:
        recipe = (
            self.defaults()
            .with_(prompt=prompt, action=action, pack="", origin="brought")
            .check(self.actions, self.styles)
        )
        read = [media.read_video(file) for file in files]
        taken = [self._keep(recipe, clip.frames[0], clip.frames, 0.0).id for clip in read]
        self.for_rating.update(taken)
        self.methods.update(dict.fromkeys(taken, method))
        return taken

    def without_pair(self, clips: Sequence[str]) -> list[str]:
        paired = {clip.id for pair in self._pairs(None) for clip in pair}
        return [clip for clip in clips if clip not in paired]

    def judge_pairs(self, rater: str, stop: threading.Event, action: str | None = None) -> Iterator[Progress | int]:
        """The left clip wins; a VLM needs its settings."""
        name = VlmRater.from_environment().name if rater == "vlm" else "Miniature judge"
        done, total = 0, self.pair_queue(action, name).ready
        while showing := self.next_pair(name, action):
            time.sleep(self.pause)
            if stop.is_set():
                raise Stopped
            self.vote(showing.id, name, Ballot("left"))
            done += 1
            yield Progress(f"{name} judges", done, total, (total - done) * self.pause)
        yield done

    def rated(self, rater: str) -> int:
        return sum(showing.rater == rater and ballot.choice != "skip" for showing, ballot in self.votes)

    def rate_clip(self, clip_id: str, rater: str, score: int) -> None:
        self.scores[clip_id, rater] = check_score(score)

    def raters(self) -> list[str]:
        return sorted({showing.rater for showing, _ in self.votes})

    def what_votes_say(self, action: str | None = None, rater: str | None = None) -> VotesReport:
        given = [showing for showing, _ in self.votes if action in (None, showing.action)]
        actions, raters = Counter(s.action for s in given), Counter(s.rater for s in given)
        models = tuple(Standing(n, Estimate(0.5, 0.1, 0.9), 0.6, 3, 1, 2) for n in ("<b>liked",) if given)
        return VotesReport(len(given), actions, raters, models, None, 0, 0, None, 0, None)

    def _pairs(self, action: str | None) -> list:
        clips = sorted(
            (c for c in self.gallery(for_rating=True) if action in (None, c.recipe.action)),
            key=lambda clip: clip.created,
        )
        return [pair for pair in combinations(clips, 2) if pair[0].recipe.action == pair[1].recipe.action]

    def _model(self, clip_id: str) -> str:
        return self.methods.get(clip_id) or self.clip(clip_id).recipe.pack or "base model"
