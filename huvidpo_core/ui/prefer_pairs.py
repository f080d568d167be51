"""The form that has pairs made: of two settings or seeds, around one clip, of two models, or of clips people bring."""

import random
from pathlib import Path
from typing import Any

import gradio as gr

from huvidpo_core.engine import READY, Clip, Engine, Order
from huvidpo_core.errors import UserError
from huvidpo_core.recipe import Recipe
from huvidpo_core.ui.fetch import Fetch
from huvidpo_core.ui.menus import painter_menu
from huvidpo_core.ui.notes import other_action
from huvidpo_core.ui.prefer_scenes import ALL, VARY, followed, lines_of, scenes_of, usual
from huvidpo_core.ui.remarks import PAUSE_JS
from huvidpo_core.ui.settings import SEEDS
from huvidpo_core.ui.words import message
from huvidpo_core.ui.work import told

PRIVATE = {"api_visibility": "private", "show_progress": "hidden"}
WAYS = [
    ("Two settings on one first frame", "settings"),
    ("Two seeds on one first frame", "seeds"),
    ("Variations of one clip's motion", "structural"),
    ("Two models", "models"),
    ("Clips I bring", "brought"),
]
KEEP, COUNT = "keep", "count"
MANY = [(f"Keep {READY} ready while I rate", KEEP), ("A fixed number", COUNT)]
MOST = 50  # in one press
SAME = "same"  # as the one side's
LONG = 60  # characters of a prompt in the menu of clips
MADE_BY = "Name the method, such as LVDM, to have its clips compared blind with this app's of the same prompt"
ALONE = (
    "nothing to be compared with yet: make clips of this prompt and action in Create first, then bring these again; or "
    "bring another method's."
)
MOVED = "Create's gallery leaves out what is in a pair now; “Also clips made for rating” shows it there."


