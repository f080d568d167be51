"""A small clip, its recipe and ffmpeg, for the tests of files."""

import subprocess

import imageio_ffmpeg
import numpy as np

RECIPE = {"prompt": 'a "horse" = läuft; #馬 \\ am\nStrand\t🐎', "seed": 0, "styles": ["pixel art"], "guidance": 12.5}


def moving_clip(frames: int = 6, height: int = 48, width: int = 64) -> np.ndarray:
    """A smooth gradient with a block that moves: compressible, and every frame different."""
    y, x = np.mgrid[0:height, 0:width]
    clip = np.stack([np.stack([x * 3, y * 4, np.full_like(x, 90)], axis=-1)] * frames).astype(np.uint8)
    for i in range(frames):
        clip[i, 8:24, 4 * i : 4 * i + 16] = 230
    return clip


def ffmpeg(*arguments: object) -> subprocess.CompletedProcess:
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-y", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", check=False)
