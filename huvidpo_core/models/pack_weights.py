"""Putting an action pack's tensors into a loaded `VideoUNet`, and taking them out again.

Loading is strict: what does not fit is a `UserError` that names file and tensor, and the network stays as it was.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from huvidpo_core.config import KeyFrames
from huvidpo_core.errors import UserError
from huvidpo_core.models import preference as lora
from huvidpo_core.models.inflate import VideoUNet
from huvidpo_core.models.packs import DEFAULT, MOTION, ActionPack
from huvidpo_core.models.weights import check_strictly, motion_parameters, read_weights, same_base

MAX_STRENGTH = 1.5


def apply_pack(
    unet: VideoUNet,
    pack: ActionPack,
    preference: str | None = None,
    strength: float = 1.0,
    preference_strength: float = 1.0,
    key_frames: KeyFrames | None = None,
) -> None:
    """Put a pack into a loaded network, in place of whichever was in it; its key frames come along.

    Args:
        unet: inflated from the base that the pack was trained on.
        pack: a saved pack.
        preference: one of `pack.preferences`, or None for the motion alone.
        strength: of the motion, 0 (the base's own, key frames too) .. 1 (as trained) .. 1.5 (further along the line).
        preference_strength: scale of the LoRA, 0 .. 1.5.
        key_frames: other ones than the pack's own, as long as this pack is in.

    Raises:
        UserError: a strength out of range, a pack for another base, a preference that is not there, a damaged file, or
            a tensor that is missing, extra or misshapen. The network is then what it was before.
    """
    for value in (strength, preference_strength):
        if not 0 <= value <= MAX_STRENGTH:
            raise UserError(f"A pack's strength is {value}; choose one from 0 to {MAX_STRENGTH}.")
    if not same_base(pack.base_hash, unet):
        raise UserError(
            f"The action pack {pack.name} was made for another base model ({pack.base}); "
            "load that model or train the pack anew."
        )
    parameters = motion_parameters(unet)
    path = pack._folder / MOTION
    motion = read_weights(path)
    check_strictly(parameters, motion, path, "fetch or train the pack again.")
    adapter = None
    if preference is not None:
        if preference not in pack.preferences:
            there = ", ".join(pack.preferences) or "none"
            raise UserError(f"The action pack {pack.name} has no preference LoRA {preference!r}; there is: {there}.")
        adapter = lora.read(pack.preference_file(preference), unet)

    if unet.base_motion is None:
        unet.base_motion = {name: parameter.detach().to("cpu", copy=True) for name, parameter in parameters.items()}
        unet.base_key_frames = unet.config.key_frames
    _mix(parameters, unet.base_motion, motion, strength)
    wanted = key_frames or pack.key_frames
    unet.set_key_frames(wanted if wanted and strength else unet.base_key_frames)
    lora.detach(unet, DEFAULT)
    if adapter is not None:
        lora.attach(unet, adapter, DEFAULT, preference_strength)


def remove_pack(unet: VideoUNet) -> None:
    """The bare base model again, bit by bit; nothing happens when no pack is in."""
    lora.detach(unet, DEFAULT)
    if unet.base_motion is not None:
        _mix(motion_parameters(unet), unet.base_motion, unet.base_motion, 1.0)
        unet.set_key_frames(unet.base_key_frames)
        unet.base_motion = unet.base_key_frames = None


@torch.no_grad()
def _mix(to: Mapping[str, Tensor], base: Mapping[str, Tensor], motion: Mapping[str, Tensor], strength: float) -> None:
    """to = base + strength * (motion - base), exactly one of the two at 0 and 1."""
    for name, parameter in to.items():
        if strength in (0, 1):
            parameter.copy_((base, motion)[int(strength)][name])
        else:
            start, end = (tensors[name].to(parameter.device, torch.float32) for tensors in (base, motion))
            parameter.copy_(start + strength * (end - start))  # torch.lerp is not meant for strength > 1
