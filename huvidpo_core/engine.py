"""The use cases, one method each: everything a face (UI, CLI, a script) may ask for. No gradio, no argparse.

Long work is a generator: it yields `Progress` at every step and ends with its result, so that a face shows progress,
previews and stops as it likes. Models load at first use; importing this module loads neither torch nor diffusers.
"""

import hashlib
import random
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from huvidpo_core import __version__, media
from huvidpo_core.config import (
    PACKS,
    Action,
    Download,
    Profile,
    Style,
    compose_prompt,
    load_actions,
    load_profile,
    load_styles,
)
from huvidpo_core.errors import Stopped, UserError, enough_memory
from huvidpo_core.gallery import Gallery
from huvidpo_core.models.menu import PackMenu
from huvidpo_core.progress import Progress, Stopwatch, generate
from huvidpo_core.recipe import Recipe, check_steps
from huvidpo_core.results import Clip, PackChoice, Picture, Reading
from huvidpo_core.workbench import Workbench

if TYPE_CHECKING:
    from huvidpo_core.evaluation import Evaluation
    from huvidpo_core.generation.models import Models

__all__ = ["Clip", "Engine", "PackChoice", "Picture", "Progress", "Reading", "choose_profile"]


def choose_profile(name: str | None) -> Profile:
    """The named profile; without a name `full` where a GPU has the memory for it, else `miniature`."""
    if name:
        return load_profile(name)
    full = load_profile("full")
    if shutil.which("nvidia-smi"):  # without a driver the slow import of torch can wait
        import torch

        if torch.cuda.is_available():
            memory = max(torch.cuda.get_device_properties(i).total_memory for i in range(torch.cuda.device_count()))
            if memory >= full.gpu_gigabytes * 1e9:
                return full
    return load_profile("miniature")


