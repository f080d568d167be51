"""The clips that an action is taught from, encoded once, and what a step of stage 1 is made of."""

import json
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from huvidpo_core.errors import UserError
from huvidpo_core.files import whole_file
from huvidpo_core.generation.latents import correlate
from huvidpo_core.models.weights import read_weights, write_weights
from huvidpo_core.training.crew import Crew
from huvidpo_core.training.lot import in_passes, rng
from huvidpo_core.training.material import Material
from huvidpo_core.training.motion_settings import MotionSettings

_TENSORS, _FACTS = "takes.safetensors", "takes.json"


@dataclass(frozen=True, eq=False)
class Takes:
    """Encoded clips by number, float32: `clips` and, where they are wanted, their mirror images, (c, f, h, w) each, f
    from 2; embeddings (l, d) by text; how much each clip's first window moves."""

    clips: tuple[Tensor, ...]
    mirrored: tuple[Tensor, ...]
    texts: dict[str, Tensor]
    captions: tuple[str, ...]  # of each clip
    motions: tuple[float, ...]

    @classmethod
    def encode(
        cls,
        material: Material,
        read: Callable[[str], np.ndarray],
        encode: Callable[[np.ndarray], Tensor],
        embed: Callable[[str], Tensor],
        motion: Callable[[np.ndarray], float],
        settings: MotionSettings,
        frames: int,
    ) -> Generator[int, None, "Takes"]:
        """Encode what these settings need of every clip (`read` gives uint8 (f, h, w, 3) by file, `encode`
        (1, c, f, h, w)) and every text (1, l, d); `motion` is taken of the first `frames` frames.

        A generator that pauses after each clip, says how many are left, and returns the takes. Raises what `read`
        raises.
        """
        clips, mirrored, motions = [], [], []
        for take in material.takes:
            pixels = read(take.file)
            clips.append(encode(pixels)[0].float().cpu())
            if settings.mirror:
                mirrored.append(encode(np.ascontiguousarray(pixels[:, :, ::-1]))[0].float().cpu())
            motions.append(motion(pixels[:frames]))
            yield len(material.takes) - len(clips)
        captions = tuple(take.text for take in material.takes)
        texts = {text: embed(text)[0].float().cpu() for text in dict.fromkeys((*captions, ""))}
        return cls(tuple(clips), tuple(mirrored), texts, captions, tuple(motions))

    def save(self, folder: Path) -> None:
        """Write to `folder`, so that a resumed run encodes nothing again. Raises UserError."""
        texts = list(self.texts)
        parts = {"clip": self.clips, "mirror": self.mirrored, "text": [self.texts[text] for text in texts]}
        tensors = {f"{part}.{i}": value for part, values in parts.items() for i, value in enumerate(values)}
        write_weights(tensors, folder / _TENSORS)
        facts = {"texts": texts, "captions": self.captions, "motions": self.motions, "mirrored": bool(self.mirrored)}
        with whole_file(folder / _FACTS) as path:
            path.write_text(json.dumps(facts), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Takes | None":
        """What `save` wrote; None where there is nothing yet. Raises UserError for damaged files."""
        if not (folder / _FACTS).exists():
            return None
        try:
            facts = json.loads((folder / _FACTS).read_text(encoding="utf-8"))
            tensors = read_weights(folder / _TENSORS)
            count = len(facts["captions"])
            clips = tuple(tensors[f"clip.{i}"] for i in range(count))
            mirrored = tuple(tensors[f"mirror.{i}"] for i in range(count)) if facts["mirrored"] else ()
            texts = {text: tensors[f"text.{i}"] for i, text in enumerate(facts["texts"])}
            return cls(clips, mirrored, texts, tuple(facts["captions"]), tuple(facts["motions"]))
        except (OSError, ValueError, KeyError, TypeError, UserError) as error:
            raise UserError(f"The encoded clips in {folder} are damaged ({error}). Start the run anew.") from error


@dataclass(frozen=True, eq=False)
class Drawn:
    """What the network is given: clean latents and noise (b, c, f, h, w), text (b, l, d), timesteps (b,)."""

    clean: Tensor
    text: Tensor
    noise: Tensor
    timestep: Tensor


@dataclass(frozen=True, eq=False)
class TakeDraws:
    """The endless sequence of steps over the clips `chosen`, in windows of `frames` frames, all of a batch as long as
    its shortest clip at most.

    `shared_noise` is the share of frame 0's noise that later frames have (`latents.correlate`).
    """

    takes: Takes
    chosen: Sequence[int]
    settings: MotionSettings
    frames: int
    shared_noise: float
    device: torch.device
    crew: Crew

    def at(self, step: int) -> Drawn:
        """This process's part of a step."""
        seed, size = self.settings.seed, self.settings.batch
        numbers = [self.chosen[in_passes(seed, step * size + place, len(self.chosen))] for place in range(size)]
        frames = min(self.frames, *(self.takes.clips[number].shape[1] for number in numbers))
        clean, text, noise, timestep = [], [], [], []
        for place in range(size)[self.crew.share_of(size)]:
            number, source = numbers[place], rng(seed, step, place, 0)
            start = int(source.integers(self.takes.clips[number].shape[1] - frames + 1))
            mirror, unprompted, level = source.random(3)
            clips = self.takes.mirrored if self.takes.mirrored and mirror < 0.5 else self.takes.clips
            clean.append(clips[number][:, start : start + frames])
            text.append(self.takes.texts["" if unprompted < self.settings.unprompted else self.takes.captions[number]])
            noise.append(_normal(rng(seed, step, place, 1), clean[-1].shape))
            timestep.append(self._timestep(level))
        return self._drawn(clean, text, noise, timestep)

    def fixed(self, number: int, draws: int) -> Drawn:
        """`draws` looks at a clip's beginning for checking: always the same noise, levels spread evenly."""
        clean = self.takes.clips[number][:, : self.frames]
        text = self.takes.texts[self.takes.captions[number]]
        noise = [_normal(rng(self.settings.seed, number, draw, 5), clean.shape) for draw in range(draws)]
        low, high = self.settings.timesteps
        levels = [low + int((draw + 0.5) / draws * (high - low)) for draw in range(draws)]
        return self._drawn([clean] * draws, [text] * draws, noise, levels)

    def _timestep(self, even: float) -> int:
        low, high = self.settings.timesteps
        return low + int(even**self.settings.lean * (high - low))

    def _drawn(self, clean: list[Tensor], text: list[Tensor], noise: list[Tensor], timestep: list[int]) -> Drawn:
        together = (torch.stack(clean), torch.stack(text), correlate(torch.stack(noise), self.shared_noise))
        return Drawn(*(part.to(self.device) for part in (*together, torch.tensor(timestep))))


def _normal(source: np.random.Generator, shape: torch.Size) -> Tensor:
    return torch.from_numpy(source.standard_normal(tuple(shape), np.float32))
