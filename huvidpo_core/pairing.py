"""Pairs of clips for the raters, made one after another in the background while somebody rates.

A pair and its clips are saved when both are finished, never before: whatever ends the process, there is no half pair.
Orders last as long as the process. They are not resumed by the next one: an order that brought the process down, by the
memory it took, say, would bring it down again at every start.
"""

import logging
import random
import secrets
import threading
import time
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

from huvidpo_core import media
from huvidpo_core.errors import Stopped, UserError
from huvidpo_core.gallery import Gallery
from huvidpo_core.generation.exploring import draw_settings
from huvidpo_core.generation.structural import draw_eta
from huvidpo_core.preferences.votes import Votes
from huvidpo_core.progress import Progress
from huvidpo_core.recipe import Recipe
from huvidpo_core.results import Clip, Film
from huvidpo_core.studio import Studio

log = logging.getLogger(__name__)

READY = 3  # pairs that are kept ready while somebody rates
MOST = 200  # pairs in one order
TOLD = 600  # seconds for which it is told why an order ended early
MADE = ("settings", "seeds", "structural", "models")  # `Order.source`


@dataclass(frozen=True)
class Order:
    """Pairs to be made; each has a first frame and seeds of its own, so the recipe's seed does not count.

    `source` says what the two clips of a pair share:

    - "settings": the first frame. Each side has a seed, a number of steps and a guidance of its own
      (`generation.exploring`), so that the two can be told apart.
    - "seeds": the first frame. Two seeds animate it.
    - "structural": the motion at large, of the reference `clip`; two seeds vary it (`generation.structural`).
    - "models": the first frame and the seed. One side takes the recipe's pack, the other the pack `rival`. With a
      `rival_painter` that is another one than the recipe's, each side's first frame is drawn by its own.

    `clip` is a clip of the gallery whose first frame is used; without one, the first frame is drawn.

    With `scenes`, prompts and styles, every pair shows one of them, drawn by lot, in place of the recipe's.

    `count` pairs are made and no more; with `keep`, as many again as it takes to have `READY` ready while somebody
    rates the action, until another such order for it or a stop.
    """

    recipe: Recipe
    source: Literal["settings", "seeds", "structural", "models"] = "seeds"
    count: int = 1
    clip: str = ""
    rival: str = ""
    rival_painter: str | None = None
    keep: bool = False
    scenes: tuple[tuple[str, str], ...] = ()


class PairQueue(NamedTuple):
    """Pairs this rater may judge at once; what is being done for the next one, empty when nothing is; pairs that wait
    to be made; why an order ended early, told for `TOLD` seconds, else empty; how many are kept ready while somebody
    rates, 0 when none is made but what was ordered."""

    ready: int
    making: str
    ordered: int
    error: str
    kept: int = 0


class PairMaker:
    """How one pair is made."""

    def __init__(self, studio: Studio, clips: Gallery, votes: Votes) -> None:
        self._studio, self._clips, self._votes = studio, clips, votes

    def check(self, order: Order) -> None:
        """Raise a UserError if the order cannot be carried out, as far as that can be told without a model."""
        recipe = self._studio.complete(order.recipe)
        for prompt, style in order.scenes:
            self._studio.complete(order.recipe.with_(prompt=prompt, style=style))
        if not 1 <= order.count <= MOST:
            raise UserError(f"The number of pairs is {order.count}; it must lie between 1 and {MOST}.")
        if order.source not in MADE:
            raise UserError(f"Pairs cannot be made from '{order.source}'. Choose one of: {', '.join(MADE)}.")
        if order.source == "structural" and not order.clip:
            raise UserError("Pairs that vary a motion need a clip to take it from. Choose one.")
        if order.clip:
            self._clips.get(order.clip)
        if order.source == "models":
            one, other = (self._studio.complete(side) for side in _sides(order, recipe))
            if (one.pack, one.painter) == (other.pack, other.painter):
                raise UserError("Both sides would be made by the same model. Choose two different ones.")
            if order.clip and order.rival_painter is not None:
                raise UserError("A clip's first frame is drawn already. Leave out the clip, or the other painter.")
        if order.source == "structural":
            self._studio.complete(recipe.with_(reference=order.clip))

    def make(self, order: Order, stop: threading.Event) -> Iterator[Progress]:
        """Make and record one pair; on any failure, neither the pair nor a clip of it stays. Raises UserError, Stopped.

        Everybody else's work on the models goes first, between the clips too.
        """
        if order.scenes:
            prompt, style = secrets.choice(order.scenes)
            order = replace(order, recipe=order.recipe.with_(prompt=prompt, style=style))
        recipe = self._studio.complete(order.recipe).with_(seed=secrets.randbelow(2**32), reference="", eta=0.0)
        if order.clip:
            shown = self._clips.get(order.clip)
            origin = "uploaded" if shown.recipe.origin == "brought" else shown.recipe.origin
            recipe = recipe.with_(origin=origin, painter=shown.recipe.painter)
            pictures = {recipe.painter: media.read_image(shown.picture)}
        else:
            recipe, pictures = recipe.with_(origin="generated"), {}
        films: list[Film] = []
        for side in _sides(order, recipe):
            if side.painter not in pictures:
                drawn = yield from _through(self._studio.draw(side, stop, patient=True))
                pictures[side.painter] = drawn.image
            image = pictures[side.painter]
            films.append((yield from _through(self._studio.film(side, image, stop, patient=True))))
        made: list[Clip] = []
        try:
            made.extend(map(self._studio.keep, films))
            one, two = made
            self._votes.add_pair(one.id, two.id, source=order.source, prompt=recipe.prompt, action=recipe.action)
        except BaseException:
            for clip in made:
                with suppress(UserError):
                    self._clips.delete(clip.id)
            raise


