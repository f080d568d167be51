"""The use cases, one method each: everything a face (UI, CLI, a script) may ask for. No gradio, no argparse.

Long work is a generator: it yields `Progress` at every step and ends with its result, so that a face shows progress,
previews and stops as it likes. Models load at first use; importing this module loads neither torch nor diffusers.
"""

import random
import shutil
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from huvidpo_core import media, sharing
from huvidpo_core.blind_round import BlindRounds, Score
from huvidpo_core.config import (
    PACKS,
    Action,
    Download,
    Profile,
    Style,
    load_actions,
    load_profile,
    load_styles,
)
from huvidpo_core.device_lock import DeviceLock
from huvidpo_core.errors import UserError, enough_memory
from huvidpo_core.gallery import Gallery
from huvidpo_core.loras import Lora, Loras
from huvidpo_core.models.menu import PackMenu
from huvidpo_core.pairing import READY, Order, Pairing, PairMaker, PairQueue
from huvidpo_core.preferences.records import Ballot, Revealed, Showing, VotesReport
from huvidpo_core.preferences.store import Store
from huvidpo_core.progress import Progress
from huvidpo_core.recipe import Recipe
from huvidpo_core.results import Clip, PackChoice, Picture, Reading
from huvidpo_core.sharing import exports_folder
from huvidpo_core.studio import Studio
from huvidpo_core.supply import BEGINNING, GOOD, Stock
from huvidpo_core.training.record import RunFolder, RunState
from huvidpo_core.trainings import Trainings
from huvidpo_core.workbench import Workbench

if TYPE_CHECKING:
    from huvidpo_core.evaluation import Evaluation
    from huvidpo_core.generation.models import Models

__all__ = [
    "BEGINNING",
    "GOOD",
    "READY",
    "Clip",
    "Engine",
    "Lora",
    "Order",
    "PackChoice",
    "PairQueue",
    "Picture",
    "Progress",
    "Reading",
    "RunFolder",
    "RunState",
    "Score",
    "Stock",
    "choose_profile",
    "exports_folder",
]


def choose_profile(name: str | None) -> Profile:
    """The named profile; without a name `full` where a GPU has the memory for it, else `miniature`."""
    if name:
        return load_profile(name)
    full = load_profile("full")
    if shutil.which("nvidia-smi"):  # without a driver the slow import of torch can wait
        import torch

        if torch.cuda.is_available():
            memory = max(torch.cuda.get_device_properties(i).total_memory for i in range(torch.cuda.device_count()))
            if memory >= full.gpu_gigabytes * 1e9:
                return full
    return load_profile("miniature")


