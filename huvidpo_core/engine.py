"""The use cases, one method each: everything a face (UI, CLI, a script) may ask for. No gradio, no argparse.

Long work is a generator: it yields `Progress` at every step and ends with its result, so that a face shows progress,
previews and stops as it likes. Models load at first use; importing this module loads neither torch nor diffusers.
"""

import hashlib
import logging
import random
import shutil
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

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
from huvidpo_core.errors import Stopped, UserError
from huvidpo_core.models.packs import list_packs
from huvidpo_core.preferences.store import Store, StoredClip
from huvidpo_core.progress import Progress, Stopwatch, generate
from huvidpo_core.recipe import Recipe
from huvidpo_core.results import Clip, PackChoice, Picture

log = logging.getLogger(__name__)

__all__ = ["Clip", "Engine", "PackChoice", "Picture", "Progress", "choose_profile"]


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
        self._device = device
        self._models = None
        self._loading = threading.Lock()
        self._working = threading.Lock()
        self._store = Store(data)
        self._downloads_allowed = False

    # What there is

    def status(self) -> str:
        """One line for people: the profile, the device, whether the models are loaded."""
        if self._models is None:
            return f"{self.profile.title}, models not loaded yet"
        return f"{self.profile.title} on {self._models.device}, models loaded"

    def missing_downloads(self) -> list[Download]:
        """Downloads that are not on this machine yet; empty for the miniature."""
        if not self.profile.downloads:
            return []
        from huvidpo_core.generation.downloads import is_present

        return [download for download in self.profile.downloads if not is_present(download)]

    def allow_downloads(self) -> None:
        """The person has seen `missing_downloads` and agreed; the next use of the models fetches them."""
        self._downloads_allowed = True

    def packs(self, action: str) -> list[PackChoice]:
        """The menu of an action: its packs and their preference LoRAs on disk now, the default first, base last."""
        choices = []
        for pack in list_packs(self._packs_folder):
            if pack.action == action:
                choices.append(PackChoice(pack.name, f"{pack.title} (motion)"))
                choices += [PackChoice(f"{pack.name}/{name}", f"{pack.title} + {name}") for name in pack.preferences]
        own = [choice for choice in choices if choice.id == action]
        return [*own, *(c for c in choices if c.id != action), PackChoice("", "None (base model)")]

    def surprise(self, seed: int) -> Recipe:
        """A prompt, style and action drawn by the seed from the examples."""
        draw = random.Random(seed)
        action = draw.choice(list(self.actions))
        style = draw.choice(list(self.styles))
        return replace(self.defaults(), prompt=draw.choice(self.actions[action].examples), action=action, style=style)

    def defaults(self, sampler: str = "fast") -> Recipe:
        """The profile's own steps, guidance and frames for this sampler, with some prompt, action and style."""
        action, style = next(iter(self.actions)), next(iter(self.styles))
        empty = Recipe(prompt=self.actions[action].examples[0], action=action, style=style, sampler=sampler)
        return self._complete(empty)

    # First frames

    def first_frame(self, recipe: Recipe, stop: threading.Event, *, steps: int = 0) -> Iterator[Progress | Picture]:
        """Draw the first frame; the last item is the Picture. `steps` 0: the profile's. Raises UserError, Stopped."""
        if not 0 <= steps <= 200:
            raise UserError(
                f"The number of steps is {steps}; it must lie between 1 and 200, or 0 for the usual number."
            )
        recipe = self._complete(recipe).with_(origin="generated")
        yield from self._paint(recipe, stop, lambda models, text, style, on_step: models.painter.draw(
            text, style.negative_prompt, recipe.seed, on_step, steps=steps))  # fmt: skip

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
        with self._device_for_us(stop):
            models = yield from self._ready(stop)
            models.use_pack(self._packs_folder, recipe.pack, recipe.strength)
            watch = Stopwatch("animating", recipe.steps + 1)
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
            frames = models.animator.finish(step.latents)
        yield self._keep(recipe, image, frames, time.monotonic() - began)

    def gallery(self) -> list[Clip]:
        """All clips, newest first."""
        clips = []
        for stored in self._store.list():
            try:
                clips.append(self._clip(stored))
            except UserError as error:  # a newer version's clip must not hide all others
                log.warning("clip %s is left out of the gallery: %s", stored.id, error)
        return clips

    def clip(self, clip_id: str) -> Clip:
        """One clip by its id. Raises UserError if there is none."""
        return self._clip(self._store.get(clip_id))

    def delete(self, clip_id: str) -> None:
        """Remove a clip and its files."""
        self._store.delete(clip_id)

    def gif(self, clip_id: str) -> Path:
        """The clip as a GIF (made on first request)."""
        path = self.clip(clip_id).video.with_suffix(".gif")
        if not path.exists():
            frames, fps = media.read_video(path.with_suffix(".mp4"))
            media.write_gif(path, frames, fps)
        return path

    def open_recipe(self, video: Path) -> Picture:
        """The recipe in a dropped MP4, with its first frame (ours from the gallery if known, else the video's own)."""
        values = media.read_recipe(video)
        if values is None:
            raise UserError("This video carries no recipe. Drop an MP4 that was made here, as it was downloaded.")
        recipe = Recipe.from_dict(values).check(self.actions, self.styles)
        for clip in self.gallery():
            if recipe.first_frame and clip.recipe.first_frame == recipe.first_frame and clip.picture.exists():
                return Picture(media.read_image(clip.picture), recipe)
        return Picture(self.fit(media.read_video(video, max_frames=1).frames[0]), recipe)

    # How

    def warm_up(self) -> None:
        """Load the models now; a failure is logged and shown when they are first needed."""
        if self.missing_downloads() and not self._downloads_allowed:
            return
        try:
            self._load()
        except UserError as error:
            log.warning("%s", error)

    def _load(self):
        from huvidpo_core.generation.models import Models

        with self._loading:
            if self._models is None:
                if missing := self.missing_downloads():
                    if not self._downloads_allowed:
                        names = "; ".join(f"{d.name} ({d.gigabytes} GB, {d.licence})" for d in missing)
                        raise UserError(
                            f"These models are not on this machine yet: {names}. Agree to the download first: on the "
                            "page, or with --allow-downloads on the command line."
                        )
                    from huvidpo_core.generation.downloads import fetch

                    for item in missing:
                        fetch(item)
                self._models = Models.load(self.profile, self._device)
            return self._models

    def _ready(self, stop: threading.Event):
        if self._models is None:
            yield Progress("loading the models", 0, 1)
        models = self._load()
        if stop.is_set():
            raise Stopped
        return models

    def _paint(self, recipe: Recipe, stop: threading.Event, work) -> Iterator[Progress | Picture]:
        style = self.styles[recipe.style]
        text = compose_prompt(recipe.prompt, self.actions[recipe.action], style)
        with self._device_for_us(stop):
            models = yield from self._ready(stop)
            watch: Stopwatch | None = None

            def run(report) -> np.ndarray:
                def on_step(step: int, total: int, latents) -> bool:
                    nonlocal watch
                    watch = watch or Stopwatch("drawing the first frame", total)
                    return report(watch.at(step, models.picture_preview(latents)))

                return work(models, text, style, on_step)

            for item in generate(run, stop):
                if isinstance(item, Progress):
                    yield item
        # After the lock is released: whoever gets the picture may animate it at once, before asking for a next item.
        yield Picture(self.fit(item), recipe)

    @contextmanager
    def _device_for_us(self, stop: threading.Event) -> Iterator[None]:
        """One job at a time, since weights of packs are swapped in place. Raises Stopped while waiting."""
        while not self._working.acquire(timeout=0.2):
            if stop.is_set():
                raise Stopped
        try:
            yield
        finally:
            self._working.release()

    def _complete(self, recipe: Recipe) -> Recipe:
        """The recipe with every 'profile's own' filled in, checked."""
        recipe.check(self.actions, self.styles)
        video = self.profile.video
        default_steps = video.steps if recipe.sampler == "fast" else video.ddim_steps
        pack = recipe.pack
        if pack is None:
            pack = recipe.action if (self._packs_folder / recipe.action).is_dir() else ""
        return recipe.with_(
            steps=recipe.steps or default_steps,
            guidance=video.guidance if recipe.guidance < 0 else recipe.guidance,
            frames=recipe.frames or video.frames,
            pack=pack,
            profile=self.profile.name,
            version=__version__,
        )

    def _keep(self, recipe: Recipe, image: np.ndarray, frames: np.ndarray, seconds: float) -> Clip:
        clip_id = uuid.uuid4().hex
        media.write_png(self._store.picture(clip_id), image)
        try:
            media.write_mp4(self._store.video(clip_id), frames, self.profile.video.fps, recipe.to_dict())
            return self._clip(self._store.add(clip_id, recipe.to_dict(), seconds))
        except UserError:
            for path in (self._store.picture(clip_id), self._store.video(clip_id)):
                path.unlink(missing_ok=True)
            raise

    def _clip(self, stored: StoredClip) -> Clip:
        return Clip(
            id=stored.id,
            recipe=Recipe.from_dict(stored.recipe),
            video=self._store.video(stored.id),
            picture=self._store.picture(stored.id),
            created=stored.created,
            seconds=stored.seconds,
        )


def _grey(mask: np.ndarray) -> np.ndarray:
    return np.repeat((mask.astype(np.uint8) * 255)[..., None], 3, axis=2)
