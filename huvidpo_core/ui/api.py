"""The endpoints for programs: /first_frame, /animate, /generate. The page's own events are not endpoints."""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import gradio as gr
from PIL import Image

from huvidpo_core.engine import Clip, Engine, Progress
from huvidpo_core.media import read_image
from huvidpo_core.recipe import Recipe
from huvidpo_core.ui.work import told


class Api:
    """Endpoint functions. Each yields nothing useful until its last item, so that a client's cancel ends the work."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def first_frame(self, prompt: str, style: str, action: str, seed: int, steps: int) -> Iterator[Image.Image | None]:
        """Draw a first frame.

        Args: prompt: the scene in words; style: a key of assets/styles.toml; action: a key of assets/actions.toml;
        seed: 0 to 4294967295; steps: 0 for the profile's own.

        Returns: the picture, PNG, at the size the video model works at.
        """
        recipe = Recipe(prompt, action, style, seed=int(seed))
        for item in self._run(lambda stop: self.engine.first_frame(recipe, stop, steps=int(steps))):
            yield Image.fromarray(item.image) if item else None

    def animate(
        self, image: str, prompt: str, action: str, style: str, seed: int, steps: int, guidance: float, sampler: str,
        pack: str, strength: float, frames: int,
    ) -> Iterator[tuple[str | None, dict | None]]:  # fmt: skip
        """Animate a picture.

        Args: image: a picture file of any size, refitted to the model's; prompt, action, style, seed: as /first_frame;
        steps: 0 for the profile's own; guidance: -1 for the profile's own; sampler: "fast" or "ddim"; pack: an action
        pack's name, "PACK/NAME" with a preference LoRA, "auto" for the action's own, "" for the bare base model;
        strength: of the pack, 0 to 1.5; frames: 0 for the profile's own.

        Returns: the clip, MP4; its recipe.
        """
        recipe = self._recipe(prompt, action, style, seed, steps, guidance, sampler, pack, strength, frames)
        with told():
            picture = self.engine.fit(read_image(image or ""))
        yield from self._clip(lambda stop: self.engine.animate(recipe.with_(origin="uploaded"), picture, stop))

    def generate(
        self, prompt: str, action: str, style: str, seed: int, steps: int, guidance: float, sampler: str, pack: str,
        strength: float, frames: int,
    ) -> Iterator[tuple[str | None, dict | None]]:  # fmt: skip
        """From a prompt to a clip: draw the first frame and animate it.

        Args: as /animate, without the image.

        Returns: the clip, MP4; its recipe.
        """
        recipe = self._recipe(prompt, action, style, seed, steps, guidance, sampler, pack, strength, frames)

        def both(stop: threading.Event) -> Iterator[Progress | Clip]:
            for item in self.engine.first_frame(recipe, stop):
                if isinstance(item, Progress):
                    yield item
            yield from self.engine.animate(recipe.with_(origin="generated"), item.image, stop)

        yield from self._clip(both)

    def _recipe(self, prompt: str, action: str, style: str, seed: int, steps: int, guidance: float, sampler: str,
                pack: str, strength: float, frames: int) -> Recipe:  # fmt: skip
        return Recipe(
            prompt, action, style, seed=int(seed), steps=int(steps), guidance=float(guidance), sampler=sampler,
            pack=None if pack == "auto" else pack, strength=float(strength), frames=int(frames),
        )  # fmt: skip

    def _clip(self, start: Callable[[threading.Event], Iterator]) -> Iterator[tuple[str | None, dict | None]]:
        for clip in self._run(start):
            yield (str(clip.video), clip.recipe.to_dict()) if clip else (None, None)

    def _run(self, start: Callable[[threading.Event], Iterator]) -> Iterator[Any]:
        """None at every step of the engine's work, its result at the end; a client that leaves stops it."""
        stop = threading.Event()
        try:
            with told(), closing(start(stop)) as items:
                for item in items:
                    yield None if isinstance(item, Progress) else item
        finally:
            stop.set()

    def wire(self) -> None:
        """Make the endpoints, on components nobody sees."""
        own = self.engine.defaults()
        with gr.Column(visible=False):
            prompt = gr.Textbox(label="prompt")
            style = gr.Textbox(own.style, label="style")
            action = gr.Textbox(own.action, label="action")
            seed, steps = gr.Number(0, precision=0, label="seed"), gr.Number(0, precision=0, label="steps")
            image = gr.File(label="image", type="filepath")
            guidance, strength = gr.Number(-1, label="guidance"), gr.Number(1, label="strength")
            sampler, pack = gr.Textbox("fast", label="sampler"), gr.Textbox("auto", label="pack")
            frames = gr.Number(0, precision=0, label="frames")
            picture = gr.Image(format="png", label="picture")
            video, recipe = gr.File(label="video"), gr.JSON(label="recipe")
            button = gr.Button()
        rest = [seed, steps, guidance, sampler, pack, strength, frames]
        for function, inputs, outputs in (
            (self.first_frame, [prompt, style, action, seed, steps], picture),
            (self.animate, [image, prompt, action, style, *rest], [video, recipe]),
            (self.generate, [prompt, action, style, *rest], [video, recipe]),
        ):
            button.click(
                function, inputs, outputs, api_name=function.__name__, concurrency_id="gpu", concurrency_limit=1,
            )  # fmt: skip
