"""One alignment, from its record to a LoRA: what the training's process does."""

import json
import logging
import os
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict
from pathlib import Path

import torch

from huvidpo_core import __version__, media
from huvidpo_core.config import Profile, build
from huvidpo_core.device_lock import DeviceLock
from huvidpo_core.errors import Stopped, UserError, enough_memory
from huvidpo_core.evaluation.metrics import clip_motion
from huvidpo_core.files import whole_file
from huvidpo_core.generation.animate import Animator
from huvidpo_core.generation.denoise import make_scheduler
from huvidpo_core.generation.latents import decode, encode
from huvidpo_core.models import preference
from huvidpo_core.models.pack_weights import apply_pack
from huvidpo_core.models.packs import ActionPack
from huvidpo_core.models.weights import model_hash
from huvidpo_core.progress import Progress, Stopwatch
from huvidpo_core.training import lora
from huvidpo_core.training.align import Aligner, StepRecord
from huvidpo_core.training.checks import CheckRecord
from huvidpo_core.training.crew import Crew
from huvidpo_core.training.lessons import Lessons
from huvidpo_core.training.record import CARD, RESULT, RunFolder
from huvidpo_core.training.settings import AlignSettings
from huvidpo_core.training.source import Source
from huvidpo_core.training.tryout import Tryout

log = logging.getLogger(__name__)

SAMPLES = 4  # clips at each check
CHECKPOINT_SECONDS = 30
_END = object()


class Alignment:
    """A run being carried out in this process, or in each of several that `accelerate launch` has started."""

    def __init__(self, run: RunFolder, profile: Profile, device: torch.device, crew: Crew, data: Path) -> None:
        """`data` is the data folder, whose device lock counts."""
        self.run, self._profile, self._device, self._crew = run, profile, device, crew
        self._lock = DeviceLock(data)
        self._asked = run.asked()
        self._calm: float | None = None  # the pack's own shared noise, for the sample clips
        self._settings = build(AlignSettings, self._asked["settings"], "run.json: settings").check()

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
            animator = self._animator()
        yield Progress("encoding the clips", 0, 1)
        self._tell(stage="encoding the clips")
        with self._device_for_a_step(stop):
            aligner = self._aligner(animator)
        if self._crew.leads:
            self.run.forget_after(aligner.step, aligner.checked)
        steps = aligner.settings.steps
        self._tell(steps=steps, step=aligner.step, stage="measuring the start" if aligner.step == 0 else "training")
        watch, saved, training = Stopwatch("training", steps), time.monotonic(), aligner.run()
        while True:
            try:
                with self._device_for_a_step(stop):
                    record = next(training, _END)
            except Stopped:
                aligner.save()
                raise
            if record is _END:
                break
            if isinstance(record, StepRecord):
                progress = watch.at(record.step)
                self._note("step", asdict(record))
                self._tell(step=record.step, stage="training", seconds_left=progress.seconds_left)
                yield progress
            elif record is not None:
                self._keep_check(record, aligner)
            if time.monotonic() - saved > CHECKPOINT_SECONDS:
                aligner.save()
                saved = time.monotonic()
        if self._crew.leads:
            self._finish(aligner, animator)

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

    def _animator(self) -> Animator:
        """The video model with the run's action pack in it."""
        whole = self._device.type == "cpu" or self._settings.precision == "float32"
        low = torch.float32 if whole else torch.bfloat16
        animator = Animator.load(self._profile.video, device=self._device, dtype=low)
        if self._asked["pack"]:
            pack = ActionPack.load(Path(self._asked["packs"]) / self._asked["pack"])
            apply_pack(animator.unet, pack)
            self._calm = pack.shared_noise
        return animator

    def _aligner(self, animator: Animator) -> Aligner:
        """The trainer, its clips and words encoded, or read from where they were kept."""
        folder, video = self.run.path, self._profile.video
        source = Source.load(folder)
        lessons = Lessons.load(folder)
        if lessons is None:
            longest = max(len(pair.mask) for pair in source.pairs)

            def read(clip: str):
                size = (video.width, video.height)
                return media.read_video(source.clips[clip], max_frames=longest, size=size).frames

            lessons = Lessons.encode(
                source.pairs, read, lambda frames: encode(animator.vae, frames), lambda text: animator.embed(text)
            )
            if self._crew.leads:
                lessons.save(folder)
        tryout = Tryout.of(
            lessons,
            lessons.pairs,
            SAMPLES,
            frames=video.frames,
            scheduler=make_scheduler(animator.scheduler, "fast"),
            steps=video.steps,
            shared_noise=video.shared_noise if self._calm is None else self._calm,
            decode=lambda latents: decode(animator.vae, latents)[0],
            motion=clip_motion,
        )
        return Aligner(
            animator.unet,
            make_scheduler(animator.scheduler, "ddim"),
            lessons,
            self._settings,
            tryout,
            folder,
            frames=video.frames,
            shared_noise=video.training_noise,
            crew=self._crew,
        )

    def _keep_check(self, check: CheckRecord, aligner: Aligner) -> None:
        for number, clip in enumerate(check.clips):
            path = self.run.sample(check.step, number)
            path.parent.mkdir(exist_ok=True)
            media.write_mp4(path, clip, self._profile.video.fps)
        values = {name: value for name, value in vars(check).items() if name != "clips"}
        self._note("check", values | {"beta": aligner.beta, "best": aligner.best["step"]})

    def _finish(self, aligner: Aligner, animator: Animator) -> None:
        """Write the best LoRA and its card, and say how it ended."""
        aligner.use_best()
        best, asked = aligner.best, self._asked
        card = {
            "base_model": self._profile.video.base,
            "base_hash": ActionPack.load(Path(asked["packs"]) / asked["pack"]).base_hash
            if asked["pack"]
            else model_hash(animator.unet),
            "pack": asked["pack"],
            "action": asked["action"],
            "dataset_hash": Source.load(self.run.path).digest,
            "pairs": {"trained": len(aligner.train_pairs), "held_out": len(aligner.held_out)},
            "settings": asdict(aligner.settings),
            "beta": aligner.beta,
            "calibration": asdict(aligner.calibration) if aligner.calibration else None,
            "steps": aligner.step,
            "best_step": best["step"],
            "held_out_accuracy": best["accuracy"],
            "ended": aligner.ended,
            "version": __version__,
        }
        notes = {"huvidpo": json.dumps({key: card[key] for key in ("base_model", "base_hash", "pack", "dataset_hash")})}
        preference.save(animator.unet, lora.NAME, self.run.path / RESULT, notes)
        with whole_file(self.run.path / CARD) as path:
            path.write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        kept = f"; the LoRA of step {best['step']} was the best and is kept" if best["step"] != aligner.step else ""
        message = f"Ended at step {aligner.step}: {aligner.ended}{kept}."
        if best["step"] == 0:
            message += " Nothing that was learned held up, so the LoRA changes nothing."
        self._tell(status="finished", stage="", message=message, seconds_left=None)

    def _note(self, kind, values: dict) -> None:
        if self._crew.leads:
            self.run.note(kind, values)

    def _tell(self, **changes) -> None:
        if self._crew.leads:
            self.run.tell(**changes)