class PairForm:
    """Parts and wiring of the form."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        own = engine.defaults()
        self.way = gr.Radio(
            WAYS, value="settings", label="Where the two clips come from", elem_id="pairs-way", elem_classes="hv-pills"
        )
        with gr.Row(elem_classes="hv-line"):
            self.prompt = gr.Textbox(
                label="Scenes", info="One on each line; they take turns.", value=usual(engine.actions[own.action]),
                lines=2, max_lines=6, elem_id="pairs-prompt", scale=4, min_width=220,
            )  # fmt: skip
            self.surprise = gr.Button("Surprise me", size="sm", elem_id="pairs-surprise", scale=0, min_width=120)
        self.remark = gr.HTML("", elem_id="pairs-remark")
        with gr.Row():
            self.action = gr.Dropdown(
                _titles(engine.actions), value=own.action, label="Action", elem_id="pairs-action", min_width=150
            )
            self.style = gr.Dropdown(
                [("All, in turn", ALL), *_titles(engine.styles)], value=ALL, label="Style", elem_id="pairs-style",
                min_width=150,
            )  # fmt: skip
            self.painter = painter_menu(engine, "", elem_id="pairs-painter", min_width=150)
        with gr.Row(elem_classes="hv-line") as self.number:
            self.many = gr.Radio(
                MANY, value=KEEP, label="How many pairs", elem_id="pairs-many", elem_classes="hv-pills", min_width=320
            )
            self.count = gr.Slider(
                1, MOST, 5, step=1, label="Pairs", buttons=[], visible=False, elem_id="pairs-count", min_width=180
            )
        with gr.Row(visible=False) as self.models:
            menu = _packs(engine, own.action)
            self.pack = gr.Dropdown(menu, value=menu[0][1], label="One model", elem_id="pairs-pack", min_width=180)
            self.rival = gr.Dropdown(menu, value=menu[-1][1], label="The other", elem_id="pairs-rival", min_width=180)
            self.rival_painter = gr.Dropdown(
                _rivals(engine), value=SAME, label="The other's first frame", elem_id="pairs-rival-painter",
                min_width=180, visible=len(_rivals(engine)) > 2,
            )  # fmt: skip
        self.clip = gr.Dropdown(
            [], value=None, label="Clip whose motion is varied", visible=False, elem_id="pairs-clip"
        )
        self.files = gr.File(
            label="MP4s and GIFs that show this scene", file_count="multiple", file_types=[".mp4", ".gif"], height=130,
            visible=False, elem_id="pairs-files",
        )  # fmt: skip
        self.method = gr.Textbox(
            label="Made by (optional)", info=MADE_BY, max_lines=1, visible=False, elem_id="pairs-method"
        )
        self.fetch = Fetch("pairs-fetch")
        with gr.Row(elem_classes="hv-tools"):
            self.make = gr.Button("Make pairs", variant="primary", elem_id="pairs-make", scale=0, min_width=150)
            self.stop = gr.Button("Stop making", elem_id="pairs-stop", scale=0, min_width=170)
        self.said = gr.HTML("", elem_id="pairs-said")
        self._wire()

    def show(self, way: str, action: str, clip: str | None, prompt: str | None) -> list[Any]:
        """Style, number, models, clips, files, painter, method and scenes: what this way of pairing asks for."""
        made = way != "brought"
        clips = [(_name(clip.recipe), clip.id) for clip in self._references()] if way == "structural" else []
        value = clip if clip in [known for _, known in clips] else None
        return [
            gr.Dropdown(visible=made),
            gr.Row(visible=made),
            gr.Row(visible=way == "models"),
            *self.menus(action),
            gr.Dropdown(choices=clips, value=value, visible=way == "structural"),
            gr.File(visible=way == "brought"),
            gr.Dropdown(visible=made and way != "structural" and len(_rivals(self.engine)) > 2),
            gr.Textbox(visible=not made),
            self._scenes(way, action, prompt),
        ]

    def remarked(self, prompt: str | None, action: str) -> str:
        """What to do about words that name another action than the chosen one."""
        return message(other_action(prompt or "", action, self.engine.actions))

    def menus(self, action: str) -> list[Any]:
        """The two menus of models of an action, with different choices."""
        menu = _packs(self.engine, action)
        return [gr.Dropdown(choices=menu, value=menu[0][1]), gr.Dropdown(choices=menu, value=menu[-1][1])]

    def new_action(self, way: str, action: str, prompt: str | None) -> list[Any]:
        """The menus of models of an action that was chosen, and its examples where nobody has written anything."""
        return [*self.menus(action), self._scenes(way, action, prompt)]

    def _scenes(self, way: str, action: str, prompt: str | None) -> Any:
        scenes = followed(prompt, action, self.engine.actions, single=way == "brought")
        return gr.skip() if scenes is None else scenes

    def scene_of(self, clip: str | None) -> list[Any]:
        """Prompt, action and style of the chosen clip: its variations show the same scene."""
        if not clip:
            return [gr.skip()] * 3
        with told():
            recipe = self.engine.clip(clip).recipe
        return [recipe.prompt, recipe.action, recipe.style]

    def draw(self) -> list[Any]:
        """Prompt, action and style by lot, and the menus of models."""
        recipe = self.engine.surprise(random.SystemRandom().randrange(SEEDS))
        return [recipe.prompt, recipe.action, recipe.style, *self.menus(recipe.action)]

    def order(
        self, way: str, prompt: str | None, action: str, style: str, many: str, count: float | None, pack: str | None,
        rival: str, clip: str | None, files: list[str] | None, painter: str | None = "", drawn: str = SAME,
        method: str | None = "",
    ) -> tuple[str, Any]:  # fmt: skip
        """Have the pairs made; what to say, and the files that are left in the form. `painter` draws the first frame;
        `drawn` is who draws the other model's, and `method` is what made clips that are brought."""
        with told():
            if way == "brought":
                return self._bring([Path(file) for file in files or []], prompt or "", action, method or ""), None
            scenes = scenes_of(prompt, style, self.engine.styles)
            pack = pack if way == "models" else None
            recipe = Recipe(scenes[0][0], action, scenes[0][1], pack=pack, painter=painter or "")
            keep = many == KEEP
            number = READY if keep else int(count or 1)
            reference, rival = clip or "" if way == "structural" else "", rival if way == "models" else ""
            other = drawn if way == "models" and drawn != SAME else None
            self.engine.make_pairs(Order(recipe, way, number, reference, rival, other, keep, tuple(scenes)))
            ordered = "One pair" if number == 1 else f"{number} pairs"
            more = f", and as many more while somebody rates as it takes to have {READY} ready" if keep else ""
            vary = "" if way == "models" or len(scenes) > 1 else f" {VARY}"
            return message(f"Ordered: {ordered}{more}. The line below the vote says how far they are.{vary}"), gr.skip()

    def halt(self) -> str:
        """Make no more."""
        with told():
            self.engine.stop_pairs()
        return message("Stopped. What was finished by then stays.")

    def _bring(self, files: list[Path], prompt: str, action: str, method: str) -> str:
        if not files:
            return message("Choose the clips first: MP4s or GIFs that show the scene.", "error")
        if len(lines_of(prompt)) > 1:
            raise UserError("Clips that are brought together show one scene. Leave the line that says what.")
        taken = self.engine.bring_clips(files, prompt, action, method)
        if method.strip():
            return message(_compared(len(taken), len(self.engine.without_pair(taken))))
        if len(taken) == 1:
            return message("One clip is taken in. It makes pairs with clips brought for the same scene.")
        return message(f"{len(taken)} clips are taken in and paired with each other.")

    def _references(self) -> list[Clip]:
        """Clips whose motion may be varied: a person's own, not the many that were made for pairs."""
        brought = [clip for clip in self.engine.gallery(for_rating=True) if clip.recipe.origin == "brought"]
        return [*self.engine.gallery(), *brought]

    def _wire(self) -> None:
        shown = [
            self.style, self.number, self.models, self.pack, self.rival, self.clip, self.files, self.painter,
            self.method, self.prompt,
        ]  # fmt: skip
        self.way.input(self.show, [self.way, self.action, self.clip, self.prompt], shown, **PRIVATE)
        self.many.input(lambda many: gr.Slider(visible=many == COUNT), self.many, self.count, **PRIVATE)
        chosen = [self.way, self.action, self.prompt]
        self.action.input(self.new_action, chosen, [self.pack, self.rival, self.prompt], **PRIVATE)
        # A painter that was trained meanwhile is there when the menu is opened.
        self.painter.focus(lambda chosen: painter_menu(self.engine, chosen), self.painter, self.painter, **PRIVATE)
        self.rival_painter.focus(lambda: gr.Dropdown(choices=_rivals(self.engine)), None, self.rival_painter, **PRIVATE)
        self.fetch.wire(self.engine, self.painter, self.rival_painter, self.pack, self.rival)
        gr.on(
            [self.prompt.change, self.action.change], self.remarked, [self.prompt, self.action], self.remark,
            trigger_mode="always_last", js=PAUSE_JS, **PRIVATE,
        )  # fmt: skip
        self.clip.input(self.scene_of, self.clip, [self.prompt, self.action, self.style], **PRIVATE)
        self.surprise.click(self.draw, None, [self.prompt, self.action, self.style, self.pack, self.rival], **PRIVATE)
        asked = [
            self.way, self.prompt, self.action, self.style, self.many, self.count, self.pack, self.rival, self.clip,
            self.files, self.painter, self.rival_painter, self.method,
        ]  # fmt: skip
        self.make.click(self.order, asked, [self.said, self.files], **PRIVATE)
        self.stop.click(self.halt, None, self.said, **PRIVATE)


def _titles(known: dict[str, Any]) -> list[tuple[str, str]]:
    return [(entry.title, name) for name, entry in known.items()]


def _packs(engine: Engine, action: str) -> list[tuple[str, str]]:
    return [(choice.title, choice.id) for choice in engine.packs(action)]


def _rivals(engine: Engine) -> list[tuple[str, str]]:
    """Who may draw the other model's first frame; by default nobody, since both share one."""
    return [("The same picture", SAME), *((choice.title, choice.id) for choice in engine.painters())]


def _compared(count: int, alone: int) -> str:
    """What became of so many clips of a method, some of which found no clip of another model."""
    taken = "One clip is taken in" if count == 1 else f"{count} clips are taken in"
    if not alone:
        return f"{taken} and paired with clips of other models. {MOVED}"
    who = ("It has" if count == 1 else "They have") if alone == count else f"{alone} of them have"
    return f"{taken}. {who} {ALONE}"


def _name(recipe: Recipe) -> str:
    """A clip in a menu."""
    prompt = recipe.prompt if len(recipe.prompt) <= LONG else f"{recipe.prompt[:LONG]} …"
    return f"{prompt}, seed {recipe.seed}"
