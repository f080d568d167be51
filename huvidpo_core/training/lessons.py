"""What stage 2 learns from, every clip and prompt encoded once: latents, text embeddings, and labelled pairs, or clips
that were judged alone."""

import json
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from huvidpo_core.errors import UserError
from huvidpo_core.files import whole_file
from huvidpo_core.models.weights import read_weights, write_weights
from huvidpo_core.preferences.pairs import TrainingPair
from huvidpo_core.preferences.singles import JudgedClip


@dataclass(frozen=True)
class Lesson:
    """A labelled pair: ids of its two clips, the better one first; `mask` of +1, 0 and -1, one for each common frame;
    the whole text it is conditioned on; how much it weighs.

    Or a single clip: `second` is empty, and the mask +1 throughout for a good one, -1 for a bad one.
    """

    first: str
    second: str
    mask: tuple[int, ...]
    text: str
    weight: float = 1.0

    @classmethod
    def of(cls, pair: TrainingPair, text: str) -> "Lesson":
        """A pair of the votes, conditioned on `text`."""
        return cls(pair.first, pair.second, tuple(int(value) for value in pair.mask), text, pair.weight)

    @classmethod
    def alone(cls, clip: JudgedClip, text: str) -> "Lesson":
        """A clip that was judged alone."""
        return cls(clip.clip, "", (0, *[1 if clip.good else -1] * (clip.frames - 1)), text)

    @property
    def clips(self) -> tuple[str, ...]:
        """Ids of what is compared: both clips, or the single one."""
        return (self.first, self.second) if self.second else (self.first,)

    @property
    def good(self) -> bool:
        """Of a single clip, whether it is a good one."""
        return max(self.mask) > 0


@dataclass(frozen=True, eq=False)
class Lessons:
    """Labelled pairs, or single clips, with what they speak of: latents (c, f, h, w) by clip id, embeddings (l, d) by
    text, float32."""

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
    ) -> Generator[int, None, "Lessons"]:
        """Encode every clip (`read` gives uint8 (f, h, w, 3), `encode` (1, c, f, h, w)) and every text (1, l, d).

        A generator that pauses after each, says how many are left, and returns the lessons.

        Raises:
            UserError: no pair has two frames in common; what `read` raises.
        """
        latents: dict[str, Tensor] = {}
        texts: dict[str, Tensor] = {}
        clips = dict.fromkeys(clip for pair in pairs for clip in pair.clips)
        said = dict.fromkeys(pair.text for pair in pairs)
        for clip in clips:
            latents[clip] = encode(read(clip))[0].float().cpu()
            yield len(clips) - len(latents) + len(said)
        for text in said:
            texts[text] = embed(text)[0].float().cpu()
            yield len(said) - len(texts)
        cut = []
        for pair in pairs:
            length = min(len(pair.mask), *(latents[clip].shape[1] for clip in pair.clips))
            if length > 1:  # of a single frame, which is given, nothing is learned
                cut.append(replace(pair, mask=pair.mask[:length]))
        if not cut:
            raise UserError("The clips that were judged have a single frame, which cannot be learned from.")
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


def teaching(pairs: Sequence[Lesson], ties: bool = False) -> list[Lesson]:
    """Those that something can be learned from: with a label after frame 0, or, with `ties`, of more than a frame.

    Raises:
        UserError: there are none; or, of single clips, only good or only bad ones.
    """
    said = [pair for pair in pairs if any(pair.mask[1:]) or (ties and pair.mask[1:])]
    if not said:
        raise UserError(
            "None of the votes says which clip is better: nothing can be learned from ties alone. Rate some more "
            "pairs, then try again."
        )
    if not said[0].second and len(kinds := {clip.good for clip in said}) == 1:
        (good,) = kinds
        has, lacks = ("good", "bad") if good else ("bad", "good")
        scores = "1 or 2" if good else "4 or 5"
        raise UserError(
            f"All the clips that were rated are {has}, and what tells them from {lacks} ones is what is learned. Rate "
            f"some clips {scores}, then try again."
        )
    return said


@dataclass(frozen=True, eq=False)
class Batch:
    """Lessons as the network is given them: clean latents (s b, c, f, h, w), all winners and then all losers, s = 2, or
    single clips, s = 1; text (s b, l, d); mask (b, f), int8 as float; weight (b,)."""

    clean: Tensor
    text: Tensor
    mask: Tensor
    weight: Tensor

    @property
    def sides(self) -> int:
        """s: 2 for pairs, 1 for single clips."""
        return len(self.clean) // len(self.mask)

    def to(self, device: torch.device) -> "Batch":
        """The same on another device."""
        return Batch(*(value.to(device) for value in (self.clean, self.text, self.mask, self.weight)))


def collate(lessons: Lessons, chosen: Sequence[Lesson], starts: Sequence[int], frames: int) -> Batch:
    """Lessons with one window of `frames` frames for all sides of each, beginning at its `starts`.

    The first frame of a window is what the network is given, so its label is dropped. Clips must be of one size.
    """
    clean, masks = [], []
    for pair, start in zip(chosen, starts, strict=True):
        clean.append([lessons.latents[clip][:, start : start + frames] for clip in pair.clips])
        mask = torch.tensor(pair.mask[start : start + frames], dtype=torch.float32)
        mask[0] = 0
        masks.append(mask)
    sides = [torch.stack(side) for side in zip(*clean, strict=True)]
    text = torch.stack([lessons.texts[pair.text] for pair in chosen])
    weight = torch.tensor([pair.weight for pair in chosen], dtype=torch.float32)
    return Batch(torch.cat(sides), text.repeat(len(sides), 1, 1), torch.stack(masks), weight)
