"""The endpoints for programs that train: /align_start, /align_first_frame_start, /align_status, /align_stop."""

import math
from dataclasses import asdict
from typing import Any

import gradio as gr

from huvidpo_core.engine import Engine
from huvidpo_core.ui.api_words import offer
from huvidpo_core.ui.work import told


class AlignApi:
    """Endpoint functions. A training goes on without its client; what it does is asked for by its name."""

    def __init__(self, engine: Engine) -> None:
        self.trainings, self.picture_trainings = engine.trainings, engine.picture_trainings

    def align_start(
        self, action: str, loss: str = "", steps: int | None = None, preset: str = "", rater: str = "", name: str = ""
    ) -> str:
        """Begin a training on the votes for an action.

        Args: action: a key of assets/actions.toml; loss: "huvidpo", "dense", "dense-sum", or "kto", which learns from
        ratings of single clips, the preset's if empty; steps: at most, 0 for twelve passes over the pairs, the preset's
        if not given; preset: of assets/align, the profile's own if empty; rater: whose votes, people's if empty, or
        everybody's where no person has voted; name: of the LoRA.

        Returns: the run's name, for /align_status and /align_stop.
        """
        with told():
            run = self.trainings.begin(
                action, preset or "", raters=[rater] if rater else (), name=(name or "").strip(), loss=loss or None,
                steps=steps,
            )  # fmt: skip
            return run.path.name

    def align_first_frame_start(
        self, steps: int | None = None, preset: str = "", rater: str = "", name: str = ""
    ) -> str:
        """Begin a training on the choices of first frames.

        Args: steps: as /align_start; preset: of assets/picture, the profile's own if empty; rater: whose choices,
        everybody's if empty; name: of the LoRA.

        Returns: the run's name, for /align_status and /align_stop.
        """
        with told():
            run = self.picture_trainings.begin(
                preset or "", raters=[rater] if rater else (), name=(name or "").strip(), steps=steps
            )
            return run.path.name

    def align_status(self, run: str) -> dict[str, Any]:
        """Where a training stands.

        Args: run: its name.

        Returns: {run, status: "new", "running", "stopped", "finished", "failed" or "died", stage, step, steps,
        seconds_left: null while unknown, message, asked: what was asked for, metrics: {step, check}, the latest of
        each, null before the first}. Asked are pairs, or for "kto" good and bad clips.
        """
        with told():
            found = self.trainings.find(run, "align", "picture")
            state, asked = asdict(found.state()), found.asked()
        latest = {kind: next(reversed(found.metrics(kind)), None) for kind in ("step", "check")}
        told_of = ("status", "stage", "step", "steps", "seconds_left", "message")
        asked_for = ("action", "name", "pack", "raters", "pairs", "good", "bad", "settings")
        return {
            "run": run,
            **{key: state[key] for key in told_of},
            "asked": {key: asked.get(key) for key in asked_for},
            "metrics": {kind: values and _plain(values) for kind, values in latest.items()},
        }

    def align_stop(self, run: str) -> dict[str, Any]:
        """Ask a training to finish its step, save and end; it can be resumed on the page.

        Args: run: its name.

        Returns: as /align_status, at once; ask again until it has stopped.
        """
        with told():
            self.trainings.find(run, "align", "picture").ask_to_stop()
        return self.align_status(run)

    def wire(self) -> None:
        """Make the endpoints, on components nobody sees."""
        with gr.Column(visible=False):
            action, loss = gr.Textbox(label="action"), gr.Textbox("", label="loss")
            steps, preset = gr.Number(None, precision=0, label="steps"), gr.Textbox("", label="preset")
            rater, name = gr.Textbox("", label="rater"), gr.Textbox("", label="name")
            run, begun, status = gr.Textbox(label="run"), gr.Textbox(label="run"), gr.JSON(label="status")
            button = gr.Button()
        offer(button, self.align_start, [action, loss, steps, preset, rater, name], begun)
        offer(button, self.align_first_frame_start, [steps, preset, rater, name], begun)
        offer(button, self.align_status, [run], status)
        offer(button, self.align_stop, [run], status)


def _plain(values: dict[str, Any]) -> dict[str, Any]:
    """Without numbers that JSON does not know."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value for key, value in values.items()
    }
