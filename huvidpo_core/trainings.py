"""Trainings as a person asks for them, and what they made, put to use; `runs.py` has what lies between."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huvidpo_core import adoption
from huvidpo_core.actions import Naming, check_name, name_of, title_of
from huvidpo_core.adoption import Use
from huvidpo_core.config import ASSETS, Action, Profile, Style
from huvidpo_core.errors import UserError
from huvidpo_core.footage import Footage, look
from huvidpo_core.models import cards
from huvidpo_core.models.packs import ActionPack
from huvidpo_core.preferences.store import Store
from huvidpo_core.recipe import ANIMATEDIFF, LAMP
from huvidpo_core.runs import Runs
from huvidpo_core.supply import Supply
from huvidpo_core.training.material import CLIPS
from huvidpo_core.training.record import PACK, RESULT, Kind, RunFolder
from huvidpo_core.viewing import View, view

if TYPE_CHECKING:
    from huvidpo_core.training.motion_settings import MotionSettings
    from huvidpo_core.training.settings import AlignSettings
    from huvidpo_core.training.source import Source

PUBLISHED: dict[Kind, str] = {"align": "huvidpo", "teach": "lamp", "picture": "diffusion_dpo"}
"""Presets for a profile that has none."""


class Trainings(Runs):
    """The trainings of one data folder: stage 2, which aligns with votes, and stage 1, which teaches an action."""

    def __init__(
        self,
        data: Path,
        profile: Profile,
        device: str | None,
        store: Store,
        packs: Path,
        actions: Mapping[str, Action],
        styles: Mapping[str, Style],
        plan: str = "",
    ) -> None:
        """See `Runs`."""
        super().__init__(data, profile, device, packs, plan)
        self._actions = actions
        self.supply = Supply(store, actions, styles)

    # Asking: to be aligned with votes

    def prepare(
        self,
        action: str,
        settings: "AlignSettings",
        *,
        output: Path | None = None,
        dataset: Path | None = None,
        raters: Sequence[str] = (),
        name: str = "",
        pack: str | None = None,
    ) -> RunFolder:
        """Begin a run's record: what it learns from, and how. Nothing is trained yet.

        Args:
            action: whose votes, and whose pack is trained on.
            settings: see `AlignSettings`.
            output: the run's folder; one below the data folder's `runs` if not given.
            dataset: a `videofolder` dataset in place of the votes of this data folder; not for the loss "kto", which
                learns from ratings of single clips.
            raters: whose votes; if none are named, people's (`Supply.counted`), of whom those who disagree cancel out.
            name: of the LoRA; the run's own if not given.
            pack: the action pack that the clips were made with; the action's own if not given, "" for none.

        Raises:
            UserError: an unknown action or pack, a setting out of range, nothing to learn from, a folder in use.
        """

        if action not in self._actions:
            raise UserError(f"There is no action '{action}'. Choose one of: {', '.join(self._actions)}.")
        from huvidpo_core.training.lessons import teaching

        settings.check()
        if pack is None:
            pack = action if (self._packs / action).is_dir() else ""
        if pack == ANIMATEDIFF or pack.endswith(LAMP):
            raise UserError(f"'{pack}' is there to be compared with; it cannot be trained on. Choose an action pack.")
        beside = ActionPack.load(self._packs / pack) if pack else None
        if beside and name:
            cards.free_file(beside, name)
        raters = raters if dataset else self._counted(action, settings, raters)
        source = self._source(action, settings, dataset, raters)
        path = (output or self.fresh_folder(action)).absolute()
        run = RunFolder.create(
            path,
            {
                "kind": "align",
                "action": action,
                "name": name or path.name,
                "pack": pack,
                "pack_hash": beside.digest() if beside else "",
                "raters": list(raters),
                "profile": self._profile.name,
                "packs": str(self._packs.absolute()),
                **source.counts,
                "taught": len(teaching(source.pairs, ties=settings.tie_threshold > 0)),  # ties alone say nothing
                "clips": len(source.clips),
                "dataset": str(dataset) if dataset else "",
                "settings": asdict(settings),
            },
        )
        source.save(path)
        return run

    def _source(self, action: str, settings: "AlignSettings", dataset: Path | None, raters: Sequence[str]) -> "Source":
        """What the loss learns from."""
        if settings.single and dataset:
            raise UserError(
                "A dataset holds pairs, and the loss 'kto' learns from ratings of single clips. Leave out the dataset, "
                "or choose another loss."
            )
        if dataset and raters:
            raise UserError("A dataset's pairs are what its raters agree on. Leave out --rater, or the dataset.")
        known = [] if dataset else self.supply.raters()
        if known and (unknown := [rater for rater in raters if rater not in known]):
            raise UserError(f"Nobody called '{unknown[0]}' has rated. Choose from: {', '.join(known)}.")
        if settings.single:
            return self.supply.ratings(action, raters)
        return self.supply.dataset(dataset, action) if dataset else self.supply.votes(action, raters)

    def _counted(self, action: str, settings: "AlignSettings", raters: Sequence[str]) -> list[str]:
        """Whose votes count; ratings of single clips are people's anyway."""
        return list(raters) if settings.single else self.supply.counted(action, raters)

    def _free_name(self, action: str) -> str:
        """For a LoRA that nobody has named."""
        taken = {run.asked()["name"] for run in self.runs()}
        if (self._packs / action).is_dir():
            taken |= set(ActionPack.load(self._packs / action).preferences)
        others = (f"aligned-{number}" for number in count(2))
        return next(name for name in chain(["aligned"], others) if name not in taken)

    def presets(self, kind: Kind = "align") -> list[str]:
        """Names of the presets, sorted."""
        return sorted(path.stem for path in (ASSETS / kind).glob("*.toml"))

    def settings(self, source: str = "", kind: Kind = "align", **changes: Any) -> "AlignSettings | MotionSettings":
        """A preset or a TOML file, without one the preset for this profile; `changes` that are not None on top of it.

        Raises UserError.
        """
        from huvidpo_core.training.motion_settings import load_motion_settings
        from huvidpo_core.training.settings import load_settings

        own = self._profile.name if self._profile.name in self.presets(kind) else PUBLISHED[kind]
        chosen = {name: value for name, value in changes.items() if value is not None}
        if kind == "teach":
            return replace(load_motion_settings(source or own), **chosen).check()
        return load_settings(source or own, ASSETS / kind).changed(**chosen)

    def needs(self, settings: "AlignSettings | MotionSettings", kind: Kind = "align") -> str:
        """How much memory a training of a kind with these settings will take, as a sentence; takes seconds. Raises
        UserError for a device that is not there or too small.
        """
        from huvidpo_core.carrying_out import in_room
        from huvidpo_core.generation.plans import find_device
        from huvidpo_core.training.memory import estimate

        device = find_device(self._device)
        trained = self._profile.first_frame if kind == "picture" else self._profile.video
        return estimate(trained, device, in_room(settings, self._profile, device, self._plan))

    def begin(
        self, action: str, preset: str = "", *, raters: Sequence[str] = (), name: str = "", **changes: Any
    ) -> RunFolder:
        """Prepare a run and start it; `changes` are settings in place of the preset's. Without a `name` the LoRA gets a
        short one that is free. Raises UserError.
        """
        self.known(preset, "align")
        settings = self.settings(preset, **changes)
        counted = self._counted(action, settings, raters)
        self.refuse_twice("align", settings, name, action=action, raters=counted)
        run = self.prepare(action, settings, raters=raters, name=name or self._free_name(action))
        self.start(run)
        return run

    def known(self, preset: str, kind: Kind) -> None:
        """Whoever asks from outside names no file of this machine."""
        if preset and preset not in self.presets(kind):
            raise UserError(f"There is no preset '{preset}'. Choose one of: {', '.join(self.presets(kind))}.")

    # Asking: to be taught an action

    def footage(self, clips: Sequence[Path], prompt: str) -> Footage:
        """What an action could be taught from: each clip's words, and what could be better. Raises UserError."""
        return look(clips, prompt, self._profile.video, self.supply.text)

    def view(self, clip: Path) -> View:
        """One clip as an action would be taught from it. Raises UserError."""
        return view(clip, self._profile.video)

    def naming(self, title: str, name: str = "") -> Naming:
        """What an action of this title would be called; its name follows from it if not given. Raises UserError."""
        name = check_name(name) if name else name_of(title, self._actions)
        known = self._actions.get(name)
        title = known.title if known else " ".join(title.split()) or title_of(name)
        return Naming(name, title, known is not None, adoption.free_number(self._packs, name))

    def prepare_teaching(
        self,
        action: str,
        clips: Sequence[Path],
        prompt: str,
        settings: "MotionSettings",
        *,
        output: Path | None = None,
        title: str = "",
        adopt: bool = True,
    ) -> RunFolder:
        """Begin the record of a run that teaches an action; the clips are copied. Nothing is trained yet.

        Args:
            action: its name, a new one or one there is.
            clips, prompt: see `footage.look`.
            settings: see `MotionSettings`.
            output: the run's folder; one below the data folder's `runs` if not given.
            title: of the action, for people; made from its name if not given.
            adopt: put the finished pack to use at once.

        Raises:
            UserError: a name that cannot be one, clips or a setting at fault, a folder in use.
        """
        check_name(action)
        settings.check()
        path = (output or self.fresh_folder(action)).absolute()
        RunFolder.check_free(path)
        if taken := [name for name in (CLIPS, PACK) if (path / name).exists()]:  # perhaps the clips themselves
            raise UserError(f"{path} holds a folder '{taken[0]}' already, which would be replaced. Choose another.")
        footage = self.footage(clips, prompt)
        footage.keep(path)
        known = self._actions.get(action)
        return RunFolder.create(
            path,
            {
                "kind": "teach",
                "action": action,
                "title": " ".join(title.split()) or (known.title if known else title_of(action)),
                "prompt": " ".join(prompt.split()),
                "profile": self._profile.name,
                "packs": str(self._packs.absolute()),
                "clips": len(footage.shots),
                "notes": list(footage.notes),
                "adopt": adopt,
                "settings": asdict(settings),
            },
        )

    def teach(
        self, action: str, clips: Sequence[Path], prompt: str, *, title: str = "", preset: str = "", **changes: Any
    ) -> RunFolder:
        """Prepare a run that teaches an action and start it; `changes` are settings in place of the preset's. Raises
        UserError.
        """
        self.known(preset, "teach")
        settings = self.settings(preset, "teach", **changes)
        self.refuse_twice("teach", settings, action=action, prompt=" ".join(prompt.split()))
        run = self.prepare_teaching(action, clips, prompt, settings, title=title)
        self.start(run)
        return run

    # Put to use

    def use(self, run: RunFolder) -> Use:
        """What became of what a run made: on trial, put to use, or neither yet. Raises UserError."""
        return adoption.used(run, self._packs)

    def adopt(self, run: RunFolder, name: str = "", more: Mapping[str, Any] | None = None) -> str:
        """Put to use, under `name`, what a finished run made; what Create calls it.

        A LoRA goes beside its action pack, as 'PACK/NAME', or, for first frames, among the painters, as 'lora:NAME',
        `more` being added to its card; a taught action's pack among the others, as 'NAME'.

        Raises:
            UserError: it is not finished, there is no pack to put a LoRA beside, the name is taken or cannot be one.
        """
        kind = run.asked()["kind"]
        if kind == "teach":
            return adoption.adopt_pack(run, self._packs, name)
        if kind == "picture":
            return adoption.adopt_painter(run, self._packs, name, more)
        return adoption.adopt(run, self._packs, name, more)

    def result(self, run: RunFolder) -> Path:
        """Where a finished run's LoRA or action pack is."""
        return run.path / (PACK if run.asked()["kind"] == "teach" else RESULT)
