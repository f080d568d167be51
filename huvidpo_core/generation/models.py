"""Everything loaded for one profile, on one device in one precision."""

import logging
from dataclasses import dataclass
from pathlib import Path

import diffusers
import torch
import transformers

from huvidpo_core.config import Profile
from huvidpo_core.errors import UserError
from huvidpo_core.generation.animate import Animator
from huvidpo_core.generation.animatediff import AnimateDiff
from huvidpo_core.generation.animators import Animators
from huvidpo_core.generation.first_frame import FirstFramePainter
from huvidpo_core.generation.footprint import LIBRARIES, footprint
from huvidpo_core.generation.painters import Painters
from huvidpo_core.generation.plans import (
    Plan,
    choose_plan,
    free_memory,
    give_back,
    load_plans,
    memory_of,
    precision_on,
    smaller,
)
from huvidpo_core.models.pack_weights import apply_pack, remove_pack
from huvidpo_core.models.packs import ActionPack
from huvidpo_core.recipe import ANIMATEDIFF, LAMP

log = logging.getLogger(__name__)


def plan_for(profile: Profile, device: torch.device, wish: str = "", *, forced: bool = False) -> Plan:
    """The plan to load by now: as `choose_plan`, and where others hold memory too, the largest that fits what is free.
    The smallest is worth a try in any case. Raises UserError."""
    plan = choose_plan(profile, device, wish, forced=forced)
    if device.type == "cpu":
        return plan
    free = free_memory(device)
    while not wish and footprint(profile, plan).peak > free and (less := smaller(plan)):
        plan = less
    return plan


@dataclass(frozen=True)
class Models:
    """Who draws first frames, and who animates them."""

    painters: Painters
    animators: Animators
    device: torch.device
    plan: Plan
    profile: Profile
    expected: float = 0.0  # bytes of the GPU at the peak, counted beforehand; 0 where nobody counted

    @classmethod
    def load(cls, profile: Profile, device: torch.device, plan: Plan) -> "Models":
        """Load both halves of a profile on a device, by a plan (`plan_for`).

        Raises:
            UserError: a part is missing or unreadable.
        """
        dtype = precision_on(device, profile)
        log.info("loading %s on %s in %s: %s", profile.title, device, dtype, plan.words)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)  # former models', by another plan
        for library in (diffusers.utils.logging, transformers.utils.logging):
            library.disable_progress_bar()  # stderr is for sentences; the faces have progress of their own
            library.set_verbosity_error()
        parts_on = device if plan.resident == "parts" else None
        painter = FirstFramePainter.load(profile.first_frame, device=None, dtype=dtype, parts_on=parts_on)
        animator = Animator.load(profile.video, device=device, dtype=dtype, plan=plan)
        painters = Painters(profile, painter, animator, device, plan)
        expected = footprint(profile, plan).peak if plan.name else 0.0
        models = cls(painters, Animators(profile, animator, device), device, plan, profile, expected)
        models.animator_for(None)
        if plan.resident == "all":
            models.painter_for("")
        return models

    @property
    def where(self) -> str:
        """On what and how they run, for people."""
        if self.device.type == "cpu":
            return "the CPU"
        words = [torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else str(self.device)]
        if self.plan.name:
            words.append(f"plan for {self.plan.name} GB: {self.plan.words}")
        words.append({"sdpa": "PyTorch's attention"}.get(self.animator.attention, self.animator.attention))
        if self.device.type == "cuda" and (peak := torch.cuda.max_memory_reserved(self.device)):
            words.append(f"{(peak + LIBRARIES) / 1e9:.1f} GB at the peak so far")
        if self.expected:
            words.append(f"{self.expected / 1e9:.1f} GB expected")
        return ", ".join(words)

    def check_room(self, frames: int, pack: str | None = None) -> None:
        """Raise a UserError, before the work, for a clip longer than the GPU has memory for when this entry of the
        menu of motions animates; the plan sees to those of the profile's own length."""
        own, there = self.profile.video.frames, memory_of(self.device)
        if frames <= own or not (self.plan.name and there):
            return

        def needed(count: int, plan: Plan = self.plan) -> float:
            made = footprint(self.profile, plan, count)
            return made.compared if pack == ANIMATEDIFF else made.animating

        if (need := needed(frames)) > there:
            most = next((count for count in range(frames - 4, own, -4) if needed(count) <= there), own)
            below = (plan for plan in reversed(load_plans()) if plan.gigabytes < self.plan.gigabytes)
            other = next((plan.name for plan in below if needed(frames, plan) <= there), "")
            raise UserError(
                f"{frames} frames need about {need / 1e9:.1f} GB, and this GPU has {there / 1e9:.1f}. Ask for {most} "
                f"or fewer{f', or start the app with --plan {other}: slower, and they fit' if other else ''}."
            )

    def painter_for(self, name: str, lora: Path | None = None) -> FirstFramePainter:
        """Who draws, on the device; see `Painters.use`."""
        if self.plan.resident != "all":
            self.animators.rest()
        return self.painters.use(name, lora)

    def animator_for(self, pack: str | None) -> Animator | AnimateDiff:
        """Who animates, on the device; see `Animators.use`."""
        if self.plan.resident != "all":
            self.painters.rest()
        return self.animators.use(pack)

    def rest(self) -> None:
        """Leave the device to others, with what is kept in reserve there."""
        self.painters.rest()
        self.animators.rest()
        give_back(self.device)

    @property
    def animator(self) -> Animator:
        """The profile's own."""
        return self.animators.own

    def use_pack(self, folder: Path, pack: str | None, strength: float) -> ActionPack | None:
        """Put an action pack, 'NAME', 'NAME/PREFERENCE' or 'NAME@lamp', into the video UNet, both its parts at this
        strength; nothing for the bare base model, nor for AnimateDiff, which has a UNet of its own."""
        if not pack or pack == ANIMATEDIFF:
            remove_pack(self.animator.unet)
            return None
        name, _, preference = pack.partition("/")
        key_frames = "first" if name.endswith(LAMP) else None
        chosen = ActionPack.load(folder / name.removesuffix(LAMP))
        apply_pack(self.animator.unet, chosen, preference or None, strength, strength, key_frames=key_frames)
        return chosen
