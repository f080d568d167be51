"""The video UNet at its full size, Stable Diffusion 1.4 inflated, 16 frames of 320 x 512, with random weights on a CPU:
one pass as ours computes against one as the published code does, in processes of their own, and the count of memory
(`models.counting`) against what lived and what the process took.

    OMP_NUM_THREADS=2 python -m tests.benchmarks.full_size [--frames 16] [--height 320] [--width 512]

Takes minutes and up to 20 GB.
"""

import argparse
import json
import os
import subprocess
import sys
import time

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch

from huvidpo_core.models import VideoUNet
from huvidpo_core.models.architectures import FACTOR, SD14
from huvidpo_core.models.counting import AsOnDevice, LiveBytes
from tests.benchmarks.alignment.published import as_published
from tests.benchmarks.peak import held, peak

SIDES = ("ours", "published")


def network() -> VideoUNet:
    """Random weights, every part with an effect."""
    with torch.device("meta"):
        unet = VideoUNet.from_config(SD14)
    unet.to_empty(device="cpu")
    draw = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, parameter in unet.named_parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, parameter[0].numel() ** -0.5, generator=draw)
            else:
                parameter.fill_(float("norm" in name and name.endswith("weight")))
    return unet.eval()


@torch.no_grad()
def measured(side: str, frames: int, height: int, width: int) -> dict[str, float]:
    """One pass in this process: seconds, GB beside the weights, what comes out (its first numbers, to be compared)."""
    unet = network()
    if side == "published":
        as_published(unet)
    draw = torch.Generator().manual_seed(1)
    clip = torch.randn(1, 4, frames, height // FACTOR, width // FACTOR, generator=draw)
    text = torch.randn(1, 77, unet.config.cross_attention_dim, generator=draw)
    before, counter = held(), LiveBytes(unet.parameters())
    wall, cpu = time.perf_counter(), time.process_time()
    with counter:
        out = unet(clip, 500, text).sample
    return {
        "wall": time.perf_counter() - wall,
        "cpu": time.process_time() - cpu,
        "lived": counter.peak / 1e9,
        "process": (peak() - before) / 1e3,
        "out": out[0, 0, -1, :4, :4].flatten().tolist(),
    }


@torch.no_grad()
def counted(frames: int, height: int, width: int) -> float:
    """GB beside the weights, by the count on `meta`."""
    with torch.device("meta"):
        unet = VideoUNet.from_config(SD14)
        clip, text = torch.zeros(1, 4, frames, height // FACTOR, width // FACTOR), torch.zeros(1, 77, 768)
    counter = LiveBytes(unet.parameters())
    with counter, AsOnDevice():
        unet(clip, 500, text)
    return counter.peak / 1e9


def main() -> None:
    """Measure each side in a process of its own, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("frames", 16), ("height", 320), ("width", 512)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    size = (options.frames, options.height, options.width)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    if options.side:
        sys.stdout.write(json.dumps(measured(options.side, *size)))
        return
    found = {}
    for side in SIDES:
        command = [sys.executable, "-m", "tests.benchmarks.full_size", "--side", side]
        command += [
            text for name in ("frames", "height", "width") for text in (f"--{name}", str(getattr(options, name)))
        ]
        found[side] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    apart = max(abs(a - b) for a, b in zip(found["ours"]["out"], found["published"]["out"], strict=True))
    sys.stdout.write("| one pass | wall s | processor s | GB that lived | GB of the process |\n|---|---|---|---|---|\n")
    for side, row in found.items():
        cells = " | ".join(f"{row[key]:.1f}" for key in ("wall", "cpu", "lived", "process"))
        sys.stdout.write(f"| {side} | {cells} |\n")
    ours, theirs = found["ours"], found["published"]
    sys.stdout.write(
        f"\ntimes as fast: {theirs['wall'] / ours['wall']:.2f} (processor {theirs['cpu'] / ours['cpu']:.2f}); counted "
        f"beforehand for ours: {counted(*size):.2f} GB; largest difference of 16 numbers that came out: {apart:.1e}\n"
    )


if __name__ == "__main__":
    main()
