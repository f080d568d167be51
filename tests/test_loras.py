"""The LoRAs a person keeps, over real files and a small network."""

import json
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from safetensors import safe_open

from huvidpo_core.config import load_profile
from huvidpo_core.errors import UserError
from huvidpo_core.loras import FIRST_FRAMES, Loras
from huvidpo_core.models import cards, preference
from huvidpo_core.models.menu import PackMenu
from huvidpo_core.models.painter_loras import PainterLoras
from huvidpo_core.models.painter_menu import PainterMenu
from tests.models.conftest import adapter, add_preference, base_unet, describe, motion


@pytest.fixture
def pack(tmp_path):
    unet = base_unet()
    return describe(unet).save(tmp_path / "packs" / "rain", motion(unet, 1))


@pytest.fixture
def loras(pack, tmp_path):
    """Of one pack with two LoRAs, and one on trial."""
    for name, seed in (("one", 1), ("two", 2), ("secret", 3)):
        add_preference(pack, name, seed)
    cards.write_card(pack.preference_file("one"), {"best_step": 50})
    cards.write_card(pack.preference_file("secret"), {"trial": True})
    models = SimpleNamespace(animator=SimpleNamespace(unet=base_unet()))
    bench = SimpleNamespace(load=lambda: models, reserved=lambda stop: nullcontext())
    return Loras(tmp_path / "packs", bench, tmp_path / "data")


def upload(folder: Path, name: str, adapter_: preference.Adapter, **notes: object) -> Path:
    """A LoRA file as a browser brings it."""
    path = folder / "up" / name
    path.parent.mkdir(exist_ok=True)
    preference.write(adapter_, path, {"huvidpo": json.dumps(notes)} if notes else {})
    return path


def names(loras: Loras) -> list[str]:
    return [lora.name for lora in loras.list("rain")]


def test_listed_renamed_sent_and_deleted(loras, pack, tmp_path):
    """Those on trial are not among them; a copy for the browser is the file, and the last few copies are kept."""
    one, two = loras.list("rain")
    assert (one.id, one.title, one.card, two.card) == ("rain/one", "Rain + one", {"best_step": 50}, {})
    assert loras.list("smile") == []
    assert loras.rename("rain/one", " calm ") == "rain/calm"
    for _ in range(5):
        sent = loras.copy_out("rain/calm")
    assert sent.name == "rain-calm.safetensors" and sent.read_bytes() == pack.preference_file("calm").read_bytes()
    assert len(list((tmp_path / "data" / "exports").iterdir())) == 3
    loras.delete("rain/calm")
    assert names(loras) == ["two"]
    for gone in ("rain/calm", "nobody/calm", "rain", "../rain/two"):
        with pytest.raises(UserError, match=r"no LoRA|no longer there"):
            loras.delete(gone)
    assert names(loras) == ["two"]


def test_those_for_first_frames_too(loras, pack, tmp_path):
    """Listed in the place of an action's, renamed and deleted, card and samples with them; Create's menu is as the
    files are; what is wrong is a sentence and changes nothing."""
    painters, menu = PainterLoras(tmp_path / "packs"), PainterMenu(load_profile("miniature"), tmp_path / "packs")
    sample = tmp_path / "00000-0.png"
    sample.write_bytes(b"a picture")
    for name in ("liked", "liked-2"):
        painters.put(name, pack.preference_file("one"), {"best_step": 7}, [sample])
    one, two = loras.list(FIRST_FRAMES)
    assert (one.id, one.name, two.id) == ("lora:liked", "liked", "lora:liked-2") and one.card == {"best_step": 7}
    assert loras.rename("lora:liked", " bright ") == "lora:bright"
    assert [choice.id for choice in menu.choices()][1:3] == ["lora:bright", "lora:liked-2"]
    (renamed, _) = loras.list(FIRST_FRAMES)
    assert renamed.card["best_step"] == 7 and renamed.samples[0][0].read_bytes() == b"a picture"
    now = [menu.now(painter) for painter in ("lora:liked", "lora:bright", "lora:liked-2", "lora:never", "plain", "")]
    assert now == ["lora:bright", "lora:bright", "lora:liked-2", "lora:never", "plain", ""]
    assert loras.copy_out("lora:bright").name == "first_frame-bright.safetensors"
    for name, words in (("liked-2", "LoRA 'liked-2' for first frames already"), ("../x", "file's name"), ("", "Type")):
        with pytest.raises(UserError, match=words):
            loras.rename("lora:bright", name)
    loras.delete("lora:liked-2")
    for gone in ("lora:liked-2", "lora:", "lora:../bright"):
        with pytest.raises(UserError, match=r"no LoRA '.*' for first frames"):
            loras.delete(gone)
    with pytest.raises(UserError, match="beside the same action pack"):
        loras.merge(["lora:bright", "lora:liked"], [1, 1], "both")
    assert {path.name for path in (tmp_path / "packs" / "first_frame").iterdir()} == {
        "bright",
        "bright.json",
        "bright.safetensors",
    }
    assert names(loras) == ["one", "two"]


