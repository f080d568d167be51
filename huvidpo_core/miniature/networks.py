"""The architectures of the miniature: SDXL and Stable Diffusion 1.x as diffusers builds them, made small.

Noise schedule for both: Stable Diffusion's, rescaled to zero terminal SNR, with velocity prediction (Lin et al. 2024,
"Common diffusion noise schedules and sample steps are flawed"). At 32 x 20 latents the published schedule leaves the
picture's brightness visible in its noisiest step, and a sampler that starts from pure noise then drifts to grey.
"""

import torch
from diffusers import DDIMScheduler, EulerDiscreteScheduler, UNet2DConditionModel

from huvidpo_core.miniature.text import WIDTH
from huvidpo_core.models.vae import PatchAutoencoderKL

CHANNELS = (64, 96)
HEADS = (2, 3)
SHARED_NOISE = 0.85
"""Share of frame 0's noise in the other frames' (`latents.correlate`); the paper's is 0.2. A small network's errors
follow the noise it is given: where frames share more of it they share more of the errors, which then do not flicker."""
CALM = {"smile": 0.97}
"""The same, of actions in which little moves, when their clips are made: the less moves, the more flicker shows."""
NOISE = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "timestep_spacing": "trailing",
}


def vae() -> PatchAutoencoderKL:
    """Factor 8, 4 latent channels."""
    return PatchAutoencoderKL()


def first_frame_unet() -> UNet2DConditionModel:
    """SDXL's pattern: no attention at full resolution, size and pooled text added to the time embedding."""
    return UNet2DConditionModel(
        sample_size=32,
        block_out_channels=CHANNELS,
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 2),
        attention_head_dim=HEADS,
        use_linear_projection=True,
        cross_attention_dim=2 * WIDTH,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=WIDTH + 6 * 8,
        norm_num_groups=16,
    )


def video_unet() -> UNet2DConditionModel:
    """Stable Diffusion 1.x's pattern, to be inflated: text by cross-attention alone.

    Attention stays on the lower level: at full resolution it would cost half of all time on a CPU, and 96 channels for
    every 2 x 2 latents are enough for temporal attention to carry the first frame's details through a clip.
    """
    return UNet2DConditionModel(
        sample_size=32,
        block_out_channels=CHANNELS,
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        attention_head_dim=HEADS,
        cross_attention_dim=WIDTH,
        norm_num_groups=16,
    )


def first_frame_scheduler() -> EulerDiscreteScheduler:
    """What the first-frame pipeline samples with."""
    return EulerDiscreteScheduler(**NOISE)


def video_scheduler() -> DDIMScheduler:
    """What the video is trained and sampled with."""
    return DDIMScheduler(**NOISE, clip_sample=False, set_alpha_to_one=True)


@torch.no_grad()
def start_from_first_frame(video: UNet2DConditionModel, still: UNet2DConditionModel) -> None:
    """Copy every weight of the text-to-image UNet that has a place in the video UNet.

    Linear projections become 1x1 convolutions; cross-attention keeps its view of the first text encoder; the second of
    the still network's paired transformer blocks has no place.
    """
    given = still.state_dict()
    for name, value in video.state_dict().items():
        if name in given:
            weight = given[name]
            if weight.ndim < value.ndim:
                weight = weight[..., None, None]
            if weight.shape != value.shape:
                weight = weight[:, : value.shape[1]]
            value.copy_(weight)
