"""What the engine hands out besides `Progress`: pictures, clips, the entries of the LoRA menu, how words are read."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from huvidpo_core.recipe import Recipe


@dataclass(frozen=True)
class Picture:
    """A first frame: uint8 (h, w, 3) at the video model's size, and the recipe that made it. `drawn` is the same as the
    painter drew it, which may be larger; None where it was not drawn."""

    image: np.ndarray
    recipe: Recipe
    drawn: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class Film:
    """What was animated, before it is a clip on disk."""

    recipe: Recipe
    image: np.ndarray  # uint8 (h, w, 3), the first frame it was animated from
    frames: np.ndarray  # uint8 (f, h, w, 3)
    seconds: float  # how long it took to make


@dataclass(frozen=True)
class Clip:
    """A finished clip on disk."""

    id: str
    recipe: Recipe
    video: Path  # MP4: H.264, yuv420p, faststart, recipe in the comment tag
    picture: Path  # PNG: the exact first frame that was animated
    created: float  # seconds since the epoch
    seconds: float  # how long it took to make
    model: str = ""  # what made it, as people are told after a vote


@dataclass(frozen=True)
class PackChoice:
    """One entry of the LoRA menu of an action. `id` is what `Recipe.pack` holds ('' is the bare base model)."""

    id: str
    title: str
    trial: bool = False  # a LoRA that is only in blind rounds so far


@dataclass(frozen=True)
class PainterChoice:
    """One entry of the menu of painters. `id` is what `Recipe.painter` holds ('' is the profile's own)."""

    id: str
    title: str


@dataclass(frozen=True)
class Reading:
    """What the first-frame model makes of a prompt: phrases it understood, in order, words it ignored, and phrases that
    it knows but comes to too late, the text being longer than it reads."""

    understood: tuple[str, ...]
    ignored: tuple[str, ...]
    unread: tuple[str, ...] = ()
