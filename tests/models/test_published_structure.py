"""The benchmarks' stand-in for the published network and loop: the same numbers as ours, by more operations."""

from pathlib import Path

import torch

from huvidpo_core.config import load_profile
from huvidpo_core.generation.animate import Animator
from huvidpo_core.models import VideoUNet
from tests.benchmarks import sampler
from tests.benchmarks.alignment.published import as_published

UNET = Path(__file__).parents[2] / "assets" / "miniature" / "video" / "unet"


def test_the_published_way_of_computing_gives_the_same():
    """Keys gathered, text projected for each frame, `Conv1d` at each position: equal to rounding, or the benchmark of
    speed would compare two different networks."""
    unet = VideoUNet.from_pretrained(UNET).eval()
    draw = torch.Generator().manual_seed(0)
    clip, text = torch.randn(2, 4, 5, 8, 8, generator=draw), torch.randn(2, 7, 64, generator=draw)
    with torch.no_grad():
        expected = unet(clip, 300, text).sample
        torch.testing.assert_close(as_published(unet)(clip, 300, text).sample, expected, atol=2e-5, rtol=1e-4)


def test_the_published_loop_gives_the_same():
    """Frame by frame on clones, on the network that computes as the published one: our loop's latents."""
    animator = Animator.load(load_profile("miniature").video, device=torch.device("cpu"), dtype=torch.float32)
    draw = torch.Generator().manual_seed(1)
    given = sampler.Given(
        first=torch.randn(1, 4, 1, 8, 8, generator=draw),
        noise=torch.randn(1, 4, 5, 8, 8, generator=draw),
        text=animator.embed("a red horse runs"),
        negative=animator.embed(""),
        calm=0.5,
    )
    expected = sampler.ours("ddim", 10)(animator, given)
    with sampler.computing(animator, sampler.published):
        found = sampler.published(animator, given, steps=10)
    torch.testing.assert_close(found, expected, atol=2e-4, rtol=1e-4)
    assert torch.equal(sampler.ours("ddim", 10)(animator, given), expected)  # and the network is put back
