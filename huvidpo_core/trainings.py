"""Preference trainings as a person meets them: asked for, carried out by a process of their own, put to use."""

import logging
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from huvidpo_core import adoption
from huvidpo_core.adoption import Use
from huvidpo_core.config import ASSETS, ROOT, Action, Profile, Style
from huvidpo_core.errors import UserError
from huvidpo_core.models import cards
from huvidpo_core.models.packs import ActionPack
from huvidpo_core.preferences.store import Store
from huvidpo_core.progress import Progress
from huvidpo_core.supply import Supply
from huvidpo_core.training.record import RESULT, RunFolder, identity

if TYPE_CHECKING:
    from huvidpo_core.training.settings import AlignSettings

log = logging.getLogger(__name__)


class Trainings:
    """The trainings of one data folder."""

    def __init__(
        self,
        data: Path,
        profile: Profile,
        device: str | None,
        store: Store,
        packs: Path,
        actions: Mapping[str, Action],
        styles: Mapping[str, Style],
    ) -> None:
        """`packs` is the family's folder of action packs."""
        self._data, self._profile, self._device, self._packs, self._actions = data, profile, device, packs, actions
        self.supply = Supply(store, actions, styles)

    # Asking

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
            dataset: a `videofolder` dataset in place of the votes of this data folder.
            raters: whose votes; everybody's if none are named, and then raters who disagree cancel out.
            name: of the LoRA; the run's own if not given.
            pack: the action pack that the clips were made with; the action's own if not given, "" for none.

        Raises:
            UserError: an unknown action or pack, a setting out of range, nothing to learn from, a folder in use.
        """

        if action not in self._actions:
            raise UserError(f"There is no action '{action}'. Choose one of: {', '.join(self._actions)}.")
        settings.check()
        if pack is None:
            pack = action if (self._packs / action).is_dir() else ""
        if pack:
            beside = ActionPack.load(self._packs / pack)
            if name:
                cards.free_file(beside, name)
        source = self.supply.dataset(dataset) if dataset else self.supply.votes(action, raters)
        path = (output or self._fresh(action)).absolute()
        run = RunFolder.create(
            path,
            {
                "kind": "align",
                "action": action,
                "name": name or path.name,
                "pack": pack,
                "raters": list(raters),
                "profile": self._profile.name,
                "packs": str(self._packs.absolute()),
                "pairs": len(source.pairs),
                "clips": len(source.clips),
                "dataset": str(dataset) if dataset else "",
                "settings": asdict(settings),
            },
        )
        source.save(path)
        return run

    def _fresh(self, action: str) -> Path:
        """A run's folder that is not there yet, two in one second included."""
        path = self._data / "runs" / time.strftime(f"%Y%m%d-%H%M%S-{action}")
        others = (path.with_name(f"{path.name}-{number}") for number in count(2))
        return next(each for each in chain([path], others) if not each.exists())

    def _free_name(self, action: str) -> str:
        """For a LoRA that nobody has named."""
        taken = {run.asked()["name"] for run in self.runs()}
        if (self._packs / action).is_dir():
            taken |= set(ActionPack.load(self._packs / action).preferences)
        others = (f"aligned-{number}" for number in count(2))
        return next(name for name in chain(["aligned"], others) if name not in taken)

    def presets(self) -> list[str]:
        """Names of the presets, sorted."""
        return sorted(path.stem for path in (ASSETS / "align").glob("*.toml"))

    def settings(self, source: str = "", **changes: Any) -> "AlignSettings":
        """A preset or a TOML file, without one the preset for this profile; `changes` that are not None on top of it.

        Raises UserError.
        """
        from huvidpo_core.training.settings import load_settings

        own = self._profile.name if self._profile.name in self.presets() else "huvidpo"
        chosen = {name: value for name, value in changes.items() if value is not None}
        return replace(load_settings(source or own), **chosen).check()

    # In this process

    def carry_out(self, run: RunFolder, stop: threading.Event) -> Iterator[Progress]:
        """Train here, from the last checkpoint if there is one. Raises UserError; Stopped when asked to stop.

        Under `accelerate launch` every process calls this with the same folder.
        """
        from huvidpo_core.alignment import Alignment
        from huvidpo_core.training.crew import Crew

        crew, device = Crew.gather(self._device)
        yield from Alignment(run, self._profile, device, crew, self._data).carry_out(stop)

    @contextmanager
    def one_for_all(self) -> Iterator[bool]:
        """Under `accelerate launch`: what only one process is to do; True for that one. The others wait for its end,
        and share its UserError.
        """
        from huvidpo_core.training.crew import Crew

        crew, _ = Crew.gather(self._device)
        wrong = ""
        try:
            yield crew.leads
        except UserError as error:
            wrong = str(error)
        if wrong := crew.told(wrong):
            raise UserError(wrong)

    def open(self, path: Path) -> RunFolder:
        """A run by its folder, wherever it is. Raises UserError."""
        return RunFolder.open(path.absolute())

    def result(self, run: RunFolder) -> Path:
        """Where a finished run's LoRA is."""
        return run.path / RESULT

    # A process of its own

    def begin(
        self, action: str, preset: str = "", *, raters: Sequence[str] = (), name: str = "", **changes: Any
    ) -> RunFolder:
        """Prepare a run and start it; `changes` are settings in place of the preset's. Without a `name` the LoRA gets a
        short one that is free. Raises UserError.
        """
        if preset and preset not in self.presets():  # whoever asks from outside names no file of this machine
            raise UserError(f"There is no preset '{preset}'. Choose one of: {', '.join(self.presets())}.")
        name = name or self._free_name(action)
        run = self.prepare(action, self.settings(preset, **changes), raters=raters, name=name)
        self.start(run)
        return run

    def start(self, run: RunFolder) -> None:
        """Carry a run out in a process of its own, which outlives this one; also to resume. Raises UserError."""
        if run.state().status == "running":
            raise UserError("This training is running already.")
        asked = run.asked()
        command = [sys.executable, "-m", "huvidpo_core", "align", "--resume", "--output", str(run.path)]
        command += ["--profile", asked["profile"], "--data", str(self._data.absolute())]
        run.withdraw_stop()
        try:
            with (run.path / "log.txt").open("ab") as words:
                process = subprocess.Popen(
                    command, cwd=ROOT, stdout=words, stderr=words, stdin=subprocess.DEVNULL, start_new_session=True,
                    env=os.environ | {"OMP_WAIT_POLICY": "passive"},
                )  # fmt: skip
        except OSError as error:
            raise UserError(f"The training could not be started ({error.strerror}).") from error
        threading.Thread(target=process.wait, daemon=True).start()  # or it would stay as a zombie
        run.tell(status="running", stage="starting", message="", seconds_left=None, **identity(process.pid))

    def runs(self) -> list[RunFolder]:
        """All runs of the data folder, newest first; what is none is left out."""
        found = []
        for path in (self._data / "runs").glob("*/run.json"):
            try:
                run = RunFolder.open(path.parent)
                found.append((run.asked().get("created", 0.0), run))
            except UserError as error:
                log.warning("a training is not listed: %s", error)
        return [run for _, run in sorted(found, key=lambda each: (each[0], each[1].path.name), reverse=True)]

    def find(self, name: str) -> RunFolder:
        """A run of the data folder by its folder's name. Raises UserError."""
        if name not in {run.path.name for run in self.runs()}:
            raise UserError("That training is no longer there. Reload the page to see those that are.")
        return RunFolder(self._data / "runs" / name)

    def remove(self, run: RunFolder) -> None:
        """Delete a run with all it made; a LoRA that was put to use stays. Raises UserError while it is running."""
        if run.state().status == "running":
            raise UserError("This training is running. Stop it first.")
        adoption.withdraw(run, self._packs)
        shutil.rmtree(run.path, ignore_errors=True)

    # Put to use

    def use(self, run: RunFolder) -> Use:
        """What became of a run's LoRA: on trial, put to use, or neither yet. Raises UserError."""
        return adoption.used(run)

    def adopt(self, run: RunFolder, name: str = "", more: Mapping[str, Any] | None = None) -> str:
        """Put a finished run's LoRA beside its action pack, under `name`; what Create calls it: 'PACK/NAME'.

        `more` is added to its card.

        Raises:
            UserError: it is not finished, there is no pack to put it beside, the name is taken or cannot be one.
        """
        return adoption.adopt(run, self._packs, name, more)
