"""The use cases, one method each: everything a face (UI, CLI, a script) may ask for. No gradio, no argparse.

Long work is a generator: it yields `Progress` at every step and ends with its result, so that a face shows progress,
previews and stops as it likes. Models load at first use; importing this module loads neither torch nor diffusers.
"""

import random
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from huvidpo_core import media
from huvidpo_core.actions import Actions, Naming
from huvidpo_core.blind_round import BlindRounds, Score
from huvidpo_core.config import (
    PACKS,
    Action,
    Download,
    Profile,
    Style,
    compose_prompt,
    load_profile,
    load_styles,
)
from huvidpo_core.device_lock import DeviceLock
from huvidpo_core.drivers import may_have_cuda
from huvidpo_core.errors import UserError, enough_memory
from huvidpo_core.footage import Footage
from huvidpo_core.gallery import Gallery
from huvidpo_core.loras import FIRST_FRAMES, Lora, Loras
from huvidpo_core.models.menu import PackMenu
from huvidpo_core.models.painter_loras import PainterLoras
from huvidpo_core.models.painter_menu import PainterMenu
from huvidpo_core.pairing import READY, Order, Pairing, PairMaker, PairQueue
from huvidpo_core.picture_rounds import Look, PictureRounds
from huvidpo_core.picture_trainings import PictureTrainings
from huvidpo_core.preferences.store import DRAWN_BY, Store
from huvidpo_core.progress import Progress
from huvidpo_core.published import Published
from huvidpo_core.rating import Rating
from huvidpo_core.recipe import Recipe
from huvidpo_core.results import Clip, PackChoice, PainterChoice, Picture, Reading
from huvidpo_core.sharing import exports_folder
from huvidpo_core.studio import Studio
from huvidpo_core.supply import BEGINNING, GOOD, RatedStock, Stock
from huvidpo_core.taught import Taught
from huvidpo_core.training.kinds import REWARDS
from huvidpo_core.training.record import Kind, RunFolder, RunState
from huvidpo_core.trainings import Trainings
from huvidpo_core.viewing import View
from huvidpo_core.workbench import Workbench

if TYPE_CHECKING:
    from huvidpo_core.evaluation import Evaluation
    from huvidpo_core.generation.models import Models

__all__ = [
    "BEGINNING",
    "FIRST_FRAMES",
    "GOOD",
    "READY",
    "REWARDS",
    "Clip",
    "Engine",
    "Footage",
    "Kind",
    "Look",
    "Lora",
    "Naming",
    "Order",
    "PackChoice",
    "PainterChoice",
    "PairQueue",
    "Picture",
    "Progress",
    "RatedStock",
    "Reading",
    "RunFolder",
    "RunState",
    "Score",
    "Stock",
    "View",
    "choose_profile",
    "exports_folder",
]

FEW = 4  # first frames to choose from


def choose_profile(name: str | None, device: str | None = None) -> Profile:
    """The named profile; without a name `full` where the device, by default the first GPU, is one of CUDA and has the
    memory for it, else `miniature`. Raises UserError for a name or a GPU that is not there.
    """
    if name:
        return load_profile(name)
    full = load_profile("full")
    if device != "cpu" and may_have_cuda():  # without a driver the slow import of torch can wait
        from huvidpo_core.generation.plans import find_device, memory_of

        found = find_device(device)
        if found.type == "cuda" and memory_of(found) >= full.gpu_gigabytes * 1e9:
            return full
    return load_profile("miniature")


