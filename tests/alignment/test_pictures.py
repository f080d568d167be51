"""First frames from a choice to a painter: chosen, trained on, killed and resumed, put to use, drawn with."""

import json
import pickle
import shutil
import signal
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionXLPipeline, UNet2DConditionModel
from safetensors.torch import load_file

from huvidpo_core import cli, cli_training, media
from huvidpo_core.engine import Engine, Picture
from huvidpo_core.errors import Stopped, UserError
from huvidpo_core.models.packs import scan_packs
from huvidpo_core.models.painter_loras import PainterLoras
from huvidpo_core.preferences.picture_choices import picture_hash
from huvidpo_core.recipe import Recipe
from huvidpo_core.runs import COMMANDS
from huvidpo_core.training.record import CARD, RESULT, RunFolder
from huvidpo_core.training.settings import AlignSettings, LoraShape
from tests.alignment.conftest import lines
from tests.tiny_models import HEIGHT, WIDTH, make_profile
from tests.training.launched import in_two
from tests.training.whole import DROPOUT, in_a_process

RECIPE = Recipe(prompt="a red horse", action="horse_run", style="cartoon", seed=2**32 - 2)
SETTINGS = replace(DROPOUT, winner_rise=10.0)


@pytest.fixture(scope="module")
def profile(tmp_path_factory):
    """Whose painter draws larger than the video model animates."""
    made = make_profile(tmp_path_factory.mktemp("models"))
    return replace(made, first_frame=replace(made.first_frame, width=2 * WIDTH, height=2 * HEIGHT))


@pytest.fixture(scope="module")
def chosen(profile, tmp_path_factory) -> Path:
    """A data folder with five choices."""
    engine = Engine(profile, tmp_path_factory.mktemp("data"), device="cpu", packs=tmp_path_factory.mktemp("packs"))
    for number in range(5):
        pictures = few(engine, RECIPE.with_(seed=10 * number))
        engine.choose_first_frame(f"offer{number}", "ann", pictures[0], pictures[1:])
    return engine.data


@pytest.fixture
def engine(profile, chosen, tmp_path) -> Engine:
    """A new one on a copy of that folder."""
    shutil.copytree(chosen, tmp_path / "data")
    return Engine(profile, tmp_path / "data", device="cpu", packs=tmp_path / "packs")


def few(engine: Engine, recipe: Recipe) -> list[Picture]:
    return [item for item in engine.first_frames(recipe, threading.Event()) if isinstance(item, Picture)]


def prepare(engine: Engine, folder: Path, settings: AlignSettings = SETTINGS, **how) -> RunFolder:
    return engine.picture_trainings.prepare(settings, output=folder, **how)


def finished(engine: Engine, folder: Path, settings: AlignSettings = SETTINGS, **how) -> RunFolder:
    run = prepare(engine, folder, settings, **how)
    list(engine.trainings.carry_out(run, threading.Event()))
    assert run.state().status == "finished"
    return run


def test_four_are_drawn_one_after_another(engine):
    """Of this seed and those that follow, round the end of all seeds; each as if it was drawn alone, and what the
    painter drew is there at the painter's size."""
    items = list(engine.first_frames(RECIPE, threading.Event()))
    pictures = [item for item in items if isinstance(item, Picture)]
    assert [picture.recipe.seed for picture in pictures] == [2**32 - 2, 2**32 - 1, 0, 1]
    *_, alone = engine.first_frame(RECIPE.with_(seed=0), threading.Event())
    np.testing.assert_array_equal(pictures[2].image, alone.image)
    assert pictures[2].drawn.shape == (2 * HEIGHT, 2 * WIDTH, 3) and pictures[2].image.shape == (HEIGHT, WIDTH, 3)
    assert items.index(pictures[0]) < len(items) / 2 and "2 of 4" in items[items.index(pictures[0]) + 1].stage


def test_stop_ends_the_drawing_and_leaves_what_is_done(engine):
    """Pressed after the second picture: two were handed out, the third is not begun."""
    stop, done = threading.Event(), []
    with pytest.raises(Stopped):
        for item in engine.first_frames(RECIPE, stop):
            if isinstance(item, Picture):
                done.append(item)
            if len(done) == 2:
                stop.set()
    assert len(done) == 2


