"""Pictures as the trainer of stage 2 sees them: the network, what a choice becomes, the first step."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler
from torch.nn import functional as F

from huvidpo_core import media
from huvidpo_core.generation.denoise import make_scheduler
from huvidpo_core.generation.first_frame import FirstFramePainter
from huvidpo_core.preferences.picture_choices import PictureChoice, as_pairs
from huvidpo_core.training import lora
from huvidpo_core.training.align import Aligner
from huvidpo_core.training.course import StepRecord
from huvidpo_core.training.draws import Drawn
from huvidpo_core.training.errors import residuals
from huvidpo_core.training.lessons import Batch, Lesson, Lessons
from huvidpo_core.training.pictures import (
    FRAMES,
    PictureTryout,
    PictureUNet,
    embed,
    encode_picture,
    read_picture,
    trainable,
)
from huvidpo_core.training.settings import AlignSettings, LoraShape
from huvidpo_core.training.split import split
from tests.tiny_models import HEIGHT, WIDTH, make_profile
from tests.training.made import run_out

CPU = torch.device("cpu")
SETTINGS = AlignSettings(
    steps=3, check_every=3, lr=1e-2, eps=1e-8, beta=500.0, batch=2, lora=LoraShape(rank=2, alpha=4, dropout=0.0)
)


@pytest.fixture(scope="module")
def profile(tmp_path_factory):
    return make_profile(tmp_path_factory.mktemp("models"))


@pytest.fixture
def painter(profile) -> FirstFramePainter:
    return trainable(FirstFramePainter.load(profile.first_frame, device=CPU, dtype=torch.float32))


def choice(number: int, count: int = 4) -> PictureChoice:
    others = tuple(f"{number}{letter}" for letter in "bcd"[: count - 1])
    return PictureChoice("", 0.0, str(number), "ann", {"action": "rain"}, f"{number}a", others)


def learned(painter: FirstFramePainter, choices: int = 5) -> Lessons:
    """Choices between pictures of noise; the latents of those that were chosen are higher by a constant."""
    pairs = [Lesson.of(pair, pair.prompt) for n in range(choices) for pair in as_pairs(choice(n), f"rain {n % 2}")]
    rng = torch.Generator().manual_seed(0)

    def read(name: str) -> np.ndarray:
        return np.full((1, 1, 1, 3), name.endswith("a"), np.uint8)

    def encode(chosen: np.ndarray) -> torch.Tensor:
        latents = torch.randn(1, 4, 1, HEIGHT // 8, WIDTH // 8, generator=rng)
        return F.pad(latents + (0.7 if chosen.all() else -0.7), (0, 0, 0, 0, 1, 0))

    return run_out(Lessons.encode(pairs, read, encode, lambda text: embed(painter, text)))


def training(painter: FirstFramePainter, folder, settings: AlignSettings = SETTINGS) -> Aligner:
    scheduler = make_scheduler(painter.scheduler.config, "ddim")
    tryout = PictureTryout(painter, ["rain 0"])
    return Aligner(painter.unet, scheduler, learned(painter), settings, tryout, folder, frames=FRAMES)


def test_a_choice_of_four_is_three_pairs_and_one_of_two_is_one():
    """By hand: the chosen one wins against each other one; the others are not compared."""
    pairs = as_pairs(choice(0), "rain on a roof")
    assert [(pair.first, pair.second) for pair in pairs] == [("0a", "0b"), ("0a", "0c"), ("0a", "0d")]
    assert all(pair.mask.tolist() == [0, 1] and pair.prompt == "rain on a roof" for pair in pairs)
    assert [pair.second for pair in as_pairs(choice(1, 2), "")] == ["1b"]


def test_held_out_are_whole_choices():
    """A fifth of ten choices: two of them, all three pairs of each; no picture is on both sides."""
    lessons = [Lesson.of(pair, "") for number in range(10) for pair in as_pairs(choice(number), "")]
    train, held = split(lessons, 0.2, seed=0)
    assert (len(train), len(held)) == (24, 6) and len({pair.first for pair in held}) == 2
    assert not {name for pair in train for name in pair.clips} & {name for pair in held for name in pair.clips}


def test_the_residual_is_that_of_diffusers_own_call(painter, profile):
    """The noisy latents by a scheduler of another class, the conditions as diffusers' pipeline computes them for a
    picture of this size, and the UNet as it is loaded from its folder: prediction minus noise."""
    rng = torch.Generator().manual_seed(2)
    clean, noise = (torch.randn(1, 4, HEIGHT // 8, WIDTH // 8, generator=rng) for _ in range(2))
    time = torch.tensor([371])
    alone = FirstFramePainter.load(profile.first_frame, device=CPU, dtype=torch.float32).text_to_image
    text, _, pooled, _ = alone.encode_prompt("rain on a roof", do_classifier_free_guidance=False)
    ids = alone._get_add_time_ids((HEIGHT, WIDTH), (0, 0), (HEIGHT, WIDTH), torch.float32, pooled.shape[-1])
    known = alone.scheduler.config
    noisy = DDPMScheduler.from_config(known).add_noise(clean, noise, time)
    told = {"text_embeds": pooled, "time_ids": ids}
    wanted = alone.unet(noisy, time, encoder_hidden_states=text, added_cond_kwargs=told).sample - noise

    def as_clip(latents: torch.Tensor) -> torch.Tensor:
        return F.pad(latents[:, :, None], (0, 0, 0, 0, 1, 0))

    batch = Batch(as_clip(clean), embed(painter, "rain on a roof"), torch.tensor([[0.0, 1.0]]), torch.ones(1))
    lora.attach(painter.unet, SETTINGS.lora, 0)
    found = residuals(painter.unet, make_scheduler(known, "ddim"), Drawn(batch, as_clip(noise), time))
    assert found.shape == (1, 4, 2, HEIGHT // 8, WIDTH // 8)
    torch.testing.assert_close(found[:, :, 1], wanted, atol=1e-5, rtol=1e-5)
    assert wanted.abs().max() > 0.1


def test_the_network_draws_as_the_one_it_was_made_from(painter, profile):
    """To the pixel, and it shares the weights."""
    other = FirstFramePainter.load(profile.first_frame, device=CPU, dtype=torch.float32)
    drawn = [each.draw("rain", "snow", 3, lambda *_: False) for each in (painter, other)]
    np.testing.assert_array_equal(*drawn)
    mine = PictureUNet.of(other.unet)
    assert {id(value) for value in mine.parameters()} != {id(value) for value in painter.unet.parameters()}
    assert mine.conv_in.weight.data_ptr() == other.unet.conv_in.weight.data_ptr()


def test_a_picture_is_read_at_the_painters_size(tmp_path, painter):
    """Larger files are fitted; latents have an empty frame before the picture's."""
    media.write_png(tmp_path / "large.png", np.full((3 * HEIGHT, 3 * WIDTH, 3), 90, np.uint8))
    picture = read_picture(tmp_path / "large.png", WIDTH, HEIGHT)
    assert picture.shape == (1, HEIGHT, WIDTH, 3) and (picture == 90).all()
    latents = encode_picture(painter.vae, picture)
    assert latents.shape == (1, 4, 2, HEIGHT // 8, WIDTH // 8)
    assert not latents[:, :, 0].any() and latents[:, :, 1].any()


def test_training_begins_at_ln_2_and_learns(painter, tmp_path):
    """The fresh LoRA changes nothing, so the first step's loss and the held-out loss are ln 2; later ones are lower
    where the pairs can be told apart. Samples are single pictures, and nothing ends it for standing still."""
    settings = replace(SETTINGS, steps=40, check_every=40, lr=3e-3, beta=20.0, batch=4, winner_rise=10.0)
    course = training(painter, tmp_path, settings)
    records = list(course.run())
    steps = [record for record in records if isinstance(record, StepRecord)]
    checks = [record for record in records if not isinstance(record, StepRecord)]
    assert steps[0].loss == pytest.approx(math.log(2), abs=1e-6)
    assert checks[0].loss == pytest.approx(math.log(2), abs=1e-6) and checks[0].winner_change == 0
    assert np.mean([step.loss for step in steps[-10:]]) < math.log(2) - 0.05 and checks[1].loss < math.log(2) - 0.05
    assert checks[1].accuracy == 1
    assert [check.clips[0].shape for check in checks] == [(1, HEIGHT, WIDTH, 3)] * 2
    assert (checks[0].clips[0] != checks[1].clips[0]).any() and checks[1].motion == 1.0
    assert (len(course.train_pairs), len(course.held_out)) == (12, 3)


def test_recomputed_activations_give_the_same_training(painter, profile, tmp_path):
    """With and without checkpointing: the same losses, for it trades time for memory and nothing else."""
    other = trainable(FirstFramePainter.load(profile.first_frame, device=CPU, dtype=torch.float32))
    losses = []
    for name, each, again in (("a", painter, False), ("b", other, True)):
        course = training(each, tmp_path / name, replace(SETTINGS, checkpointing=again))
        assert each.unet.is_gradient_checkpointing is again
        losses.append([record.loss for record in course.run() if isinstance(record, StepRecord)])
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)