class Pairing:
    """The queue of orders and the thread that works on it; safe to be used from many threads."""

    def __init__(self, maker: PairMaker, votes: Votes) -> None:
        self.maker, self._votes = maker, votes
        self._changed = threading.Condition()  # guards all that follows
        self._waiting: deque[Order] = deque()  # one entry for each pair
        self._current: Order | None = None
        self._progress: Progress | None = None
        self._stop = threading.Event()  # of the pair being made
        self._kept: dict[str, Order] = {}  # by action, the newest last: what is made more of while somebody rates
        self._rater = ""
        self._error, self._failed = "", 0.0  # why an order ended early, and when

    def order(self, order: Order) -> None:
        """Make these pairs, after those ordered before. Raises UserError for an order that cannot be carried out."""
        self.maker.check(order)
        with self._changed:
            if order.keep:
                self._kept.pop(order.recipe.action, None)
                self._kept[order.recipe.action] = order
            self._error = ""
            self._begin([order] * order.count)

    def keep_ready(self, rater: str, action: str | None = None) -> None:
        """This rater is at work: where fewer than `READY` pairs wait for them, more are made as the last order that is
        to be kept up says; without an action, whatever its action. Cheap: to be called whenever a pair is shown.
        """
        with self._changed:  # also around the count: a pair finished meanwhile would be neither ready nor coming
            ready = self._votes.open_pairs(rater, action)
            self._rater = rater
            order = self._kept.get(action) if action else next(reversed(self._kept.values()), None)
            if order:
                coming = sum(action in (None, each.recipe.action) for each in [*self._waiting, self._current] if each)
                self._begin([order] * (READY - ready - coming))

    def queue(self, action: str | None = None, rater: str = "") -> PairQueue:
        """Where things stand, for one action or all; without a rater, for whoever was last shown a pair."""
        with self._changed:
            rater = rater or self._rater
            of_action = [order for order in self._waiting if action in (None, order.recipe.action)]
            making = self._current is not None and action in (None, self._current.recipe.action)
            words = _words(self._progress) if making else ""
            error = self._error if time.monotonic() - self._failed < TOLD else ""
            kept = READY if (action in self._kept if action else self._kept) else 0
        return PairQueue(self._votes.open_pairs(rater or "nobody", action), words, len(of_action), error, kept)

    def coming(self) -> list[Order]:
        """What is still to be made and what is being made, an entry for each pair."""
        with self._changed:
            return [order for order in (self._current, *self._waiting) if order]

    def stop(self) -> None:
        """Forget all orders, and why one ended early, and end the pair being made at its next step; what is finished
        stays."""
        with self._changed:
            self._error = ""
            self._waiting.clear()
            self._kept.clear()
            self._stop.set()

    def wait(self, timeout: float | None = None) -> bool:
        """Until every order is carried out; whether that was so within `timeout` seconds."""
        with self._changed:
            return self._changed.wait_for(lambda: self._current is None and not self._waiting, timeout)

    def _begin(self, orders: list[Order]) -> None:
        """Add to the queue, and see that somebody works on it; `_changed` is held."""
        idle = self._current is None and not self._waiting
        self._waiting.extend(orders)
        if idle and orders:
            threading.Thread(target=self._work, args=[self._take()], name="pairs", daemon=True).start()

    def _take(self) -> Order | None:
        """The next order, None when there is none; `_changed` is held."""
        self._current = self._waiting.popleft() if self._waiting else None
        self._progress, self._stop = None, threading.Event()
        self._changed.notify_all()
        return self._current

    def _work(self, order: Order | None) -> None:
        while order:
            error = ""
            try:
                for progress in self.maker.make(order, self._stop):
                    self._progress = progress
            except Stopped:
                pass
            except UserError as problem:
                error = str(problem)
            except Exception as problem:  # shown, and the thread lives on
                log.exception("a pair could not be made")
                error = f"A pair could not be made ({type(problem).__name__}). The server's log says more."
            with self._changed:
                if error:  # the rest of the order would fail alike
                    self._error, self._failed = error, time.monotonic()
                    self._waiting = deque(each for each in self._waiting if each is not order)
                    self._kept = {action: each for action, each in self._kept.items() if each is not order}
                order = self._take()


def _sides(order: Order, recipe: Recipe) -> tuple[Recipe, Recipe]:
    """What the two clips of a pair are made from."""
    if order.source == "models":
        asked = order.recipe  # another method has another number of steps of its own
        painter = recipe.painter if order.rival_painter is None else order.rival_painter
        return recipe, recipe.with_(
            pack=order.rival, steps=asked.steps, guidance=asked.guidance, strength=asked.strength, painter=painter
        )
    if order.source == "structural":
        recipe = recipe.with_(reference=order.clip, eta=draw_eta(recipe.seed))
    other = recipe.with_(seed=random.Random(recipe.seed).randrange(2**32))
    if order.source == "settings":
        one, two = draw_settings(recipe.seed, recipe.steps, recipe.guidance)
        return recipe.with_(steps=one[0], guidance=one[1]), other.with_(steps=two[0], guidance=two[1])
    return recipe, other


def _through(work: Iterator[Any]) -> Generator[Progress, None, Any]:
    """Hand on the progress of a piece of work; returns its result."""
    item = None
    for item in work:
        if isinstance(item, Progress):
            yield item
    return item


def _words(progress: Progress | None) -> str:
    if progress is None:
        return "waiting for the models"
    return progress.stage if progress.total <= 1 else f"{progress.stage}, step {progress.step} of {progress.total}"
