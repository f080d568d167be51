"""An action being taught, from its record to an action pack: what the training's process does."""

from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from huvidpo_core import __version__, adoption
from huvidpo_core.carrying_out import RunProcess
from huvidpo_core.config import Profile, build
from huvidpo_core.errors import UserError
from huvidpo_core.evaluation.metrics import clip_motion
from huvidpo_core.footage import LONGEST, read_clip
from huvidpo_core.generation.animate import Animator
from huvidpo_core.generation.denoise import make_scheduler
from huvidpo_core.generation.latents import encode
from huvidpo_core.models.packs import TAUGHT, ActionPack
from huvidpo_core.models.weights import model_hash
from huvidpo_core.training.crew import Crew
from huvidpo_core.training.material import CLIPS, Material
from huvidpo_core.training.memory import expected
from huvidpo_core.training.motion_settings import MotionSettings
from huvidpo_core.training.record import PACK, RunFolder
from huvidpo_core.training.takes import Takes
from huvidpo_core.training.teach import CheckRecord, Teacher, sampled
from huvidpo_core.training.tryout import Tryout

SAMPLES = 4  # clips at each check
EXAMPLES = 4  # prompts that the new action is shown with


class Teaching(RunProcess):
    """Stage 1."""

    def __init__(
        self, run: RunFolder, profile: Profile, device: torch.device, crew: Crew, data: Path, plan: str = ""
    ) -> None:
        """See `RunProcess`. Raises UserError for a damaged record."""
        super().__init__(run, profile, device, crew, data, plan)
        self._settings = self._in_room(build(MotionSettings, self._asked["settings"], "run.json: settings").check())
        self._material = Material.load(run.path)
        self._takes: Takes | None = None  # from `_encode`

    def _load(self) -> Animator:
        """The bare base model, in float32: its weights are trained, and take small steps."""
        video = replace(self._profile.video, compile=False)  # which does not go with recomputed activations
        whole = self._device.type == "cpu" or self._settings.precision == "float32"
        autocast = None if whole else torch.bfloat16
        return Animator.load(video, device=self._device, dtype=torch.float32, autocast=autocast)

    def _encode(self, animator: Animator) -> Iterator[int]:
        folder, video = self.run.path, self._profile.video
        self._takes = Takes.load(folder)
        if self._crew.told("there" if self._takes else ""):  # the leader of several may have written them just now
            return
        self._takes = yield from Takes.encode(
            self._material,
            lambda file: read_clip(folder / CLIPS / file, video, LONGEST * video.frames)[0],
            lambda frames: encode(animator.vae, frames),
            animator.embed,
            clip_motion,
            self._settings,
            video.frames,
        )
        if self._crew.leads:
            self._takes.save(folder)

    def _course(self, animator: Animator) -> Teacher:
        takes, settings, video = self._takes, self._settings, self._profile.video
        split = self._material.split(settings.held_out, settings.seed)
        shown = sampled(split, SAMPLES)
        tryout = Tryout(
            torch.stack([takes.clips[number][:, :1] for number in shown]),
            torch.stack([takes.texts[takes.captions[number]] for number in shown]),
            min(video.frames, *(takes.clips[number].shape[1] for number in shown)),
            **self._sampling(animator),
        )
        return Teacher(
            animator.unet,
            make_scheduler(animator.scheduler, "ddim"),
            takes,
            split,
            self._material.digest,
            settings,
            tryout,
            self.run.path,
            frames=video.frames,
            shared_noise=video.training_noise,
            crew=self._crew,
        )

    def _expected(self) -> float:
        return expected(self._profile.video, self._device, self._own_share)

    def _of_check(self, check: CheckRecord, teacher: Teacher) -> dict[str, Any]:
        return {name: value for name, value in vars(check).items() if name != "clips"}

    def _finish(self, teacher: Teacher, animator: Animator) -> str:
        """Write the action pack and, if that was asked for, put it to use."""
        self._save_pack(teacher, animator)
        message = f"Ended at step {teacher.step}: {teacher.ended}."
        losses = {check["loss"]: check["step"] for check in self.run.metrics("check") if check["loss"] is not None}
        if losses and (best := losses[min(losses)]) != teacher.step:
            message += f" The clips kept for checking were understood best at step {best}: fewer steps may do."
        if not self._asked["adopt"]:
            return message
        try:
            packs = Path(self._asked["packs"])
            title = ActionPack.load(packs / adoption.adopt_pack(self.run, packs)).title
        except UserError as error:
            return f"{message} It could not be put to use: {error}"
        return f"{message} It was put to use as “{title}”."

    def _save_pack(self, teacher: Teacher, animator: Animator) -> None:
        asked, video, material = self._asked, self._profile.video, self._material
        prompts, kept = (
            list(dict.fromkeys(material.takes[number].prompt for number in numbers))
            for numbers in (teacher.trained, teacher.held_out)
        )
        pack = ActionPack(
            name=asked["action"],
            title=asked["title"],
            action=asked["action"],
            prompt=asked["prompt"],
            base=video.base,
            base_hash=model_hash(animator.unet),
            frames=video.frames,
            fps=video.fps,
            width=video.width,
            height=video.height,
            licence="as that of the clips it was taught from and of the base model",
            training={
                "stage": 1,
                "steps": teacher.step,
                "clips": len(teacher.trained),
                "held_out": len(teacher.held_out),
                "source": TAUGHT,
                "dataset_hash": material.digest,
                "settings": asdict(teacher.settings),
                "examples": prompts[:EXAMPLES],
                "scenes": [prompt for prompt in kept if prompt not in prompts],
                "version": __version__,
            },
        )
        motion = {name: value.half() for name, value in teacher.motion().items()}
        pack.save(self.run.path / PACK, motion, overwrite=True)
