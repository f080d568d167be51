"""What stage 2 learns from, every clip and prompt encoded once: latents, text embeddings, and labelled pairs."""

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from huvidpo_core.errors import UserError
from huvidpo_core.files import whole_file
from huvidpo_core.models.weights import read_weights, write_weights
from huvidpo_core.preferences.pairs import TrainingPair


@dataclass(frozen=True)
class Lesson:
    """A labelled pair: ids of its two clips, the better one first; `mask` of +1, 0 and -1, one for each common frame;
    the whole text it is conditioned on; how much it weighs."""

    first: str
    second: str
    mask: tuple[int, ...]
    text: str
    weight: float = 1.0

    @classmethod
    def of(cls, pair: TrainingPair, text: str) -> "Lesson":
        """A pair of the votes, conditioned on `text`."""
        return cls(pair.first, pair.second, tuple(int(value) for value in pair.mask), text, pair.weight)


@dataclass(frozen=True, eq=False)
class Lessons:
    """Labelled pairs with what they speak of: latents (c, f, h, w) by clip id, embeddings (l, d) by text, float32."""

    pairs: tuple[Lesson, ...]
    latents: dict[str, Tensor]
    texts: dict[str, Tensor]

    @classmethod
    def encode(
        cls,
        pairs: Sequence[Lesson],
        read: Callable[[str], np.ndarray],
        encode: Callable[[np.ndarray], Tensor],
        embed: Callable[[str], Tensor],
    ) -> "Lessons":
        """Encode every clip (`read` gives uint8 (f, h, w, 3), `encode` (1, c, f, h, w)) and every text (1, l, d).

        Raises:
            UserError: no pair has two frames in common; what `read` raises.
        """
        clips = dict.fromkeys(clip for pair in pairs for clip in (pair.first, pair.second))
        latents = {clip: encode(read(clip))[0].float().cpu() for clip in clips}
        texts = {text: embed(text)[0].float().cpu() for text in dict.fromkeys(pair.text for pair in pairs)}
        cut = []
        for pair in pairs:
            length = min(len(pair.mask), *(latents[clip].shape[1] for clip in (pair.first, pair.second)))
            if length > 1:  # of a single frame, which is given, nothing is learned
                cut.append(replace(pair, mask=pair.mask[:length]))
        if not cut:
            raise UserError("The clips that were voted on have a single frame, which cannot be learned from.")
        return cls(tuple(cut), latents, texts)

    def save(self, folder: Path) -> None:
        """Write to `folder`, so that a resumed run encodes nothing again."""
        texts = list(self.texts)
        tensors = {f"clip.{name}": value for name, value in self.latents.items()}
        write_weights(tensors | {f"text.{i}": self.texts[text] for i, text in enumerate(texts)}, folder / _TENSORS)
        with whole_file(folder / _PAIRS) as path:
            path.write_text(json.dumps({"pairs": [asdict(pair) for pair in self.pairs], "texts": texts}))

    @classmethod
    def load(cls, folder: Path) -> "Lessons | None":
        """What `save` wrote; None where there is nothing yet. Raises UserError for damaged files."""
        if not (folder / _PAIRS).exists():
            return None
        try:
            record = json.loads((folder / _PAIRS).read_text())
            tensors = read_weights(folder / _TENSORS)
            pairs = tuple(Lesson(**{**pair, "mask": tuple(pair["mask"])}) for pair in record["pairs"])
            texts = {text: tensors[f"text.{i}"] for i, text in enumerate(record["texts"])}
        except (OSError, ValueError, KeyError, TypeError, UserError) as error:
            raise UserError(f"The encoded clips in {folder} are damaged ({error}). Start the run anew.") from error
        return cls(pairs, {n.removeprefix("clip."): t for n, t in tensors.items() if n.startswith("clip.")}, texts)

    def of(self, pairs: Iterable[Lesson]) -> "Lessons":
        """The same clips and texts, other pairs of them."""
        return replace(self, pairs=tuple(pairs))


_TENSORS, _PAIRS = "lessons.safetensors", "lessons.json"


@dataclass(frozen=True, eq=False)
class Batch:
    """Pairs as the network is given them: clean latents (2b, c, f, h, w), all winners and then all losers; text
    (2b, l, d); mask (b, f), int8 as float; weight (b,)."""

    clean: Tensor
    text: Tensor
    mask: Tensor
    weight: Tensor

    def to(self, device: torch.device) -> "Batch":
        """The same on another device."""
        return Batch(*(value.to(device) for value in (self.clean, self.text, self.mask, self.weight)))


def collate(lessons: Lessons, chosen: Sequence[Lesson], starts: Sequence[int], frames: int) -> Batch:
    """Pairs with one window of `frames` frames for both sides of each, beginning at its `starts`.

    The first frame of a window is what the network is given, so its label is dropped. Clips must be of one size.
    """
    clean, masks = [], []
    for pair, start in zip(chosen, starts, strict=True):
        clean.append([lessons.latents[clip][:, start : start + frames] for clip in (pair.first, pair.second)])
        mask = torch.tensor(pair.mask[start : start + frames], dtype=torch.float32)
        mask[0] = 0
        masks.append(mask)
    sides = [torch.stack(side) for side in zip(*clean, strict=True)]
    text = torch.stack([lessons.texts[pair.text] for pair in chosen])
    weight = torch.tensor([pair.weight for pair in chosen], dtype=torch.float32)
    return Batch(torch.cat(sides), text.repeat(2, 1, 1), torch.stack(masks), weight)
