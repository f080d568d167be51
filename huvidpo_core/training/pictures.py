"""First frames as stage 2 learns from them: Diffusion-DPO (Wallace et al. 2023) on pairs of pictures, by the trainer
that pairs of clips have.

A picture is a clip of two frames here. The first is what a network for clips is given, of which nothing is learned: it
is empty. The second is the picture. So a mask of (0, 1) says that the first of two pictures is the better one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.unets.unet_2d_condition import UNet2DConditionOutput
from torch import Tensor, nn
from torch.nn import functional as F

from huvidpo_core import media
from huvidpo_core.generation.first_frame import FirstFramePainter
from huvidpo_core.generation.latents import encode

FRAMES = 2  # of a picture as a clip
MASK = (0, 1)
FACTOR = 8  # pixels to a latent of SDXL's VAE, both ways


class PictureUNet(UNet2DConditionModel):
    """An SDXL UNet that is called as a network for clips is; called as diffusers does, it is what it was.

    Beside the text's embedding (b, l, d) SDXL is told a pooled embedding (b, p) and how large the picture is. The first
    travels as one more row of the text, see `with_pooled`; the second is what the latents' own size says.
    """

    @classmethod
    def of(cls, unet: UNet2DConditionModel) -> Self:
        """The same network, sharing its weights."""
        with torch.device("meta"):
            mine = cls.from_config(unet.config)
        mine.load_state_dict(unet.state_dict(), assign=True)
        return mine.eval()

    def forward(
        self, sample: Tensor, timestep: Tensor, encoder_hidden_states: Tensor, *others: Any, **more: Any
    ) -> UNet2DConditionOutput | tuple[Tensor, ...]:
        """Predict for pictures: `sample` (b, c, 2, h, w), `timestep` (b,), text (b, l + 1, d).

        Returns:
            `.sample` (b, c, 2, h, w), of which frame 0 is 0. For a sample (b, c, h, w): what diffusers' own returns.
        """
        if sample.ndim == 4:
            return super().forward(sample, timestep, encoder_hidden_states, *others, **more)
        height, width = (FACTOR * side for side in sample.shape[-2:])
        sizes = sample.new_tensor([height, width, 0, 0, height, width]).expand(len(sample), -1)
        pooled = self.config.projection_class_embeddings_input_dim - 6 * self.config.addition_time_embed_dim
        told = {"text_embeds": encoder_hidden_states[:, -1, :pooled], "time_ids": sizes}
        text = encoder_hidden_states[:, :-1]
        out = super().forward(sample[:, :, 1], timestep, text, added_cond_kwargs=told).sample
        return UNet2DConditionOutput(sample=F.pad(out[:, :, None], (0, 0, 0, 0, 1, 0)))


def trainable(painter: FirstFramePainter) -> FirstFramePainter:
    """This painter, its network such that it can be trained and drawn with."""
    painter.text_to_image.register_modules(unet=PictureUNet.of(painter.unet))
    return painter


def with_pooled(text: Tensor, pooled: Tensor) -> Tensor:
    """A text's embedding (b, l, d) and the pooled one (b, p), p <= d, as one (b, l + 1, d)."""
    return torch.cat([text, F.pad(pooled, (0, text.shape[-1] - pooled.shape[-1]))[:, None]], dim=1)


@torch.no_grad()
def embed(painter: FirstFramePainter, text: str) -> Tensor:
    """A text as `PictureUNet` takes it (1, l + 1, d)."""
    embedding, _, pooled, _ = painter.text_to_image.encode_prompt(text, do_classifier_free_guidance=False)
    return with_pooled(embedding, pooled)


def read_picture(path: Path, width: int, height: int) -> np.ndarray:
    """A picture's file as a clip of one frame, uint8 (1, h, w, 3), at the painter's size. Raises UserError."""
    return media.fit(media.read_image(path), width, height)[None]


def encode_picture(vae: nn.Module, picture: np.ndarray) -> Tensor:
    """A picture uint8 (1, h, w, 3) as latents (1, c, 2, h, w): nothing, then the picture."""
    return F.pad(encode(vae, picture), (0, 0, 0, 0, 1, 0))


@dataclass(frozen=True, eq=False)
class PictureTryout:
    """Sample pictures during a training: the same words and seeds at every check. `tryout.Tryout` is the same for
    clips."""

    painter: FirstFramePainter  # with the network that is trained
    texts: Sequence[str]

    def clips(self, unet: nn.Module) -> list[np.ndarray]:
        """Each picture as a clip of one frame, uint8 (1, h, w, 3); the network's training mode is left as it was."""
        was_training = unet.training
        unet.eval()
        made = [self.painter.draw(text, "", seed, _go_on)[None] for seed, text in enumerate(self.texts)]
        unet.train(was_training)
        return made

    def motion(self, clip: np.ndarray) -> float:
        """None: nothing moves in a picture."""
        return 0.0


def _go_on(*_: Any) -> bool:
    return False
