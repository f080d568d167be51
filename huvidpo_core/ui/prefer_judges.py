"""The form that lets automatic raters vote."""

import threading
from collections.abc import Iterator
from html import escape

import gradio as gr

from huvidpo_core.engine import Engine, Progress
from huvidpo_core.errors import UserError
from huvidpo_core.preferences.vlm import VlmRater
from huvidpo_core.ui.errand import AT_ONCE, Errand
from huvidpo_core.ui.words import message

RATERS = [("This profile's judge", "profile"), ("A vision-language model", "vlm")]
COUNT = "in What the votes say, and in a training where it is chosen under Whose votes"
OWN = (
    "It looks at each pair second by second and votes under a name of its own, on every pair it has not seen. "
    f"Nothing leaves this machine. Its votes count {COUNT}."
)
NOTHING = "There is no pair it has not judged yet. Make pairs first."


class JudgeForm:
    """Parts and wiring of the form; `voted` is the event after votes came in."""

    def __init__(self, engine: Engine, actions: list[tuple[str, str]]) -> None:
        self.engine = engine
        self.who = gr.Radio(RATERS, value="profile", label="Who votes", elem_id="judges-who", elem_classes="hv-pills")
        self.about = gr.HTML(about("profile"), elem_id="judges-about")
        with gr.Row(elem_classes="hv-line"):
            self.action = gr.Dropdown(
                actions, value="", label="Pairs of", elem_id="judges-action", scale=0, min_width=220
            )
            self.start = gr.Button("Let it vote", variant="primary", elem_id="judges-start", scale=0, min_width=150)
            self.errand = Errand("judges", [self.start])
        self.errand.show()
        self.who.input(about, self.who, self.about, **AT_ONCE)
        self.voted = self.errand.on(self.start, self.vote, [self.who, self.action])

    def vote(self, stop: threading.Event, who: str, action: str | None) -> Iterator[Progress | str]:
        """Progress, then what to say. Raises UserError, Stopped."""
        for item in self.engine.judge_pairs(who, stop, action or None):
            yield item if isinstance(item, Progress) else message(given(item))


def about(who: str) -> str:
    """What there is to know before the press: where the pictures go, or what is not set up. Keys are never told."""
    if who != "vlm":
        return hint(OWN)
    try:
        rater = VlmRater.from_environment()
    except UserError as error:
        return message(f"No vision-language model is set up. {error} Then start the app anew.", "error")
    return hint(
        f"Frames of each pair go to {rater.model}, at the address in HUVIDPO_JUDGE_URL, twice with the sides swapped; "
        f"where it contradicts itself, that is a tie. It votes as “{rater.name}”, which counts {COUNT}."
    )


def hint(text: str) -> str:
    """Small print under the choice."""
    return f'<p class="hv-hint">{escape(text)}</p>'


def given(votes: int) -> str:
    """How many votes there are, as a sentence."""
    if not votes:
        return NOTHING
    return f"{votes:,} vote{' was' if votes == 1 else 's were'} given; they count {COUNT}."