def test_a_choice_survives_a_restart_at_the_painters_size(engine, profile):
    """Another engine on the same folder: the choices are there, and their pictures as the painter drew them."""
    pictures = few(engine, RECIPE)
    engine.choose_first_frame("last", "ben", pictures[1], [pictures[0], *pictures[2:]])
    engine.store.close()
    again = Engine(profile, engine.data, device="cpu", packs=engine._packs_folder.parent)
    assert (again.picture_trainings.stock(), again.picture_trainings.stock(["ben"])) == (6, 1)
    assert again.picture_trainings.raters() == ["ann", "ben"]
    (made,) = again.store.picture_choices.list(["ben"])
    assert Recipe.from_dict(made.recipe) == pictures[1].recipe and made.chosen == picture_hash(pictures[1].drawn)
    kept = media.read_image(again.store.picture_choices.file(made.chosen))
    np.testing.assert_array_equal(kept, pictures[1].drawn)
    again.choose_no_first_frame("last", "ben")
    assert again.picture_trainings.stock(["ben"]) == 0


def test_what_a_run_learns_from(engine, tmp_path):
    """Three pairs of each choice, conditioned on the text that was drawn from; other profiles' choices are left out,
    and so are those among another painter's pictures."""
    one, *rest = few(engine, RECIPE.with_(seed=77))
    for offer, changes in (("theirs", {"profile": "full"}), ("plain", {"painter": "plain"})):
        engine.choose_first_frame(offer, "ann", Picture(one.image, one.recipe.with_(**changes), one.drawn), rest)
    run = prepare(engine, tmp_path / "run")
    asked = run.asked()
    assert (asked["kind"], asked["choices"], asked["pairs"], asked["clips"]) == ("picture", 5, 15, 20)
    pairs = json.loads((run.path / "pairs.json").read_text())["pairs"]
    assert {pair["text"] for pair in pairs} == {engine.styles["cartoon"].template.replace("{prompt}", "a red horse")}
    assert all(pair["mask"] == [0, 1] for pair in pairs)
    with pytest.raises(UserError, match="No first frame has been chosen"):
        prepare(engine, tmp_path / "other", raters=["nobody"])
    assert not (tmp_path / "other").exists()
    with pytest.raises(UserError, match="another loss than 'kto'"):
        engine.picture_trainings.prepare(replace(SETTINGS, loss="kto"), output=tmp_path / "other")


def test_a_run_killed_again_and_again_ends_as_one_left_alone(engine, profile, tmp_path):
    """`kill -9` in the middle of a line and of a checkpoint and between two, with dropout: the record and the LoRA are
    those of a run that nothing disturbed, to the bit."""
    alone, run = prepare(engine, tmp_path / "alone", name="taste"), prepare(engine, tmp_path / "run", name="taste")
    assert in_a_process(alone.path, profile, engine.data) == 0
    for where, times, every_step in (("half a line", 3, False), ("half a checkpoint", 1, False), ("a line", 1, True)):
        assert in_a_process(run.path, profile, engine.data, (where, times), every_step) == -signal.SIGKILL
        assert run.state().status == "died"
    assert in_a_process(run.path, profile, engine.data) == 0
    assert lines(run) == lines(alone) and run.state().status == "finished"
    found, wanted = load_file(run.path / RESULT), load_file(alone.path / RESULT)
    assert all(torch.equal(found[name], value) for name, value in wanted.items())
    assert sorted(path.name for path in (run.path / "samples").iterdir()) == [
        "00000-0.png",
        "00002-0.png",
        "00004-0.png",
    ]


def test_two_processes_take_the_steps_of_one(engine, profile, tmp_path):
    """`accelerate launch` with two on the CPU, which share each batch: the losses and held-out figures of one."""
    settings = replace(SETTINGS, batch=2, lora=LoraShape(rank=2, alpha=4, dropout=0.0))
    alone, both = (engine.picture_trainings.prepare(settings, output=tmp_path / name) for name in ("alone", "both"))
    list(engine.trainings.carry_out(alone, threading.Event()))
    job = tmp_path / "job"
    job.write_bytes(pickle.dumps((both.path, profile, engine.data)))
    process = in_two("tests.training.whole_together", str(job), str(tmp_path))
    _, words = process.communicate(timeout=300)
    assert process.returncode == 0, words[:6000]
    assert both.state().status == "finished" and [(tmp_path / rank).read_text() for rank in "01"] == ["finished"] * 2
    for kind, figure in (("step", "loss"), ("check", "loss"), ("check", "winner_change")):
        found, wanted = ([each[figure] for each in run.metrics(kind)] for run in (both, alone))
        assert found == pytest.approx(wanted, rel=1e-3, abs=1e-6) and len(found) > 2


