"""One alignment, from its record to a LoRA: what the training's process does."""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from huvidpo_core import __version__, media
from huvidpo_core.carrying_out import RunProcess
from huvidpo_core.config import Profile, build
from huvidpo_core.errors import UserError
from huvidpo_core.files import whole_file
from huvidpo_core.generation.animate import Animator
from huvidpo_core.generation.denoise import make_scheduler
from huvidpo_core.generation.latents import encode
from huvidpo_core.generation.loading import component_folder, load_vae
from huvidpo_core.models import preference
from huvidpo_core.models.pack_weights import apply_pack
from huvidpo_core.models.packs import ActionPack
from huvidpo_core.models.weights import model_hash
from huvidpo_core.training import lora
from huvidpo_core.training.align import Aligner
from huvidpo_core.training.checks import CheckRecord
from huvidpo_core.training.crew import Crew
from huvidpo_core.training.lessons import Lessons
from huvidpo_core.training.memory import expected
from huvidpo_core.training.record import CARD, RESULT, RunFolder
from huvidpo_core.training.settings import AlignSettings
from huvidpo_core.training.source import Source
from huvidpo_core.training.tryout import Tryout

SAMPLES = 4  # clips at each check


class Alignment(RunProcess):
    """Stage 2."""

    def __init__(
        self, run: RunFolder, profile: Profile, device: torch.device, crew: Crew, data: Path, plan: str = ""
    ) -> None:
        """See `RunProcess`. Raises UserError for a damaged record."""
        super().__init__(run, profile, device, crew, data, plan)
        self._calm: float | None = None  # the pack's own shared noise, for the sample clips
        self._settings = self._in_room(build(AlignSettings, self._asked["settings"], "run.json: settings").check())

    @property
    def _precision(self) -> torch.dtype:
        """Of the frozen models' weights."""
        whole = self._device.type == "cpu" or self._settings.precision == "float32"
        return torch.float32 if whole else torch.bfloat16

    def _load(self) -> Animator:
        """The video model with the run's action pack in it."""
        video = replace(self._profile.video, compile=False)  # which does not go with recomputed activations
        animator = Animator.load(video, device=self._device, dtype=self._precision)
        if self._asked["pack"]:
            pack = ActionPack.load(Path(self._asked["packs"]) / self._asked["pack"])
            if pack.digest() != self._asked.get("pack_hash", pack.digest()):  # the first records did not say
                raise UserError(
                    f"The action pack {pack.name} has changed since this training was begun, so it cannot go on. Put "
                    "the former pack back, or start the training anew."
                )
            apply_pack(animator.unet, pack)
            self._calm = pack.shared_noise
        return animator

    def _encode(self, animator: Animator) -> Iterator[int]:
        video = self._profile.video

        def read(clip: Path, longest: int) -> np.ndarray:
            return media.read_video(clip, max_frames=longest, size=(video.width, video.height)).frames

        vae = self._whole(component_folder(video.base, "vae"))
        yield from self._encode_once(read, lambda frames: encode(vae, frames), animator.embed)

    def _whole(self, folder: Path) -> nn.Module:
        """A VAE in float32, whatever is trained: what it makes of clips is what is learned from."""
        return load_vae(folder, torch.float32).to(self._device)

    def _encode_once(
        self,
        read: Callable[[Path, int], np.ndarray],
        encode: Callable[[np.ndarray], Tensor],
        embed: Callable[[str], Tensor],
    ) -> Iterator[int]:
        """Fill `_lessons`: see `Lessons.encode`; `read` is told a file and how many frames of it count."""
        folder = self.run.path
        source, self._lessons = Source.load(folder), Lessons.load(folder)
        if self._crew.told("there" if self._lessons else ""):  # the leader of several may have written them just now
            return
        longest = max(len(pair.mask) for pair in source.pairs)
        self._lessons = yield from Lessons.encode(
            source.pairs, lambda clip: read(source.clips[clip], longest), encode, embed
        )
        if self._crew.leads:
            self._lessons.save(folder)

    def _course(self, animator: Animator) -> Aligner:
        folder, video, lessons = self.run.path, self._profile.video, self._lessons
        how = self._sampling(animator) | ({} if self._calm is None else {"shared_noise": self._calm})
        tryout = Tryout.of(lessons, lessons.pairs, SAMPLES, frames=video.frames, **how)
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

    def _expected(self) -> float:
        return expected(self._profile.video, self._device, self._own_share)

    def _of_check(self, check: CheckRecord, aligner: Aligner) -> dict[str, Any]:
        values = {name: value for name, value in vars(check).items() if name != "clips"}
        return values | {"beta": aligner.beta, "best": aligner.best["step"]}

    def _finish(self, aligner: Aligner, animator: Animator) -> str:
        """Write the best LoRA and its card."""
        aligner.use_best()
        best = aligner.best
        card = self._about(animator) | {
            "action": self._asked["action"],
            "dataset_hash": Source.load(self.run.path).digest,
            "singles" if aligner.settings.single else "pairs": {
                "trained": len(aligner.train_pairs),
                "held_out": len(aligner.held_out),
            },
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
        return message

    def _about(self, animator: Animator) -> dict[str, str]:
        """What the card says of the network that was trained."""
        asked = self._asked
        pack = ActionPack.load(Path(asked["packs"]) / asked["pack"]) if asked["pack"] else None
        return {
            "base_model": self._profile.video.base,
            "base_hash": pack.base_hash if pack else model_hash(animator.unet),
            "pack": asked["pack"],
            "pack_hash": asked.get("pack_hash", ""),
        }
