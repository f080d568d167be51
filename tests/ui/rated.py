"""Clips for the rating tests whose pixels tell the frame: a white bar that moves by a sixteenth of the width."""

import numpy as np

from huvidpo_core.config import load_profile

FRAMES = 16


def coded(width=256, height=160, frames=FRAMES):
    """The clip, uint8 (f, h, w, 3)."""
    clip = np.zeros((frames, height, width, 3), np.uint8)
    for index in range(frames):
        clip[index, :, index * width // FRAMES : (index + 1) * width // FRAMES] = 255
    return clip


def frame_of(picture):
    """Which frame a decoded picture is."""
    bright = np.flatnonzero(picture[picture.shape[0] // 2, :, 0] > 128)
    return int(bright.mean() * FRAMES / picture.shape[1])


def keep_clips(engine, count=3, packs=("horse_run", "horse_run/liked", "")):
    """Put coded clips of one scene into the fake engine's gallery, made by different models."""
    scene = engine.defaults().with_(prompt="a red horse runs on the beach", action="horse_run")
    clip = coded()
    return [
        engine._keep(scene.with_(seed=seed, pack=packs[seed % len(packs)]), clip[0], clip, 1.0) for seed in range(count)
    ]


FPS = load_profile("miniature").video.fps
