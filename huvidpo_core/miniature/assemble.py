"""Put trained parts together: the folders that the profile `miniature` names, in half precision, and the packs."""

import json
import shutil
from pathlib import Path

from diffusers import StableDiffusionXLPipeline
from transformers import CLIPTextModel, CLIPTextModelWithProjection, PreTrainedTokenizerFast

from huvidpo_core.config import load_actions
from huvidpo_core.miniature import data, networks
from huvidpo_core.models import VideoUNet, motion_parameters
from huvidpo_core.models.packs import ActionPack

PARTS = ("tokenizer", "text_encoder", "text_encoder_2", "first_frame_unet")  # of the first-frame pipeline


def assemble(work: Path, assets: Path) -> None:
    """Write `first_frame/`, an SDXL pipeline without its VAE, and `video/`, Stable Diffusion 1.x inflated.

    Both halves share the VAE and the tokenizer's words; the VAE is stored once, with the video model.
    """
    first, video = assets / "first_frame", assets / "video"
    for folder in (first, video):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
    for name in ("tokenizer", "tokenizer_2"):
        shutil.copytree(work / "tokenizer", first / name)
    for name in ("text_encoder", "text_encoder_2"):
        shutil.copytree(work / name, first / name)
    shutil.copytree(work / "first_frame_unet", first / "unet")
    networks.first_frame_scheduler().save_pretrained(first / "scheduler")
    (first / "model_index.json").write_text(json.dumps(_index(first), indent=2) + "\n")

    for name in ("tokenizer", "text_encoder", "vae"):
        shutil.copytree(work / name, video / name)
    shutil.copytree(work / "video_unet", video / "unet")
    networks.video_scheduler().save_pretrained(video / "scheduler")


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
        training={"stage": 1, "steps": steps, "clips": clips, "source": "rendered by huvidpo_core.miniature.world"},
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
