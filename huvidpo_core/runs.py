"""The training runs of a data folder: carried out here or by a process of their own, listed, found, removed."""

import json
import logging
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from itertools import chain, count
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from huvidpo_core import adoption
from huvidpo_core.attendance import Attendance
from huvidpo_core.config import ROOT, Profile, build
from huvidpo_core.errors import UserError
from huvidpo_core.progress import Progress
from huvidpo_core.training.record import Kind, RunFolder, identity

if TYPE_CHECKING:
    import torch

    from huvidpo_core.training.crew import Crew

log = logging.getLogger(__name__)

ENVIRONMENT = {
    "OMP_WAIT_POLICY": "passive",  # spinning threads are ten times slower on busy cores
    # glibc before 2.38 cannot give the place of one tensor to the next of its size, for a sliver beside it stays in one
    # of these caches. Without them a training on a CPU holds a third less memory, and is as fast.
    "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0:glibc.malloc.mxfast=0",
}
"""Of a training's process, but for what this process has set otherwise."""

COMMANDS: dict[Kind, str] = {"align": "align", "teach": "train-motion", "picture": "align-first-frame"}


class Runs(Attendance):
    """What can be done with a run of either kind once it has been asked for."""

    def __init__(self, data: Path, profile: Profile, device: str | None, packs: Path, plan: str = "") -> None:
        """`packs` is the family's folder of action packs; `device` and `plan` insist, as the engine's do."""
        super().__init__(profile)
        self._data, self._packs = data, packs
        self._device, self._plan = device, plan
        self.begun: Callable[[], None] = lambda: None  # when a process has been started here

    # In this process

    def carry_out(self, run: RunFolder, stop: threading.Event) -> Iterator[Progress]:
        """Train here, from the last checkpoint if there is one. Raises UserError; Stopped when asked to stop.

        Under `accelerate launch` every process calls this with the same folder.
        """
        from huvidpo_core.alignment import Alignment
        from huvidpo_core.picture_alignment import PictureAlignment
        from huvidpo_core.teaching import Teaching

        crew, device = self._meet()
        work = {"align": Alignment, "teach": Teaching, "picture": PictureAlignment}[run.asked()["kind"]]
        yield from work(run, self._profile, device, crew, self._data, self._plan).carry_out(stop)

    @contextmanager
    def one_for_all(self) -> Iterator[bool]:
        """Under `accelerate launch`: what only one process is to do; True for that one. The others wait for its end,
        and share its UserError.
        """
        crew, _ = self._meet()
        wrong = ""
        try:
            yield crew.leads
        except UserError as error:
            wrong = str(error)
        if wrong := crew.told(wrong):
            raise UserError(wrong)

    def _meet(self) -> "tuple[Crew, torch.device]":
        """The crew, and this process's device. Raises UserError for a device that is not there or too small."""
        from huvidpo_core.generation.plans import choose_plan, find_device
        from huvidpo_core.training.crew import Crew

        if self._device:
            find_device(self._device)
        crew, own = Crew.gather(self._device)
        choose_plan(self._profile, own, self._plan, forced=bool(self._device))
        return crew, own

    def open(self, path: Path) -> RunFolder:
        """A run by its folder, wherever it is. Raises UserError."""
        return RunFolder.open(path.absolute())

    def prolong(self, run: RunFolder, steps: int) -> None:
        """Ask for this many steps in all, 0 for twelve passes over the pairs, before it is resumed. Raises UserError
        where that would change nothing."""
        passes = 0
        if steps == 0 and run.asked()["kind"] != "teach":
            from huvidpo_core.training import split
            from huvidpo_core.training.settings import AlignSettings
            from huvidpo_core.training.source import Source

            settings = build(AlignSettings, run.asked()["settings"], "run.json: settings")
            train, _ = split.parted(Source.load(run.path).pairs, settings)
            passes = split.passes(train, settings.batch)
        run.prolong(steps, passes)

    # A process of its own

    def start(self, run: RunFolder) -> None:
        """Carry a run out in a process of its own, which outlives this one; also to resume. Raises UserError."""
        if run.state().status == "running":
            raise UserError("This training is running already.")
        asked = run.asked()
        command = [sys.executable, "-m", "huvidpo_core", COMMANDS[asked["kind"]], "--resume", "--output", str(run.path)]
        command += ["--profile", asked["profile"], "--data", str(self._data.absolute())]
        for flag, wish in (("--device", self._device), ("--plan", self._plan)):
            command += [flag, wish] if wish else []
        run.withdraw_stop()
        try:
            with (run.path / "log.txt").open("ab") as words:
                process = subprocess.Popen(
                    command, cwd=ROOT, stdout=words, stderr=words, stdin=subprocess.DEVNULL, start_new_session=True,
                    env=ENVIRONMENT | os.environ,
                )  # fmt: skip
        except OSError as error:
            raise UserError(f"The training could not be started ({error.strerror}).") from error
        with self._taking:
            run.tell(status="running", stage="starting", message="", seconds_left=None, **identity(process.pid))
            self._attend(run, process.wait)  # or it would stay as a zombie
        self.begun()

    def follow_all(self) -> None:
        """Attend to all that is being carried out in the data folder; see `follow`."""
        for run in self.runs(*get_args(Kind)):
            self.follow(run)

    def runs(self, *kinds: Kind) -> list[RunFolder]:
        """All runs of these kinds, by default alignments, in the data folder, newest first; what cannot be opened is
        left out, see `unlisted`."""
        found = []
        for path in self._records():
            try:
                run = RunFolder.open(path.parent)
                if (asked := run.asked())["kind"] in (kinds or ("align",)):
                    found.append((asked.get("created", 0.0), run))
            except UserError as error:
                log.info("a training is not listed: %s", error)  # `unlisted` tells people
        return [run for _, run in sorted(found, key=lambda each: (each[0], each[1].path.name), reverse=True)]

    def unlisted(self) -> list[str]:
        """Why runs in the data folder are left out of all lists, a sentence for each, by their folders' names."""
        reasons = []
        for path in sorted(self._records()):
            try:
                RunFolder.open(path.parent)
            except UserError as error:
                reasons += [str(error)] if path.exists() else []  # else it is being removed just now
        return reasons

    def _records(self) -> Iterator[Path]:
        return (self._data / "runs").glob("*/run.json")

    def running(self) -> bool:
        """Whether any run in the data folder is being carried out now."""
        return any(run.state().status == "running" for run in self.runs(*get_args(Kind)))

    def refuse_twice(self, kind: Kind, settings: Any, name: str = "", **asked: Any) -> None:
        """Raise a UserError where a training is running that was asked for just so, whatever it is called if no `name`
        is given: whoever presses a button twice does not want two."""
        asked["settings"] = json.loads(json.dumps(asdict(settings)))  # as a record has them
        asked |= {"name": name} if name else {}
        for run in self.runs(kind):
            known = run.asked()
            if all(known.get(key) == value for key, value in asked.items()) and run.state().status == "running":
                raise UserError(
                    "This very training is running already. Stop it to begin it anew, or change something, such as its "
                    "name, to have another beside it."
                )

    def find(self, name: str, *kinds: Kind) -> RunFolder:
        """A run of these kinds, by default an alignment, in the data folder by its folder's name. Raises UserError."""
        if name not in {run.path.name for run in self.runs(*kinds)}:
            raise UserError("That training is no longer there. Reload the page to see those that are.")
        return RunFolder(self._data / "runs" / name)

    def remove(self, run: RunFolder) -> None:
        """Delete a run with all it made; what was put to use stays. Raises UserError while it is running."""
        if run.state().status == "running":
            raise UserError("This training is running. Stop it first.")
        adoption.withdraw(run, self._packs)
        shutil.rmtree(run.path, ignore_errors=True)

    def fresh_folder(self, about: str) -> Path:
        """A run's folder that is not there yet, two in one second included."""
        path = self._data / "runs" / time.strftime(f"%Y%m%d-%H%M%S-{about}")
        others = (path.with_name(f"{path.name}-{number}") for number in count(2))
        return next(each for each in chain([path], others) if not each.exists())
