"""Clips that a person brings: of any length, rate and size, made into clips of the gallery that can be paired.

Raters compare, and models learn from, clips of one kind; so a brought clip is stored much as the profile would have
made it (`footage.read_clip`), with at most its number of frames. The file that was brought is kept beside it,
untouched, for profiles of another size.

Clips of a method that has a name stand for it as a model's clips do: they are compared with those of other models, this
app's among them, and are ranked by that name.
"""

import hashlib
import logging
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

import numpy as np

from huvidpo_core import __version__, media
from huvidpo_core.config import Action, Style, VideoConfig
from huvidpo_core.errors import UserError
from huvidpo_core.evaluation.clips import Source, find_clips
from huvidpo_core.footage import read_clip
from huvidpo_core.gallery import Gallery
from huvidpo_core.models.painter_loras import PREFIX
from huvidpo_core.preferences.store import BASE_MODEL, BROUGHT, DRAWN_BY
from huvidpo_core.preferences.votes import Votes
from huvidpo_core.recipe import Recipe
from huvidpo_core.results import Clip

log = logging.getLogger(__name__)

LARGEST = media.MAX_FILE
PARTNERS = 3  # earlier clips of the same prompt that a new one is paired with
LONGEST = 60  # characters of a method's name
MARKS = ("/", "@", PREFIX, DRAWN_BY.strip())  # in names that votes give models here, and read as such


class Porter:
    """Takes files in and pairs those of one prompt with each other, or with clips of other models."""

    def __init__(
        self,
        video: VideoConfig,
        clips: Gallery,
        votes: Votes,
        actions: Mapping[str, Action],
        styles: Mapping[str, Style],
        models: Collection[str] = (),
    ) -> None:
        """`models` are the names and titles of this app's own, which no other method can have."""
        self._video, self._clips, self._votes = video, clips, votes
        self._actions, self._styles, self._models = actions, styles, models

    def bring(self, files: Sequence[Path], prompt: str, action: str, method: str = "") -> list[str]:
        """Add MP4s and GIFs, or whole folders of them, that all show `prompt`; returns the new clips' ids, in order.

        Each is paired with up to `PARTNERS` clips brought before it for the same prompt and action, without a name too.
        With a `method`, the name of what made them, it is paired with as many clips of other models, made here or
        brought under the names of other methods, the newest first. An empty prompt leaves each clip the one in its
        recipe, if it was made by this app.

        Raises:
            UserError: the prompt, action or method is at fault, and nothing is taken; or some of the files cannot be
                read, and the sentence names them, while the others were taken.
        """
        method = self._named(method)
        sources = [source for path in files for source in find_clips(path if path.is_dir() else [path])]
        recipes = [self._recipe(source, prompt.strip(), action) for source in sources]  # before any is taken
        taken, problems = [], []
        for source, recipe in zip(sources, recipes, strict=True):
            try:
                taken.append(self._take(source.path, recipe, method))
            except UserError as error:
                log.info("%s is not taken: %s", source.path, error)
                problems.append(str(error))
        if problems:
            rest = {0: "", 1: " The other one is taken in."}.get(len(taken), f" The other {len(taken)} are taken in.")
            raise UserError(" ".join(problems) + rest)
        return taken

    def _named(self, method: str) -> str:
        """A method's name, or nothing, spelled as it was when clips of it were first brought."""
        name = method.strip()
        if not name:
            return ""
        if len(name) > LONGEST or not name.isprintable():
            raise UserError(f"The name of a method is one line of at most {LONGEST} characters. Give a short one.")
        if mark := next((mark for mark in MARKS if mark in name), None):
            raise UserError(
                f"The name of a method cannot have “{mark}” in it: this app's own models are told by it. Leave it out."
            )
        clips, spelled = self._clips.list(), name.casefold()
        made = {clip.model for clip in clips if clip.recipe.origin != "brought"}  # some may be of a pack that is gone
        titles = (action.title for action in self._actions.values())
        own = {BASE_MODEL, BROUGHT, *made, *self._models, *self._actions, *titles}
        if spelled in {each.casefold() for each in own}:
            raise UserError(
                f"“{name}” is what this app calls clips of its own, and votes would be counted for those. Give the "
                "method another name, or leave it out."
            )
        return next((clip.model for clip in clips if clip.model.casefold() == spelled), name)

    def _recipe(self, source: Source, prompt: str, action: str) -> Recipe:
        """What is known of a clip; its style, where no recipe tells it, is taken to be the first."""
        words = prompt or source.prompt
        if not words:
            raise UserError(f"What does {source.name} show? Give a prompt: raters judge clips by it.")
        style = source.truth.get("style", "")
        style = style if style in self._styles else next(iter(self._styles))
        recipe = Recipe(words, action, style, pack="", origin="brought", version=__version__)
        return recipe.check(self._actions, self._styles)

    def _take(self, path: Path, recipe: Recipe, method: str) -> str:
        """Store one clip and pair it; returns its id."""
        if (size := path.stat().st_size) > LARGEST:
            raise UserError(
                f"{path.name} has {size / 2**20:,.0f} MB; at most {LARGEST / 2**20:,.0f} are taken. Cut out the part "
                f"that counts: the first {self._video.frames / self._video.fps:.0f} seconds are used."
            )
        frames, fps = self.frames_of(path)
        recipe = recipe.with_(frames=len(frames), first_frame=hashlib.sha256(frames[0].tobytes()).hexdigest())
        before = [clip.id for clip in self._clips.list() if _comparable(clip, recipe, method)]
        clip = self._clips.keep(recipe, frames[0], frames, fps, 0.0, original=path, method=method)
        for other in before[:PARTNERS]:
            self._votes.add_pair(other, clip.id, source="brought", prompt=recipe.prompt, action=recipe.action)
        return clip.id

    def frames_of(self, path: Path) -> tuple[np.ndarray, float]:
        """A file's frames as the gallery stores them, uint8 (f, h, w, 3), and their rate.

        Raises:
            UserError: it cannot be read, or has a single frame.
        """
        return read_clip(path, self._video, self._video.frames)


def _comparable(clip: Clip, recipe: Recipe, method: str) -> bool:
    """Whether a clip that is there may stand beside one of this recipe that is brought."""
    if (clip.recipe.prompt.strip(), clip.recipe.action) != (recipe.prompt.strip(), recipe.action):
        return False
    nameless = clip.model == BROUGHT  # perhaps by the same method: it is compared with its like alone
    return not nameless and clip.model != method if method else nameless
