"""A training run as its process carries it out, whichever stage it is: one step on the device at a time, the record
following, a checkpoint now and then. `alignment.py` and `teaching.py` say what is trained.
"""

import os
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing, contextmanager, nullcontext, suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch

from huvidpo_core import media
from huvidpo_core.config import Profile
from huvidpo_core.device_lock import DeviceLock
from huvidpo_core.errors import MemoryExhaustedError, Stopped, UserError, enough_memory
from huvidpo_core.evaluation.metrics import clip_motion
from huvidpo_core.files import cannot_write
from huvidpo_core.generation.animate import Animator
from huvidpo_core.generation.denoise import make_scheduler
from huvidpo_core.generation.latents import decode
from huvidpo_core.generation.plans import choose_plan, give_back, has_bfloat16
from huvidpo_core.progress import Progress, Stopwatch
from huvidpo_core.training.carrier import carrying
from huvidpo_core.training.course import CheckRecord, Course, StepRecord
from huvidpo_core.training.crew import Crew
from huvidpo_core.training.memory import taken
from huvidpo_core.training.motion_settings import MotionSettings
from huvidpo_core.training.record import RunFolder
from huvidpo_core.training.settings import AlignSettings

CHECKPOINT_SECONDS = 30  # between two checkpoints
CHECKPOINT_SHARE = 0.05  # and at most this share of the time goes into writing them: a large model's take seconds
_END = object()
T = TypeVar("T")
S = TypeVar("S", AlignSettings, MotionSettings)


def in_room(settings: S, profile: Profile, device: torch.device, plan: str = "", *, spare: bool = False) -> S:
    """Settings with `checkpointing` decided: on to be `spare`, for memory ran out before; where they leave it open, as
    the memory plan named says, else the one for the device. And with `precision`, where that is left open on a GPU that
    has no bfloat16. Raises UserError for a device that is too small.
    """
    if settings.precision == "auto" and not has_bfloat16(device):
        settings = replace(settings, precision="float32")
    if spare:
        return replace(settings, checkpointing=True)
    if settings.checkpointing is not None:
        return settings
    return replace(settings, checkpointing=choose_plan(profile, device, plan, forced=True).checkpointing)


