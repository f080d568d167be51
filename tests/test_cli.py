"""The commands, run in this process: exit status, the file they leave, and one line on stderr for every mistake."""

import json
import shutil
from functools import partial
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
from safetensors import SafetensorError

from huvidpo_core import cli, media
from huvidpo_core.config import PACKS
from huvidpo_core.models import architectures, weights
from huvidpo_core.models.official import read_config
from huvidpo_core.models.packs import ActionPack
from huvidpo_core.preferences.store import Store
from huvidpo_core.workbench import Workbench
from tests.hub import put_into_cache
from tests.published import profile_below
from tests.reference import DATA, reference
from tests.tiny_models import FRAMES, HEIGHT, WIDTH, make_profile

GOOD = ["generate", "--prompt", "a red horse", "--action", "horse_run", "--style", "cartoon", "--seed", "7"]


@pytest.fixture(scope="module")
def profile(tmp_path_factory):
    return make_profile(tmp_path_factory.mktemp("models"))


@pytest.fixture
def run(profile, tmp_path, monkeypatch, capsys):
    """Runs a command on the tiny models; returns exit status, stdout and stderr."""
    monkeypatch.setattr(cli, "choose_profile", lambda *_: profile)
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str) -> tuple[int, str, str]:
        try:
            status = cli.main([str(argument) for argument in arguments])
        except SystemExit as ended:
            status = ended.code
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


@pytest.fixture(scope="module")
def own_base(tmp_path_factory) -> str:
    """The folder of the base below the checkpoint in tests/data."""
    return profile_below(tmp_path_factory.mktemp("below")).video.base


def test_generate_writes_an_mp4_and_says_how(run, tmp_path):
    """Status 0, a clip of the profile's size where it was asked for, the recipe as one JSON line, nothing else."""
    status, out, _ = run(*GOOD, "--output", tmp_path / "new" / "horse.mp4", "--json")
    assert status == 0
    result = json.loads(out)
    assert result["recipe"]["seed"] == 7 and result["output"].endswith("horse.mp4")
    assert media.read_video(tmp_path / "new" / "horse.mp4").frames.shape == (FRAMES, HEIGHT, WIDTH, 3)
    assert media.read_recipe(tmp_path / "new" / "horse.mp4") == result["recipe"]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["horse.mp4"]


def test_another_painter_draws_the_first_frame(run, tmp_path):
    """--painter is kept in the recipe, and the picture is another one than without it."""
    for painter in ([], ["--painter", "plain"]):
        assert run(*GOOD, "--output", tmp_path / f"{len(painter)}.mp4", *painter)[0] == 0
    own, plain = (media.read_recipe(tmp_path / f"{number}.mp4") for number in (0, 2))
    assert (own["painter"], plain["painter"]) == ("", "plain")
    assert own["first_frame"] != plain["first_frame"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--prompt", " "], "prompt is empty"),
        (["--action", "sing"], "no action 'sing'"),
        (["--style", "oil"], "no style 'oil'"),
        (["--steps", "0"], "number of steps is 0; it must lie between 1 and 200"),
        (["--steps", "-3"], "number of steps is -3"),
        (["--frames", "0"], "number of frames is 0"),
        (["--guidance", "-1"], "guidance is -1.0"),
        (["--steps", "many"], "invalid int value"),
        (["--sampler", "magic"], "no sampler 'magic'"),
        (["--pack", "nobody"], "no action pack"),
        (["--painter", "nobody"], "no painter 'nobody'"),
        (["--first-frame", "none.png"], "none.png"),
        (["--first-frame", "text.png"], "not a picture"),
        (["--output", "horse.avi"], "must end in .mp4"),
        (["--output", "folder.mp4"], "cannot be written"),
        (["--output", "text.png/horse.mp4"], "cannot be"),
        (["--wrong"], "Unrecognized"),
    ],
)
def test_a_mistake_is_status_2_and_one_line(run, tmp_path, arguments, words):
    """Every mistake names itself on a single line; no video is left."""
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "folder.mp4").mkdir()
    status, _, err = run(*GOOD, "--output", "horse.mp4", *arguments)
    assert status == 2
    assert words in err and err.count("\n") == 1
    assert not (tmp_path / "horse.mp4").exists() and not list(tmp_path.glob("*.part"))


def test_import_official_makes_a_pack(run, own_base, tmp_path):
    """The published-format checkpoint becomes a pack folder that loads; a second import there is refused."""
    folder = reference("model/unet")
    arguments = ["import-official", "--unet", folder, "--action", "rain", "--base", own_base]
    arguments += ["--output", tmp_path / "packs" / "rain"]
    status, out, _ = run(*arguments)
    assert status == 0 and out.strip() == str(tmp_path / "packs" / "rain")
    assert ActionPack.load(tmp_path / "packs" / "rain").action == "rain"
    status, _, err = run(*arguments)
    assert status == 2 and err.count("\n") == 1


