"""Latents: pixels to latents and back, the starting noise, AdaIN, the preview."""

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from safetensors.torch import load_file

from huvidpo_core.errors import UserError
from huvidpo_core.generation.latents import (
    adain,
    correlate,
    decode,
    draw_noise,
    encode,
    fit_preview,
    latents_to_rgb,
)
from huvidpo_core.media import match_histograms
from tests.reference import REFERENCE, needs_reference, reference


def test_adain_reproduces_the_published_numbers():
    """AdaIN equals the published code's, also where the content has no variance and only the epsilon counts."""
    known = load_file(reference("adain.safetensors"))
    torch.testing.assert_close(adain(known["content"], known["style"]), known["out"], atol=1e-6, rtol=1e-6)
    constant = adain(known["constant_content"], known["style"])
    torch.testing.assert_close(constant, known["out_constant_content"], atol=1e-6, rtol=1e-6)


def test_adain_equals_a_loop_over_frames_and_channels():
    """Vectorised with a broadcast style, it is mean and unbiased deviation of each frame and channel by itself."""
    draw = torch.Generator().manual_seed(0)
    content = 3 * torch.randn(2, 4, 3, 5, 7, generator=draw) + 1
    style = torch.randn(2, 4, 1, 5, 7, generator=draw)
    expected = np.empty(content.shape)
    for b, c, f in np.ndindex(2, 4, 3):
        x, y = content[b, c, f].double().numpy(), style[b, c, 0].double().numpy()
        x_deviation, y_deviation = (np.sqrt(v.var(ddof=1) + 1e-8) for v in (x, y))
        expected[b, c, f] = (x - x.mean()) / x_deviation * y_deviation + y.mean()
    np.testing.assert_allclose(adain(content, style).numpy(), expected, atol=1e-5)


def test_adain_survives_half_precision():
    """In float16, where 1e-8 rounds to zero, a constant content still gives finite values, and float16 comes back."""
    out = adain(torch.full((1, 4, 2, 8, 8), 0.5, dtype=torch.float16), torch.randn(1, 4, 1, 8, 8).half())
    assert out.dtype == torch.float16
    assert out.isfinite().all()


@pytest.mark.parametrize("run", ["steps10_negative", "steps10", "steps10_nocfg", "steps50"])
def test_noise_and_start_reproduce_the_published_numbers(run: str):
    """The seed gives the published draw bit for bit, and mixing it the published start."""
    known = load_file(reference(f"sampling_{run}.safetensors"))
    noise = draw_noise((1, 4, 8, 16, 16), seed=4301)
    assert torch.equal(noise, known["noise"])
    start = correlate(noise, 0.2)
    torch.testing.assert_close(start[:, :, 1:], known["start_latents"][:, :, 1:], atol=1e-6, rtol=0)


def test_correlated_noise_has_the_variance_the_method_says():
    """At ratio 0.2 the later frames' variance is 0.68 and two of them correlate by 0.04 / 0.68; 0 changes nothing."""
    noise = draw_noise((1, 4, 3, 128, 128), seed=1)
    mixed = correlate(noise, 0.2)[0].transpose(0, 1).flatten(1)
    assert mixed[1].var().item() == pytest.approx(0.68, rel=0.02)
    assert torch.corrcoef(mixed)[1, 2].item() == pytest.approx(0.04 / 0.68, abs=0.01)
    assert torch.equal(correlate(noise, 0), noise)
    with pytest.raises(ValueError, match=r"1\.5"):
        correlate(noise, 1.5)


def test_noise_comes_from_the_seed_alone():
    """The global generator neither decides the draw nor is moved by it, and half precision is the same draw rounded."""
    torch.manual_seed(1)
    state = torch.get_rng_state()
    noise = draw_noise((2, 4, 3, 8, 8), seed=0)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert torch.equal(draw_noise((2, 4, 3, 8, 8), seed=0), noise)
    assert torch.equal(draw_noise((2, 4, 3, 8, 8), seed=0, dtype=torch.bfloat16), noise.bfloat16())
    assert not torch.equal(draw_noise((2, 4, 3, 8, 8), seed=1), noise)


@needs_reference
class TestReferenceVae:
    """The tiny random VAE that the published pipeline was run with."""

    @pytest.fixture(scope="class")
    def vae(self) -> AutoencoderKL:
        return AutoencoderKL.from_pretrained(REFERENCE / "model" / "vae").eval()

    def test_encode(self, vae: AutoencoderKL):
        """A picture's latent is the published posterior's mean times 0.18215, however often it is asked for."""
        known = load_file(REFERENCE / "inputs.safetensors")
        picture = known["image_rgb_uint8"].movedim(0, -1).numpy()
        latents = encode(vae, picture[None])
        torch.testing.assert_close(latents[:, :, 0], known["posterior_mean"] * 0.18215, atol=1e-4, rtol=1e-4)
        assert torch.equal(encode(vae, picture[None]), latents)

    def test_decode(self, vae: AutoencoderKL):
        """A latent decodes to the published picture, to the level."""
        known = load_file(REFERENCE / "vae_roundtrip.safetensors")
        frames = decode(vae, known["latent"][:, :, None] * 0.18215)
        levels = (known["decoded"].clamp(-1, 1) / 2 + 0.5)[0].movedim(0, -1).numpy() * 255
        assert frames.shape == (1, 1, 128, 128, 3)
        assert np.abs(frames[0, 0] - np.floor(levels)).max() <= 1  # one where rounding error crosses a level
        assert (frames[0, 0] == np.floor(levels)).mean() > 0.999

    def test_from_final_latents_to_the_published_clip(self, vae: AutoencoderKL):
        """Decoding and histogram matching give the published clip, but for a few values at the edge of a level."""
        latents = load_file(REFERENCE / "sampling_steps10.safetensors")["final_latents"]
        known = load_file(REFERENCE / "his_match.safetensors")["steps10.matched_video_uint8"]
        frames = match_histograms(decode(vae, latents)[0])
        off = np.abs(frames.astype(int) - known[0].movedim(0, -1).numpy())
        assert off.max() <= 2
        assert (off > 0).mean() < 1e-4

    def test_chunks_do_not_matter(self, vae: AutoencoderKL):
        """Two clips of three frames encode and decode alike in one go, in chunks, and each by itself."""
        clips = np.random.default_rng(0).integers(0, 256, (2, 3, 32, 48, 3), dtype=np.uint8)
        latents = encode(vae, clips, chunk=6)
        assert latents.shape == (2, 4, 3, 4, 6)
        torch.testing.assert_close(encode(vae, clips, chunk=4), latents)
        torch.testing.assert_close(torch.cat([encode(vae, clip) for clip in clips]), latents)
        whole, chunked = decode(vae, latents, chunk=6).astype(int), decode(vae, latents, chunk=4).astype(int)
        assert whole.shape == clips.shape
        assert np.abs(whole - chunked).max() <= 1


