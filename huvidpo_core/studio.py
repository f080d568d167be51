"""Where pictures and clips are made to a recipe: the steps between the engine's use cases and the models."""

import hashlib
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from huvidpo_core import __version__, media
from huvidpo_core.config import Action, Profile, Style, compose_prompt
from huvidpo_core.errors import Stopped, UserError
from huvidpo_core.gallery import Gallery
from huvidpo_core.models.menu import PackMenu
from huvidpo_core.models.painter_menu import PainterMenu
from huvidpo_core.progress import Progress, Stopwatch, generate
from huvidpo_core.recipe import ANIMATEDIFF, SEEDS, Recipe, check_steps
from huvidpo_core.results import Clip, Film, Picture
from huvidpo_core.workbench import Workbench

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class Studio:
    """One profile's models at work, its packs, and the gallery that the clips go to.

    Every piece of work is a generator of `Progress` that ends with its result. Work that is `patient` waits until
    nobody else wants the models.
    """

    def __init__(
        self,
        profile: Profile,
        bench: Workbench,
        packs: Path,
        clips: Gallery,
        actions: Mapping[str, Action],
        styles: Mapping[str, Style],
    ) -> None:
        self.profile = profile
        self._bench, self._packs, self._menu, self._clips = bench, packs, PackMenu(packs, profile), clips
        self._painters = PainterMenu(profile, packs)
        self._actions, self._styles = actions, styles

    def complete(self, recipe: Recipe) -> Recipe:
        """The recipe, checked, every 'profile's own' filled in, LoRAs by their present names. Raises UserError."""
        recipe.check(self._actions, self._styles)
        recipe = recipe.with_(pack=recipe.pack and self._menu.now(recipe.pack))
        video = self.profile.video
        steps, guidance = video.steps if recipe.sampler == "fast" else video.ddim_steps, video.guidance
        if recipe.pack:
            self._menu.check(recipe.pack)
        if recipe.pack == ANIMATEDIFF and self.profile.animatediff:
            if recipe.reference:
                raise UserError("AnimateDiff cannot vary the motion of another clip. Choose another motion.")
            steps, guidance = self.profile.animatediff.steps, self.profile.animatediff.guidance
            recipe = recipe.with_(strength=1.0)  # of a pack, and it has none
        painter = "" if recipe.origin in ("uploaded", "brought") else self._painters.now(recipe.painter)
        self._painters.check(painter)
        return recipe.with_(
            painter=painter,
            steps=recipe.steps or steps,
            guidance=guidance if recipe.guidance < 0 else recipe.guidance,
            frames=recipe.frames or video.frames,
            pack=self._menu.default(recipe.action) if recipe.pack is None else recipe.pack,
            profile=self.profile.name,
            version=__version__,
        )

    def fit(self, image: np.ndarray) -> np.ndarray:
        """Refit any picture uint8 (h, w, 3) to the video model's size by centre crop and resize."""
        size = self.profile.video
        return media.fit(image, size.width, size.height)

    def draw(
        self,
        recipe: Recipe,
        stop: threading.Event,
        *,
        steps: int | None = None,
        patient: bool = False,
        lora: Path | None = None,
    ) -> Iterator[Progress | Picture]:
        """Draw the first frame; the last item is the Picture. No `steps`: the profile's. With the file of a `lora` that
        stands in no menu the profile's own painter draws with that. Raises UserError, Stopped."""
        check_steps(steps)
        recipe = self.complete(recipe.with_(origin="generated"))
        yield from self._paint(recipe, stop, patient, lambda painter, text, style, on_step: painter.draw(
            text, style.negative_prompt, recipe.seed, on_step, steps=steps or 0), lora)  # fmt: skip

    def draw_several(self, recipe: Recipe, count: int, stop: threading.Event) -> Iterator[Progress | Picture]:
        """Draw `count` first frames, of this seed and those that follow it; each Picture comes as soon as it is done.

        Raises UserError, Stopped.
        """
        for number in range(count):
            seeded = recipe.with_(seed=(recipe.seed + number) % SEEDS)
            for item in self.draw(seeded, stop):
                if isinstance(item, Progress):
                    item = replace(item, stage=f"{item.stage}, {number + 1} of {count}")
                yield item

    def repaint(
        self, recipe: Recipe, image: np.ndarray, mask: np.ndarray, stop: threading.Event
    ) -> Iterator[Progress | Picture]:
        """Draw the masked part (bool (h, w)) of a picture anew, the rest stays. Raises UserError, Stopped."""
        if mask.shape != image.shape[:2] or not mask.any():
            raise UserError("Nothing is marked. Brush over the part that should be drawn anew, then try again.")
        recipe = self.complete(recipe.with_(origin="edited"))
        yield from self._paint(recipe, stop, False, lambda painter, text, style, on_step: painter.repaint(
            image, mask, text, style.negative_prompt, recipe.seed, on_step))  # fmt: skip

    def animate(self, recipe: Recipe, image: np.ndarray, stop: threading.Event) -> Iterator[Progress | Clip]:
        """Animate a picture uint8 (h, w, 3), refitted if needed; the last item is the Clip, saved and in the gallery.

        Raises:
            UserError: the recipe or a file it names is at fault.
            Stopped: `stop` was set; nothing is kept.
        """
        with closing(self.film(recipe, image, stop)) as items:
            for item in items:
                yield self.keep(item) if isinstance(item, Film) else item

    def keep(self, film: Film) -> Clip:
        """Save what `film` made and put it into the gallery: all or nothing. Raises UserError."""
        return self._clips.keep(film.recipe, film.image, film.frames, self.profile.video.fps, film.seconds)

    def film(
        self, recipe: Recipe, image: np.ndarray, stop: threading.Event, *, patient: bool = False
    ) -> Iterator[Progress | Film]:
        """As `animate`, but the last item is a Film, which is not saved.

        A recipe with a `reference` begins from that clip's frames instead of pure noise, and is as long as they are.

        Raises:
            UserError: the recipe or a file it names is at fault.
            Stopped: `stop` was set.
        """
        recipe = self.complete(recipe)
        image = self.fit(image)
        reference = self._frames_of(recipe.reference, recipe.frames) if recipe.reference else None
        recipe = recipe.with_(
            first_frame=hashlib.sha256(image.tobytes()).hexdigest(),
            frames=recipe.frames if reference is None else len(reference),
        )
        began = time.monotonic()
        with self._bench.reserved(stop, patient=patient):
            recipe = self.complete(recipe)  # a LoRA may have been renamed or deleted while this waited
            models = yield from self._bench.ready(stop, self._menu.downloads(recipe.pack))
            models.check_room(recipe.frames, recipe.pack)
            animator = models.animator_for(recipe.pack)
            pack = models.use_pack(self._packs, recipe.pack, recipe.strength)
            watch: Stopwatch | None = None
            work = animator.steps(
                image,
                self._text(recipe, models.animator.tokenizer),
                self.profile.video.negative_prompt,
                recipe.seed,
                sampler=recipe.sampler,
                steps=recipe.steps,
                guidance=recipe.guidance,
                frames=recipe.frames,
                reference=reference,
                eta=recipe.eta,
                shared_noise=pack.shared_noise if pack and recipe.strength else None,
            )
            with closing(work):
                for step, preview in work:
                    watch = watch or Stopwatch("animating", step.total)
                    yield watch.at(step.index + 1, preview)
                    if stop.is_set():
                        raise Stopped
            yield Progress("decoding the clip", 0, 1)
            frames = animator.finish(step.latents)
        yield Film(recipe, image, frames, time.monotonic() - began)

    def _text(self, recipe: Recipe, tokenizer: "PreTrainedTokenizerBase") -> str:
        """What a model whose text encoder has this tokenizer is told."""
        from huvidpo_core.generation.words import fitted

        action, style = self._actions[recipe.action], self._styles[recipe.style]
        return fitted(lambda words: compose_prompt(words, action, style), recipe.prompt, tokenizer)

    def _frames_of(self, clip_id: str, most: int) -> np.ndarray:
        size = self.profile.video
        video = self._clips.get(clip_id).video
        frames = media.read_video(video, max_frames=most, size=(size.width, size.height)).frames
        if len(frames) < 2:
            raise UserError("The reference clip has a single frame. Choose one that moves.")
        return frames

    def _paint(
        self, recipe: Recipe, stop: threading.Event, patient: bool, work, lora: Path | None = None
    ) -> Iterator[Progress | Picture]:
        style = self._styles[recipe.style]
        with self._bench.reserved(stop, patient=patient):
            recipe = self.complete(recipe)  # as in `film`
            needed = self._painters.downloads(recipe.painter)
            models = yield from self._bench.ready(stop, needed)
            painter = models.painter_for(recipe.painter, lora or self._painters.lora(recipe.painter))
            text = self._text(recipe, painter.text_to_image.tokenizer)
            watch: Stopwatch | None = None

            def run(report) -> np.ndarray:
                def on_step(step: int, total: int, latents) -> bool:
                    nonlocal watch
                    watch = watch or Stopwatch("drawing the first frame", total)
                    ended = report(watch.at(step, painter.preview(latents)))
                    return report(Progress("decoding the picture", 0, 1)) if step == total else ended

                return work(painter, text, style, on_step)

            for item in generate(run, stop):
                if isinstance(item, Progress):
                    yield item
        # After the lock is released: whoever gets the picture may animate it at once, before asking for a next item.
        yield Picture(self.fit(item), recipe, item)
