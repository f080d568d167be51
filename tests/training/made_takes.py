"""Clips to teach the small network of `made.py` an action from, the same on every call."""

from pathlib import Path

import torch

from huvidpo_core.models import VideoUNet
from huvidpo_core.training.crew import Crew
from huvidpo_core.training.motion_settings import MotionSettings
from huvidpo_core.training.takes import TakeDraws, Takes
from huvidpo_core.training.teach import Teacher
from huvidpo_core.training.tryout import Tryout
from tests.training.made import FRAMES, decode, motion, network, scheduler

SETTINGS = MotionSettings(
    steps=4,
    check_every=2,
    lr=1e-2,
    warmup=2,
    decay=0.5,
    weight_decay=0.01,
    average=0.5,
    lean=0.5,
    steady=0.5,
    unprompted=0.3,
    mirror=True,
)
SPLIT = (0, 1, 3), (2,)
LENGTHS = (FRAMES, FRAMES + 3, FRAMES, FRAMES - 1)


def takes(lengths: tuple[int, ...] = LENGTHS) -> Takes:
    """Clips of these lengths, each brighter from frame to frame: a motion."""
    generator = torch.Generator().manual_seed(5)
    clips = []
    for length in lengths:
        still = torch.randn(4, 1, 4, 4, generator=generator)
        clips.append(still + 0.5 * torch.arange(length).view(1, -1, 1, 1))
    texts = {text: torch.randn(5, 8, generator=generator) for text in ("up", "")}
    mirrored = tuple(clip.flip(-1) for clip in clips)
    return Takes(tuple(clips), mirrored, texts, ("up",) * len(clips), (2.0,) * len(clips))


def draws(learned: Takes, settings: MotionSettings = SETTINGS, crew: Crew = Crew(), chosen=SPLIT[0]) -> TakeDraws:  # noqa: B008
    return TakeDraws(learned, chosen, settings, FRAMES, 0.2, torch.device("cpu"), crew)


def teacher(
    folder: Path,
    settings: MotionSettings = SETTINGS,
    *,
    learned: Takes | None = None,
    unet: VideoUNet | None = None,
    digest: str = "these",
    split=SPLIT,
    crew: Crew = Crew(),  # noqa: B008
) -> Teacher:
    """A training of the small network; its samples begin as the held-out clip and one more."""
    learned = learned or takes()
    shown = [*split[1], *split[0]][:2]
    tryout = Tryout(
        torch.stack([learned.clips[number][:, :1] for number in shown]),
        torch.stack([learned.texts["up"]] * len(shown)),
        FRAMES,
        scheduler(),
        2,
        0.2,
        decode,
        motion,
    )
    return Teacher(
        unet or network(),
        scheduler(),
        learned,
        split,
        digest,
        settings,
        tryout,
        folder,
        frames=FRAMES,
        shared_noise=0.2,
        crew=crew,
    )
