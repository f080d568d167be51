"""What the published networks are, as far as they depart from diffusers' defaults: for counting before anything has
been downloaded. A folder's own `config.json` goes first."""

from typing import Any

SD14: dict[str, Any] = {"sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8}
"""Stable Diffusion 1.4's UNet."""

SDXL: dict[str, Any] = {
    "sample_size": 128,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "block_out_channels": (320, 640, 1280),
    "cross_attention_dim": 2048,
    "attention_head_dim": (5, 10, 20),
    "transformer_layers_per_block": (1, 2, 10),
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
"""Stable Diffusion XL's UNet."""

ANIMATEDIFF: dict[str, Any] = {
    "cross_attention_dim": 768,
    "use_motion_mid_block": False,
    "motion_max_seq_length": 32,
}
"""Stable Diffusion 1.x's UNet with AnimateDiff's motion modules. SparseCtrl's network is diffusers' default."""

VAE: dict[str, Any] = {
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "block_out_channels": (128, 256, 512, 512),
    "layers_per_block": 2,
    "latent_channels": 4,
}
"""The VAE of both."""

SD14_TEXT, SDXL_TEXT = 123_060_480, 817_725_440
"""Parameters of their text encoders: CLIP ViT-L's; that and OpenCLIP ViT-bigG's."""

FACTOR = 8  # pixels to a latent, both ways
