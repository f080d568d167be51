"""A training run as its process carries it out, whichever stage it is: one step on the device at a time, the record
following, a checkpoint now and then. `alignment.py` and `teaching.py` say what is trained.
"""

import os
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch

from huvidpo_core import media
from huvidpo_core.config import Profile
from huvidpo_core.device_lock import DeviceLock
from huvidpo_core.errors import Stopped, UserError, enough_memory
from huvidpo_core.evaluation.metrics import clip_motion
from huvidpo_core.generation.animate import Animator
from huvidpo_core.generation.denoise import make_scheduler
from huvidpo_core.generation.latents import decode
from huvidpo_core.progress import Progress, Stopwatch
from huvidpo_core.training.course import CheckRecord, Course, StepRecord
from huvidpo_core.training.crew import Crew
from huvidpo_core.training.record import RunFolder

CHECKPOINT_SECONDS = 30  # between two checkpoints
CHECKPOINT_SHARE = 0.05  # and at most this share of the time goes into writing them: a large model's take seconds
_END = object()
T = TypeVar("T")


class RunProcess(ABC):
    """A run being carried out in this process, or in each of several that `accelerate launch` has started."""

    def __init__(self, run: RunFolder, profile: Profile, device: torch.device, crew: Crew, data: Path) -> None:
        """`data` is the data folder, whose device lock counts."""
        self.run, self._profile, self._device, self._crew = run, profile, device, crew
        self._lock = DeviceLock(data)
        self._asked = run.asked()

    def carry_out(self, stop: threading.Event) -> Iterator[Progress]:
        """Train, from the last checkpoint if there is one, until it ends or is asked to stop; the record follows.

        Raises:
            UserError: it cannot be carried out; the record says so too.
            Stopped: it was asked to; the checkpoint is written.
        """
        if self._crew.leads:
            self._take_over()
        self._tell(status="running", stage="loading the models", message="", seconds_left=None)
        try:
            with enough_memory():
                yield from self._train(stop)
        except (Stopped, GeneratorExit, KeyboardInterrupt):
            self.run.withdraw_stop()
            self._tell(status="stopped", stage="", message="Stopped. Resume continues here.", seconds_left=None)
            raise
        except BaseException as error:
            words = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
            with suppress(UserError):  # on a full disk this cannot be written either, and the first error says more
                self._tell(status="failed", stage="", message=words, seconds_left=None)
            raise

    # Each stage's own

    @abstractmethod
    def _load(self) -> Animator:
        """The models that are trained and that encode. Raises UserError."""

    def _encode(self, animator: Animator) -> Iterator[None]:
        """Encode what is learned from, or read it from where it was kept, pausing now and then. Raises UserError."""
        yield from ()

    @abstractmethod
    def _course(self, animator: Animator) -> Course:
        """The training. Raises UserError."""

    @abstractmethod
    def _of_check(self, check: CheckRecord, course: Course) -> dict[str, Any]:
        """What the record keeps of a check."""

    @abstractmethod
    def _finish(self, course: Course, animator: Animator) -> str:
        """Write what was trained; how it ended, in words. Raises UserError."""

    # The same for all

    def _take_over(self) -> None:
        """Refuse what another process, or another profile, is to carry out; forget a wish to stop from before."""
        state, begun_with = self.run.state(), self._asked["profile"]
        if begun_with != self._profile.name:
            raise UserError(f"This training was begun with the profile {begun_with}. Resume it with that one.")
        if state.status == "running" and state.pid != os.getpid():
            raise UserError("This training is running already, in another process.")
        if state.status != "running":  # else the app has just started this process
            self.run.withdraw_stop()

    def _train(self, stop: threading.Event) -> Iterator[Progress]:
        yield Progress("loading the models", 0, 1)
        with self._device_for_a_step(stop):
            animator = self._load()
        yield Progress("encoding the clips", 0, 1)
        self._tell(stage="encoding the clips")
        for _ in self._in_turns(self._encode(animator), stop):
            pass
        with self._device_for_a_step(stop):
            course = self._course(animator)
        if self._crew.leads:
            self.run.forget_after(course.step, course.checked)
        steps = course.settings.steps
        self._tell(steps=steps, step=course.step, stage="measuring the start" if course.step == 0 else "training")
        for _ in self._in_turns(course.begin(), stop):
            pass
        try:
            yield from self._follow(course, stop)
        except Stopped:
            course.save()
            raise
        if self._crew.leads:
            self._tell(status="finished", stage="", message=self._finish(course, animator), seconds_left=None)

    def _follow(self, course: Course, stop: threading.Event) -> Iterator[Progress]:
        """Train, and keep the record."""
        watch, due = Stopwatch("training", course.settings.steps), time.monotonic() + CHECKPOINT_SECONDS
        for record in self._in_turns(course.run(), stop):
            if isinstance(record, StepRecord):
                progress = watch.at(record.step)
                self._note("step", asdict(record))
                self._tell(step=record.step, stage="training", seconds_left=progress.seconds_left)
                yield progress
            elif record is not None:
                self._keep_check(record, course)
            if (began := time.monotonic()) > due:
                course.save()
                took = time.monotonic() - began
                due = began + took + max(CHECKPOINT_SECONDS, took / CHECKPOINT_SHARE)

    def _in_turns(self, work: Generator[T], stop: threading.Event) -> Iterator[T]:
        """The items of a generator, each made in a turn of its own. Raises Stopped."""
        with closing(work):
            while True:
                with self._device_for_a_step(stop):
                    item = next(work, _END)
                if item is _END:
                    return
                yield item

    @contextmanager
    def _device_for_a_step(self, stop: threading.Event) -> Iterator[None]:
        """The device's next turn, for all processes together. Raises Stopped in all of them if it was asked for."""
        with ExitStack() as turn:
            wish = ""
            if self._crew.leads:
                try:
                    turn.enter_context(self._lock.for_a_step(lambda: stop.is_set() or self.run.asked_to_stop))
                except Stopped:
                    wish = "stop"
            if self._crew.told(wish):  # the others wait here
                raise Stopped
            yield

    def _sampling(self, animator: Animator) -> dict[str, Any]:
        """How sample clips are made, as `Tryout` is told: the profile's fast way."""
        video = self._profile.video
        return {
            "scheduler": make_scheduler(animator.scheduler, "fast"),
            "steps": video.steps,
            "shared_noise": video.shared_noise,
            "decode": lambda latents: decode(animator.vae, latents)[0],
            "motion": clip_motion,
        }

    def _keep_check(self, check: CheckRecord, course: Course) -> None:
        for number, clip in enumerate(check.clips):
            path = self.run.sample(check.step, number)
            path.parent.mkdir(exist_ok=True)
            media.write_mp4(path, clip, self._profile.video.fps)
        self._note("check", self._of_check(check, course))

    def _note(self, kind: Literal["step", "check"], values: dict[str, Any]) -> None:
        if self._crew.leads:
            self.run.note(kind, values)

    def _tell(self, **changes: Any) -> None:
        if self._crew.leads:
            self.run.tell(**changes)
