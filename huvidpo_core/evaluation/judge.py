"""A small judge: names what a picture shows and what a clip does, and puts pictures and words into one space.

Trained (`miniature.judging`) on rendered clips alone, never on made ones, it can say how near the made ones come. Its
picture and its text tower are the miniature's CLIP (Radford et al. 2021); its third part sees the differences of
frames alone.
"""

import json
from pathlib import Path

import numpy as np
import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPTextConfig, CLIPTextModelWithProjection, PreTrainedTokenizerFast

PICTURE = (80, 128)  # height and width that the picture tower sees
MOTION = (40, 64)  # and the motion network
SPACE = 64  # width of the space shared by pictures and texts
LOOKS = 8  # frames of a clip that are looked at for what it shows


class JudgeModel(ModelMixin, ConfigMixin):
    """Three small networks. `labels`: attribute -> the words it may be; "action" is also what motion is named by."""

    @register_to_config
    def __init__(self, labels: dict[str, list[str]], vocabulary: int, length: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.picture = _pyramid(3, widths)
        self.heads = nn.ModuleDict({name: nn.Linear(2 * widths[-1], len(words)) for name, words in labels.items()})
        self.to_space = nn.Linear(2 * widths[-1], SPACE)
        self.text = CLIPTextModelWithProjection(
            CLIPTextConfig(
                vocab_size=vocabulary,
                hidden_size=64,
                intermediate_size=256,
                num_hidden_layers=2,
                num_attention_heads=4,
                max_position_embeddings=length,
                projection_dim=SPACE,
                hidden_act="gelu",
                pad_token_id=0,
                bos_token_id=1,
                eos_token_id=3,
            )
        )
        self.temperature = nn.Parameter(torch.tensor(2.6))  # log of CLIP's logit scale
        self.motion = nn.Sequential(
            *_over_time(1, 16, (1, 2, 2)), *_over_time(16, 32, (1, 2, 2)), *_over_time(32, 64, (2, 2, 2)),
            *_over_time(64, 96, (2, 1, 1)),
        )  # fmt: skip
        self.motion_head = nn.Linear(192, len(labels["action"]))

    def look(self, pictures: Tensor) -> tuple[dict[str, Tensor], Tensor]:
        """Pictures (n, 3, 80, 128) in [-1, 1] -> logits (n, words) by attribute, unit vectors (n, SPACE)."""
        seen = _pool(self.picture(pictures), (2, 3))
        return {name: head(seen) for name, head in self.heads.items()}, F.normalize(self.to_space(seen), dim=-1)

    def read(self, ids: Tensor) -> Tensor:
        """Token ids (n, length) -> unit vectors (n, SPACE)."""
        return F.normalize(self.text(ids).text_embeds, dim=-1)

    def watch(self, grey: Tensor) -> Tensor:
        """Grey clips (n, f, 40, 64) in [-1, 1], f >= 2 -> logits (n, actions), from the frames' differences alone."""
        differences = 4 * grey.diff(dim=1)
        return self.motion_head(_pool(self.motion(differences[:, None]), (2, 3, 4)))


def _pyramid(channels: int, widths: tuple[int, ...]) -> nn.Sequential:
    """Halve the picture once a width, with a residual pair of convolutions at each size."""
    layers: list[nn.Module] = []
    for width in widths:
        layers += [nn.Conv2d(channels, width, 5 if channels == 3 else 3, 2, 2 if channels == 3 else 1)]
        layers += [nn.GroupNorm(8, width), nn.SiLU(), _Residual(width)]
        channels = width
    return nn.Sequential(*layers)


class _Residual(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(width, width, 3, padding=1, groups=width // 16), nn.GroupNorm(8, width), nn.SiLU(),
            nn.Conv2d(width, width, 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return F.silu(x + self.body(x))


def _over_time(channels: int, width: int, stride: tuple[int, int, int]) -> list[nn.Module]:
    return [nn.Conv3d(channels, width, 3, stride, 1), nn.GroupNorm(8, width), nn.SiLU()]


def _pool(features: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Mean and largest value over `axes`, (n, 2 c): small things count by their peak."""
    return torch.cat([features.mean(axes), features.amax(axes)], dim=1)


class Judge:
    """What the evaluation asks (`evaluation.semantic.Judge` and `.ClipScorer`), answered by a `JudgeModel`."""

    def __init__(self, model: JudgeModel, tokenizer: PreTrainedTokenizerFast) -> None:
        self.model, self.tokenizer = model.eval(), tokenizer
        self.labels: dict[str, list[str]] = model.config.labels

    @classmethod
    def load(cls, folder: Path, device: torch.device) -> "Judge":
        """Read `folder`, which holds the model and, in `tokenizer/`, its words."""
        model = JudgeModel.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
        return cls(model.to(device), PreTrainedTokenizerFast.from_pretrained(folder / "tokenizer"))

    @staticmethod
    def is_at(folder: Path) -> bool:
        """Whether a folder holds a judge of this kind."""
        config = folder / "config.json"
        return config.is_file() and json.loads(config.read_text()).get("_class_name") == JudgeModel.__name__

    @torch.inference_mode()
    def recognise(self, frames: np.ndarray) -> dict[str, str]:
        """What a clip or a picture, uint8 (f, h, w, 3), shows: a word for every attribute."""
        return {name: max(words, key=words.get) for name, words in self.likelihoods(frames).items()}

    @torch.inference_mode()
    def recognise_motion(self, frames: np.ndarray) -> str:
        """The action of a clip, uint8 (f, h, w, 3), f >= 2, told from differences between consecutive frames alone."""
        words = self.motion_likelihoods(frames)
        return max(words, key=words.get)

    @torch.inference_mode()
    def likelihoods(self, frames: np.ndarray) -> dict[str, dict[str, float]]:
        """Attribute -> word -> log-probability, mean over the frames looked at; arguments as `recognise`."""
        chosen = np.unique(np.linspace(0, len(frames) - 1, LOOKS).round().astype(int))
        logits, _ = self.model.look(pictures(frames[chosen]).to(self.model.device))
        return {
            name: dict(zip(self.labels[name], values.log_softmax(-1).mean(0).tolist(), strict=True))
            for name, values in logits.items()
        }

    @torch.inference_mode()
    def motion_likelihoods(self, frames: np.ndarray) -> dict[str, float]:
        """Action -> log-probability; arguments as `recognise_motion`."""
        logits = self.model.watch(grey(frames)[None].to(self.model.device))
        return dict(zip(self.labels["action"], logits.log_softmax(-1)[0].tolist(), strict=True))

    @torch.inference_mode()
    def image(self, frames: np.ndarray) -> np.ndarray:
        """Pictures, uint8 (n, h, w, 3), as unit vectors, float32 (n, SPACE)."""
        return self.model.look(pictures(frames).to(self.model.device))[1].cpu().numpy()

    @torch.inference_mode()
    def text(self, texts: list[str]) -> np.ndarray:
        """Texts as unit vectors, float32 (n, SPACE)."""
        length = self.model.config.length
        ids = self.tokenizer(
            texts, padding="max_length", max_length=length, truncation=True, return_tensors="pt"
        ).input_ids
        return self.model.read(ids.to(self.model.device)).cpu().numpy()


def pictures(frames: np.ndarray) -> Tensor:
    """uint8 (n, h, w, 3) of any size -> (n, 3, 80, 128) in [-1, 1], as the picture tower wants them."""
    return F.interpolate(_planes(frames), PICTURE, mode="area")


def grey(frames: np.ndarray) -> Tensor:
    """uint8 (f, h, w, 3) of any size -> luma (f, 40, 64) in [-1, 1], as the motion network wants it."""
    luma = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    return (F.interpolate(_planes(frames), MOTION, mode="area") * luma).sum(1)


def _planes(frames: np.ndarray) -> Tensor:
    return torch.from_numpy(np.array(frames)).movedim(-1, 1).float() / 127.5 - 1
