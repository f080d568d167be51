"""The endpoints for programs: /first_frame, /animate, /generate, /next_pair, /vote, /rate_clip, /evaluate.

The page's own events are not endpoints.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from huvidpo_core.engine import Clip, Engine, Picture, Progress
from huvidpo_core.media import read_image
from huvidpo_core.recipe import Recipe
from huvidpo_core.ui.api_words import offer
from huvidpo_core.ui.prefer_ballots import read_ballot, read_rater
from huvidpo_core.ui.prefer_desk import Desk, revealed_values, showing_values
from huvidpo_core.ui.work import told


class Api:
    """Endpoint functions. Each yields nothing useful until its last item, so that a client's cancel ends the work."""

    def __init__(self, engine: Engine, desk: Desk) -> None:
        self.engine, self.desk = engine, desk

    def first_frame(
        self, prompt: str, action: str, style: str, seed: int | None = None, steps: int | None = None,
        painter: str = "",
    ) -> Iterator[Image.Image | None]:  # fmt: skip
        """Draw a first frame.

        Args: prompt: the scene in words; action: a key of assets/actions.toml; style: a key of assets/styles.toml;
        seed: 0 to 4294967295, 0 if not given; steps: 1 to 200, the profile's own if not given; painter: who draws,
        "plain" or another of the profile's, its own if not given.

        Returns: the picture, PNG, at the size the video model works at.
        """

        def work(stop: threading.Event) -> Iterator[Progress | Picture]:
            recipe = Recipe.asked(prompt, action, style, seed=seed, steps=steps, painter=painter)
            # A recipe's steps are the clip's; these are the picture's.
            yield from self.engine.first_frame(recipe.with_(steps=0), stop, steps=recipe.steps or None)

        for item in self._run(work):
            yield Image.fromarray(item.image) if item else None

    def animate(
        self, image: str, prompt: str, action: str, style: str, seed: int | None = None, steps: int | None = None,
        guidance: float | None = None, sampler: str = "fast", pack: str | None = "auto", strength: float | None = None,
        frames: int | None = None,
    ) -> Iterator[tuple[str | None, dict | None]]:  # fmt: skip
        """Animate a picture.

        Args: image: a picture file of any size, refitted to the model's; prompt, action, style, seed: as /first_frame;
        steps, guidance, frames: the profile's own if not given; sampler: "fast" or "ddim"; pack: an action pack's name,
        "PACK/NAME" with a preference LoRA, "auto" for the action's own, "" for the bare base model; strength: of the
        pack, 0 to 1.5, 1 if not given.

        Returns: the clip, MP4; its recipe.
        """

        def work(stop: threading.Event) -> Iterator[Progress | Clip]:
            recipe = self._recipe(prompt, action, style, seed, steps, guidance, sampler, pack, strength, frames)
            picture = self.engine.fit(read_image(image or ""))
            yield from self.engine.animate(recipe.with_(origin="uploaded"), picture, stop)

        yield from self._clip(work)

    def generate(
        self, prompt: str, action: str, style: str, seed: int | None = None, steps: int | None = None,
        guidance: float | None = None, sampler: str = "fast", pack: str | None = "auto", strength: float | None = None,
        frames: int | None = None, painter: str = "",
    ) -> Iterator[tuple[str | None, dict | None]]:  # fmt: skip
        """From a prompt to a clip: draw the first frame and animate it.

        Args: as /animate, without the image; painter: as /first_frame.

        Returns: the clip, MP4; its recipe.
        """

        def work(stop: threading.Event) -> Iterator[Progress | Clip]:
            recipe = self._recipe(prompt, action, style, seed, steps, guidance, sampler, pack, strength, frames)
            recipe = recipe.with_(painter=painter or "")
            for item in self.engine.first_frame(recipe, stop):
                if isinstance(item, Progress):
                    yield item
            yield from self.engine.animate(recipe.with_(origin="generated"), item.image, stop)

        yield from self._clip(work)

    def evaluate(self, clips: list[str] | None, prompts: str = "") -> Iterator[dict | None]:
        """Measure clips: SSIM, MSE, motion, flicker and more, per clip and in total, beside a frozen first frame.

        Args: clips: MP4 and GIF files; prompts: a prompt on each line, in the order of the clips, or NAME, tab, PROMPT
        on each, or a JSON object; those in the clips' recipes if not given.

        Returns: what `python -m huvidpo_core evaluate --json` writes.
        """
        paths = [Path(clip) for clip in clips or []]
        for item in self._run(lambda stop: self.engine.evaluate(paths, stop, prompts=prompts or "")):
            yield item.to_dict() if item else None

    def next_pair(self, rater: str, action: str | None = None) -> tuple[dict | None, str | None, str | None]:
        """The next pair to compare; the same one again until it is answered.

        Args: rater: a name, kept beside the votes; action: a key of assets/actions.toml, any action if not given.

        Returns: {id, prompt, action, frames, fps}; the left clip, MP4; the right clip. All null when no pair is ready.
        """
        with told():
            showing = self.engine.next_pair(read_rater(rater), action or None)
            if showing is None:
                return None, None, None
            return showing_values(showing), *map(str, self.desk.reels.videos(showing))

    def vote(
        self, showing: str, rater: str, choice: str, marks: list | None = None, scores: dict | None = None,
        seconds: float | None = None,
    ) -> dict:  # fmt: skip
        """Answer a pair that /next_pair has shown to this rater.

        Args: showing: its id; rater: as /next_pair; choice: "left", "right", "tie", "both_bad" or "skip"; marks: a list
        of [first frame, frame after the last, "left", "right" or "tie"]; scores: {"left": {"aesthetics": 1 to 5,
        "consistency": ..., "alignment": ...}, "right": {...}}; seconds: how long it took to answer.

        Returns: the choice, and which model made the left and the right clip.
        """
        with told():
            return revealed_values(self.desk.vote(showing, rater, read_ballot(choice, marks, scores, seconds)))

    def rate_clip(self, clip: str, rater: str, score: float) -> int:
        """Rate one clip alone, 1 to 5; a later score by the same rater takes its place.

        Args: clip: its id, as in the page's address of it; rater: as /next_pair; score: 1 to 5.

        Returns: the score.
        """
        with told():
            whole = int(score) if isinstance(score, float) and score.is_integer() else score
            self.engine.rate_clip(clip, read_rater(rater), whole)
            return whole

    def _recipe(self, prompt: str, action: str, style: str, seed: int | None, steps: int | None,
                guidance: float | None, sampler: str, pack: str | None, strength: float | None,
                frames: int | None) -> Recipe:  # fmt: skip
        pack = None if pack == "auto" else pack
        return Recipe.asked(
            prompt, action, style, seed=seed, steps=steps, guidance=guidance, sampler=sampler, pack=pack,
            strength=strength, frames=frames,
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
            action, style = gr.Textbox(own.action, label="action"), gr.Textbox(own.style, label="style")
            seed, steps = gr.Number(0, precision=0, label="seed"), gr.Number(None, precision=0, label="steps")
            image = gr.File(label="image", type="filepath")
            guidance, strength = gr.Number(None, label="guidance"), gr.Number(1, label="strength")
            sampler, pack = gr.Textbox("fast", label="sampler"), gr.Textbox("auto", label="pack")
            frames = gr.Number(None, precision=0, label="frames")
            painter = gr.Textbox("", label="painter")
            picture = gr.Image(format="png", label="picture")
            video, recipe = gr.File(label="video"), gr.JSON(label="recipe")
            files = gr.File(label="clips", type="filepath", file_count="multiple")
            prompts, report = gr.Textbox("", label="prompts"), gr.JSON(label="report")
            rater, asked = gr.Textbox(label="rater"), gr.Textbox("", label="action")
            showing, choice = gr.Textbox(label="showing"), gr.Textbox(label="choice")
            marks, scores = gr.JSON([], label="marks"), gr.JSON({}, label="scores")
            pair, revealed, answered = gr.JSON(label="pair"), gr.JSON(label="revealed"), gr.Number(0, label="seconds")
            left, right = gr.File(label="left"), gr.File(label="right")
            clip, score = gr.Textbox(label="clip"), gr.Number(label="score")
            button = gr.Button()
        rest = [seed, steps, guidance, sampler, pack, strength, frames]
        making = {"concurrency_id": "gpu", "concurrency_limit": 1}
        offer(button, self.first_frame, [prompt, action, style, seed, steps, painter], picture, **making)
        offer(button, self.animate, [image, prompt, action, style, *rest], [video, recipe], **making)
        offer(button, self.generate, [prompt, action, style, *rest, painter], [video, recipe], **making)
        offer(button, self.evaluate, [files, prompts], report, concurrency_limit=1)
        offer(button, self.next_pair, [rater, asked], [pair, left, right])
        offer(button, self.vote, [showing, rater, choice, marks, scores, answered], revealed)
        offer(button, self.rate_clip, [clip, rater, score], score)
