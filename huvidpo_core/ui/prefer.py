"""The Prefer tab: what stands where, and which press does what. The player itself is `static/prefer.js`."""

from html import escape
from string import Template
from typing import Any

import gradio as gr

from huvidpo_core.engine import Engine
from huvidpo_core.preferences.records import ASPECTS
from huvidpo_core.ui.menus import ActionMenus, titles
from huvidpo_core.ui.prefer_desk import Desk
from huvidpo_core.ui.prefer_exchange import ExchangeForm
from huvidpo_core.ui.prefer_judges import JudgeForm
from huvidpo_core.ui.prefer_pairs import PairForm
from huvidpo_core.ui.prefer_reveal import menu_title
from huvidpo_core.ui.prefer_votes import votes_words
from huvidpo_core.ui.theme import STATIC
from huvidpo_core.ui.work import told

PRIVATE = {"api_visibility": "private", "show_progress": "hidden"}
PLAYER_JS = "new window.HuViDPO.Desk(element, server);"
ALL = ("All actions", "")
EVERYBODY = ("Everybody", "")


class Prefer:
    """The tab's parts and wiring."""

    def __init__(self, engine: Engine, desk: Desk, menus: ActionMenus) -> None:
        self.engine = engine
        gr.HTML(
            player_html(engine), js_on_load=PLAYER_JS, server_functions=desk.handlers(), apply_default_css=False,
            elem_id="rating",
        )  # fmt: skip
        with gr.Accordion("Make pairs", open=False, elem_id="pairs"):
            pairs = PairForm(engine)
        with gr.Accordion("What the votes say", open=False, elem_id="votes-panel") as self.panel:
            with gr.Row():
                self.action = gr.Dropdown(
                    [ALL, *titles(engine)], value="", label="Votes on", elem_id="votes-action", min_width=160
                )
                self.rater = gr.Dropdown(
                    [EVERYBODY], value="", label="Votes by", elem_id="votes-rater", min_width=160,
                    allow_custom_value=True,  # raters come while the page is open
                )  # fmt: skip
            self.said = gr.HTML("", elem_id="votes")
        with gr.Accordion("Automatic raters", open=False, elem_id="judges"):
            judges = JudgeForm(engine, [ALL, *titles(engine)])
        with gr.Accordion("Exchange", open=False, elem_id="exchange"):
            exchange = ExchangeForm(engine, [ALL, *titles(engine)])
        menus.add(pairs.action)
        for menu in (self.action, judges.action, exchange.action):
            menus.add(menu, ALL)
        more = (self.panel.expand, self.action.input, self.rater.input, judges.voted.then, exchange.imported.then)
        for said_more in more:
            said_more(self.votes, [self.action, self.rater], [self.said, self.rater], **PRIVATE)

    def votes(self, action: str | None, rater: str | None) -> tuple[str, Any]:
        """What the votes say about an action or all, by a rater or all; and the raters there are to choose from."""
        with told():
            report = self.engine.what_votes_say(action or None, rater or None)
            menus = self.engine.packs(trials=True), self.engine.painters()
            models = {model.name: menu_title(model.name, *menus) for model in report.models}
            said = votes_words(report, self.engine.actions, models)
            return said, gr.Dropdown(choices=[EVERYBODY, *((name, name) for name in self.engine.raters())])


def player_html(engine: Engine) -> str:
    """The player's HTML, with the actions to choose from and the aspects to score."""
    options = "".join(
        f'<option value="{escape(name, quote=True)}">{escape(title)}</option>' for title, name in (ALL, *titles(engine))
    )
    scores = "".join(
        f"<span>{aspect.capitalize()}</span>{_scale(aspect, 'left', 1)}{_scale(aspect, 'right', 2)}"
        for aspect in ASPECTS
    )
    return Template((STATIC / "prefer.html").read_text(encoding="utf-8")).substitute(actions=options, scores=scores)


def _scale(aspect: str, side: str, clip: int) -> str:
    """Five radio buttons; the page reads side and aspect from their name."""
    radios = "".join(
        f'<label><input type="radio" name="{side} {aspect}" value="{score}" '
        f'aria-label="{aspect.capitalize()} of clip {clip}: {score}">{score}</label>'
        for score in range(1, 6)
    )
    return f'<fieldset aria-label="{aspect.capitalize()} of clip {clip}">{radios}</fieldset>'
