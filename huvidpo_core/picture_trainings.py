"""Trainings of whoever draws the first frames, as a person asks for them; the rest is as for all (`trainings`)."""

from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huvidpo_core.config import Profile
from huvidpo_core.errors import UserError
from huvidpo_core.models.painter_loras import PainterLoras
from huvidpo_core.training.record import RunFolder
from huvidpo_core.trainings import Trainings

if TYPE_CHECKING:
    from huvidpo_core.training.settings import AlignSettings


@dataclass(frozen=True)
class PictureTrainings:
    """Asks for runs of kind "picture" among those of `trainings`; their LoRAs are put to use in `loras`."""

    trainings: Trainings
    loras: PainterLoras
    profile: Profile

    def stock(self, raters: Collection[str] = ()) -> int:
        """How many choices of these raters, by default all, there are to learn from. Raises UserError."""
        return len(self.trainings.supply.choices(self.profile.name, raters))

    def raters(self) -> list[str]:
        """Who has chosen, by name. Raises UserError."""
        return sorted({choice.rater for choice in self.trainings.supply.choices(self.profile.name)})

    def prepare(
        self, settings: "AlignSettings", *, output: Path | None = None, raters: Sequence[str] = (), name: str = ""
    ) -> RunFolder:
        """Begin a run's record: which choices it learns from, and how. Nothing is trained yet.

        Args:
            settings: see `AlignSettings`; a loss for pairs.
            output: the run's folder; one below the data folder's `runs` if not given.
            raters: whose choices; everybody's if none are named.
            name: of the LoRA; a short one that is free if not given.

        Raises:
            UserError: a setting out of range, nothing to learn from, a folder in use, a name that is taken.
        """
        settings.check()
        if settings.single:
            raise UserError("First frames are learned from in pairs. Choose another loss than 'kto'.")
        if name:
            self.loras.free_file(name)
        source = self.trainings.supply.first_frames(self.profile.name, raters)
        path = (output or self.trainings.fresh_folder("first-frames")).absolute()
        run = RunFolder.create(
            path,
            {
                "kind": "picture",
                "action": "",
                "name": name or self._free_name(),
                "pack": "",
                "raters": list(raters),
                "profile": self.profile.name,
                "choices": len({pair.first for pair in source.pairs}),
                **source.counts,
                "clips": len(source.clips),
                "settings": asdict(settings),
            },
        )
        source.save(path)
        return run

    def begin(self, preset: str = "", *, raters: Sequence[str] = (), name: str = "", **changes: Any) -> RunFolder:
        """Prepare a run and start it; `changes` are settings in place of the preset's. Raises UserError."""
        self.trainings.known(preset, "picture")
        settings = self.trainings.settings(preset, "picture", **changes)
        self.trainings.refuse_twice("picture", settings, name, raters=list(raters))
        run = self.prepare(settings, raters=raters, name=name)
        self.trainings.start(run)
        return run

    def _free_name(self) -> str:
        taken = {run.asked()["name"] for run in self.trainings.runs("picture")} | set(self.loras.names())
        others = (f"liked-{number}" for number in count(2))
        return next(name for name in chain(["liked"], others) if name not in taken)