class Engine:
    """One profile's models, its packs and its data folder."""

    def __init__(self, profile: Profile, data: Path, device: str | None = None, packs: Path = PACKS) -> None:
        """Open the data folder; no model is loaded yet. Raises UserError when the folder cannot be used."""
        self.profile = profile
        self.data = data
        self.styles: dict[str, Style] = load_styles()
        self.actions: dict[str, Action] = load_actions()
        self._packs_folder = packs / profile.family
        self._menu = PackMenu(self._packs_folder)
        self._bench = Workbench(profile, device, DeviceLock(data))
        self.store = Store(data)
        self._clips = Gallery(self.store)
        self._studio = Studio(profile, self._bench, self._packs_folder, self._clips, self.actions, self.styles)
        self._pairing = Pairing(PairMaker(self._studio, self._clips, self.store.votes), self.store.votes)

        self.trainings = Trainings(
            data, profile, device, self.store, self._packs_folder, self.actions, self.styles
        )  # stage 2: ask for one, watch it, put its LoRA to use
        self.blind_rounds = BlindRounds(self._packs_folder, self.trainings.supply, self._pairing.order)  # did it help?
        self.loras = Loras(self._packs_folder, self._bench, data)  # those that were put to use

    # What there is

    def status(self) -> str:
        """One line for people: the profile, the device, whether the models are loaded."""
        if not self.loaded:
            return f"{self.profile.title}, models not loaded yet"
        return f"{self.profile.title} on {self._bench.models.device}, models loaded"

    @property
    def loaded(self) -> bool:
        """Whether the models are in memory."""
        return self._bench.models is not None

    def missing_downloads(self) -> list[Download]:
        """Downloads that are not on this machine yet; empty for the miniature."""
        return self._bench.missing_downloads()

    def allow_downloads(self) -> None:
        """The person has seen `missing_downloads` and agreed; the next use of the models fetches them."""
        self._bench.allow_downloads()

    def packs(self, action: str) -> list[PackChoice]:
        """The menu of an action: its packs and their preference LoRAs on disk now, the default first, base last."""
        return self._menu.choices(action)

    def words(self, prompt: str) -> Reading:
        """Which words of a prompt the first-frame model understands; loads no model."""
        from huvidpo_core.generation.words import read, vocabulary

        return read(vocabulary(self.profile.first_frame.base), prompt)

    def surprise(self, seed: int) -> Recipe:
        """A prompt, style and action drawn by the seed from the examples."""
        draw = random.Random(seed)
        action = draw.choice(list(self.actions))
        style = draw.choice(list(self.styles))
        return self._studio.complete(Recipe(draw.choice(self.actions[action].examples), action, style))

    def defaults(self, sampler: str = "fast") -> Recipe:
        """The profile's own steps, guidance and frames for this sampler, with some prompt, action and style."""
        action, style = next(iter(self.actions)), next(iter(self.styles))
        empty = Recipe(prompt=self.actions[action].examples[0], action=action, style=style, sampler=sampler)
        return self._studio.complete(empty)

    # First frames

    def first_frame(
        self, recipe: Recipe, stop: threading.Event, *, steps: int | None = None
    ) -> Iterator[Progress | Picture]:
        """Draw the first frame; the last item is the Picture. No `steps`: the profile's. Raises UserError, Stopped."""
        return self._studio.draw(recipe, stop, steps=steps)

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
        self, clips: Path | Sequence[Path], stop: threading.Event, *, prompts: str = ""
    ) -> Iterator["Progress | Evaluation"]:
        """Measure the MP4s and GIFs of a folder, or these; the last item is the Evaluation. Raises UserError, Stopped.

        `prompts` is what a prompts file holds (`evaluation.clips`); it goes before the prompts in the clips' recipes.
        """
        from huvidpo_core.evaluation import evaluate

        with enough_memory():
            scorer, judge = self._bench.judges()
            yield from evaluate(clips, stop, prompts=prompts, scorer=scorer, judge=judge)

    # Preferences

    def make_pairs(self, order: Order) -> None:
        """Have pairs made in the background. Raises UserError for an order that cannot be carried out."""
        self._pairing.order(order)

    def pair_queue(self, action: str | None = None, rater: str = "") -> PairQueue:
        """How many pairs are ready for this rater (or for who asked last), being made and ordered; the last error."""
        return self._pairing.queue(action, rater)

    def stop_pairs(self) -> None:
        """Make no more pairs; those that are finished stay."""
        self._pairing.stop()

    def bring_clips(self, files: Sequence[Path], prompt: str, action: str) -> list[str]:
        """Take in MP4s and GIFs, or folders of them, and pair those of one prompt; their ids. Raises UserError."""
        from huvidpo_core.bringing import Porter

        return Porter(self.profile.video, self._clips, self.store.votes, self.actions, self.styles).bring(
            files, prompt, action
        )

    def judge_pairs(
        self, rater: Literal["profile", "vlm"], stop: threading.Event, action: str | None = None
    ) -> Iterator[Progress | int]:
        """Let an automatic rater vote on all pairs it has not seen; the last item is how many. Raises UserError,
        Stopped; the votes until then stay.

        "profile" is what the profile judges with; "vlm" the vision-language model that HUVIDPO_JUDGE_URL, _MODEL and
        _KEY name.
        """
        from huvidpo_core.preferences.judges import ProfileRater, judge_pairs
        from huvidpo_core.preferences.vlm import VlmRater

        if rater not in ("profile", "vlm"):
            raise UserError(f"There is no automatic rater '{rater}'. Choose one of: profile, vlm.")
        with enough_memory():
            judge = VlmRater.from_environment(stop=stop) if rater == "vlm" else ProfileRater(*self._bench.judges())
            yield from judge_pairs(self.store.votes, judge, self._frames, stop, action)

    def next_pair(self, rater: str, action: str | None = None, after: str = "") -> Showing | None:
        """The pair this rater is to judge now, the same until it is answered; None: none is left. Raises UserError.

        With `after`, the id of a showing: the pair that comes when that is answered. More pairs are made in the
        background if the last order is to be kept up (`Order.keep`).
        """
        showing = self.store.votes.show(rater, action, after)
        self._pairing.keep_ready(rater, action)
        return showing

    def vote(self, showing_id: str, rater: str, ballot: Ballot) -> Revealed:
        """Take an answer, durable when this returns. Raises UserError for any that cannot be one."""
        return self.store.votes.vote(showing_id, rater, ballot)

    def rate_clip(self, clip_id: str, rater: str, score: int) -> None:
        """Rate one clip alone, 1 to 5, in place of this rater's earlier score for it: the paper's way, whose pairs are
        made from the rated clips of one prompt. Raises UserError.
        """
        self.store.votes.rate_clip(clip_id, rater, score)

    def undo_vote(self, rater: str) -> Showing | None:
        """Take this rater's last answer back and open its pair again; None where there is none. Raises UserError."""
        return self.store.votes.undo(rater)

    def rated(self, rater: str) -> int:
        """How many pairs this rater has answered, skipped ones left out. Raises UserError."""
        return sum(self.store.votes.counts(rater).values())

    def raters(self) -> list[str]:
        """Everybody who was shown a pair, automatic raters too, by name. Raises UserError."""
        return self.store.votes.raters()

    def what_votes_say(self, action: str | None = None, rater: str | None = None) -> VotesReport:
        """The numbers of the panel, of one action or of all, of one rater or of all. Raises UserError."""
        from huvidpo_core.evaluation.metrics import clip_motion
        from huvidpo_core.preferences.ranking import report

        answers = self.store.votes.history(rater, action)
        clips = {clip for answer in answers for clip in (answer.left, answer.right)}
        models = {clip.id: clip.model for clip in self.store.find(clips).values()}
        return report(answers, models, self.store.motions(clips, clip_motion))

    def export(self, output: Path, action: str | None = None, *, parquet: bool = False) -> Path:
        """Write clips and votes as a `videofolder` dataset, whole or not at all; returns it. Raises UserError."""
        from huvidpo_core.preferences.exchange import export

        if action not in (None, *self.actions):
            raise UserError(f"There is no action '{action}'. Choose one of: {', '.join(self.actions)}.")
        return export(self.store, output, action=action, parquet=parquet)

    def export_archive(
        self, stop: threading.Event, action: str | None = None, *, parquet: bool = False
    ) -> Iterator[Progress | Path]:
        """The same as one .zip, for a browser; the last item is where it lies. Raises UserError, Stopped."""
        return sharing.export_archive(self.store, self.data, stop, action, parquet)

    def import_votes(self, files: Sequence[Path], stop: threading.Event) -> Iterator[Progress | int]:
        """Bring in what was exported, a folder, a .zip or its files, nothing twice; the last item is how many votes are
        new. Raises UserError, Stopped; no vote is then brought in."""
        return sharing.import_files(self.store, self.data, files, stop)

    def push_votes(self) -> None:
        """Push the votes to the hub from now on, if HUVIDPO_DATASET_REPO asks for it. Raises UserError."""
        sharing.push_to_hub(self.store, self.data)

    # How

    def warm_up(self) -> None:
        """Load the models now; a failure is logged and shown when they are first needed."""
        self._bench.warm_up()

    def _frames(self, clip_id: str) -> np.ndarray:
        return media.read_video(self._clips.get(clip_id).video).frames

    def _load(self) -> "Models":
        return self._bench.load()
