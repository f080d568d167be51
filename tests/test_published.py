"""A published checkpoint brought into the app: the engine's way and the handlers of the form in the Teach tab."""

import os
import shutil
import threading
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest
import torch

from huvidpo_core.engine import Engine
from huvidpo_core.errors import Stopped, UserError
from huvidpo_core.models.imports import import_official
from huvidpo_core.models.packs import ActionPack
from huvidpo_core.recipe import Recipe
from huvidpo_core.ui import teach_import
from huvidpo_core.ui.menus import ActionMenus
from huvidpo_core.ui.teach_import import ImportForm
from tests.published import CHECKPOINT, profile_below, write_files
from tests.tiny_models import make_profile

PAGE = SimpleNamespace(session_hash="page")


class Code:
    """Unpickling it makes a folder: the folder's absence shows that nothing was run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.folder),)


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Engine:
    """An engine whose models are loaded."""
    engine = Engine(profile_below(tmp_path_factory.mktemp("models")), tmp_path_factory.mktemp("data"), "cpu")
    engine._load()
    return engine


@pytest.fixture
def engine(models, tmp_path) -> Engine:
    """No clips, no packs."""
    engine = Engine(models.profile, tmp_path / "data", "cpu", packs=tmp_path / "packs")
    engine._bench.models = models._bench.models
    return engine


@pytest.fixture
def form(engine) -> ImportForm:
    with gr.Blocks():
        return ImportForm(engine, local=True)


@pytest.fixture
def files(tmp_path) -> tuple[list[Path], Path]:
    return write_files(tmp_path / "uploads")


def bring(engine: Engine, files: list[Path], title: str = "Rain", **more: object) -> tuple[list[str], str]:
    """The stages, and the pack's name."""
    *told, name = engine.published.bring(files, title, threading.Event(), **more)
    return [item.stage for item in told], name


def folders(engine: Engine) -> list[str]:
    """All that lies among the packs, fragments too."""
    family = engine._packs_folder
    return sorted(path.name for path in family.iterdir()) if family.is_dir() else []


def press(form: ImportForm, *values: object) -> str:
    """Press the button; what is said in the end."""
    form.errand.begin(PAGE)
    for _ in form.errand.run("page", form.bring, *values):
        pass
    return form.errand.settle(PAGE)[0]


@pytest.mark.parametrize("ending", [".bin", ".safetensors"])
def test_a_checkpoint_is_brought_and_animates(engine, tmp_path, ending):
    """Both kinds of weights, with the LoRA: each stage is told, the menu has the pack alone and with its LoRA, and a
    clip is made with it."""
    files, lora = write_files(tmp_path / "uploads", ending)
    stages, name = bring(engine, files, lora=lora)
    assert stages == ["reading the checkpoint", "writing the action pack", "proving by a forward pass"]
    assert name == "rain" and folders(engine) == ["rain"]
    assert [choice.id for choice in engine.packs("rain")][:2] == ["rain", "rain/preference"]
    pack = ActionPack.load(engine._packs_folder / name)
    assert (pack.title, pack.key_frames, pack.training["imported_from"]) == ("Rain", "first+previous", "unet")
    recipe = Recipe("rain on a roof", "rain", "cartoon", seed=1, pack="rain/preference")
    *_, picture = engine.first_frame(recipe, threading.Event())
    *_, clip = engine.animate(recipe, picture.image, threading.Event())
    assert clip.recipe.pack == "rain/preference" and clip.video.exists()


def test_a_new_action_and_a_second_pack_of_one(engine):
    """A title that is new becomes an action; one that has a pack already keeps it, and the next one has a number."""
    assert bring(engine, [CHECKPOINT], "Ball bounce", key_frames="first")[1] == "ball_bounce"
    assert engine.actions["ball_bounce"].title == "Ball bounce"
    first = (engine._packs_folder / "ball_bounce" / "pack.json").read_bytes()
    assert bring(engine, [CHECKPOINT.parent], "ball bounce")[1] == "ball_bounce-2"  # the folder above unet/
    assert (engine._packs_folder / "ball_bounce" / "pack.json").read_bytes() == first
    one, two = (ActionPack.load(engine._packs_folder / name) for name in ("ball_bounce", "ball_bounce-2"))
    assert (one.key_frames, two.key_frames) == ("first", "first+previous")
    assert two.action == "ball_bounce" and two.title == "Ball bounce 2"


def damaged(files: list[Path], lora: Path) -> tuple[list[Path], Path]:
    files[1].write_bytes(files[1].read_bytes()[:5000])
    return files, lora


def with_code(files: list[Path], lora: Path) -> tuple[list[Path], Path]:
    tensors = torch.load(files[1], weights_only=True)
    torch.save({**tensors, "more": Code(files[1].parent / "run")}, files[1])
    return files, lora


def lora_with_code(files: list[Path], lora: Path) -> tuple[list[Path], Path]:
    torch.save({"more": Code(lora.parent / "run")}, lora)
    return files, lora