class Engine:
    """One profile's models, its packs and its data folder."""

    def __init__(self, profile: Profile, data: Path, device: str | None = None, packs: Path = PACKS) -> None:
        """Open the data folder; no model is loaded yet. Raises UserError when the folder cannot be used."""
        self.profile = profile
        self.data = data
        self.styles: dict[str, Style] = load_styles()
        self.actions: dict[str, Action] = load_actions()
        self._packs_folder = packs / profile.family
        self._menu = PackMenu(self._packs_folder)
        self._bench = Workbench(profile, device)
        self._clips = Gallery(data)

    # What there is

    def status(self) -> str:
        """One line for people: the profile, the device, whether the models are loaded."""
        if not self.loaded:
            return f"{self.profile.title}, models not loaded yet"
        return f"{self.profile.title} on {self._bench.models.device}, models loaded"

    @property
    def loaded(self) -> bool:
        """Whether the models are in memory."""
        return self._bench.models is not None

    def missing_downloads(self) -> list[Download]:
        """Downloads that are not on this machine yet; empty for the miniature."""
        return self._bench.missing_downloads()

    def allow_downloads(self) -> None:
        """The person has seen `missing_downloads` and agreed; the next use of the models fetches them."""
        self._bench.allow_downloads()

    def packs(self, action: str) -> list[PackChoice]:
        """The menu of an action: its packs and their preference LoRAs on disk now, the default first, base last."""
        return self._menu.choices(action)

    def words(self, prompt: str) -> Reading:
        """Which words of a prompt the first-frame model understands; loads no model."""
        from huvidpo_core.generation.words import read, vocabulary

        return read(vocabulary(self.profile.first_frame.base), prompt)

    def surprise(self, seed: int) -> Recipe:
        """A prompt, style and action drawn by the seed from the examples."""
        draw = random.Random(seed)
        action = draw.choice(list(self.actions))
        style = draw.choice(list(self.styles))
        return self._complete(Recipe(draw.choice(self.actions[action].examples), action, style))

    def defaults(self, sampler: str = "fast") -> Recipe:
        """The profile's own steps, guidance and frames for this sampler, with some prompt, action and style."""
        action, style = next(iter(self.actions)), next(iter(self.styles))
        empty = Recipe(prompt=self.actions[action].examples[0], action=action, style=style, sampler=sampler)
        return self._complete(empty)

    # First frames

    def first_frame(
        self, recipe: Recipe, stop: threading.Event, *, steps: int | None = None
    ) -> Iterator[Progress | Picture]:
        """Draw the first frame; the last item is the Picture. No `steps`: the profile's. Raises UserError, Stopped."""
        check_steps(steps)
        recipe = self._complete(recipe).with_(origin="generated")
        yield from self._paint(recipe, stop, lambda models, text, style, on_step: models.painter.draw(
            text, style.negative_prompt, recipe.seed, on_step, steps=steps or 0))  # fmt: skip

    def repaint(
        self, recipe: Recipe, image: np.ndarray, mask: np.ndarray, stop: threading.Event
    ) -> Iterator[Progress | Picture]:
        """Draw the masked part (bool (h, w)) of a picture anew, the rest stays. Raises UserError, Stopped."""
        if mask.shape != image.shape[:2] or not mask.any():
            raise UserError("Nothing is marked. Brush over the part that should be drawn anew, then try again.")
        recipe = self._complete(recipe).with_(origin="edited")
        size = self.profile.first_frame  # the painter's own, which may be larger than the video's
        image = media.fit(image, size.width, size.height)
        mask = media.fit(_grey(mask), size.width, size.height)[..., 0] > 127
        yield from self._paint(recipe, stop, lambda models, text, style, on_step: models.painter.repaint(
            image, mask, text, style.negative_prompt, recipe.seed, on_step))  # fmt: skip

    def fit(self, image: np.ndarray) -> np.ndarray:
        """Refit any picture uint8 (h, w, 3) to the model's size by centre crop and resize."""
        size = self.profile.video
        return media.fit(image, size.width, size.height)

    # Clips

    def animate(self, recipe: Recipe, image: np.ndarray, stop: threading.Event) -> Iterator[Progress | Clip]:
        """Animate a picture uint8 (h, w, 3), refitted if needed; the last item is the Clip, saved and in the gallery.

        Raises:
            UserError: the recipe or a file it names is at fault.
            Stopped: `stop` was set; nothing is kept.
        """
        recipe = self._complete(recipe)
        image = self.fit(image)
        recipe = recipe.with_(first_frame=hashlib.sha256(image.tobytes()).hexdigest())
        began = time.monotonic()
        style = self.styles[recipe.style]
        text = compose_prompt(recipe.prompt, self.actions[recipe.action], style)
        with self._bench.reserved(stop):
            models = yield from self._bench.ready(stop)
            models.use_pack(self._packs_folder, recipe.pack, recipe.strength)
            watch = Stopwatch("animating", recipe.steps)
            for step, preview in models.animator.steps(
                image,
                text,
                self.profile.video.negative_prompt,
                recipe.seed,
                sampler=recipe.sampler,
                steps=recipe.steps,
                guidance=recipe.guidance,
                frames=recipe.frames,
            ):
                yield watch.at(step.index + 1, preview)
                if stop.is_set():
                    raise Stopped
            yield Progress("decoding the clip", 0, 1)
            frames = models.animator.finish(step.latents)
        yield self._clips.keep(recipe, image, frames, self.profile.video.fps, time.monotonic() - began)

    def gallery(self) -> list[Clip]:
        """All clips, newest first."""
        return self._clips.list()

    def clip(self, clip_id: str) -> Clip:
        """One clip by its id. Raises UserError if there is none."""
        return self._clips.get(clip_id)

    def delete(self, clip_id: str) -> None:
        """Remove a clip and its files."""
        self._clips.delete(clip_id)

    def gif(self, clip_id: str) -> Path:
        """The clip as a GIF (made on first request)."""
        return self._clips.gif(clip_id)

    def open_recipe(self, video: Path) -> Picture:
        """The recipe in a dropped MP4, with its first frame (ours from the gallery if known, else the video's own)."""
        values = media.read_recipe(video)
        if values is None:
            raise UserError("This video carries no recipe. Drop an MP4 that was made here, as it was downloaded.")
        recipe = Recipe.from_dict(values).check(self.actions, self.styles)
        if picture := self._clips.picture_of(recipe):
            return Picture(media.read_image(picture), recipe)
        return Picture(self.fit(media.read_video(video, max_frames=1).frames[0]), recipe)

    def evaluate(
        self, clips: Path | Sequence[Path], stop: threading.Event, *, prompts: str = ""
    ) -> Iterator["Progress | Evaluation"]:
        """Measure the MP4s and GIFs of a folder, or these; the last item is the Evaluation. Raises UserError, Stopped.

        `prompts` is what a prompts file holds (`evaluation.clips`); it goes before the prompts in the clips' recipes.
        """
        from huvidpo_core.evaluation import evaluate

        with enough_memory():
            scorer, judge = self._bench.judges()
            yield from evaluate(clips, stop, prompts=prompts, scorer=scorer, judge=judge)

    # How

    def warm_up(self) -> None:
        """Load the models now; a failure is logged and shown when they are first needed."""
        self._bench.warm_up()

    def _load(self) -> "Models":
        return self._bench.load()

    def _paint(self, recipe: Recipe, stop: threading.Event, work) -> Iterator[Progress | Picture]:
        style = self.styles[recipe.style]
        text = compose_prompt(recipe.prompt, self.actions[recipe.action], style)
        with self._bench.reserved(stop):
            models = yield from self._bench.ready(stop)
            watch: Stopwatch | None = None

            def run(report) -> np.ndarray:
                def on_step(step: int, total: int, latents) -> bool:
                    nonlocal watch
                    watch = watch or Stopwatch("drawing the first frame", total)
                    ended = report(watch.at(step, models.picture_preview(latents)))
                    return report(Progress("decoding the picture", 0, 1)) if step == total else ended

                return work(models, text, style, on_step)

            for item in generate(run, stop):
                if isinstance(item, Progress):
                    yield item
        # After the lock is released: whoever gets the picture may animate it at once, before asking for a next item.
        yield Picture(self.fit(item), recipe)

    def _complete(self, recipe: Recipe) -> Recipe:
        """The recipe with every 'profile's own' filled in, checked."""
        recipe.check(self.actions, self.styles)
        video = self.profile.video
        default_steps = video.steps if recipe.sampler == "fast" else video.ddim_steps
        if recipe.pack:
            self._menu.check(recipe.pack)
        return recipe.with_(
            steps=recipe.steps or default_steps,
            guidance=video.guidance if recipe.guidance < 0 else recipe.guidance,
            frames=recipe.frames or video.frames,
            pack=self._menu.default(recipe.action) if recipe.pack is None else recipe.pack,
            profile=self.profile.name,
            version=__version__,
        )


def _grey(mask: np.ndarray) -> np.ndarray:
    return np.repeat((mask.astype(np.uint8) * 255)[..., None], 3, axis=2)
