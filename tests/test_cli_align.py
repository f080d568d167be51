"""`align` on the command line: a whole run on tiny models, resumed and prolonged, and a sentence for each mistake."""

import json
import os
import shutil
import signal
import subprocess
import sys

import pytest
import torch

from huvidpo_core import cli, cli_training, engine
from huvidpo_core.config import ROOT
from huvidpo_core.generation.animate import Animator
from huvidpo_core.models.menu import PackMenu
from huvidpo_core.models.pack_weights import apply_pack
from huvidpo_core.models.packs import ActionPack
from huvidpo_core.runs import ENVIRONMENT
from huvidpo_core.training.align import Aligner
from huvidpo_core.training.record import RESULT, RunFolder
from huvidpo_core.training.settings import AlignSettings
from tests.tiny_models import make_profile
from tests.training.whole import ACTION, make_dataset, make_pack

SETTINGS = """
loss = "dense"
lr = 1e-2
eps = 1e-8
beta = 0.0
check_every = 2
least_motion = 0.0
[lora]
rank = 2
"""


@pytest.fixture(scope="module")
def profile(tmp_path_factory):
    return make_profile(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def packs(profile, tmp_path_factory):
    folder = tmp_path_factory.mktemp("packs")
    make_pack(profile, folder / profile.family)
    return folder


@pytest.fixture
def run(profile, packs, tmp_path, monkeypatch, capsys):
    """Runs `align` with the tiny profile; status, stdout and stderr."""
    asked = []

    def choose(name, device):
        asked.append(name)
        return profile

    monkeypatch.setattr(cli_training, "choose_profile", choose)
    monkeypatch.setattr(engine.Engine.__init__, "__defaults__", (None, packs, ""))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text(SETTINGS)

    def run(*arguments) -> tuple[int, str, str]:
        try:
            status = cli.main(["align", "--device", "cpu", *map(str, arguments)])
        except SystemExit as ended:
            status = ended.code
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    run.profiles = asked
    return run


def test_a_whole_run_resumed_and_put_to_use(run, profile, packs, tmp_path):
    """Three steps on a dataset: the LoRA's path on stdout, its record finished, its figures those of the settings. To
    resume it takes the run's own profile; with more steps it goes on; --adopt puts it to use, once, and it loads as
    Create loads it."""
    make_dataset(tmp_path / "votes", profile)
    output = tmp_path / "out" / "run"
    asked = ["--action", ACTION, "--dataset", tmp_path / "votes", "--settings", tmp_path / "mine.toml"]
    handler = signal.getsignal(signal.SIGINT)
    status, out, _ = run(*asked, "--steps", 3, "--name", "bright", "--output", output)
    assert (status, out) == (0, f"{output / RESULT}\n") and signal.getsignal(signal.SIGINT) is handler
    record = RunFolder.open(output)
    assert record.state().status == "finished" and [line["step"] for line in record.metrics("step")] == [1, 2, 3]
    checks = record.metrics("check")
    assert [check["step"] for check in checks] == [0, 2, 3] and checks[0]["beta"] == checks[2]["beta"] > 0
    card = json.loads((output / "card.json").read_text())
    assert card["settings"]["loss"] == "dense" and card["calibration"]["equivalents"]["huvidpo"] > 0

    status, out, err = run("--resume", "--output", output)
    assert (status, out) == (0, f"{output / RESULT}\n") and "nothing left to do: Ended at step 3" in err
    assert run.profiles == [None, "tiny"] and len(record.metrics("step")) == 3
    for flags, words in (
        (["--steps", 3], "It has done 3 steps already"),
        (["--action", "sing"], f"is a run of '{ACTION}'. Leave out --action"),
        (["--votes"], "learns from a dataset. Leave out --votes"),
    ):
        status, _, err = run("--resume", *flags, "--output", output)
        assert status == 2 and words in err and record.asked()["settings"]["steps"] == 3
    assert run("--resume", "--action", ACTION, "--steps", 5, "--output", output)[0] == 0
    assert record.state().step == 5 and record.asked()["settings"]["steps"] == 5

    for status, words in ((0, f"Create has it as '{ACTION}/bright'"), (2, "in use already, as 'bright'")):
        found, _, err = run("--resume", "--adopt", "--output", output)
        assert found == status and words in err
    pack = ActionPack.load(packs / profile.family / ACTION)
    PackMenu(packs / profile.family).check(f"{ACTION}/bright")
    unet = Animator.load(profile.video, device=torch.device("cpu"), dtype=torch.float32).unet
    apply_pack(unet, pack, preference="bright")
    assert unet.active_adapters() == ["preference"]


def test_a_plan_by_name_reaches_the_training(run, profile, tmp_path, monkeypatch):
    """That for 12 GB computes activations twice, where the settings leave it open; without it a CPU keeps them."""
    make_dataset(tmp_path / "votes", profile, pairs=1)
    asked = ["--action", ACTION, "--dataset", tmp_path / "votes", "--settings", tmp_path / "mine.toml", "--steps", 1]
    step, seen = Aligner._take_step, []
    monkeypatch.setattr(Aligner, "_take_step", lambda self: seen.append(self.settings.checkpointing) or step(self))
    for number, plan in enumerate(([], ["--plan", "12"])):
        assert run(*asked, *plan, "--output", tmp_path / str(number))[0] == 0
    assert seen == [False, True]


def test_a_run_on_ratings_of_single_clips(run, profile, tmp_path):
    """Four clips that somebody rated in Create: a finished LoRA, its figures, and the same folder resumed; a dataset
    has no such ratings."""
    made = make_dataset(tmp_path / "clips", profile, pairs=2)
    store = engine.Engine(profile, tmp_path / "data", device="cpu").store
    for name, score in (("chosen0", 5), ("chosen1", 4), ("rejected0", 1), ("rejected1", 2)):
        shutil.copyfile(made / f"{name}.mp4", store.video(name))
        store.add(name, {"prompt": "rain on a roof", "action": ACTION, "style": "cartoon"}, 1.0)
        store.votes.rate_clip(name, "ann", score)
    asked = ["--action", ACTION, "--settings", tmp_path / "mine.toml", "--loss", "kto", "--steps", 3]
    status, _, err = run(*asked, "--dataset", made, "--output", tmp_path / "run")
    assert status == 2 and "Leave out the dataset" in err and not (tmp_path / "run").exists()
    status, out, _ = run(*asked, "--output", tmp_path / "run")
    assert (status, out) == (0, f"{tmp_path / 'run' / RESULT}\n")
    record = RunFolder.open(tmp_path / "run")
    assert (record.asked()["good"], record.asked()["bad"]) == (2, 2) and record.state().status == "finished"
    card = json.loads((tmp_path / "run" / "card.json").read_text())
    assert card["singles"] == {"trained": 4, "held_out": 0} and card["calibration"]["kind"] == "kto"
    steps = record.metrics("step")
    assert all((step["winner_change"] is None) != (step["loser_change"] is None) for step in steps)
    assert run("--resume", "--steps", 5, "--output", tmp_path / "run")[0] == 0
    assert [step["step"] for step in record.metrics("step")] == [1, 2, 3, 4, 5]
    assert record.metrics("step")[:3] == steps
    record.tell(step=50)
    status, _, err = run("--resume", "--steps", 0, "--output", tmp_path / "run")
    assert status == 2 and "0 would be 48, and it has done 50 steps already" in err  # 12 passes over 4 clips


def test_ctrl_c_stops_after_the_step_and_says_how_to_go_on(run, profile, tmp_path, monkeypatch):
    """The signal during a step: status 0, the step is kept, and the printed command continues it."""
    make_dataset(tmp_path / "votes", profile, pairs=1)
    note = RunFolder.note

    def interrupted(record, kind, values):
        note(record, kind, values)
        if kind == "step":
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(RunFolder, "note", interrupted)
    asked = ["--action", ACTION, "--dataset", tmp_path / "votes", "--settings", tmp_path / "mine.toml", "--pack", ""]
    status, out, _ = run(*asked, "--output", tmp_path / "run")
    assert status == 0 and f"--resume --output {tmp_path / 'run'}" in out
    record = RunFolder.open(tmp_path / "run")
    assert (record.state().status, record.state().step) == ("stopped", 1)
    monkeypatch.setattr(RunFolder, "note", note)
    assert run("--resume", "--steps", 2, "--output", tmp_path / "run")[0] == 0
    assert [line["step"] for line in record.metrics("step")] == [1, 2]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "--action is missing"),
        (["--action", "sing"], "no action 'sing'"),
        (["--action", ACTION], "no votes to learn from yet"),
        (["--action", ACTION, "--loss", "ppo"], "no loss 'ppo'"),
        (["--action", ACTION, "--loss", "kto"], "no ratings to learn from yet"),
        (["--action", ACTION, "--steps", -3], "'steps'"),
        (["--action", ACTION, "--settings", "best"], "no preset 'best'"),
        (["--action", ACTION, "--settings", "gone.toml"], "gone.toml"),
        (["--action", ACTION, "--pack", "gone"], "no action pack"),
        (["--action", ACTION, "--dataset", "gone"], "metadata.jsonl"),
        (["--action", ACTION, "--dataset", "gone", "--votes"], "not allowed with"),
        (["--action", ACTION, "--device", "tpu"], "no device 'tpu'"),
        (["--action", ACTION, "--plan", "7"], "no memory plan '7'"),
        (["--resume"], "no training run"),
        (["--resume", "--loss", "dense"], "Leave out --loss"),
        (["--resume", "--dataset", "gone"], "Leave out --dataset"),
    ],
)
def test_a_mistake_is_a_sentence_and_leaves_nothing(run, tmp_path, arguments, words):
    """Status 2, one line on stderr, no run."""
    status, out, err = run(*arguments, "--output", tmp_path / "run")
    assert status == 2 and out == "" and words in err and err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_a_dataset_that_cannot_be_learned_from_is_a_sentence_and_leaves_nothing(run, profile, tmp_path):
    """One of another action, one that is asked for whose votes they are, a clip that is no video: before anything is
    begun, so that the same command works once it is mended."""
    votes, out = make_dataset(tmp_path / "votes", profile, pairs=2), tmp_path / "run"
    other = make_dataset(tmp_path / "other", profile, pairs=1)
    (other / "metadata.jsonl").write_text((other / "metadata.jsonl").read_text().replace(ACTION, "snow"))
    broken = make_dataset(tmp_path / "broken", profile, pairs=1)
    (broken / "rejected0.mp4").write_text("hello")
    for folder, flags, words in (
        (votes, ["--rater", "ann"], "Leave out --rater"),
        (other, [], f"no pairs of the action '{ACTION}', but of: snow"),
        (broken, [], "rejected0.mp4 is not a video"),
    ):
        status, _, err = run("--action", ACTION, "--dataset", folder, *flags, "--output", out)
        assert status == 2 and words in err and err.count("\n") == 1 and not out.exists()