class RunProcess(ABC):
    """A run being carried out in this process, or in each of several that `accelerate launch` has started."""

    _settings: AlignSettings | MotionSettings  # each stage's own

    def __init__(
        self, run: RunFolder, profile: Profile, device: torch.device, crew: Crew, data: Path, plan: str = ""
    ) -> None:
        """`data` is the data folder, whose device lock counts; `plan` a memory plan that somebody insists on."""
        self.run, self._profile, self._device, self._crew, self._plan = run, profile, device, crew, plan
        self._lock = DeviceLock(data, str(device))
        self._asked = run.asked()

    def carry_out(self, stop: threading.Event) -> Iterator[Progress]:
        """Train, from the last checkpoint if there is one, until it ends or is asked to stop; the record follows.

        Raises:
            UserError: it cannot be carried out; the record says so too.
            Stopped: it was asked to; the checkpoint is written.
        """
        if self._crew.leads:
            self._take_over()
        with carrying(self.run.path) if self._crew.leads else nullcontext():
            yield from self._carried_out(stop)

    def _carried_out(self, stop: threading.Event) -> Iterator[Progress]:
        self._tell(status="running", stage="loading the models", message="", seconds_left=None)
        try:
            with enough_memory():
                yield from self._train(stop)
        except (Stopped, GeneratorExit, KeyboardInterrupt):
            self.run.withdraw_stop()
            self._tell(status="stopped", stage="", message="Stopped. Resume continues here.", seconds_left=None)
            raise
        except BaseException as error:
            if isinstance(error, MemoryExhaustedError):
                error = UserError(self._after_running_out())
            words = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
            with suppress(UserError):  # on a full disk this cannot be written either, and the first error says more
                self._tell(status="failed", stage="", message=words, seconds_left=None)
            raise error

    # Each stage's own

    @abstractmethod
    def _load(self) -> Animator:
        """The models that are trained and that encode. Raises UserError."""

    def _encode(self, animator: Animator) -> Iterator[int]:
        """Encode what is learned from, or read it from where it was kept, pausing now and then and saying how many
        pauses are left. Raises UserError."""
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

    @abstractmethod
    def _expected(self) -> float:
        """Bytes that training was expected to need at its peak."""

    # The same for all

    @property
    def _own_share(self) -> AlignSettings | MotionSettings:
        """The settings as this process has them, with its part of a batch."""
        return replace(self._settings, batch=self._settings.batch // self._crew.size)

    def _in_room(self, settings: S) -> S:
        return in_room(settings, self._profile, self._device, self._plan, spare=self.run.state().spare)

    def _after_running_out(self) -> str:
        """What can be done when memory ran out; Resume does the first of it by itself."""
        if not self._settings.checkpointing:
            self.run.tell(spare=True)  # whichever process it was
            return (
                "There is not enough memory for this training. What it learned up to the last checkpoint is kept: "
                "Resume goes on from there and computes activations twice instead of keeping them, which takes less."
            )
        return (
            "There is not enough memory for this training, though activations are not kept. What it learned is kept: "
            "close other programs that hold memory and resume it, or begin anew with a smaller batch or fewer frames."
        )

    def _memory_words(self) -> str:
        """How much memory it took, beside what was expected."""
        if not (peak := taken(self._device)):
            return ""
        return f" Memory at the peak: {peak / 1e9:.1f} GB ({self._expected() / 1e9:.1f} GB were expected)."

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
        self._prepare("encoding the clips", self._encode(animator), stop)
        with self._device_for_a_step(stop):
            course = self._course(animator)
        if self._crew.leads:
            self.run.forget_after(course.step, course.checked)
        steps = course.settings.steps
        self._tell(steps=steps, step=course.step)
        self._prepare("measuring the start" if course.step == 0 else "training", course.begin(), stop)
        try:
            yield from self._follow(course, stop)
        except Stopped:
            course.save()
            raise
        if self._crew.leads:
            message = f"{self._finish(course, animator)}{self._memory_words()}"
            self._tell(status="finished", stage="", message=message, seconds_left=None)

    def _prepare(self, stage: str, work: Generator[int], stop: threading.Event) -> None:
        """Go through what comes before the first step, and say how far it is."""
        self._tell(stage=stage)
        for done, left in enumerate(self._in_turns(work, stop), 1):
            self._tell(stage=f"{stage}, {done} of {done + left}")

    def _follow(self, course: Course, stop: threading.Event) -> Iterator[Progress]:
        """Train, and keep the record."""
        watch, due = Stopwatch("training", course.settings.steps), time.monotonic() + CHECKPOINT_SECONDS
        check_took = 0.0
        begun = self._coming(course)
        for record in self._in_turns(course.run(), stop):
            if isinstance(record, StepRecord):
                progress = watch.at(record.step)
                if progress.seconds_left is not None:
                    left = progress.seconds_left + course.checks_left * check_took
                    progress = replace(progress, seconds_left=left)
                self._note("step", asdict(record))
                self._tell(step=record.step, stage="training", seconds_left=progress.seconds_left)
                yield progress
            elif record is not None:
                self._keep_check(record, course)
                check_took = time.monotonic() - begun
                watch.leave_out(check_took)
                self._tell(stage="training")
            if (began := time.monotonic()) > due:
                course.save()
                took = time.monotonic() - began
                due = began + took + max(CHECKPOINT_SECONDS, took / CHECKPOINT_SHARE)
            begun = self._coming(course)

    def _coming(self, course: Course) -> float:
        """Say so where a check comes next, for it can take minutes; the time now."""
        if course.check_due:
            self._tell(stage="checking")
        return time.monotonic()

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
        self._give_way()
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
            self._give_way()

    def _give_way(self) -> None:
        """Where somebody wants the device, leave them the memory that only a step needs: several GB."""
        if self._crew.leads and self._lock.wanted:
            give_back(self._device)

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
            moves = len(clip) > 1
            path = self.run.sample(check.step, number, ".mp4" if moves else ".png")
            try:
                path.parent.mkdir(exist_ok=True)
            except OSError as error:
                raise cannot_write(path, error) from error
            if moves:
                media.write_mp4(path, clip, self._profile.video.fps)
            else:
                media.write_png(path, clip[0])
        self._note("check", self._of_check(check, course))

    def _note(self, kind: Literal["step", "check"], values: dict[str, Any]) -> None:
        if self._crew.leads:
            self.run.note(kind, values)

    def _tell(self, **changes: Any) -> None:
        if self._crew.leads:
            self.run.tell(**changes)