def test_import_official_takes_a_new_action(run, own_base, tmp_path):
    """A name that is no action yet becomes one, with a title made from it or the one given; an impossible one does
    not."""
    official = ["import-official", "--unet", reference("model/unet"), "--base", own_base, "--output", tmp_path / "ball"]
    assert run(*official, "--action", "ball_bounce")[0] == 0
    pack = ActionPack.load(tmp_path / "ball")
    assert (pack.action, pack.title) == ("ball_bounce", "Ball bounce")
    named = [*official[:-1], tmp_path / "named", "--action", "ball_bounce", "--title", " Rubber  ball "]
    assert run(*named)[0] == 0 and ActionPack.load(tmp_path / "named").title == "Rubber ball"
    status, _, err = run(*official[:-2], "--action", "rain", "--family", "../elsewhere")
    assert status == 2 and "no family '../elsewhere'. Choose one of: miniature, sd1" in err and err.count("\n") == 1
    status, _, err = run(*official, "--action", "../ball")
    assert status == 2 and "cannot be the name of an action" in err and err.count("\n") == 1


@pytest.mark.parametrize(("arguments", "wanted"), [([], "first+previous"), (["--key-frames", "first"], "first")])
def test_a_lamp_checkpoint_says_so(run, own_base, tmp_path, arguments, wanted):
    """--key-frames travels into the pack, HuViDPO's without it; a choice that is none is one line."""
    official = ["import-official", "--unet", reference("model/unet"), "--action", "rain", "--base", own_base]
    official += ["--output", tmp_path / "rain"]
    status, _, _ = run(*official, *arguments)
    assert status == 0 and ActionPack.load(tmp_path / "rain").key_frames == wanted
    status, _, err = run(*official, "--key-frames", "last")
    assert status == 2 and "'first'" in err and err.count("\n") == 1


def test_a_full_disk_while_importing_is_status_2_and_one_line(run, own_base, tmp_path, monkeypatch):
    """safetensors' own words for a full disk become a sentence; no half pack and no fragment is left."""

    def full(tensors: dict, path: Path, metadata: dict) -> None:
        Path(path).write_bytes(b"half")
        raise SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)")

    monkeypatch.setattr(weights, "save_file", full)
    folder = tmp_path / "packs"
    official = ["import-official", "--unet", reference("model/unet"), "--action", "rain", "--base", own_base]
    status, _, err = run(*official, "--output", folder / "rain")
    assert status == 2 and "the disk is full" in err and err.count("\n") == 1
    assert list(folder.iterdir()) == []


def test_an_unknown_pack_lists_those_there_are_before_anything_loads(run, tmp_path, monkeypatch, profile):
    """`--pack nope` costs no loading of models and names the packs on disk."""
    shutil.copytree(PACKS / "miniature" / "rain", tmp_path / "packs" / profile.family / "rain")
    monkeypatch.setattr(cli, "Engine", partial(cli.Engine, packs=tmp_path / "packs"))
    monkeypatch.setattr(Workbench, "load", lambda self: pytest.fail("the models were loaded"))
    status, _, err = run(*GOOD, "--output", "horse.mp4", "--pack", "nope")
    assert status == 2 and err == "There is no action pack 'nope'. Choose one of: rain; or '' for the base model.\n"


def test_every_command_explains_itself(run):
    """`--help` ends with status 0 and names the flags."""
    status, out, _ = run("generate", "--help")
    assert status == 0 and "--first-frame" in out