def test_one_that_fits_is_taken_in(loras, pack, tmp_path):
    """Under its own name, and is at once in the menu; what it says of itself becomes its card, but for what it cannot
    know, such as that it is on trial, which would hide it."""
    notes = {"base_hash": pack.base_hash, "base_model": "tests", "trial": "yes", "held_out_accuracy": 1.0}
    path = upload(tmp_path, "mine.safetensors", adapter(4), **notes)
    assert loras.bring(path, "rain") == "rain/mine"
    assert "rain/mine" in [choice.id for choice in PackMenu(pack.folder.parent).choices("rain")]
    assert pack.preference_file("mine").read_bytes() == path.read_bytes()
    card = cards.read_card(pack.preference_file("mine"))
    assert card["base_model"] == "tests" and set(card) == {"base_hash", "base_model", "brought"}
    assert loras.bring(upload(tmp_path, "foreign.safetensors", adapter(5)), "rain", "theirs") == "rain/theirs"
    again = [loras.bring(path, "rain") for _ in range(2)]
    assert again == ["rain/mine-2", "rain/mine-3"]  # a file whose name is taken has a number


def test_one_that_does_not_fit_is_refused(loras, pack, tmp_path):
    """Another base, other modules or shapes, no LoRA, a pickle, a name that is taken: a sentence, nothing is kept."""
    good = adapter(4)
    strange = replace(good, tensors={f"nowhere.{name}": tensor for name, tensor in good.tensors.items()})
    wide = replace(good, tensors={name: torch.cat([t, t], -1) for name, t in good.tensors.items()})
    (tmp_path / "up").mkdir()
    text, pickle = tmp_path / "up" / "text.safetensors", tmp_path / "up" / "lora.pth"
    text.write_text("hello")
    torch.save(dict(good.tensors), pickle)
    for path, words in (
        (
            upload(tmp_path, "other.safetensors", good, base_hash="3-4", base_model="SD 2"),
            r"another base model \(SD 2\)",
        ),
        (upload(tmp_path, "strange.safetensors", strange), "^strange.safetensors has a LoRA for nowhere"),
        (upload(tmp_path, "wide.safetensors", wide), "has shape"),
        (text, "not a LoRA file"),
        (pickle, "not a LoRA file"),
    ):
        with pytest.raises(UserError, match=words):
            loras.bring(path, "rain")
    with pytest.raises(UserError, match="'one' beside this action pack already"):
        loras.bring(upload(tmp_path, "good.safetensors", good), "rain", "one")
    assert names(loras) == ["one", "two"]


def test_merged_it_does_what_both_do(loras, pack):
    """The file holds the weighted sum, for this base; the card says what it was made of."""
    assert loras.merge(["rain/one", "rain/two"], [0.75, 0.5], "both") == "rain/both"
    file = pack.preference_file("both")
    merged = preference.read(file, base_unet())
    module = next(iter(merged.tensors)).split(".lora_")[0]

    def dense(each: preference.Adapter, scale: float) -> torch.Tensor:
        return scale * each.tensors[f"{module}.lora_B.weight"] @ each.tensors[f"{module}.lora_A.weight"]

    torch.testing.assert_close(dense(merged, 1.0), 0.75 * dense(adapter(1), 4.0) + 0.5 * dense(adapter(2), 4.0))
    card = cards.read_card(file)
    assert card["merged"] == [{"name": "one", "weight": 0.75}, {"name": "two", "weight": 0.5}]
    with safe_open(file, framework="pt") as opened:
        assert json.loads(opened.metadata()["huvidpo"])["base_hash"] == pack.base_hash
    for ids, name in ((["rain/one", "rain/one"], "x"), (["rain/one", "rain"], "x"), (["rain/one", "rain/two"], "both")):
        with pytest.raises(UserError):
            loras.merge(ids, [1, 1], name)
    assert names(loras) == ["both", "one", "two"]
