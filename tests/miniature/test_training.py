"""The miniature's training: resumable to the bit, deterministic data, runnable from nothing to a profile."""

import dataclasses
import logging
import threading

import numpy as np
import pytest
import torch
from torch import nn

from huvidpo_core import media
from huvidpo_core.config import ASSETS, load_profile
from huvidpo_core.engine import Engine
from huvidpo_core.miniature import data, loop, networks, text
from huvidpo_core.miniature.data import Pool
from huvidpo_core.miniature.train import main
from huvidpo_core.miniature.world import ACTIONS
from huvidpo_core.recipe import Recipe


def weights_after(folder, *runs: int) -> torch.Tensor:
    """Train a small network for the first number of steps, then, as after a kill, on to the next."""
    for steps in runs:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))

        def loss_at(rng: np.random.Generator, model: nn.Module = model) -> torch.Tensor:
            x = torch.from_numpy(rng.standard_normal((16, 4), dtype=np.float32))
            return (model(x) - x.sum(1, keepdim=True)).square().mean()

        schedule = loop.Schedule(steps=steps, lr=1e-2, decay=0.0)
        loop.train("toy", model, loss_at, schedule, folder, precision=torch.float32)
    return torch.cat([parameter.flatten() for parameter in model.parameters()])


def test_a_resumed_run_ends_where_an_undisturbed_one_does(tmp_path):
    """Twelve steps at once and five, then seven more from the checkpoint: the same weights, bit for bit."""
    (tmp_path / "once").mkdir()
    (tmp_path / "twice").mkdir()
    once, twice = weights_after(tmp_path / "once", 12), weights_after(tmp_path / "twice", 5, 12)
    assert torch.equal(once, twice)
    assert not torch.equal(once, weights_after(tmp_path / "twice", 13))


def test_the_learning_rate_rises_stays_and_falls():
    """Computed by hand: warm-up over 10 of 100 steps, the last 30 fall to nothing."""
    schedule = loop.Schedule(steps=100, lr=1.0, warmup=10, decay=0.3)
    assert schedule.rate(0) == pytest.approx(0.1) and schedule.rate(4) == pytest.approx(0.5)
    assert schedule.rate(9) == schedule.rate(69) == 1.0
    assert schedule.rate(85) == pytest.approx(0.5) and schedule.rate(99) == pytest.approx(1 / 30)


def test_scenes_are_the_same_whenever_they_are_drawn():
    """A pool's shards hold fixed scenes, different from each other and from another pool's; fixed attributes hold."""
    pool = Pool("clips", 130, 16)
    assert [len(pool.scenes(shard)) for shard in pool.shards()] == [64, 64, 2]
    assert pool.scenes(1) == Pool("clips", 1000, 1).scenes(1)
    assert pool.scenes(0)[:2] != pool.scenes(1)[:2] and pool.scenes(0) != Pool("stills", 130, 1).scenes(0)
    assert {scene.action for scene in Pool("x", 64, 1, fixed=(("action", "rain"),)).scenes(0)} == {"rain"}


def test_stages_that_are_no_training_say_how_long_they_still_take(monkeypatch, caplog):
    """After 30 of 120 frames in 60 seconds the other 90 take 3 minutes; nothing is said within half a minute."""
    now = 1000.0
    monkeypatch.setattr(loop.time, "monotonic", lambda: now)
    caplog.set_level(logging.INFO)
    countdown = loop.Countdown("render", 120)
    for seconds, frames in ((20, 10), (60, 20), (70, 10), (90, 80)):
        now = 1000.0 + seconds
        countdown.add(frames)
    assert caplog.messages == ["render: 30 of 120 frames, 3 min left", "render: 120 of 120 frames, 0 min left"]


def test_what_is_there_is_neither_rendered_nor_encoded_again(tmp_path, caplog):
    """Of two shards one is missing: it alone is made, to the same bytes, and is all that the countdown speaks of."""
    caplog.set_level(logging.INFO)
    pools = [Pool("a", 2, 1), Pool("b", 3, 1)]
    data.render_pools(pools, tmp_path, 1)
    (tmp_path / "b-0000.npy").rename(tmp_path / "b")
    data.render_pools(pools, tmp_path, 1)
    assert caplog.messages == ["render: 5 of 5 frames, 0 min left", "render: 3 of 3 frames, 0 min left"]
    assert (tmp_path / "b").read_bytes() == (tmp_path / "b-0000.npy").read_bytes()
    vae = networks.vae().eval()
    latents = tmp_path / "latents"
    options = {"device": torch.device("cpu"), "precision": torch.float32}
    data.encode_pools(pools, vae, tmp_path, latents, **options)
    (latents / "a-0000.npy").write_bytes(b"kept")
    data.encode_pools(pools, vae, tmp_path, latents, **options)
    assert (latents / "a-0000.npy").read_bytes() == b"kept"
    assert np.load(latents / "b-0000.npy").shape == (3, 4, 1, 20, 32)


