"""What an alignment leaves: samples, a card, and a LoRA that Create and diffusers load."""

import json
from dataclasses import replace

import pytest
import torch

from huvidpo_core import media
from huvidpo_core.errors import UserError
from huvidpo_core.generation.animate import Animator
from huvidpo_core.models.cards import read_samples
from huvidpo_core.models.menu import PackMenu
from huvidpo_core.models.pack_weights import apply_pack
from huvidpo_core.models.packs import ActionPack
from huvidpo_core.training import lora
from huvidpo_core.training.record import CARD, RESULT
from tests.alignment.conftest import CPU, work
from tests.training.whole import ACTION, DROPOUT, make_dataset


def test_the_samples_are_clips_and_the_card_says_what_it_is(left_alone, engine, profile, dataset):
    """Base, pack, digest of the data, settings and figures; the samples play."""
    clip = media.read_video(left_alone.samples()[4][0]).frames
    video = profile.video
    assert clip.shape == (video.frames, video.height, video.width, 3)
    card = json.loads((left_alone.path / CARD).read_text())
    pack = ActionPack.load(engine._packs_folder / ACTION)
    assert (card["base_hash"], card["pack"], card["action"]) == (pack.base_hash, ACTION, ACTION)
    assert card["settings"]["lora"]["rank"] == 2 and card["steps"] == 4
    assert card["pairs"] == {"trained": 3, "held_out": 1} and len(card["dataset_hash"]) == 64
    assert card["best_step"] == torch.load(left_alone.path / "checkpoint.pt")["judgement"]["step"]


def test_what_was_trained_is_what_create_loads_and_diffusers_too(left_alone, engine, profile):
    """The LoRA beside its pack, put in by `apply_pack`; the same file by diffusers' own `load_lora_adapter`; and the
    best LoRA of the run put into the network that was trained: the same output."""
    assert engine.trainings.adopt(left_alone, "kept") == f"{ACTION}/kept"
    step = json.loads((left_alone.path / CARD).read_text())["best_step"]
    samples = read_samples(ActionPack.load(engine._packs_folder / ACTION).preference_file("kept"))
    assert {number: len(clips) for number, clips in samples.items()} == dict.fromkeys((0, step), 4)
    menu = PackMenu(engine._packs_folder)
    menu.check(f"{ACTION}/kept")
    assert f"{ACTION}/kept" in [choice.id for choice in menu.choices(ACTION)]
    pack = ActionPack.load(engine._packs_folder / ACTION)

    def network():
        return Animator.load(profile.video, device=CPU, dtype=torch.float32).unet

    trained, created, stock, base = network(), network(), network(), network()
    for unet in (trained, stock, base):
        apply_pack(unet, pack)
    best = torch.load(left_alone.path / "checkpoint.pt")["judgement"]["lora"]
    lora.load_values(lora.attach(trained, DROPOUT.lora, seed=9), best)
    apply_pack(created, pack, preference="kept")
    stock.load_lora_adapter(left_alone.path, weight_name=RESULT, prefix="unet", use_safetensors=True)
    generator = torch.Generator().manual_seed(0)
    sample, text = torch.randn(1, 4, 4, 6, 8, generator=generator), torch.randn(1, 5, 32, generator=generator)
    clip = sample, torch.tensor(300), text
    with torch.no_grad():
        wanted, plain = trained.eval()(*clip).sample, base.eval()(*clip).sample
        assert (wanted - plain).abs().max() > 1e-3  # or this would prove nothing
        for unet in (created, stock):
            torch.testing.assert_close(unet.eval()(*clip).sample, wanted, rtol=1e-5, atol=1e-5)


def test_clips_of_different_length_and_a_run_without_a_pack(engine, profile, tmp_path, begin):
    """One pair longer than the window, one shorter: it trains, windows and samples fit. Without a pack there is nothing
    to put the LoRA beside."""
    for name, frames in (("long", 7), ("short", 3)):
        make_dataset(tmp_path / name, profile, pairs=1, frames=frames, seed=frames)
    rows = []
    for name in ("long", "short"):
        row = json.loads((tmp_path / name / "metadata.jsonl").read_text())
        rows.append({**row, **{key: f"{name}/{row[key]}" for key in ("chosen_file_name", "rejected_file_name")}})
    (tmp_path / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    run = begin(settings=replace(DROPOUT, batch=2, steps=2), dataset=tmp_path, pack="")
    list(work(run, engine))
    assert run.state().status == "finished"
    assert {len(media.read_video(path).frames) for path in run.samples()[2]} == {3}
    with pytest.raises(UserError, match="bare base model"):
        engine.trainings.adopt(run, "other")


def test_clips_deleted_after_the_start_do_no_harm(engine, profile, tmp_path, begin):
    """They were encoded when it began; it can be stopped, resumed and finished without them."""
    clips = make_dataset(tmp_path / "clips", profile, pairs=2)
    run = begin(settings=replace(DROPOUT, steps=2), dataset=clips)
    going = work(run, engine)
    while next(going).stage != "training":
        pass
    going.close()
    assert run.state().status == "stopped"
    for path in clips.glob("*.mp4"):
        path.unlink()
    list(work(run, engine))
    assert run.state().status == "finished"
