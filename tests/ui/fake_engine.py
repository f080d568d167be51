"""An engine without models: the real one's signatures, pictures drawn with a few lines of numpy.

It lets the whole app be pressed, stopped and reloaded in seconds. Its clips are real MP4s with real recipes.
"""

import hashlib
import json
import random
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from huvidpo_core import media
from huvidpo_core.actions import Actions
from huvidpo_core.config import Download, load_profile, load_styles
from huvidpo_core.engine import Clip, PackChoice, PainterChoice, Picture, Progress, Reading
from huvidpo_core.errors import Stopped, UserError
from huvidpo_core.evaluation import Evaluation, evaluate
from huvidpo_core.generation.words import read, vocabulary
from huvidpo_core.models.menu import PackMenu
from huvidpo_core.models.painter_loras import PainterLoras
from huvidpo_core.models.painter_menu import PainterMenu
from huvidpo_core.picture_rounds import PictureRounds
from huvidpo_core.picture_trainings import PictureTrainings
from huvidpo_core.preferences.store import Store
from huvidpo_core.recipe import Recipe
from huvidpo_core.taught import Taught
from tests.ui.fake_pairs import FakePairs
from tests.ui.fake_trainings import FakeLoras, FakeRounds, FakeTrainings

DOWNLOAD = Download("someone/large-model", "draws the first frame", 6.9, "CreativeML Open RAIL++-M", ("config.json",))


