"""Action packs on disk: written whole or not at all, listed, damaged ones named; the fingerprint of the base."""

import json
import logging
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from huvidpo_core.config import PACKS, ROOT
from huvidpo_core.errors import UserError
from huvidpo_core.models import VideoUNet
from huvidpo_core.models.menu import PackMenu
from huvidpo_core.models.pack_weights import apply_pack
from huvidpo_core.models.packs import ActionPack, list_packs, scan_packs
from huvidpo_core.models.weights import model_hash, same_base, write_weights
from tests.models.conftest import FullDisk, adapter, add_preference, base_unet, describe, image_unet, motion, stir


def test_save_and_load(pack: ActionPack) -> None:
    """What was saved comes back; the folder holds the two files and nothing else."""
    again = ActionPack.load(pack.folder)
    assert again == pack == replace(describe(base_unet()), folder=pack.folder)
    assert sorted(path.name for path in pack.folder.iterdir()) == ["motion.safetensors", "pack.json"]
    assert [path.name for path in pack.folder.parent.iterdir()] == ["rain"]
    saved = load_file(pack.folder / "motion.safetensors")
    expected = motion(base_unet(), 1)
    assert saved.keys() == expected.keys() and all(torch.equal(saved[name], expected[name]) for name in saved)


def files_below(folder: Path) -> dict[str, bytes]:
    """Every file, hidden ones too, with its contents."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("full_at", ["motion", "preference", "record"])
def test_a_full_disk_leaves_the_old_pack(pack: ActionPack, full_disk: FullDisk, full_at: str) -> None:
    """Whichever file the disk fills up at: a sentence, the old pack is whole, and no fragment lies beside it."""
    before = files_below(pack.folder.parent)
    full_disk(full_at)
    with pytest.raises(UserError, match=r"could not be written: the disk is full"):
        pack.save(pack.folder, motion(base_unet(), 2), overwrite=True, preference=adapter(3))
    assert files_below(pack.folder.parent) == before and len(list(pack.folder.parent.iterdir())) == 1


def test_overwriting_must_be_asked_for(pack: ActionPack) -> None:
    """A pack that is there is replaced as a whole, its preference LoRAs too, but only on request."""
    add_preference(pack, "old", 5)
    with pytest.raises(UserError, match="there already"):
        pack.save(pack.folder, {})
    assert ActionPack.load(pack.folder).preferences == ("old",)
    replace(pack, title="New").save(pack.folder, motion(base_unet(), 2), overwrite=True, preference=adapter(3))
    again = ActionPack.load(pack.folder)
    assert (again.title, again.preferences) == ("New", ("preference",))
    assert [path.name for path in pack.folder.parent.iterdir()] == ["rain"]


def test_weights_are_written_whole_or_not_at_all(tmp_path: Path, full_disk: FullDisk) -> None:
    """A full disk and a folder that is a file are sentences that name the file; an earlier file stays as it was."""
    path = tmp_path / "new" / "x.safetensors"
    write_weights({"a": torch.ones(3)}, path)
    before = path.read_bytes()
    full_disk("any")
    with pytest.raises(UserError, match=r"x\.safetensors could not be written: the disk is full"):
        write_weights({"a": torch.zeros(3)}, path)
    assert files_below(tmp_path) == {"new/x.safetensors": before}
    with pytest.raises(UserError, match=r"y\.safetensors could not be written"):
        write_weights({}, path / "y.safetensors")


def test_a_copied_folder_is_a_pack_of_its_own(pack: ActionPack) -> None:
    """The folder's name counts, so that a copy can stand beside its original."""
    pack.folder.rename(pack.folder.parent / "drizzle")
    assert [found.name for found in list_packs(pack.folder.parent)] == ["drizzle"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda record: record.pop("fps"), "fps"),
        (lambda record: record.update(colour="blue"), "colour"),
        (lambda record: record.update(frames="five"), "frames"),
        (lambda record: record.update(width=0), "width"),
        (lambda record: record.update(folder="/"), r"pack\.json"),
        (lambda record: record["training"].update(key_frames="last"), "key_frames"),
        (lambda record: record["training"].update(shared_noise=2), "shared_noise"),
    ],
)
def test_a_wrong_record_is_named(pack: ActionPack, change: object, named: str) -> None:
    """A missing or unknown key, a wrong type or a value out of range: a UserError that names it."""
    path = pack.folder / "pack.json"
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))
    with pytest.raises(UserError, match=named):
        ActionPack.load(pack.folder)


