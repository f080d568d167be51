"""Turns a published HuViDPO or LAMP checkpoint into an action pack, and proves that nothing was lost."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from huvidpo_core.config import KeyFrames
from huvidpo_core.errors import Stopped, UserError, out_of_memory
from huvidpo_core.models import official, preference
from huvidpo_core.models.inflate import VideoUNet
from huvidpo_core.models.pack_weights import apply_pack
from huvidpo_core.models.packs import ActionPack
from huvidpo_core.models.weights import check_finite, check_strictly, model_hash, motion_parameters, same_base
from huvidpo_core.progress import Progress

_PROOF = "proof"  # the name of the LoRA while it is tried


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
    onto: VideoUNet | None = None,
    report: Callable[[Progress], bool] = lambda _: False,
) -> ActionPack:
    """Read a published checkpoint and write it as a pack; the defaults are the paper's settings, which it does not say.

    Args:
        unet_folder: the checkpoint's `unet/`.
        destination: the pack's folder, `lora_weights/<family>/<name>`; must not be there yet.
        action: the action's key in actions.toml.
        lora_file: a published preference LoRA (the whole wrapped state dict), trained on this checkpoint.
        key_frames: which attention the checkpoint was trained with, "first" for LAMP's; the pack brings it along.
        title, prompt, base, frames, fps, width, height, licence: as in `ActionPack`.
        onto: the network that the pack is to be used with, if it is known; it stays as it is. One on the `meta` device
            stands for its names and shapes.
        report: told each stage as it begins; says whether to stop.

    Raises:
        UserError: a file is missing, damaged or does not fit, or the pack cannot be written; nothing is there then.
        Stopped: `report` said so; nothing is there either.
    """

    def begin(stage: str) -> None:
        if report(Progress(stage, 0, 1)):
            raise Stopped

    begin("reading the checkpoint")
    unet = VideoUNet.from_official(unet_folder, key_frames)
    check_finite(unet.state_dict(), "The checkpoint")
    if onto is not None and onto.device.type == "meta":
        advice = (
            f"{base} is not on this machine and taken for a Stable Diffusion 1.x. Name the folder of the checkpoint's "
            "own base with --base."
        )
        check_strictly(onto.state_dict(), unet.state_dict(), unet_folder, advice)
    elif onto is not None and not same_base(model_hash(unet), onto):
        raise UserError(
            f"This checkpoint was trained on another base model than {base}. Name its own with --base on the command "
            "line, or start the app with the profile of its base, which is full for Stable Diffusion 1.4, and bring it "
            "there."
        )
    expected, adapter = [_given(unet, "the checkpoint")], None
    if lora_file is not None:
        tensors, weights = official.read_lora(lora_file)
        check_finite({**tensors, **weights}, lora_file)
        official.check_same_base(unet, weights, lora_file)
        preference.check(tensors, unet, lora_file)
        adapter = preference.from_published(tensors)
        preference.attach(unet, adapter, _PROOF)
        expected.append(_given(unet, f"the checkpoint with {lora_file}"))
        preference.detach(unet, _PROOF)
    begin("writing the action pack")
    pack = ActionPack(
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
    try:
        begin("proving by a forward pass")
        _prove(pack, unet, expected)
    except BaseException:
        shutil.rmtree(destination, ignore_errors=True)
        raise
    return pack


def _given(unet: VideoUNet, source: str) -> Tensor:
    """What the network gives as it came from `source` (`_small_pass`).

    Raises:
        UserError: nothing, or numbers that are not finite.
    """
    try:
        given = _small_pass(unet)
    except Exception as error:  # a field of config.json that only computing looks at
        if out_of_memory(error):
            raise
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"The network of {source} cannot compute ({reason}); see that the config.json is its own."
        ) from error
    if not given.isfinite().all():
        raise UserError(
            f"The network of {source} gives numbers that are not finite; see that the config.json is its own, or save "
            "the weights again in float32."
        )
    return given


@torch.no_grad()
def _prove(pack: ActionPack, unet: VideoUNet, expected: Sequence[Tensor]) -> None:
    """Put what was stored onto the bare base, and compare with what the checkpoint gave: without a LoRA, and with it.

    Raises:
        UserError: it is not the same to the bit.
    """
    for parameter in motion_parameters(unet).values():
        parameter.zero_()
    for preference_name, wanted in zip((None, *pack.preferences), expected, strict=True):
        apply_pack(unet, pack, preference_name)
        if not torch.equal(_small_pass(unet), wanted):
            raise UserError(
                f"What was stored of {pack.name} does not give what the checkpoint gives, so it was not kept. Please "
                "report this, with the checkpoint's config.json."
            )


@torch.no_grad()
def _small_pass(unet: VideoUNet) -> Tensor:
    """What the network makes of three small frames of fixed noise."""
    draw, side = torch.Generator().manual_seed(0), 2 ** len(unet.config.block_out_channels)
    clip = torch.randn(1, unet.config.in_channels, 3, side, side, generator=draw).to(unet.dtype)
    text = torch.randn(1, 8, unet.config.cross_attention_dim, generator=draw).to(unet.dtype)
    return unet.eval()(clip, 500, text).sample