class FakeEngine(FakePairs):
    """Draws a sun over hills in colours taken from the prompt and the seed; the sun moves when animated."""

    def __init__(self, data: Path, pause: float = 0.05, downloads: tuple[Download, ...] = ()) -> None:
        self.profile = load_profile("miniature")
        self.data = data
        packs = data / "packs"
        self.styles, self.actions = load_styles(), Actions(packs)
        self.pause = pause
        self.downloads, self.agreed = downloads, False
        self.for_plain: tuple[Download, ...] = ()  # what the painter "plain" takes
        self.agreed_to_plain = False
        self.steps_done = 0  # of the last piece of long work
        self.extra_packs: list[PackChoice] = []
        self.wrong = ""  # with the downloads
        self.crash: Exception | None = None
        self.choices: dict[tuple[str, str], tuple[Picture, tuple[Picture, ...]]] = {}  # by offer and rater
        self.models_loaded = True
        self.attended: list[Path] = []  # runs that are followed by a round
        self._folder = data / "clips"
        self._folder.mkdir(parents=True, exist_ok=True)
        self.start_pairs()
        self._menu = PackMenu(packs)
        self.trainings = FakeTrainings(data, self.profile, packs, self.actions, self.styles)
        self.picture_trainings = PictureTrainings(self.trainings, PainterLoras(packs), self.profile)
        self.blind_rounds, self.loras = FakeRounds(packs), FakeLoras(packs, data)
        self.taught = Taught(packs, self.trainings, self.actions)

    @cached_property
    def picture_rounds(self) -> PictureRounds:
        choices = Store(self.data / "round").picture_choices
        text = self.trainings.supply.text
        return PictureRounds(
            self._draw_with, choices, self.actions, self.styles, text, lambda run: run.path in self.attended
        )

    def status(self) -> str:
        return "Miniature on cpu, models loaded" if self.models_loaded else "Miniature, models not loaded yet"

    @property
    def loaded(self) -> bool:
        return self.models_loaded

    def words(self, prompt: str, action: str | None = None, style: str | None = None) -> Reading:
        return read(vocabulary(self.profile.first_frame.base), prompt)

    def missing_downloads(self, *chosen: str) -> list[Download]:
        more = [download for download in self.for_plain if "plain" in chosen and not self.agreed_to_plain]
        return [*([] if self.agreed else self.downloads), *more]

    def allow_downloads(self, *chosen: str) -> None:
        self.agreed, self.agreed_to_plain = True, "plain" in chosen

    def painters(self) -> list[PainterChoice]:
        return PainterMenu(self.profile, self.data / "packs").choices()

    def warm_up(self) -> str:
        """Nothing to load; where something is wrong, the downloads are still missing."""
        self.agreed = self.agreed and not self.wrong
        return self.wrong

    def packs(self, action: str | None = None, trials: bool = False) -> list[PackChoice]:
        own = []
        for name in [action] if action else self.actions:
            title = self.actions[name].title if name in self.actions else name
            own += [PackChoice(name, f"{title} (motion)"), PackChoice(f"{name}/liked", f"{title} + liked")]
        known = ["", *(choice.id for choice in own)]
        kept = [choice for choice in self._menu.choices(action, trials) if choice.id not in known]
        return [*own, *self.extra_packs, *kept, PackChoice("", "None (base model)")]

    def called_now(self, name: str) -> str:
        return PainterMenu(self.profile, self.data / "packs").now(self._menu.now(name))

    def surprise(self, seed: int) -> Recipe:
        draw = random.Random(seed)
        action, style = draw.choice(list(self.actions)), draw.choice(list(self.styles))
        return self.defaults().with_(prompt=draw.choice(self.actions[action].examples), action=action, style=style)

    def defaults(self, sampler: str = "fast", pack: str | None = None) -> Recipe:
        action, style = next(iter(self.actions)), next(iter(self.styles))
        return self._complete(Recipe(self.actions[action].examples[0], action, style, sampler=sampler))

    def first_frame(
        self, recipe: Recipe, stop: threading.Event, *, steps: int | None = None
    ) -> Iterator[Progress | Picture]:
        recipe = self._complete(recipe).with_(origin="generated")
        image = self._draw(recipe, 0.0)
        yield from self._work("drawing the first frame", 6, stop, lambda part: _noisy(image, 1 - part))
        yield Picture(image, recipe)

    def first_frames(self, recipe: Recipe, stop: threading.Event) -> Iterator[Progress | Picture]:
        for number in range(4):
            yield from self.first_frame(recipe.with_(seed=recipe.seed + number), stop)

    def choose_first_frame(self, offer: str, rater: str, chosen: Picture, others: Sequence[Picture]) -> None:
        self.choices[offer, rater] = chosen, tuple(others)

    def choose_no_first_frame(self, offer: str, rater: str) -> None:
        self.choices.pop((offer, rater))

    def _draw_with(
        self, recipe: Recipe, stop: threading.Event, lora: Path | None, patient: bool
    ) -> Iterator[Progress | Picture]:
        """A LoRA makes the picture a negative."""
        *_, picture = self.first_frame(recipe, stop)
        yield Progress("drawing", 1, 2)
        yield Picture(255 - picture.image if lora else picture.image, picture.recipe)

    def repaint(
        self, recipe: Recipe, image: np.ndarray, mask: np.ndarray, stop: threading.Event
    ) -> Iterator[Progress | Picture]:
        if mask.shape != image.shape[:2] or not mask.any():
            raise UserError("Nothing is marked. Brush over the part that should be drawn anew, then try again.")
        recipe = self._complete(recipe).with_(origin="edited")
        result = np.where(mask[..., None], np.uint8([240, 200, 60]), image)
        yield from self._work("drawing the marked part", 4, stop, lambda part: result)
        yield Picture(result, recipe)

    def fit(self, image: np.ndarray) -> np.ndarray:
        return media.fit(image, self.profile.video.width, self.profile.video.height)

    def animate(self, recipe: Recipe, image: np.ndarray, stop: threading.Event) -> Iterator[Progress | Clip]:
        recipe = self._complete(recipe)
        image = self.fit(image)
        recipe = recipe.with_(first_frame=hashlib.sha256(image.tobytes()).hexdigest())
        shifts = 6 * np.arange(recipe.frames)
        clip = np.stack([np.roll(image, shift, axis=1) for shift in shifts])
        began = time.monotonic()
        yield from self._work("animating", recipe.steps, stop, lambda part: clip[:, ::2, ::2])
        yield self._keep(recipe, image, clip, time.monotonic() - began)

    def gallery(self, for_rating: bool = False) -> list[Clip]:
        clips = [self.clip(path.stem) for path in self._folder.glob("*.json")]
        clips = [clip for clip in clips if for_rating or clip.id not in self.for_rating]
        return sorted(clips, key=lambda clip: -clip.created)

    def clip(self, clip_id: str) -> Clip:
        path = self._folder / f"{clip_id}.json"
        if not clip_id.isalnum() or not path.exists():
            raise UserError("That clip is no longer there. Reload the page to see the present gallery.")
        row = json.loads(path.read_text())
        recipe = Recipe.from_dict(row["recipe"])
        return Clip(clip_id, recipe, path.with_suffix(".mp4"), path.with_suffix(".png"), row["created"], row["seconds"])

    def delete(self, clip_id: str) -> None:
        self.clip(clip_id)
        for path in self._folder.glob(f"{clip_id}.*"):
            path.unlink()

    def gif(self, clip_id: str) -> Path:
        path = self.clip(clip_id).video
        frames, fps = media.read_video(path)
        return media.write_gif(path.with_suffix(".gif"), frames, fps)

    def open_recipe(self, video: Path) -> Picture:
        values = media.read_recipe(video)
        if values is None:
            raise UserError("This video carries no recipe. Drop an MP4 that was made here, as it was downloaded.")
        recipe = Recipe.from_dict(values).check(self.actions, self.styles)
        return Picture(self.fit(media.read_video(video, max_frames=1).frames[0]), recipe)

    def evaluate(
        self, clips: Path | Sequence[Path], stop: threading.Event, *, prompts: str = ""
    ) -> Iterator[Progress | Evaluation]:
        self.steps_done = 0
        for item in evaluate(clips, stop, prompts=prompts):
            time.sleep(self.pause)
            self.steps_done += isinstance(item, Progress)
            yield item

    def _complete(self, recipe: Recipe) -> Recipe:
        recipe.check(self.actions, self.styles)
        video = self.profile.video
        PainterMenu(self.profile, self.data / "packs").check(recipe.painter)
        return recipe.with_(
            steps=recipe.steps or (video.steps if recipe.sampler == "fast" else video.ddim_steps),
            guidance=video.guidance if recipe.guidance < 0 else recipe.guidance,
            frames=recipe.frames or video.frames,
            pack=recipe.action if recipe.pack is None else recipe.pack,
            profile=self.profile.name,
        )

    def _work(self, stage: str, total: int, stop: threading.Event, preview) -> Iterator[Progress]:
        if self.downloads and not self.agreed:
            raise UserError("The models are not on this machine yet. Agree to the download first.")
        self.steps_done = 0
        for step in range(1, total + 1):
            time.sleep(self.pause)
            if stop.is_set():
                raise Stopped
            if self.crash:
                raise self.crash
            self.steps_done = step
            yield Progress(stage, step, total, (total - step) * self.pause, preview(step / total))

    def _keep(self, recipe: Recipe, image: np.ndarray, frames: np.ndarray, seconds: float) -> Clip:
        path = self._folder / f"{uuid.uuid4().hex}.json"
        media.write_png(path.with_suffix(".png"), image)
        media.write_mp4(path.with_suffix(".mp4"), frames, self.profile.video.fps, recipe.to_dict())
        path.write_text(json.dumps({"recipe": recipe.to_dict(), "created": time.time(), "seconds": seconds}))
        return self.clip(path.stem)

    def _draw(self, recipe: Recipe, turn: float) -> np.ndarray:
        """A sun over hills; the colours come from prompt, style and seed."""
        size = self.profile.video
        key = f"{recipe.prompt}|{recipe.style}|{recipe.action}|{recipe.seed}{recipe.painter}"
        draw = np.random.default_rng(list(hashlib.sha256(key.encode()).digest()))
        y, x = np.mgrid[0 : size.height, 0 : size.width] / [[[size.height]], [[size.width]]]
        top, bottom, hill, sun = draw.uniform(40, 245, (4, 1, 1, 3))
        image = top + (bottom - top) * y[..., None]
        centre = draw.uniform(0.25, 0.75), draw.uniform(0.2, 0.5)
        round_sun = ((x - centre[0]) * 1.6) ** 2 + (y - centre[1]) ** 2 < 0.03
        image = np.where(round_sun[..., None], sun, image)
        for depth in range(3):
            ridge = 0.55 + 0.14 * depth + 0.06 * np.sin(9 * x + 5 * draw.random()) + 0.03 * np.sin(23 * x + turn)
            image = np.where((y > ridge)[..., None], hill * (0.9 - 0.22 * depth), image)
        return image.clip(0, 255).astype(np.uint8)


def _noisy(image: np.ndarray, share: float) -> np.ndarray:
    noise = np.random.default_rng(0).integers(0, 255, image.shape)
    return (image * (1 - share) + noise * share).astype(np.uint8)
