"""Stable Diffusion's `AutoencoderKL` on patches of pixels, which a CPU can afford: the miniature's VAE."""

from diffusers import AutoencoderKL
from diffusers.configuration_utils import register_to_config
from diffusers.models.autoencoders.vae import DecoderOutput
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from torch import Tensor
from torch.nn import functional as F


class PatchAutoencoderKL(AutoencoderKL):
    """`AutoencoderKL` between a pixel-unshuffle and a pixel-shuffle.

    The leading entries of `block_out_channels`, one per halving inside a patch, are rearrangements without parameters
    (a patch of 4 x 4 pixels has two); they are listed so that pipelines read the true spatial factor,
    `2 ** (len(block_out_channels) - 1)`, off the configuration as they do for Stable Diffusion.

    Images are (b, 3, h, w) in [-1, 1]; latents (b, latent_channels, h / 8, w / 8) before `scaling_factor`.
    """

    @register_to_config
    def __init__(
        self,
        block_out_channels: tuple[int, ...] = (12, 48, 64, 128),
        patch_size: int = 4,
        layers_per_block: int = 1,
        latent_channels: int = 4,
        norm_num_groups: int = 16,
        scaling_factor: float = 1.0,
        force_upcast: bool = False,
    ) -> None:
        inner = tuple(block_out_channels)[patch_size.bit_length() - 1 :]
        super().__init__(
            in_channels=3 * patch_size**2,
            out_channels=3 * patch_size**2,
            down_block_types=("DownEncoderBlock2D",) * len(inner),
            up_block_types=("UpDecoderBlock2D",) * len(inner),
            block_out_channels=inner,
            layers_per_block=layers_per_block,
            latent_channels=latent_channels,
            norm_num_groups=norm_num_groups,
            scaling_factor=scaling_factor,
            force_upcast=force_upcast,
            mid_block_add_attention=False,
        )
        # The parent has registered its own, inner, list.
        self.register_to_config(block_out_channels=tuple(block_out_channels))

    def encode(self, x: Tensor, return_dict: bool = True) -> AutoencoderKLOutput | tuple:
        """Posterior of an image (b, 3, h, w) in [-1, 1]; h and w divisible by 8."""
        return super().encode(F.pixel_unshuffle(x, self.config.patch_size), return_dict=return_dict)

    def decode(self, z: Tensor, return_dict: bool = True, generator: object = None) -> DecoderOutput | tuple:
        """Image (b, 3, h, w) of unscaled latents (b, c, h / 8, w / 8)."""
        patches = super().decode(z, return_dict=False, generator=generator)[0]
        image = F.pixel_shuffle(patches, self.config.patch_size)
        return DecoderOutput(sample=image) if return_dict else (image,)
