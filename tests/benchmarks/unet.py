"""One forward pass of the video UNet by attention backend and precision, on the reference's configuration and weights.

    python -m tests.benchmarks.unet [--frames 16] [--size 40 64] [--repeat 5]

Prints a table and one JSON line: milliseconds, the fastest of the repeats, and the largest difference to float32 SDPA.
"""

import argparse
import json
import os
import sys
import time

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch

from huvidpo_core.models import VideoUNet
from tests.reference import DATA, REFERENCE

BACKENDS = ("native", "_native_math", "_native_flash", "xformers")
PRECISIONS = (torch.float32, torch.bfloat16)


def measure(unet: VideoUNet, sample: torch.Tensor, text: torch.Tensor, repeat: int) -> tuple[float, torch.Tensor]:
    """Milliseconds of the fastest pass, and its output."""
    best = float("inf")
    with torch.inference_mode():
        for _ in range(repeat + 1):
            began = time.perf_counter()
            out = unet(sample, torch.tensor(500), encoder_hidden_states=text).sample
            best = min(best, time.perf_counter() - began)
    return best * 1000, out


def main() -> None:
    """Measure every combination that runs here and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=16)
    parser.add_argument("--size", type=int, nargs=2, default=(40, 64), help="latent height and width")
    parser.add_argument("--repeat", type=int, default=5)
    options = parser.parse_args()
    folder = (REFERENCE or DATA) / "model" / "unet"
    generator = torch.Generator().manual_seed(0)
    sample = torch.randn(1, 4, options.frames, *options.size, generator=generator)
    text = torch.randn(1, 77, 32, generator=generator)
    rows, reference = [], None
    for backend in BACKENDS:
        for precision in PRECISIONS:
            unet = VideoUNet.from_official(folder).to(precision).eval()
            try:
                unet.set_attention_backend(backend)
                milliseconds, out = measure(unet, sample.to(precision), text.to(precision), options.repeat)
            except (RuntimeError, ValueError, ImportError, NotImplementedError) as error:
                rows.append({"backend": backend, "dtype": str(precision), "error": str(error).splitlines()[0][:80]})
                continue
            reference = out if reference is None else reference
            difference = (out.float() - reference.float()).abs().max().item()
            row = {"ms": round(milliseconds, 1), "max_difference": round(difference, 6)}
            rows.append({"backend": backend, "dtype": str(precision), **row})
    sys.stdout.write("| backend | dtype | ms | max difference |\n|---|---|---|---|\n")
    for row in rows:
        end = row.get("error") or f"{row['ms']} | {row['max_difference']}"
        sys.stdout.write(f"| {row['backend']} | {row['dtype']} | {end} |\n")
    sys.stdout.write(json.dumps(rows) + "\n")


if __name__ == "__main__":
    main()