@pytest.fixture(scope="module")
def tokenizer():
    return text.build_tokenizer()


def words(tokenizer, prompt: str) -> list[str]:
    return tokenizer.convert_ids_to_tokens(tokenizer(prompt).input_ids)[1:-1]


def test_unknown_words_are_dropped_and_synonyms_understood(tokenizer):
    """What the tokenizer is not taught leaves no token; a synonym leaves the known word's."""
    assert words(tokenizer, "A gorgeous CRIMSON pony, (masterpiece)!") == ["a", "red", "horse"]
    assert words(tokenizer, "helicopter over the skyline at midnight") == ["helicopter", "the", "city", "at", "night"]
    assert words(tokenizer, "xyzzy") == []


def test_every_synonym_leads_to_a_known_word(tokenizer):
    """No synonym points to a word that the world never says."""
    for known, others in text.SYNONYMS.items():
        assert known in tokenizer.get_vocab(), known
        for other in others.split():
            assert len(words(tokenizer, other)) == 1, other


@pytest.mark.slow
def test_the_whole_training_runs_and_its_result_is_a_profile(tmp_path, monkeypatch):
    """Every stage with the two-step budget, from nothing; the assembled folders then animate through the engine."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    folders = ["--assets", str(tmp_path / "assets"), "--packs", str(tmp_path / "packs" / "miniature")]
    options = ["--budget", "test", "--work", str(tmp_path / "work"), *folders, "--precision", "float32"]
    assert main(["all", *options]) == 0
    packs = {path.name for path in (tmp_path / "packs/miniature").iterdir()}
    assert packs == set(ACTIONS) and (tmp_path / "assets/curves.png").exists()
    assert all((tmp_path / "assets" / folder / "config.json").exists() for folder in ("first_frame_dpo/unet", "judge"))
    configs = (tmp_path / "assets").rglob("config.json")
    assert not any(str(tmp_path) in path.read_text() for path in configs), "no path of the machine that trained it"
    profile = load_profile("miniature")
    vae = str(tmp_path / "assets/video/vae")
    profile = dataclasses.replace(
        profile,
        first_frame=dataclasses.replace(
            profile.first_frame,
            base=str(tmp_path / "assets/first_frame"),
            unet=str(tmp_path / "assets/first_frame_dpo"),
            vae=vae,
            steps=1,
        ),
        video=dataclasses.replace(profile.video, base=str(tmp_path / "assets/video"), steps=1, frames=3),
    )
    engine = Engine(profile, tmp_path / "data", device="cpu", packs=tmp_path / "packs")
    recipe = Recipe(prompt="a red umbrella", action="rain", style="cartoon")
    *_, picture = engine.first_frame(recipe, threading.Event())
    *_, clip = engine.animate(picture.recipe, picture.image, threading.Event())
    assert clip.recipe.pack == "rain"
    assert media.read_video(clip.video).frames.shape == (3, 160, 256, 3)


def test_a_gpu_budget_without_a_gpu_is_a_sentence(capsys):
    """It is refused at once, instead of starting a training that would take weeks on the CPU."""
    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    assert main(["all", "--budget", "gpu"]) == 2
    assert "no CUDA GPU" in capsys.readouterr().err


def test_continuing_leaves_words_and_judge_as_they_are(tmp_path, monkeypatch):
    """`all --start` runs every stage but those whose outcome the others were trained or are measured with."""
    from huvidpo_core.miniature import train

    run = []
    monkeypatch.setattr(train.Trainer, "run", lambda self, stage: run.append(stage))
    assert main(["all", "--work", str(tmp_path), "--start", str(tmp_path)]) == 0
    assert run == [stage for stage in train.STAGES if stage not in ("text", "judge")]


def test_one_actions_pack_is_taught_and_the_others_are_not_thrown_away(tmp_path, capsys, monkeypatch):
    """`packs --action` renders, encodes and teaches that action alone; `assemble` then names what is missing and leaves
    the packs that are there, and other stages refuse the option."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    kept = tmp_path / "packs" / "miniature" / "rain"
    kept.mkdir(parents=True)
    options = ["--work", str(tmp_path / "work"), "--assets", str(tmp_path / "assets"), "--packs", str(kept.parent)]
    options += ["--budget", "test", "--start", str(ASSETS / "miniature"), "--device", "cpu"]
    assert main(["packs", *options, "--action", "smile"]) == 0
    assert [path.name for path in (tmp_path / "work" / "packs").iterdir()] == ["smile"]
    assert main(["assemble", *options]) == 2
    assert "waterfall" in capsys.readouterr().err and kept.is_dir()
    assert main(["video", *options, "--action", "smile"]) == 2
    assert "only to 'packs'" in capsys.readouterr().err


def test_a_stage_before_its_time_is_a_sentence(tmp_path, capsys):
    """Without the stages before it, a stage ends with status 2 and says what to do."""
    assert main(["latents", "--work", str(tmp_path)]) == 2
    assert "stages before" in capsys.readouterr().err
