"""One alignment from its record to a LoRA, on tiny models: killed and resumed, stopped, refused, and put to use."""

import json
import signal
import threading
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
import torch
from safetensors.torch import load_file

from huvidpo_core import media
from huvidpo_core.alignment import Alignment
from huvidpo_core.engine import Engine
from huvidpo_core.errors import Stopped, UserError
from huvidpo_core.generation.animate import Animator
from huvidpo_core.models.menu import PackMenu
from huvidpo_core.models.pack_weights import apply_pack
from huvidpo_core.models.packs import ActionPack
from huvidpo_core.training import checkpoint, lora
from huvidpo_core.training.crew import Crew
from huvidpo_core.training.record import CARD, RESULT, RunFolder
from tests.tiny_models import make_profile
from tests.training.whole import ACTION, DROPOUT, in_a_process, make_dataset, make_pack

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def profile(tmp_path_factory):
    return make_profile(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def dataset(profile, tmp_path_factory):
    return make_dataset(tmp_path_factory.mktemp("dataset"), profile)


@pytest.fixture(scope="module")
def engine(profile, tmp_path_factory):
    """With an action pack, and an empty data folder."""
    packs = tmp_path_factory.mktemp("packs")
    make_pack(profile, packs / profile.family)
    return Engine(profile, tmp_path_factory.mktemp("data"), device="cpu", packs=packs)


@pytest.fixture(autouse=True)
def one_thread():
    """As the processes of `in_a_process`: sums in another order differ in the last digit."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def begin(engine, dataset, tmp_path):
    """Begins runs, each in its folder."""

    def begin(name: str = "run", settings=DROPOUT, **how) -> RunFolder:
        how = {"dataset": dataset, "name": "taste"} | how
        return engine.trainings.prepare(ACTION, settings, output=tmp_path / name, **how)

    return begin


def work(run: RunFolder, engine: Engine, stop: threading.Event | None = None):
    """The run carried out in this process, step by step."""
    return Alignment(run, engine.profile, CPU, Crew(), engine.data).carry_out(stop or threading.Event())


def lines(run: RunFolder) -> list[str]:
    return (run.path / "metrics.jsonl").read_text().splitlines()


@pytest.fixture(scope="module")
def left_alone(engine, dataset, profile, tmp_path_factory) -> RunFolder:
    """A finished run that nothing disturbed, in a process of its own."""
    path = tmp_path_factory.mktemp("left") / "alone"
    run = engine.trainings.prepare(ACTION, DROPOUT, output=path, dataset=dataset, name="taste")
    assert in_a_process(run.path, profile, engine.data) == 0
    return run


# Where a run of four steps with checks at 0, 2 and 4 is killed, one after the other, and how often it saves.
DEATHS = [
    ("half a line", 3, False),  # in the line of step 2; the checkpoint is that of the start
    ("a line", 3, False),  # right after the line of check 2, before its checkpoint
    ("half a checkpoint", 1, False),  # in check 2's checkpoint
    ("a checkpoint", 1, False),  # right after it
    ("a line", 1, True),  # between two checkpoints: after step 3's line
    ("a checkpoint", 1, True),  # right after step 3's own checkpoint
]


def test_a_run_killed_again_and_again_ends_as_one_left_alone(begin, left_alone, engine, profile):
    """`kill -9` in the middle of a line and of a checkpoint, and between and right after them, with dropout: the
    finished LoRA, the last state of the optimizer and every line of the metrics are those of a run left alone."""
    run, stood = begin(), []
    for where, times, every_step in DEATHS:
        assert in_a_process(run.path, profile, engine.data, (where, times), every_step) == -signal.SIGKILL
        assert run.state().status == "died"
        path = run.path / "checkpoint.pt"
        stood.append(torch.load(path)["step"] if path.exists() else None)
    assert stood == [0, 0, 0, 2, 2, 3]
    assert in_a_process(run.path, profile, engine.data) == 0

    assert lines(run) == lines(left_alone) and len(lines(run)) == 7
    assert (run.path / RESULT).read_bytes() == (left_alone.path / RESULT).read_bytes()
    mine, theirs = (torch.load(each.path / "checkpoint.pt") for each in (run, left_alone))
    assert all(torch.equal(mine["lora"][name], value) for name, value in theirs["lora"].items())
    for number, wanted in theirs["optimizer"]["state"].items():
        found = mine["optimizer"]["state"][number]
        assert all(torch.equal(found[name], wanted[name]) for name in ("step", "exp_avg", "exp_avg_sq"))
    state = run.state()
    assert (state.status, state.step, state.steps) == ("finished", 4, 4)
    assert [len(paths) for paths in run.samples().values()] == [4, 4, 4]


def test_stop_finishes_the_step_and_resume_goes_on(begin, left_alone, engine):
    """Asked for by a file, as the app does, and by Ctrl-C's event: a checkpoint of the step, the record says so, and
    the run ends as one left alone."""
    run, stop = begin(), threading.Event()
    going = work(run, engine)
    while (progress := next(going)).stage != "training":
        pass
    assert progress.step == 1 and run.state().status == "running"
    run.ask_to_stop()
    with pytest.raises(Stopped):
        next(going)
    state = run.state()
    assert (state.status, state.step) == ("stopped", 1) and "Resume" in state.message
    assert torch.load(run.path / "checkpoint.pt")["step"] == 1 and not run.asked_to_stop

    with pytest.raises(Stopped):
        for progress in work(run, engine, stop):
            if progress.step == 3:
                stop.set()
    assert run.state().step == 3
    list(work(run, engine))
    assert run.state().status == "finished" and lines(run) == lines(left_alone)
    found, wanted = load_file(run.path / RESULT), load_file(left_alone.path / RESULT)
    assert all(torch.equal(found[name], value) for name, value in wanted.items())


def test_a_wish_to_stop_from_before_does_not_count(begin, engine):
    """The process died before it could; who resumes does not want it any more."""
    run = begin(settings=replace(DROPOUT, steps=1))
    run.tell(status="running", pid=2**22 + 1, born=1.0)
    run.ask_to_stop()
    assert run.state().status == "died"
    list(work(run, engine))
    assert run.state().status == "finished"


def test_stop_while_another_has_the_device(begin, engine):
    """Somebody makes a clip; the training, which waits, stops all the same and keeps what it has learned."""
    run = begin()
    going = work(run, engine)
    while next(going).stage != "training":
        pass
    with engine._bench.reserved(threading.Event()):
        run.ask_to_stop()
        with pytest.raises(Stopped):
            next(going)
    assert run.state().status == "stopped" and torch.load(run.path / "checkpoint.pt")["step"] == 1


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


def test_an_error_is_in_the_record(engine, profile, tmp_path, begin):
    """A clip that is gone before it was encoded: failed, with the sentence."""
    clips = make_dataset(tmp_path / "clips", profile, pairs=1)
    run = begin(dataset=clips)
    (clips / "chosen0.mp4").unlink()
    with pytest.raises(UserError) as caught:
        list(work(run, engine))
    state = run.state()
    assert (state.status, state.message) == ("failed", str(caught.value)) and "chosen0.mp4" in state.message


def test_a_full_disk_in_a_checkpoint_is_a_sentence_and_the_run_can_go_on(begin, engine, left_alone, monkeypatch):
    """ENOSPC at step 2's checkpoint: failed, said in words; with space again it ends as if nothing had been."""
    run = begin()
    write, count = checkpoint.write, iter(range(9))

    def full(folder: Path, state: dict) -> None:
        if next(count) == 1:
            monkeypatch.setattr(Path, "write_bytes", no_space)
        write(folder, state)

    def no_space(path: Path, data: bytes) -> None:
        with path.open("wb") as file:
            file.write(bytes(data)[:100])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "write", full)
    with pytest.raises(UserError, match="disk is full"):
        list(work(run, engine))
    assert run.state().status == "failed" and "disk is full" in run.state().message
    assert torch.load(run.path / "checkpoint.pt")["step"] == 0
    monkeypatch.undo()
    list(work(run, engine))
    assert lines(run) == lines(left_alone) and not list(run.path.glob(".*.part"))


def test_a_run_is_carried_out_by_one_process_with_its_own_profile(begin, engine, profile):
    """While it is running elsewhere, or under another profile, it is refused and its record left alone."""
    run = begin()
    run.tell(status="running", step=3, pid=1, born=psutil.Process(1).create_time())
    with pytest.raises(UserError, match="running already"):
        next(work(run, engine))
    assert run.state().status == "running" and run.state().pid == 1
    run.tell(status="stopped")
    other = Alignment(run, replace(profile, name="other"), CPU, Crew(), engine.data)
    with pytest.raises(UserError, match="begun with the profile tiny"):
        next(other.carry_out(threading.Event()))
    assert run.state().status == "stopped"


def test_settings_that_were_tampered_with_are_a_sentence(begin, engine):
    """An unknown key, a value out of range."""
    run = begin()
    asked = json.loads((run.path / "run.json").read_text())
    for change, words in (({"colour": 1}, "unknown key 'colour'"), ({"lr": -1.0}, "'lr'")):
        (run.path / "run.json").write_text(json.dumps(asked | {"settings": asked["settings"] | change}))
        with pytest.raises(UserError, match=words):
            work(run, engine)