def of_another_checkpoint(files: list[Path], lora: Path) -> tuple[list[Path], Path]:
    tensors = torch.load(lora, weights_only=True)
    tensors["base_model.model.conv_in.conv2d.bias"] += 1
    torch.save(tensors, lora)
    return files, lora


@pytest.mark.parametrize(
    ("spoil", "title", "words"),
    [
        (lambda files, lora: (files[1:], lora), "Rain", "There is no config.json"),
        (lambda files, lora: (files[:1], lora), "Rain", "There is no diffusion_pytorch_model.bin"),
        (lambda files, lora: ([*files, *files[:1]], lora), "Rain", "There is more than one config.json"),
        (lambda files, lora: ([*files, lora], None), "Rain", "model_weights.pth is not part of a checkpoint"),
        (lambda files, lora: ([files[0].parent], lora), " ", "Choose the action first"),
        (lambda files, lora: ([files[0].parent / "none"], lora), "Rain", "is not there"),
        (damaged, "Rain", r"^diffusion_pytorch_model\.bin is damaged"),
        (with_code, "Rain", r"^diffusion_pytorch_model\.bin holds code .*mkdir"),
        (lora_with_code, "Rain", r"^model_weights\.pth holds code .*mkdir"),
        (of_another_checkpoint, "Rain", r"^model_weights\.pth was trained on another checkpoint"),
        (lambda files, lora: (files, files[1]), "Rain", "is not a published HuViDPO LoRA"),
    ],
)
def test_a_mistake_is_a_sentence_and_leaves_nothing(engine, files, spoil, title, words):
    """Each says what is wrong without a word on where uploads are kept; no pack, no fragment, no code was run."""
    given, lora = spoil(*files)
    with pytest.raises(UserError, match=words):
        bring(engine, given, title, lora=lora)
    assert folders(engine) == [] and not (files[1].parent / "run").exists()


def test_a_checkpoint_of_another_base_is_refused(models, tmp_path):
    """What the app's own models could not use is not offered."""
    engine = Engine(make_profile(tmp_path / "others"), tmp_path / "data", "cpu", packs=tmp_path / "packs")
    with pytest.raises(UserError, match="another base model"):
        bring(engine, [CHECKPOINT])
    assert folders(engine) == []


@pytest.mark.parametrize("stage", ["reading the checkpoint", "writing the action pack", "proving by a forward pass"])
def test_stop_leaves_nothing(tmp_path, stage):
    """Whichever stage was about to begin, the last too, when the pack is on the disk already."""
    (tmp_path / "packs").mkdir()
    with pytest.raises(Stopped):
        import_official(CHECKPOINT, tmp_path / "packs" / "rain", action="rain", report=lambda item: item.stage == stage)
    assert list((tmp_path / "packs").iterdir()) == []


def test_a_press_brings_it_and_menus_follow(form, engine, files):
    """The tab's handler with files; what it says names the action and the pack; menus have the new action at once."""
    with gr.Blocks():
        menus = ActionMenus(engine)
        menus.add(gr.Radio([]))
    before = menus.refresh("", None)[0]
    (config, weights), lora = files
    words = press(form, [str(config), str(weights)], str(lora), "Ball bounce", "first+previous")
    assert "hv-info" in words and "“Ball bounce” in Create has “Ball bounce (motion)” and" in words
    now, menu = menus.refresh(before, None)
    assert now != before and ("Ball bounce", "ball_bounce") in menu.choices
    assert "Ball bounce" in [title for title, _ in form.refresh("Ball bounce")[0].choices]


def test_a_path_is_taken_on_this_machine_only(form, engine, files):
    """A path, in quotes as it is copied, does as well as files, but not with them; a page that is served to others has
    no such field, and its handler takes none."""
    assert "hv-info" in press(form, None, None, "Rain", "first", f' "{CHECKPOINT}" ', str(files[1]))
    pack = ActionPack.load(engine._packs_folder / "rain")
    assert pack.key_frames == "first" and pack.preferences
    assert teach_import.BOTH in press(form, ["config.json"], None, "Rain", "first", str(CHECKPOINT))
    for local in (True, False):
        with gr.Blocks() as page:
            ImportForm(engine, local)
        assert ("published-folder" in [block.elem_id for block in page.blocks.values()]) is local
        takes = next(fn for fn in page.fns.values() if len(fn.inputs) > 3)
        assert len(takes.inputs) == 4 + 2 * local


def test_a_mistake_stands_by_the_button(form, engine, files):
    """The handler's sentence for nothing chosen and for code, as an error; nothing is left."""
    assert teach_import.NONE in press(form, None, None, "Rain", "first")
    (config, weights), _ = with_code(*files)
    words = press(form, [str(config), str(weights)], None, "Rain", "first")
    assert "hv-error" in words and "holds code" in words and folders(engine) == []


def test_a_taken_name_is_told_before(form, engine):
    """What a title would become is said as it is typed."""
    shutil.copytree(CHECKPOINT, engine._packs_folder / "rain")
    assert "rain-2" in form.name("Rain") and form.name(" ") == ""
