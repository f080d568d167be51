"""The endpoints for programs that choose: /first_frames, /choose_first_frame."""

import threading
from collections.abc import Iterator
from contextlib import closing

import gradio as gr
from PIL import Image

from huvidpo_core.engine import Engine, Picture
from huvidpo_core.errors import UserError
from huvidpo_core.recipe import Recipe
from huvidpo_core.ui.api_words import offer
from huvidpo_core.ui.prefer_ballots import read_rater
from huvidpo_core.ui.session import Few, Wording
from huvidpo_core.ui.work import told


class FirstFramesApi:
    """Endpoint functions. What was offered is remembered for the client's session."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def first_frames(
        self, prompt: str, action: str, style: str, seed: int | None = None, painter: str | None = ""
    ) -> Iterator[tuple[list[Image.Image] | None, Few | None]]:
        """Draw four first frames to choose from.

        Args: prompt, action, style, seed, painter: as /first_frame; the other three have the seeds that follow.

        Returns: the pictures, PNG, at the size the video model works at; /choose_first_frame speaks of these.
        """
        stop, few = threading.Event(), Few(Wording(prompt, action, style))
        try:
            with told():
                recipe = Recipe.asked(prompt, action, style, seed=seed, painter=painter or None)
                with closing(self.engine.first_frames(recipe, stop)) as items:
                    for item in items:
                        if isinstance(item, Picture):
                            few.pictures.append(item)
                        yield None, None
            yield [Image.fromarray(picture.image) for picture in few.pictures], few
        finally:
            stop.set()

    def choose_first_frame(self, number: int | None, rater: str, few: Few | None) -> int:
        """Say which of the pictures that /first_frames has drawn for this client last is better than the others.

        Args: number: 0 to 3, in their order; rater: a name, kept beside the choice. A later choice from the same
        pictures takes its place.

        Returns: the chosen picture's seed, which draws it again.
        """
        with told():
            if few is None:
                raise UserError("Nothing was drawn to choose from. Ask /first_frames first, with the same client.")
            if number not in range(len(few.pictures)):
                raise UserError(f"There is no picture {number}. Choose one of 0 to {len(few.pictures) - 1}.")
            chosen, others = few.pick(int(number))
            self.engine.choose_first_frame(few.offer, read_rater(rater), chosen, others)
            return chosen.recipe.seed

    def wire(self) -> None:
        """Make the endpoints, on components nobody sees."""
        own = self.engine.defaults()
        few = gr.State(None)
        with gr.Column(visible=False):
            prompt, painter = gr.Textbox(label="prompt"), gr.Textbox("", label="painter")
            action, style = gr.Textbox(own.action, label="action"), gr.Textbox(own.style, label="style")
            seed, number = gr.Number(0, precision=0, label="seed"), gr.Number(precision=0, label="number")
            pictures, rater = gr.Gallery(format="png", label="pictures"), gr.Textbox(label="rater")
            button = gr.Button()
        offer(
            button, self.first_frames, [prompt, action, style, seed, painter], [pictures, few],
            concurrency_id="gpu", concurrency_limit=1,
        )  # fmt: skip
        offer(button, self.choose_first_frame, [number, rater, few], seed)
