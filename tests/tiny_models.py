"""Folders in the hub's exact layout, made at small size with random weights: what the profile `full` reads.

`make_sdxl` writes Stable Diffusion XL (two text encoders), `make_dpo_unet` the repository of a UNet alone, `make_sd1`
Stable Diffusion 1.4. `make_profile` names them as `assets/profiles/full.toml` names the real ones.
"""

from pathlib import Path

import torch
from diffusers import (
    AutoencoderKL,
    EulerDiscreteScheduler,
    MotionAdapter,
    PNDMScheduler,
    SparseControlNetModel,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from tokenizers import pre_tokenizers
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from huvidpo_core.config import AnimateDiffConfig, Download, FirstFrameConfig, PainterConfig, Profile, VideoConfig
from huvidpo_core.engine import Engine
from huvidpo_core.models.packs import ActionPack
from huvidpo_core.models.weights import model_hash, motion_parameters

WIDTH, HEIGHT, FRAMES = 64, 48, 4
NOISE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}


def tokenizer(pad: str = "<|endoftext|>") -> CLIPTokenizer:
    """CLIP's tokenizer with an alphabet and two merges."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    merges = [("c", "a"), ("ca", "t</w>")]
    tokens = [*alphabet, *(letter + "</w>" for letter in alphabet), *("".join(merge) for merge in merges)]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    return CLIPTokenizer(
        vocab={token: index for index, token in enumerate(tokens)}, merges=merges, pad_token=pad, model_max_length=77
    )


def text_config(words: CLIPTokenizer) -> CLIPTextConfig:
    """A text encoder of width 32."""
    return CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=32,
        intermediate_size=37,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=77,
        projection_dim=32,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
    )


def vae(scaling_factor: float) -> AutoencoderKL:
    """Four levels, as in the real ones: the factor is 8."""
    return AutoencoderKL(
        block_out_channels=(8, 16, 16, 16),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        latent_channels=4,
        norm_num_groups=8,
        scaling_factor=scaling_factor,
    )


def sdxl_unet() -> UNet2DConditionModel:
    """SDXL's pattern with one attention level."""
    return UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=(2, 4),
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        cross_attention_dim=64,
        projection_class_embeddings_input_dim=32 + 6 * 8,
        norm_num_groups=8,
    )


def make_sdxl(folder: Path) -> Path:
    """`stabilityai/stable-diffusion-xl-base-1.0`."""
    torch.manual_seed(0)
    words, words_2 = tokenizer(), tokenizer(pad="!")
    StableDiffusionXLPipeline(
        vae=vae(0.13025),
        text_encoder=CLIPTextModel(text_config(words)),
        text_encoder_2=CLIPTextModelWithProjection(text_config(words_2)),
        tokenizer=words,
        tokenizer_2=words_2,
        unet=sdxl_unet(),
        scheduler=EulerDiscreteScheduler(**NOISE, timestep_spacing="leading"),
        force_zeros_for_empty_prompt=True,
        add_watermarker=False,
    ).save_pretrained(folder)
    return folder


def make_dpo_unet(folder: Path) -> Path:
    """`mhdang/dpo-sdxl-text2image-v1`: only a `unet/` folder."""
    torch.manual_seed(1)
    sdxl_unet().save_pretrained(folder / "unet")
    return folder


def make_sd1(folder: Path) -> Path:
    """`CompVis/stable-diffusion-v1-4`: a plain 2D UNet and a PNDM scheduler."""
    torch.manual_seed(2)
    words = tokenizer()
    unet = UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        attention_head_dim=4,
        cross_attention_dim=32,
        norm_num_groups=8,
    )
    StableDiffusionPipeline(
        vae=vae(0.18215),
        text_encoder=CLIPTextModel(text_config(words)),
        tokenizer=words,
        unet=unet,
        scheduler=PNDMScheduler(**NOISE, skip_prk_steps=True),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(folder)
    return folder


def make_profile(folder: Path) -> Profile:
    """All three models below `folder`, as a profile of family `tiny`, with both painters to compare with."""
    drawn = {"width": WIDTH, "height": HEIGHT, "steps": 2, "guidance": 3.0}
    return Profile(
        name="tiny",
        title="Tiny",
        family="tiny",
        first_frame=FirstFrameConfig(
            base=str(make_sdxl(folder / "sdxl")),
            unet=str(make_dpo_unet(folder / "dpo")),
            width=WIDTH,
            height=HEIGHT,
            steps=2,
            guidance=3.0,
        ),
        video=VideoConfig(
            base=str(make_sd1(folder / "sd1")),
            width=WIDTH,
            height=HEIGHT,
            frames=FRAMES,
            fps=8,
            steps=3,
            ddim_steps=4,
            guidance=2.0,
        ),
        painters=(
            PainterConfig(name="plain", title="Plain", base=str(folder / "sdxl"), **drawn),
            PainterConfig(name="sd15", title="SD", base=str(folder / "sd1"), **drawn),
        ),
    )


def make_vae(folder: Path) -> Path:
    """`madebyollin/sdxl-vae-fp16-fix`: a VAE alone, at the top of its repository."""
    torch.manual_seed(3)
    vae(0.13025).save_pretrained(folder)
    return folder


def make_animatediff(folder: Path, *downloads: Download) -> AnimateDiffConfig:
    """`guoyww/animatediff-motion-adapter-v1-5-3` and `-sparsectrl-rgb` for `make_sd1`, at most 8 frames.

    What a ControlNet begins with at zero is random, so that its condition has an effect.
    """
    torch.manual_seed(4)
    width = {"block_out_channels": (16, 32), "motion_num_attention_heads": 4, "motion_max_seq_length": 8}
    adapter = MotionAdapter(**width, motion_layers_per_block=1, motion_norm_num_groups=8, use_motion_mid_block=False)
    control = SparseControlNetModel(
        **width,
        down_block_types=("CrossAttnDownBlockMotion", "DownBlockMotion"),
        layers_per_block=1,
        cross_attention_dim=32,
        attention_head_dim=4,
        norm_num_groups=8,
    )
    with torch.no_grad():
        for parameter in (*adapter.parameters(), *control.parameters()):
            if not parameter.any():
                parameter.normal_(std=0.1)
    adapter.save_pretrained(folder / "adapter")
    control.save_pretrained(folder / "control")
    return AnimateDiffConfig(
        adapter=str(folder / "adapter"), control=str(folder / "control"), steps=2, guidance=3.0, downloads=downloads
    )


def make_pack(engine: Engine) -> tuple[ActionPack, dict[str, torch.Tensor]]:
    """A pack for running horses, saved among the engine's; and its motion, a little off the base's everywhere."""
    unet = engine._load().animator.unet
    motion = {name: tensor + 0.05 for name, tensor in motion_parameters(unet).items()}
    pack = ActionPack(
        name="horse_run", title="Horse run", action="horse_run", prompt="{}", base="sd1", base_hash=model_hash(unet),
        frames=FRAMES, fps=8, width=WIDTH, height=HEIGHT, licence="Apache-2.0",
    )  # fmt: skip
    pack.save(engine._packs_folder / "horse_run", motion)
    return pack, motion
