"""What the player on the page asks the server: the next pair, take this vote, take it back. No gradio.

Answers are plain dictionaries; whatever goes wrong is a sentence under "error". A showing tells of its clips only what
is to be judged: the prompt, the action, how many frames at which rate.
"""

import functools
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from huvidpo_core.engine import Engine
from huvidpo_core.errors import UserError
from huvidpo_core.preferences.records import Ballot, Revealed, Showing
from huvidpo_core.recipe import Recipe
from huvidpo_core.ui.prefer_ballots import read_ballot, read_rater
from huvidpo_core.ui.prefer_reels import Reels
from huvidpo_core.ui.prefer_reveal import reveal_words
from huvidpo_core.ui.words import url
from huvidpo_core.ui.work import UNEXPECTED

log = logging.getLogger(__name__)


class Desk:
    """Hands out pairs and takes votes; used by the page and by the endpoints for programs."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.reels = Reels(reels_folder(engine), lambda clip: engine.clip(clip).video)

    def handlers(self) -> list[Callable[[Any], dict[str, Any]]]:
        """What the page may call, each from a dictionary to a dictionary."""
        known = (self.next_pair, self.send_vote, self.undo_vote, self.counts, self.stop_making)
        return [answering(handler) for handler in known]

    def next_pair(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """{rater, action or "", after or ""} -> {showing}, or {showing: None, and what `counts` says}.

        With `after`, the id of a showing, it is the pair that comes when that is answered, for the page to load.
        """
        rater, action, after = read_rater(values.get("rater")), values.get("action") or None, values.get("after")
        return self._shown(self.engine.next_pair(rater, action, after if isinstance(after, str) else ""), values)

    def send_vote(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """{showing, rater, choice, marks, scores, seconds} -> {revealed: a sentence}."""
        ballot = read_ballot(*(values.get(name) for name in ("choice", "marks", "scores", "seconds")))
        revealed = self.vote(values.get("showing"), values.get("rater"), ballot)
        recipes = (self._recipe(clip) for clip in (revealed.showing.left, revealed.showing.right))
        menus = self.engine.packs(trials=True), self.engine.painters()
        return {"revealed": reveal_words(revealed, *recipes, *menus)}

    def undo_vote(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """{rater, action} -> as `next_pair`: the pair of the vote that was taken back, or None."""
        return self._shown(self.engine.undo_vote(read_rater(values.get("rater"))), values)

    def counts(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """{rater, action} -> {rated, and of `PairQueue` ready, making, ordered, kept, problem}."""
        rater = read_rater(values.get("rater"))
        queue = self.engine.pair_queue(values.get("action") or None, rater)
        return {
            "rated": self.engine.rated(rater),
            "ready": queue.ready,
            "making": queue.making,
            "ordered": queue.ordered,
            "kept": queue.kept,
            "problem": queue.error,
        }

    def stop_making(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Make no more pairs -> as `counts`."""
        self.engine.stop_pairs()
        return self.counts(values)

    def vote(self, showing_id: Any, rater: Any, ballot: Ballot) -> Revealed:
        """Take a vote; it is durable when this returns. Raises UserError."""
        return self.engine.vote(showing_id if isinstance(showing_id, str) else "", read_rater(rater), ballot)

    def _shown(self, showing: Showing | None, values: Mapping[str, Any]) -> dict[str, Any]:
        if showing is None:
            return {"showing": None, **self.counts(values)}
        return {"showing": showing_values(showing) | {"reel": url(self.reels.reel(showing))}}

    def _recipe(self, clip: str) -> Recipe | None:
        try:
            return self.engine.clip(clip).recipe
        except UserError:  # deleted meanwhile, or made by another program; the vote is taken all the same
            return None


def reels_folder(engine: Engine) -> Path:
    """Where the files of showings lie; they may be served to anyone who knows a showing's id."""
    return engine.data.resolve() / "showings"


def showing_values(showing: Showing) -> dict[str, Any]:
    """What a rater may know about a showing."""
    return {name: getattr(showing, name) for name in ("id", "prompt", "action", "frames", "fps")}


def revealed_values(revealed: Revealed) -> dict[str, str]:
    """What a rater learns after the vote."""
    return {"choice": revealed.choice, "left": revealed.left_model, "right": revealed.right_model}


def answering(handler: Callable[[Mapping[str, Any]], dict[str, Any]]) -> Callable[[Any], dict[str, Any]]:
    """`handler` for the page: its exceptions are sentences under "error"."""

    @functools.wraps(handler)
    def answer(values: Any) -> dict[str, Any]:
        try:
            return handler(values if isinstance(values, Mapping) else {})
        except UserError as error:
            return {"error": str(error)}
        except Exception:  # without an answer the page would take the server for dead and send its vote for ever
            log.exception("unexpected")
            return {"error": UNEXPECTED}

    return answer