class Engine(Rating):
    """One profile's models, its packs and its data folder. What has to do with rating is in `Rating`."""

    def __init__(
        self, profile: Profile, data: Path, device: str | None = None, packs: Path = PACKS, plan: str = ""
    ) -> None:
        """Open the data folder; no model is loaded yet. Raises UserError when the folder cannot be used.

        `device` and `plan` (assets/plans.toml) insist on a device and on how its memory is used.
        """
        self.styles: dict[str, Style] = load_styles()
        self._packs_folder = packs / profile.family
        self.actions: Mapping[str, Action] = Actions(self._packs_folder)  # those of new packs, too
        self._menu = PackMenu(self._packs_folder, profile)
        self._painters = PainterMenu(profile, self._packs_folder)
        bench, store = Workbench(profile, device, DeviceLock(data, device), plan), Store(data)
        clips = Gallery(store)
        self._studio = Studio(profile, bench, self._packs_folder, clips, self.actions, self.styles)
        pairing = Pairing(PairMaker(self._studio, clips, store.votes), store.votes)
        there = partial(self.packs, trials=True)
        super().__init__(profile, data, store, bench, clips, pairing, self.actions, self.styles, self.called_now, there)

        self.trainings = Trainings(
            data, profile, device, self.store, self._packs_folder, self.actions, self.styles, plan
        )  # both stages: ask for one, watch it, put what it made to use
        loras = PainterLoras(self._packs_folder)
        self.picture_trainings = PictureTrainings(self.trainings, loras, profile)  # stage 2 for who draws first frames
        self.blind_rounds = BlindRounds(
            self._packs_folder, self.trainings.supply, pairing.order, pairing.coming
        )  # did it help?
        self.picture_rounds = PictureRounds(
            self._studio.draw,
            store.picture_choices,
            self.actions,
            self.styles,
            self.trainings.supply.text,
            self.trainings.attended,
        )  # the same for first frames
        bench.shared = self.trainings.running
        self.trainings.begun, self.trainings.afterwards = bench.make_room, self._try_out
        self.loras = Loras(self._packs_folder, self._bench, data)  # those that were put to use
        self.taught = Taught(self._packs_folder, self.trainings, self.actions)  # actions, as packs
        self.published = Published(profile, self._packs_folder, bench, self.trainings.naming)  # checkpoints, as packs

    # What there is

    def status(self) -> str:
        """One line for people: the profile, the device, whether the models are loaded."""
        if not self.loaded:
            return f"{self.profile.title}, models not loaded yet"
        return f"{self.profile.title} on {self._bench.models.where}, models loaded"

    @property
    def loaded(self) -> bool:
        """Whether the models are in memory."""
        return self._bench.models is not None

    def check_machine(self) -> "Engine":
        """This engine, or a UserError if its profile is too large for this machine and nobody insisted."""
        self._bench.check()
        return self

    def missing_downloads(self, *chosen: str) -> list[Download]:
        """Downloads that are not on this machine yet, with those of painters and packs that were chosen; empty for the
        miniature."""
        return self._bench.missing_downloads(self._more(chosen))

    def allow_downloads(self, *chosen: str) -> None:
        """The person has seen `missing_downloads` and agreed; the next use of the models fetches them."""
        self._bench.allow_downloads(self._more(chosen))

    def painters(self) -> list[PainterChoice]:
        """Who may draw the first frame, the profile's own first."""
        return self._painters.choices()

    def packs(self, action: str | None = None, trials: bool = False) -> list[PackChoice]:
        """The menu of an action, or of all: packs and their preference LoRAs on disk now, the default first, base last;
        with `trials` those in blind rounds, too, which are for naming only."""
        return self._menu.choices(action, trials)

    def called_now(self, name: str) -> str:
        """What a motion, a painter, or the model that a vote names is called now: LoRAs that were renamed are followed,
        unless another has the name. One that is gone keeps its name."""
        motion, drawn_by, painter = name.partition(DRAWN_BY)
        return f"{self._painters.now(self._menu.now(motion))}{drawn_by}{self._painters.now(painter)}"

    def words(self, prompt: str, action: str | None = None, style: str | None = None) -> Reading:
        """Which words of a prompt the first-frame model understands, and has room for beside those that an action and a
        style add; loads no model."""
        from huvidpo_core.generation.words import read, vocabulary

        added = self.actions.get(action or ""), self.styles.get(style or "", Style("", "{prompt}"))
        known = vocabulary(self.profile.first_frame.base)
        return read(known, prompt, lambda words: compose_prompt(words, *added))

    def surprise(self, seed: int) -> Recipe:
        """A prompt, style and action drawn by the seed from the examples."""
        draw = random.Random(seed)
        action = draw.choice(list(self.actions))
        style = draw.choice(list(self.styles))
        return self._studio.complete(Recipe(draw.choice(self.actions[action].examples), action, style))

    def defaults(self, sampler: str = "fast", pack: str | None = None) -> Recipe:
        """The profile's own steps, guidance and frames for this sampler and motion, with some prompt, action and
        style."""
        action, style = next(iter(self.actions)), next(iter(self.styles))
        empty = Recipe(prompt=self.actions[action].examples[0], action=action, style=style, sampler=sampler, pack=pack)
        return self._studio.complete(empty)

    # First frames

    def first_frame(
        self, recipe: Recipe, stop: threading.Event, *, steps: int | None = None
    ) -> Iterator[Progress | Picture]:
        """Draw the first frame; the last item is the Picture. No `steps`: the profile's. Raises UserError, Stopped."""
        return self._studio.draw(recipe, stop, steps=steps)

    def first_frames(self, recipe: Recipe, stop: threading.Event) -> Iterator[Progress | Picture]:
        """Draw `FEW` first frames to choose from, of this seed and those that follow; each Picture comes as soon as it
        is done. Which is liked best is for `choose_first_frame`. Raises UserError, Stopped.
        """
        return self._studio.draw_several(recipe, FEW, stop)

    def repaint(
        self, recipe: Recipe, image: np.ndarray, mask: np.ndarray, stop: threading.Event
    ) -> Iterator[Progress | Picture]:
        """Draw the masked part (bool (h, w)) of a picture anew, the rest stays. Raises UserError, Stopped."""
        return self._studio.repaint(recipe, image, mask, stop)

    def fit(self, image: np.ndarray) -> np.ndarray:
        """Refit any picture uint8 (h, w, 3) to the model's size by centre crop and resize."""
        return self._studio.fit(image)

    # Clips

    def animate(self, recipe: Recipe, image: np.ndarray, stop: threading.Event) -> Iterator[Progress | Clip]:
        """Animate a picture uint8 (h, w, 3), refitted if needed; the last item is the Clip, saved and in the gallery.

        Raises:
            UserError: the recipe or a file it names is at fault.
            Stopped: `stop` was set; nothing is kept.
        """
        return self._studio.animate(recipe, image, stop)

    def gallery(self, for_rating: bool = False) -> list[Clip]:
        """The clips that were made one by one, newest first; with `for_rating` those made or brought for pairs too."""
        return self._clips.list(for_rating)

    def clip(self, clip_id: str) -> Clip:
        """One clip by its id. Raises UserError if there is none."""
        return self._clips.get(clip_id)

    def delete(self, clip_id: str) -> None:
        """Remove a clip and its files."""
        self._clips.delete(clip_id)

    def gif(self, clip_id: str) -> Path:
        """The clip as a GIF (made on first request)."""
        return self._clips.gif(clip_id)

    def open_recipe(self, video: Path) -> Picture:
        """The recipe in a dropped MP4, with its first frame (ours from the gallery if known, else the video's own)."""
        values = media.read_recipe(video)
        if values is None:
            raise UserError("This video carries no recipe. Drop an MP4 that was made here, as it was downloaded.")
        recipe = Recipe.from_dict(values).check(self.actions, self.styles)
        if picture := self._clips.picture_of(recipe):
            return Picture(media.read_image(picture), recipe)
        return Picture(self.fit(media.read_video(video, max_frames=1).frames[0]), recipe)

    def evaluate(
        self, clips: Path | Sequence[Path], stop: threading.Event, *, prompts: str = "", share: slice = slice(None)
    ) -> Iterator["Progress | Evaluation"]:
        """Measure the MP4s and GIFs of a folder, or these; the last item is the Evaluation. Raises UserError, Stopped.

        `prompts` is what a prompts file holds (`evaluation.clips`); it goes before the prompts in the clips' recipes.
        `share` says which of the clips are measured.
        """
        from huvidpo_core.evaluation import evaluate

        with enough_memory():
            scorer, judge = self._bench.judges()
            yield from evaluate(clips, stop, prompts=prompts, share=share, scorer=scorer, judge=judge)

    # How

    def warm_up_meanwhile(self) -> None:
        """`warm_up` in a thread of its own."""
        threading.Thread(target=self.warm_up, daemon=True, name="warm-up").start()

    def warm_up(self) -> str:
        """Load the models now; why that failed, in a sentence, or nothing."""
        return self._bench.warm_up()

    def _more(self, chosen: Sequence[str]) -> list[Download]:
        found = (item for each in chosen for item in (*self._painters.downloads(each), *self._menu.downloads(each)))
        return list(dict.fromkeys(found))

    def _try_out(self, run: RunFolder) -> None:
        """A blind round for what a training has made, of clips or of first frames."""
        self.blind_rounds.make_first(run)
        self.picture_rounds.make_first(run)

    def _load(self) -> "Models":
        return self._bench.load()
