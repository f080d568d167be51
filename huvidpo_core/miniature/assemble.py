"""Put trained parts together: the folders that the profile `miniature` names, in half precision, and the packs."""

import json
import shutil
from pathlib import Path

from diffusers import StableDiffusionXLPipeline
from transformers import CLIPTextModel, CLIPTextModelWithProjection, PreTrainedTokenizerFast

from huvidpo_core.config import load_actions
from huvidpo_core.miniature import data, networks
from huvidpo_core.miniature.curves import draw_curves
from huvidpo_core.miniature.workshop import SHIPPED, Workshop
from huvidpo_core.miniature.world import ACTIONS
from huvidpo_core.models import VideoUNet, motion_parameters
from huvidpo_core.models.packs import ActionPack

_VIDEO_TEXT = (("tokenizer", "video/tokenizer"), ("text_encoder", "video/text_encoder"))
SCHEDULERS = {"first_frame": networks.first_frame_scheduler, "video": networks.video_scheduler}


def assemble(shop: Workshop, assets: Path, packs: Path) -> None:
    """Replace `assets` and `packs` by what the stages have made.

    `assets` gets `first_frame/`, an SDXL pipeline without its VAE; `first_frame_dpo/`, the preference-aligned UNet for
    it, stored apart as the published one is; `video/`, Stable Diffusion 1.x inflated; `judge/`. Both halves share the
    VAE and the tokenizer's words; the VAE is stored once, with the video model. Everything is put together beside its
    place and moved there at the end: a failure on the way leaves the old miniature whole, since packs fit one base.

    Raises:
        UserError: a stage has not been run yet, or not for every action.
    """
    parts = {name: shop.made(name) for name in (*SHIPPED, "packs")}
    for action in ACTIONS:
        shop.made(f"packs/{action}")
    new_assets, new_packs = (folder.with_name(f".{folder.name}-new") for folder in (assets, packs))
    for folder in (new_assets, new_packs):
        shutil.rmtree(folder, ignore_errors=True)
    for name, place in (*SHIPPED.items(), ("tokenizer", "first_frame/tokenizer_2"), *_VIDEO_TEXT):
        shutil.copytree(parts[name], new_assets / place)
    for config in new_assets.rglob("config.json"):  # not where on this machine a part was trained from
        values = json.loads(config.read_text())
        if values.pop("_name_or_path", None) is not None:
            config.write_text(json.dumps(values, indent=2, sort_keys=True) + "\n")
    for name, scheduler in SCHEDULERS.items():
        scheduler().save_pretrained(new_assets / name / "scheduler")
    index = _index(new_assets / "first_frame")
    (new_assets / "first_frame" / "model_index.json").write_text(json.dumps(index, indent=2) + "\n")
    for kept in (file for file in assets.glob("*") if file.is_file()):  # the card and its pictures
        shutil.copy2(kept, new_assets)
    draw_curves(shop.folder, new_assets / "curves.png")
    shutil.copytree(parts["packs"], new_packs)
    for folder, new in ((assets, new_assets), (packs, new_packs)):
        shutil.rmtree(folder, ignore_errors=True)
        new.rename(folder)


def save_pack(unet: VideoUNet, action: str, base_hash: str, steps: int, clips: int, folder: Path) -> ActionPack:
    """Write an action's motion parameters as the pack `folder/ACTION`, in half precision, replacing an older one."""
    pack = ActionPack(
        name=action,
        title=load_actions()[action].title,
        action=action,
        prompt="{}",
        base="assets/miniature/video",
        base_hash=base_hash,
        frames=data.FRAMES,
        fps=8,
        width=data.WIDTH,
        height=data.HEIGHT,
        licence="Apache-2.0",
        training={"stage": 1, "steps": steps, "clips": clips, "source": "rendered by huvidpo_core.miniature.world"}
        | ({"shared_noise": networks.CALM[action]} if action in networks.CALM else {}),
    )
    motion = {name: parameter.detach().half() for name, parameter in motion_parameters(unet).items()}
    return pack.save(folder / action, motion, overwrite=True)


def _index(folder: Path) -> dict:
    """`model_index.json` as diffusers writes it."""
    parts = {
        "scheduler": ["diffusers", "EulerDiscreteScheduler"],
        "text_encoder": ["transformers", CLIPTextModel.__name__],
        "text_encoder_2": ["transformers", CLIPTextModelWithProjection.__name__],
        "tokenizer": ["transformers", PreTrainedTokenizerFast.__name__],
        "tokenizer_2": ["transformers", PreTrainedTokenizerFast.__name__],
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }
    version = json.loads((folder / "unet" / "config.json").read_text())["_diffusers_version"]
    return {
        "_class_name": StableDiffusionXLPipeline.__name__,
        "_diffusers_version": version,
        "force_zeros_for_empty_prompt": True,
        "add_watermarker": None,
        "feature_extractor": [None, None],
        "image_encoder": [None, None],
        **parts,
    }