def test_a_folder_of_clips_is_brought_and_paired(tmp_path, capsys):
    """`bring` takes a folder's clips in and pairs those of one prompt; no clip in it is a sentence and status 2."""
    folder = tmp_path / "mine"
    for number in range(3):
        media.write_mp4(folder / f"{number}.mp4", np.full((3, 80, 128, 3), 60 * number, np.uint8), 8)
    command = ["bring", "--prompt", "a red horse", "--action", "horse_run", "--profile", "miniature"]
    assert cli.main([*command, "--data", str(tmp_path / "data"), "--clips", str(folder)]) == 0
    assert capsys.readouterr().out == "3 clips\n"
    assert Store(tmp_path / "data").votes.open_pairs("ann", "horse_run") == 3
    (tmp_path / "empty").mkdir()
    assert cli.main([*command, "--data", str(tmp_path / "data"), "--clips", str(tmp_path / "empty")]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_clips_of_another_method_are_brought_under_its_name(tmp_path, capsys):
    """`--method` names it: without rivals a line says how to get some, and those of a second method are paired."""
    paths = [media.write_mp4(tmp_path / f"{n}.mp4", np.full((3, 80, 128, 3), 60 * n, np.uint8), 8) for n in range(3)]
    command = ["bring", "--prompt", "a red horse", "--action", "horse_run", "--profile", "miniature"]
    command += ["--data", str(tmp_path / "data"), "--clips"]
    assert cli.main([*command, str(paths[0]), str(paths[1]), "--method", "LVDM"]) == 0
    said = capsys.readouterr()
    assert said.out == "2 clips\n" and said.err.startswith("There is nothing to compare 2 of them with yet: make")
    assert cli.main([*command, str(paths[2]), "--method", "ModelScope"]) == 0
    assert capsys.readouterr() == ("1 clips\n", "")
    store = Store(tmp_path / "data")
    assert store.votes.open_pairs("ann", "horse_run") == 2
    assert sorted(clip.model for clip in store.list()) == ["LVDM", "LVDM", "ModelScope"]
    assert cli.main([*command, str(paths[0]), "--method", "Horse run"]) == 2
    assert "calls clips of its own" in capsys.readouterr().err and len(store.list()) == 3


def test_import_official_takes_the_whole_checkpoint_too(run, own_base, tmp_path):
    """The folder that holds unet/, as a checkpoint is published and as the panel in the app takes it."""
    official = ["import-official", "--unet", reference("model/unet").parent, "--action", "rain", "--base", own_base]
    status, out, err = run(*official, "--output", tmp_path / "rain")
    assert (status, out.strip()) == (0, str(tmp_path / "rain")), err
    assert ActionPack.load(tmp_path / "rain").action == "rain"
    status, _, err = run(*official[:2], tmp_path / "nowhere", *official[3:])
    assert status == 2 and "nowhere is not there" in err and err.count("\n") == 1


@pytest.fixture
def official(run, tmp_path, monkeypatch):
    """Imports the small checkpoint with further arguments, with an empty cache of the hub in `tmp_path`; exit status,
    stderr, and the base that is written into the pack, if there is one."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "packs" / "rain"

    def official(*arguments: str) -> tuple[int, str, str]:
        command = ["import-official", "--unet", DATA / "model/unet", "--action", "rain", "--output", folder]
        status, _, err = run(*command, *arguments)
        base = ActionPack.load(folder).base if folder.exists() else ""
        shutil.rmtree(folder, ignore_errors=True)
        return status, err, base

    return official


def test_import_official_compares_with_a_base_that_is_there(official, profile, own_base, tmp_path):
    """A folder, or a hub name of which the cache has the UNet: written into the pack where it is the checkpoint's own;
    another base, or none, is one line, and no pack is there."""
    for name, base in (("me/own", own_base), ("me/other", profile.video.base)):
        files = [path.relative_to(base).as_posix() for path in Path(base, "unet").iterdir()]
        put_into_cache(tmp_path / "cache", name, Path(base), tuple(files))
    for base in (own_base, "me/own"):
        assert official("--base", base) == (0, "", base)
    for arguments, words in (
        (["--base", profile.video.base], f"another base model than {profile.video.base}. Name its own with --base"),
        (["--base", "me/other"], "another base model than me/other"),
        (["--family", "miniature"], "another base model than assets/miniature/video"),
        (["--base", tmp_path / "nowhere"], f"There is no model in {tmp_path / 'nowhere'}"),
        (["--base", "sd14"], "There is no model in"),
    ):
        status, err, base = official(*arguments)
        assert status == 2 and words in err and err.count("\n") == 1 and not base, err


def test_import_official_compares_shapes_where_the_base_is_not_there(official, own_base, tmp_path, monkeypatch):
    """With Stable Diffusion 1.x's, whatever hub name it is, also one of which the cache has other parts only: the small
    checkpoint is refused. One of these shapes is a pack, and a line says that no values were compared."""
    put_into_cache(tmp_path / "cache", "me/sd", Path(own_base), ("scheduler/scheduler_config.json",))
    sd14 = "CompVis/stable-diffusion-v1-4"
    asked = (([], sd14), (["--base", "me/sd"], "me/sd"), (["--base", "me/elsewhere"], "me/elsewhere"))
    for arguments, wanted in asked:
        status, err, base = official(*arguments)
        assert status == 2 and err.count("\n") == 1 and not base, err
        assert "lacks" in err and f"{wanted} is not on this machine and taken for a Stable Diffusion 1.x. Name" in err
    monkeypatch.setattr(architectures, "SD14", read_config(DATA / "model/unet"))
    for arguments, wanted in asked:
        status, err, base = official(*arguments)
        assert (status, base) == (0, wanted) and err.startswith(f"{wanted} is not on this machine"), err
        assert "and not the values" in err and err.count("\n") == 1
