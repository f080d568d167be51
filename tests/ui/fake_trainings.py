"""Trainings without models: real records in real folders, steps that take as long as the test wants."""

import threading
import time
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import numpy as np

from huvidpo_core import adoption, media
from huvidpo_core.config import Profile
from huvidpo_core.engine import RatedStock, RunFolder, Score, Stock
from huvidpo_core.errors import UserError
from huvidpo_core.loras import Loras
from huvidpo_core.preferences.picture_choices import PictureChoice, as_pairs
from huvidpo_core.training.lessons import Lesson
from huvidpo_core.training.source import Source
from huvidpo_core.trainings import Trainings
from tests.clips import moving_clip
from tests.finished import finish, finish_teaching

CHECK_EVERY = 4


class FakeSupply:
    """As many votes as a test says."""

    def __init__(self) -> None:
        self.given = {"waterfall": Stock(24, 22)}
        self.chosen: list[PictureChoice] = []
        self.rated = {"waterfall": RatedStock(9, 4, 3)}

    def stock(self, action: str, raters: Collection[str] = ()) -> Stock:
        stock = self.given.get(action, Stock(0, 0))
        return stock if not raters or "Anna" in raters else Stock(stock.pairs // 2, 0)

    def rated_stock(self, action: str, raters: Collection[str] = ()) -> RatedStock:
        return self.rated.get(action, RatedStock(0, 0, 0))

    def choices(self, profile: str, raters: Collection[str] = ()) -> list[PictureChoice]:
        return [choice for choice in self.chosen if not raters or choice.rater in raters]

    def first_frames(self, profile: str, raters: Collection[str] = ()) -> Source:
        pairs = [pair for choice in self.choices(profile, raters) for pair in as_pairs(choice, "a horse")]
        if not pairs:
            raise UserError("No first frame has been chosen from others yet.")
        return Source(tuple(Lesson.of(pair, pair.prompt) for pair in pairs), {"a": Path("a.png")}, "")

    def ratings(self, action: str, raters: Collection[str] = ()) -> Source:
        stock = self.rated_stock(action, raters)
        good, bad = (Lesson(clip, "", (0, sign, sign), f"a {action}") for clip, sign in (("a", 1), ("b", -1)))
        return Source((good,) * stock.good + (bad,) * stock.bad, {"a": Path("a.mp4"), "b": Path("b.mp4")}, "")

    def text(self, prompt: str, action: str, style: str) -> str:
        return f"{prompt}, {action}" if action else prompt

    def counts(self) -> dict[str, int]:
        return {action: stock.pairs for action, stock in self.given.items()}

    def counted(self, action: str, raters: Collection[str] = ()) -> list[str]:
        return list(raters)

    def raters(self) -> list[str]:
        return ["Anna", "Ben"]

    def votes(self, action: str, raters: Collection[str] = ()) -> Source:
        if not self.stock(action, raters).enough:
            raise UserError("There are no votes to learn from yet. Rate some pairs first; 20 are a beginning.")
        pair = Lesson("a", "b", (0, 1, 1), f"a {action}")
        return Source((pair,) * self.stock(action).pairs, {"a": Path("a.mp4"), "b": Path("b.mp4")}, "")


class FakeTrainings(Trainings):
    """The process is a thread of this one; the LoRA is an empty file."""

    def __init__(self, data: Path, profile: Profile, packs: Path, actions: dict, styles: dict) -> None:
        super().__init__(data, profile, None, None, packs, actions, styles)
        self.supply = FakeSupply()
        self.pause = 0.05
        self.breaks_at = 0  # step at which it fails

    def needs(self, settings: object, kind: str = "align") -> str:
        return f"A step needs about {0.8 if kind == 'picture' else 1.0} GB of this machine's 25 GB of memory."

    def start(self, run: RunFolder) -> None:
        if run.state().status == "running":
            raise UserError("This training is running already.")
        run.withdraw_stop()
        steps = run.asked()["settings"]["steps"]
        run.tell(status="running", stage="measuring the start", steps=steps, message="")
        threading.Thread(target=self._train, args=[run, steps], daemon=True).start()

    def _train(self, run: RunFolder, steps: int) -> None:
        if not run.metrics("check"):
            self._check(run, 0)
        for step in range(run.state().step + 1, steps + 1):
            time.sleep(self.pause)
            if step == self.breaks_at:
                run.tell(status="failed", stage="", message="The disk is full. Free some space, then resume.")
                return
            change = {"winner_change": -1e-4 * step, "loser_change": 2e-4 * step}
            run.note("step", {"step": step, "steps": steps, "loss": 0.69 - 0.002 * step, "lr": 5e-4, **change})
            if step % CHECK_EVERY == 0:
                self._check(run, step)
            run.tell(step=step, stage="training", seconds_left=(steps - step) * self.pause)
            if run.asked_to_stop:
                run.tell(status="stopped", stage="", message="Stopped. Resume continues here.", seconds_left=None)
                return
        if run.asked()["kind"] == "teach":
            finish_teaching(run, self._packs)
        else:
            finish(run)

    def _check(self, run: RunFolder, step: int) -> None:
        for number in range(2):
            still, clip = run.asked()["kind"] == "picture", np.roll(moving_clip(), 5 * step + number, axis=2)
            path = run.sample(step, number, ".png" if still else ".mp4")
            path.parent.mkdir(exist_ok=True)
            if still:
                media.write_png(path, clip[0])
            else:
                media.write_mp4(path, clip, 8)
        values = {
            "accuracy": 0.5 + 0.01 * step,
            "loss": 0.69 - 0.002 * step,
            "winner_change": -2e-4 * step,
            "loser_change": 5e-4 * step,
            "motion": 1.0,
            "beta": 800.0,
            "best": step,
        }
        if run.asked()["kind"] == "teach":
            values = {"loss": 0.3 - 0.002 * step, "trained_loss": 0.3 - 0.004 * step, "motion": 0.05 * step}
        run.note("check", {"step": step, **values})


class FakeRounds:
    """Rounds whose pairs are there at once, and whose score a test sets."""

    def __init__(self, packs: Path) -> None:
        self.packs = packs
        self.result = Score(0, 0, 0, 0, 0, None)
        self.made: list[str] = []
        self.compared: list[tuple] = []

    def make(self, run: RunFolder, pairs: int = 8) -> None:
        adoption.try_out(run, self.packs)
        self.made.append(run.path.name)
        self.result = replace(self.result, pairs=self.result.pairs + pairs)

    def compare(self, action: str, one: str, other: str, pairs: int) -> None:
        self.compared.append((action, one, other, pairs))

    def score(self, run: RunFolder) -> Score:
        return self.result


class FakeLoras(Loras):
    """Files are real; what needs a network is only remembered."""

    def __init__(self, packs: Path, data: Path) -> None:
        super().__init__(packs, None, data)
        self.merged: list[tuple] = []

    def merge(self, loras: list[str], weights: list[float], name: str) -> str:
        self.merged.append((loras, weights, name))
        return f"waterfall/{name}"
