"""Turns a published HuViDPO or LAMP checkpoint into an action pack."""

from pathlib import Path

from huvidpo_core.config import KeyFrames
from huvidpo_core.models import official, preference
from huvidpo_core.models.inflate import VideoUNet
from huvidpo_core.models.packs import ActionPack
from huvidpo_core.models.weights import model_hash, motion_parameters


def import_official(
    unet_folder: Path,
    destination: Path,
    *,
    action: str,
    lora_file: Path | None = None,
    key_frames: KeyFrames = "first+previous",
    title: str = "",
    prompt: str = "",
    base: str = "CompVis/stable-diffusion-v1-4",
    frames: int = 16,
    fps: int = 8,
    width: int = 512,
    height: int = 320,
    licence: str = "unknown (imported)",
) -> ActionPack:
    """Read a published checkpoint and write it as a pack; the defaults are the paper's settings, which it does not say.

    Args:
        unet_folder: the checkpoint's `unet/`.
        destination: the pack's folder, `lora_weights/<family>/<name>`; must not be there yet.
        action: the action's key in actions.toml.
        lora_file: a published preference LoRA (the whole wrapped state dict), trained on this checkpoint.
        key_frames: which attention the checkpoint was trained with, "first" for LAMP's; the pack brings it along.
        title, prompt, base, frames, fps, width, height, licence: as in `ActionPack`.

    Raises:
        UserError: a file is missing, damaged or does not fit, or the pack cannot be written; nothing is there then.
    """
    unet = VideoUNet.from_official(unet_folder, key_frames)
    adapter = None
    if lora_file is not None:
        tensors, weights = official.read_lora(lora_file)
        official.check_same_base(unet, weights, lora_file)
        preference.check(tensors, unet, lora_file)
        adapter = preference.from_published(tensors)
    return ActionPack(
        name=destination.name,
        title=title or action.replace("_", " ").capitalize(),
        action=action,
        prompt=prompt,
        base=base,
        base_hash=model_hash(unet),
        frames=frames,
        fps=fps,
        width=width,
        height=height,
        licence=licence,
        training={"imported_from": unet_folder.name, "key_frames": key_frames},
    ).save(destination, motion_parameters(unet), preference=adapter)
