"""The finished clips: the gallery, the one on the stage, its settings back into the controls, its end."""

import random
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr

from huvidpo_core.engine import Engine, Picture
from huvidpo_core.errors import UserError
from huvidpo_core.media import read_image
from huvidpo_core.recipe import ANIMATEDIFF, Recipe
from huvidpo_core.ui import words
from huvidpo_core.ui.memory import remembered
from huvidpo_core.ui.menus import action_menu, painter_menu
from huvidpo_core.ui.notes import origin_note
from huvidpo_core.ui.prefer_ballots import read_rater
from huvidpo_core.ui.session import Session, Wording
from huvidpo_core.ui.settings import SEEDS, SLIDERS, Settings, controls_of
from huvidpo_core.ui.work import editor_value

PAGE = 12  # clips shown at first, and added by "Show more"


class Clips:
    """Handlers about clips and settings; each returns new values in the order its docstring names."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def gallery(self, clip_id: str, limit: int, for_rating: bool) -> tuple[str, Any]:
        """The grid, with the clips made for rating or without, and whether there is more."""
        clips = self.engine.gallery(for_rating)
        return words.gallery(clips, clip_id, limit), gr.Button(visible=len(clips) > limit)

    def show(self, session: Session, clip_id: str) -> tuple[Any, ...]:
        """Stage, details (visible or not), recipe in words, download link, confirmation (hidden), score (none yet)."""
        hidden = gr.Row(visible=False), gr.Radio(value=None)
        try:
            clip = self.engine.clip(clip_id) if clip_id else None
        except UserError:
            clip = None
        session.clip_id = clip.id if clip else ""
        if clip is None:
            ready = words.PICTURE_READY if session.picture is not None else words.EMPTY_STAGE
            ready = words.CHOOSE if session.few and session.few.waits else ready
            return words.stage_empty(ready), gr.Column(visible=False), "", "", *hidden
        choices = self.engine.packs(trials=True)
        painters = self.engine.painters()
        clip = replace(clip, recipe=self._as_called_now(clip.recipe))
        said = words.recipe_words(clip, self.engine.actions, self.engine.styles, choices, painters)
        link = words.download_link(clip.video, clip.recipe, "Download MP4", "mp4-link")
        return words.stage_clip(clip), gr.Column(visible=True), said, link, *hidden

    def rate(self, clip_id: str, score: int, rater: str) -> None:
        """Keep a score from 1 to 5; a later one by the same rater takes its place."""
        self.engine.rate_clip(clip_id, read_rater(rater), score)
        gr.Info(f"Rated {score} of 5 by {rater}.")

    def gif(self, clip_id: str) -> str:
        """A link to the clip as a GIF; the page presses it at once."""
        return words.download_link(self.engine.gif(clip_id), self.engine.clip(clip_id).recipe, "GIF", "gif-anchor")

    def delete(self, clip_id: str) -> str:
        """Delete a clip; the page shows none then."""
        self.engine.delete(clip_id)
        return ""

    def use(self, session: Session, clip_id: str) -> list[Any]:
        """As `restore`, from a clip of the gallery."""
        clip = self.engine.clip(clip_id)
        return self.restore(session, Picture(read_image(clip.picture), clip.recipe))

    def open(self, session: Session, file: str) -> list[Any]:
        """As `restore`, from a dropped MP4."""
        return self.restore(session, self.engine.open_recipe(Path(file)))

    def restore(self, session: Session, picture: Picture) -> list[Any]:
        """All controls, the examples, the editor and its note, so that the next clip repeats this one."""
        recipe = self._as_called_now(picture.recipe.check(self.engine.actions, self.engine.styles))
        if recipe.painter not in [choice.id for choice in self.engine.painters()]:
            name = recipe.painter.removeprefix("lora:")
            gr.Warning(f"The painter “{name}” is no longer there; the profile's own is chosen instead.")
            recipe = recipe.with_(painter="")
        image = self.engine.fit(picture.image)
        drawn = Wording(recipe.prompt, recipe.action, recipe.style) if recipe.origin == "generated" else None
        session.put(image, recipe.origin, drawn, recipe.painter)
        session.last_seed, session.animated, session.few = recipe.seed, True, None
        return [*self.filled(controls_of(recipe, self.engine)), editor_value(image), origin_note(session)]

    def remember(self, session: Session, stored: Any) -> list[Any]:
        """As `restore`, and the clip on the stage: what a browser remembers after a reload or from an earlier visit."""
        values = remembered(stored, self.engine)
        controls = [gr.skip()] * (len(Settings._fields) + 1) if values is None else self.filled(values)
        picture = gr.skip() if session.picture is None else editor_value(session.picture)
        return [*controls, picture, origin_note(session), session.clip_id]

    def filled(self, values: dict[str, Any]) -> list[Any]:
        """All controls with these values by name, and the examples of the action."""
        menu = action_menu(self.engine, values["action"])
        examples = self.examples(values["action"])
        values = dict(values, action=menu, pack=self.pack_menu(values["action"], values["pack"]))
        values["painter"] = painter_menu(self.engine, values["painter"])
        for name, maximum in SLIDERS.items():
            values[name] = gr.Slider(value=values[name], maximum=max(maximum, values[name]))
        return [*(values[name] for name in Settings._fields), examples]

    def pack_menu(self, action: str, wanted: str | None) -> Any:
        """The menu of motions for an action as they are on disk now, with the wanted one, whatever it is called now;
        where that is gone the action's own, and the page says so."""
        choices = self.engine.packs(action)
        ids = [choice.id for choice in choices]
        value = ids[0] if wanted is None else self.engine.called_now(wanted)
        if value not in ids:
            known = self.engine.packs()
            there = next((choice.title for choice in known if choice.id == value), "")
            wrong = "another action's" if there else "no longer there"
            title = there or words.gone_title(value, known)
            gr.Warning(f"The motion “{title}” is {wrong}; the action's own is chosen instead.")
            value = ids[0]
        return gr.Dropdown(choices=[(choice.title, choice.id) for choice in choices], value=value)

    def _as_called_now(self, recipe: Recipe) -> Recipe:
        """With LoRAs under the names that they have now."""
        now = self.engine.called_now
        return recipe.with_(pack=recipe.pack and now(recipe.pack), painter=now(recipe.painter))

    def usual(self, sampler: str, pack: str | None) -> Recipe:
        """The numbers that go with a sampler, and with AnimateDiff if it is chosen."""
        return self.engine.defaults(sampler, ANIMATEDIFF if pack == ANIMATEDIFF else None)

    def pace(self, pack: str | None, sampler: str, steps: float, guidance: float) -> list[Any]:
        """Steps and guidance: AnimateDiff has its own, which give way to the profile's again. What a person has set
        stays."""
        if self.engine.profile.animatediff is None:
            return [gr.skip(), gr.skip()]
        new, old = self.usual(sampler, pack), self.usual(sampler, "" if pack == ANIMATEDIFF else ANIMATEDIFF)
        return [new.steps if steps == old.steps else gr.skip(), new.guidance if guidance == old.guidance else gr.skip()]

    def examples(self, action: str) -> Any:
        """The examples of an action."""
        return gr.Dataset(samples=[[text] for text in self.engine.actions[action].examples])

    def new_action(self, action: str, prompt: str | None) -> tuple[Any, Any, Any]:
        """Menu of motions, examples, and the prompt: an untouched example gives way to one of the new action."""
        known = {text for other in self.engine.actions.values() for text in other.examples}
        examples = self.engine.actions[action].examples
        text = examples[0] if prompt in known and prompt not in examples else gr.skip()
        return self.pack_menu(action, None), self.examples(action), text

    def surprise(self) -> tuple[Any, ...]:
        """Prompt, action, style, menu of motions, examples."""
        recipe = self.engine.surprise(random.SystemRandom().randrange(SEEDS))
        menu = self.pack_menu(recipe.action, None)
        action = action_menu(self.engine, recipe.action)
        return recipe.prompt, action, recipe.style, menu, self.examples(recipe.action)

    def choose(self, session: Session, tried: Mapping[str, str], now: str) -> list[Any]:
        """Painter, action, menu of motions, examples, prompt, editor and its note: with what is to be tried chosen, the
        `painter`, or the `action` and the `pack`, where the page shows the action `now`. Another action's words give
        way to an example of this one, and a picture that was drawn from them is put away; one that the person made
        stays."""
        if "painter" in tried:
            return [painter_menu(self.engine, tried["painter"]), *[gr.skip()] * 6]
        action, text, picture = tried["action"], gr.skip(), gr.skip()
        if action != now:
            text = self.engine.actions[action].examples[0]
            if session.origin == "generated" and session.painted is None:
                session.put(None, "generated")
                session.few, picture = None, None
        menus = [action_menu(self.engine, action), self.pack_menu(action, tried["pack"]), self.examples(action)]
        return [gr.skip(), *menus, text, picture, origin_note(session)]
