"""The finished clips: the gallery, the one on the stage, its settings back into the controls, its end."""

import random
from pathlib import Path
from typing import Any

import gradio as gr

from huvidpo_core.engine import Engine, Picture
from huvidpo_core.errors import UserError
from huvidpo_core.media import read_image
from huvidpo_core.ui import words
from huvidpo_core.ui.session import Session
from huvidpo_core.ui.settings import SEEDS, controls_of
from huvidpo_core.ui.work import editor_value

PAGE = 12  # clips shown at first, and added by "Show more"


class Clips:
    """Handlers about clips and settings; each returns new values in the order its docstring names."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine

    def gallery(self, clip_id: str, limit: int) -> tuple[str, Any]:
        """The grid, and whether there is more."""
        clips = self.engine.gallery()
        return words.gallery(clips, clip_id, limit), gr.Button(visible=len(clips) > limit)

    def show(self, session: Session, clip_id: str) -> tuple[Any, ...]:
        """Stage, details (visible or not), recipe in words, download link, confirmation (hidden)."""
        hidden = gr.Row(visible=False)
        try:
            clip = self.engine.clip(clip_id) if clip_id else None
        except UserError:
            clip = None
        if clip is None:
            ready = words.PICTURE_READY if session.picture is not None else words.EMPTY_STAGE
            return words.stage_empty(ready), gr.Column(visible=False), "", "", hidden
        said = words.recipe_words(clip, self.engine.actions, self.engine.styles)
        link = words.download_link(clip.video, clip.recipe, "Download MP4", "mp4-link")
        return words.stage_clip(clip), gr.Column(visible=True), said, link, hidden

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
        recipe = picture.recipe.check(self.engine.actions, self.engine.styles)
        values = controls_of(recipe, self.engine)
        values["pack"], missing = self.pack_menu(recipe.action, recipe.pack)
        if missing:
            gr.Warning(f"The motion '{recipe.pack}' is no longer there; the action's own is chosen instead.")
        for name, maximum in {"strength": 1.5, "steps": 100, "guidance": 20, "frames": 32}.items():
            values[name] = gr.Slider(value=values[name], maximum=max(maximum, values[name]))
        image = self.engine.fit(picture.image)
        session.put(image, recipe.origin)
        session.last_seed, session.animated = recipe.seed, True
        return [*values.values(), self.examples(recipe.action), editor_value(image), words.origin_note(recipe.origin)]

    def pack_menu(self, action: str, wanted: str | None) -> tuple[Any, bool]:
        """The menu of motions for an action, and whether the wanted one is missing from it."""
        choices = self.engine.packs(action)
        ids = [choice.id for choice in choices]
        value = wanted if wanted in ids else ids[0]
        menu = gr.Dropdown(choices=[(choice.title, choice.id) for choice in choices], value=value)
        return menu, wanted is not None and wanted not in ids

    def examples(self, action: str) -> Any:
        """The examples of an action."""
        return gr.Dataset(samples=[[text] for text in self.engine.actions[action].examples])

    def new_action(self, action: str, prompt: str | None) -> tuple[Any, Any, Any]:
        """Menu of motions, examples, and the prompt: an untouched example gives way to one of the new action."""
        known = {text for other in self.engine.actions.values() for text in other.examples}
        examples = self.engine.actions[action].examples
        text = examples[0] if prompt in known and prompt not in examples else gr.skip()
        return self.pack_menu(action, None)[0], self.examples(action), text

    def surprise(self) -> tuple[Any, ...]:
        """Prompt, action, style, menu of motions, examples."""
        recipe = self.engine.surprise(random.SystemRandom().randrange(SEEDS))
        menu, _ = self.pack_menu(recipe.action, None)
        return recipe.prompt, recipe.action, recipe.style, menu, self.examples(recipe.action)