def test_a_folder_in_use_and_one_of_a_newer_version(run, profile, tmp_path):
    """Both stay as they are."""
    make_dataset(tmp_path / "votes", profile, pairs=1)
    (tmp_path / "run").mkdir()
    for version, flags, words in (
        (1, ["--action", ACTION, "--dataset", tmp_path / "votes"], "holds a run already"),
        (99, ["--resume"], "newer version"),
    ):
        (tmp_path / "run" / "run.json").write_text(json.dumps({"version": version}))
        status, _, err = run(*flags, "--output", tmp_path / "run")
        assert status == 2 and words in err
        assert [path.name for path in (tmp_path / "run").iterdir()] == ["run.json"]


def test_its_process_is_what_the_app_would_have_started(tmp_path):
    """With the environment that a training holds less memory in, but for what is set; other commands go on as they
    are."""
    (tmp_path / "sitecustomize.py").write_text(
        "import os, sys\nif 'huvidpo_core' in sys.orig_argv:\n"
        "    print(os.environ.get('GLIBC_TUNABLES'), os.environ.get('OMP_WAIT_POLICY'))\n"
    )
    bare = {name: value for name, value in os.environ.items() if name not in ENVIRONMENT}
    bare["PYTHONPATH"] = str(tmp_path)
    tunables = ENVIRONMENT["GLIBC_TUNABLES"]
    for command, own, seen in (
        ("align", {}, ["None None", f"{tunables} passive"]),
        ("align", {"GLIBC_TUNABLES": "mine", "OMP_WAIT_POLICY": "active"}, ["mine active"]),
        ("memory", {}, ["None None"]),
    ):
        asked = [sys.executable, "-m", "huvidpo_core", command, "--nothing"]
        done = subprocess.run(asked, env=bare | own, cwd=ROOT, capture_output=True, text=True)
        assert (done.returncode, done.stdout.splitlines(), done.stderr.count("\n")) == (2, seen, 1), done.stderr


@pytest.mark.parametrize(("processes", "batch", "taken"), [("1", 1, 1), ("2", 1, 2), ("2", 4, 4), ("4", 6, 8)])
def test_a_batch_is_made_one_that_all_processes_share(monkeypatch, processes, batch, taken):
    """The presets' batch of one, too; that more is learned from at a time is told."""
    monkeypatch.setenv("WORLD_SIZE", processes)
    settings, lines = cli_training._for_all(AlignSettings(batch=batch))
    assert settings.batch == taken and len(lines) == (batch != taken)
    assert all(f"from {taken} at a time in place of {batch}" in line for line in lines)
    assert cli_training._own_share(settings).batch == taken // int(processes)