def test_listing_survives_broken_packs(pack: ActionPack, caplog: pytest.LogCaptureFixture) -> None:
    """Bad JSON, no motion, a motion file cut short, an empty folder: skipped, logged, reported; the good one stays."""
    root = pack.folder.parent
    for name in ("bad json", "no motion", "cut", "list"):
        replace(pack, name=name).save(root / name, motion(base_unet(), 1))
    (root / "bad json/pack.json").write_text("{")
    (root / "list/pack.json").write_text("[]")
    (root / "no motion/motion.safetensors").unlink()
    cut = root / "cut/motion.safetensors"
    cut.write_bytes(cut.read_bytes()[:-10])
    (root / "empty").mkdir()
    (root / "note.txt").touch()
    with caplog.at_level(logging.WARNING):
        assert list_packs(root) == list_packs(root.parent, root.name) == [pack]
    found, broken = scan_packs(root)
    assert found == [pack] and set(broken) == {"bad json", "no motion", "cut", "empty", "list"}
    assert all(problem in caplog.text for problem in broken.values())
    assert list_packs(root / "nowhere") == []


def test_the_menu_lists_and_checks(pack: ActionPack) -> None:
    """An action's own pack is first, the base last; a choice that is not there lists all, a broken one says why."""
    root = pack.folder.parent
    replace(pack, name="drizzle").save(root / "drizzle", motion(base_unet(), 1))
    replace(pack, name="wind", action="wind").save(root / "wind", motion(base_unet(), 1))
    add_preference(pack, "calm", 5)
    menu = PackMenu(root)
    assert [choice.id for choice in menu.choices("rain")] == ["rain", "rain/calm", "drizzle", ""]
    assert (menu.default("rain"), menu.default("smile")) == ("rain", "")
    for good in ("", "rain", "rain/calm", "wind"):
        menu.check(good)
    for bad in ("nope", "nope/calm", "../rain"):
        with pytest.raises(UserError, match=rf"no action pack '{bad}'.*drizzle, rain, rain/calm, wind; or ''"):
            menu.check(bad)
    for bad, there in (("rain/nope", ", or one of: calm"), ("rain/", ", or one of: calm"), ("wind/calm", "")):
        with pytest.raises(UserError, match=rf"no LoRA '{bad.partition('/')[2]}' for Rain.* motion alone{there}\.$"):
            menu.check(bad)
    (root / "wind" / "motion.safetensors").unlink()
    with pytest.raises(UserError, match=r"motion\.safetensors is missing"):
        menu.check("wind")


# --- the fingerprint ---


def test_fingerprint_of_the_base(pack: ActionPack, tmp_path: Path) -> None:
    """Unmoved by a pack, an adapter and float16 storage; moved by another base; bfloat16 compares the structure."""
    unet = base_unet()
    own = model_hash(unet)
    add_preference(pack, "preference", 5)
    apply_pack(unet, pack, "preference")
    assert model_hash(unet) == own
    base_unet().half().save_pretrained(tmp_path / "half")
    stored = VideoUNet.from_pretrained(tmp_path / "half", torch_dtype=torch.float32)
    assert model_hash(stored) == own and model_hash(stored.half()) == own
    other = stir(base_unet())
    with torch.no_grad():
        other.conv_in.conv2d.weight += 0.01
    assert not same_base(own, other)
    assert same_base(own, other.bfloat16())
    assert not same_base(own, VideoUNet.inflate(image_unet(layers_per_block=2)).bfloat16())


@pytest.mark.skipif(not shutil.which("git"), reason="git is not there")
def test_git_sees_the_packs_that_were_shipped_and_nothing_that_is_made_here(tmp_path):
    """A taught pack, one of another family, LoRAs with their cards and clips, LoRAs for first frames: none is seen."""
    shutil.copyfile(ROOT / ".gitignore", tmp_path / ".gitignore")
    shipped = [
        f"lora_weights/miniature/{name}/{file}"
        for name in ("birds_fly", "firework", "guitar", "helicopter", "horse_run", "rain", "smile", "waterfall")
        for file in ("motion.safetensors", "pack.json")
    ]
    assert all((PACKS.parent / file).is_file() for file in shipped)
    made = [
        "miniature/ball/pack.json", "miniature/ball/motion.safetensors", "sd1/rain/pack.json",
        "miniature/rain/preference-mine.safetensors", "miniature/rain/preference-mine.json",
        "miniature/rain/preference-mine/00000-1.mp4", "miniature/first_frame/liked.safetensors",
    ]  # fmt: skip
    for file in (*shipped, *(f"lora_weights/{name}" for name in made)):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).touch()
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    listing = ["git", "-C", tmp_path, "ls-files", "--others", "--exclude-standard", "lora_weights"]
    assert subprocess.run(listing, check=True, capture_output=True, text=True).stdout.split() == shipped