def test_the_lora_is_a_painter_and_diffusers_draws_the_same_with_it(engine, profile, tmp_path):
    """Put to use it stands in the menu at once, draws differently from the painter without it and leaves that as it
    was; and a stock pipeline that loads the file draws the same, to the pixel. No pack is taken for broken."""
    run = finished(engine, tmp_path / "run", name="bright")
    tensors = load_file(run.path / RESULT)
    assert any(value.any() for name, value in tensors.items() if "lora_B" in name)
    card = json.loads((run.path / CARD).read_text())
    assert card["base_model"] == profile.first_frame.unet and card["pairs"] == {"trained": 12, "held_out": 3}
    *_, before = engine.first_frame(RECIPE, threading.Event())
    assert engine.trainings.adopt(run) == "lora:bright"
    assert ("lora:bright", f"{profile.first_frame.title} + bright") in [
        (each.id, each.title) for each in engine.painters()
    ]
    *_, drawn = engine.first_frame(RECIPE.with_(painter="lora:bright"), threading.Event())
    *_, after = engine.first_frame(RECIPE, threading.Event())
    np.testing.assert_array_equal(before.drawn, after.drawn)
    assert (drawn.drawn != before.drawn).mean() > 0.01 and drawn.recipe.painter == "lora:bright"

    unet = UNet2DConditionModel.from_pretrained(Path(profile.first_frame.unet) / "unet")
    pipeline = StableDiffusionXLPipeline.from_pretrained(profile.first_frame.base, unet=unet)
    loras = PainterLoras(engine._packs_folder)
    pipeline.load_lora_weights(loras.file("bright"))
    pipeline.unet.eval()  # new layers' dropout begins switched on
    text = engine.trainings.supply.text(RECIPE.prompt, RECIPE.action, RECIPE.style)
    style = engine.styles[RECIPE.style]
    theirs = pipeline(
        text, negative_prompt=style.negative_prompt, width=2 * WIDTH, height=2 * HEIGHT, guidance_scale=3.0,
        num_inference_steps=2, generator=torch.Generator().manual_seed(RECIPE.seed), output_type="np",
    ).images[0]  # fmt: skip
    assert np.abs((theirs * 255).round() - drawn.drawn).max() <= 1

    assert card["best_step"]
    engine.trainings.afterwards(run)  # as when the process of a run has ended
    pair, *others = json.loads((run.path / "round.json").read_text())
    assert engine.picture_rounds.score(run).pairs == 8 == 1 + len(others)
    for painter, picture in (("", pair["base"]), ("lora:bright", pair["new"])):
        recipe = Recipe.from_dict(pair["recipe"]).with_(painter=painter)
        *_, drawn = engine.first_frame(recipe, threading.Event())
        assert picture_hash(drawn.drawn) == picture

    assert scan_packs(engine._packs_folder) == ([], {})
    with pytest.raises(UserError, match="in use already, as 'lora:bright'"):
        engine.trainings.adopt(run)
    second = finished(engine, tmp_path / "second", replace(SETTINGS, seed=1))  # else it is the same LoRA
    assert second.asked()["name"] == "liked" and engine.trainings.adopt(second, "fine") == "lora:fine"
    with pytest.raises(UserError, match="There is a LoRA 'bright'"):
        prepare(engine, tmp_path / "third", name="bright")
    loras.file("bright").unlink()
    assert engine.trainings.use(run).adopted == ""
    with pytest.raises(UserError, match="The LoRA 'bright' for first frames is not there any more"):
        list(engine.first_frame(RECIPE.with_(painter="lora:bright"), threading.Event()))


def test_on_the_command_line(engine, profile, tmp_path, monkeypatch, capsys):
    """Begun, resumed with more steps, told to other kinds' commands; the LoRA's path on stdout."""
    monkeypatch.setattr(cli_training, "choose_profile", lambda *_: profile)
    monkeypatch.setattr(cli_training, "Engine", partial(Engine, packs=tmp_path / "packs"))
    (tmp_path / "mine.toml").write_text("beta = 200.0\ncheck_every = 2\nwinner_rise = 10.0\n")
    command, run = (
        COMMANDS["picture"],
        ["--output", str(tmp_path / "run"), "--data", str(engine.data), "--device", "cpu"],
    )
    asked = ["--votes", "--settings", str(tmp_path / "mine.toml"), "--steps", "2", "--rater", "ann"]
    assert cli.main([command, *asked, *run]) == 0
    assert capsys.readouterr().out == f"{tmp_path / 'run' / RESULT}\n"
    assert cli.main([command, "--resume", "--steps", "3", *run]) == 0
    record = RunFolder.open(tmp_path / "run")
    assert [step["step"] for step in record.metrics("step")] == [1, 2, 3] and record.asked()["raters"] == ["ann"]
    capsys.readouterr()
    for arguments, words in (
        (["align", "--resume", *run], "of another kind"),
        ([command, "--resume", "--rater", "ann", *run], "Leave out --rater"),
        (
            [command, "--rater", "nobody", "--output", str(tmp_path / "none"), *run[2:]],
            "No first frame has been chosen",
        ),
    ):
        assert cli.main(arguments) == 2
        assert words in capsys.readouterr().err