def test_a_vae_without_a_posterior_and_one_with_a_shift():
    """AutoencoderTiny's latents are taken as they are; a shift factor is taken off before the scaling."""
    torch.manual_seed(0)
    tiny = AutoencoderTiny(
        encoder_block_out_channels=(8, 8),
        decoder_block_out_channels=(8, 8),
        num_encoder_blocks=(1, 1),
        num_decoder_blocks=(1, 1),
        upsampling_scaling_factor=2,
    ).eval()
    shifted = AutoencoderKL(block_out_channels=(8,), norm_num_groups=4, scaling_factor=0.5, shift_factor=0.25).eval()
    frames = np.random.default_rng(1).integers(0, 256, (2, 16, 16, 3), dtype=np.uint8)
    pixels = torch.from_numpy(frames).movedim(-1, 1) / 127.5 - 1
    with torch.no_grad():
        raw = tiny.encode(pixels).latents
        torch.testing.assert_close(encode(tiny, frames)[0].transpose(0, 1), raw)
        mode = shifted.encode(pixels).latent_dist.mode()
        torch.testing.assert_close(encode(shifted, frames)[0].transpose(0, 1), (mode - 0.25) * 0.5)
        expected = ((shifted.decode(mode).sample / 2 + 0.5).clamp(0, 1) * 255).byte().movedim(1, -1).numpy()
    again = decode(shifted, encode(shifted, frames))[0]
    assert np.abs(again.astype(int) - expected).max() <= 1
    assert decode(tiny, encode(tiny, frames)).shape == (1, *frames.shape)


def test_frames_of_the_wrong_kind_are_named():
    """Floating point pixels and channels first are refused, with the shape in the message."""
    with pytest.raises(ValueError, match=r"float32.*\(1, 8, 8, 3\)"):
        encode(torch.nn.Identity(), np.zeros((1, 8, 8, 3), np.float32))
    with pytest.raises(ValueError, match=r"\(1, 3, 8, 8\)"):
        encode(torch.nn.Identity(), np.zeros((1, 3, 8, 8), np.uint8))


def test_the_preview_finds_a_linear_decoder():
    """Where colour is linear in the latents, the fit from one frame recovers it and predicts the other frames."""
    draw = torch.Generator().manual_seed(3)
    latents = torch.randn(1, 4, 3, 8, 12, generator=draw)
    matrix = torch.cat([torch.randn(4, 3, generator=draw) * 15, torch.full((1, 3), 128.0)])
    colours = (latents.movedim(1, -1) @ matrix[:4] + matrix[4]).round().clamp(0, 255).byte().numpy()
    large = colours.repeat(4, axis=2).repeat(4, axis=3)
    found = fit_preview(latents[:, :, :1], large[0, :1])
    assert found.shape == (5, 3)
    preview = latents_to_rgb(latents, found)
    assert preview.shape == (1, 3, 8, 12, 3)
    assert preview.dtype == np.uint8
    assert np.abs(preview.astype(int) - colours).max() <= 1


def test_the_preview_of_a_plain_picture_is_its_colour():
    """One colour throughout leaves many linear maps; the one chosen still gives that colour."""
    latents = torch.full((1, 4, 1, 4, 4), 0.7)
    frames = np.full((1, 32, 32, 3), (200, 30, 90), np.uint8)
    assert (latents_to_rgb(latents, fit_preview(latents, frames)) == (200, 30, 90)).all()


def test_a_vae_that_overflows_is_not_a_black_picture():
    """One number that is none, in the last chunk of frames."""
    vae = AutoencoderKL(block_out_channels=(8,), norm_num_groups=4, latent_channels=4)
    latents = torch.randn(1, 4, 5, 4, 4)
    assert decode(vae, latents).shape == (1, 5, 4, 4, 3)
    latents[0, 0, 4, 0, 0] = torch.inf
    with pytest.raises(UserError, match=r"overflowed .* half precision was not enough for the VAE\. Set precision"):
        decode(vae, latents)


def test_a_vae_that_overflows_while_encoding_is_told():
    """And is not the fault of what computes with its latents next."""
    vae = AutoencoderKL(block_out_channels=(8,), norm_num_groups=4, latent_channels=4)
    frames = np.zeros((5, 16, 16, 3), np.uint8)
    assert encode(vae, frames).shape == (1, 4, 5, 16, 16)
    with torch.no_grad():
        vae.encoder.conv_in.bias.fill_(torch.inf)
    with pytest.raises(UserError, match="overflowed"):
        encode(vae, frames)
