"""LoRA files beside a pack and their cards; those on trial are in no menu and can still be used."""

from pathlib import Path

import pytest

from huvidpo_core.errors import UserError
from huvidpo_core.models import cards
from huvidpo_core.models.menu import PackMenu
from huvidpo_core.models.packs import ActionPack
from tests.models.conftest import FullDisk, add_preference


@pytest.fixture
def lora(tmp_path: Path) -> Path:
    path = tmp_path / "made.safetensors"
    path.write_bytes(b"a LoRA")
    return path


def ids(pack: ActionPack) -> list[str]:
    return [choice.id for choice in PackMenu(pack.folder.parent).choices("rain")]


def rename(pack: ActionPack, old: str, new: str) -> None:
    cards.rename(cards.existing(pack, old), cards.free_file(pack, new))


def test_one_on_trial_is_in_no_menu_and_can_be_used(pack: ActionPack, lora: Path) -> None:
    """The menu hides it, a recipe may name it, and a wrong name's sentence does not tell of it; then it is shown."""
    cards.put(pack, "old", lora, {})
    file = cards.put(pack, "secret", lora, {"trial": True, "steps": 3})
    menu = PackMenu(pack.folder.parent)
    assert ids(pack) == ["rain", "rain/old", ""]
    named = [(choice.id, choice.trial) for choice in menu.choices("rain", trials=True)]
    assert named == [("rain", False), ("rain/old", False), ("rain/secret", True), ("", False)]
    menu.check("rain/secret")
    with pytest.raises(UserError, match=r"no LoRA 'x' for Rain; .* Choose its motion alone, or one of: old\."):
        menu.check("rain/x")
    cards.write_card(file, {"steps": 3})
    assert ids(pack) == ["rain", "rain/old", "rain/secret", ""]
    assert file.read_bytes() == b"a LoRA" and cards.read_card(file) == {"steps": 3}


def test_renamed_and_removed_with_its_card(pack: ActionPack, lora: Path) -> None:
    """File and card go together, the unnamed one's too; a name that is taken is refused and nothing is lost."""
    add_preference(pack, "preference", 1)
    cards.put(pack, "calm", lora, {"steps": 3})
    with pytest.raises(UserError, match="'calm' beside this action pack already"):
        rename(pack, "preference", "calm")
    with pytest.raises(UserError, match="cannot be a file's name"):
        rename(pack, "calm", "../calm")
    rename(pack, "calm", "calm v1.5")
    rename(pack, "preference", "first")
    assert pack.preferences == ("calm v1.5", "first")
    assert cards.read_card(pack.preference_file("calm v1.5"))["steps"] == 3
    cards.remove(cards.existing(pack, "calm v1.5"))
    with pytest.raises(UserError, match=r"no LoRA 'calm v1\.5'; there is: first"):
        cards.remove(cards.existing(pack, "calm v1.5"))
    assert {path.name for path in pack.folder.glob("preference*")} == {
        "preference-first.safetensors",
        "preference-first.json",
    }


def test_a_former_name_leads_to_the_lora(pack: ActionPack, tmp_path: Path) -> None:
    """Every name it had, the unnamed one's too, also after a rename back; a name that another has taken leads to that
    one, and when several had it, to the last. What is gone, and what was never there, is called as it was."""
    menu = PackMenu(pack.folder.parent)

    def made(name: str) -> None:
        file = tmp_path / f"{name}.safetensors"
        file.write_text(f"was {name}")
        cards.put(pack, name, file, {})

    def leads_to(name: str) -> str:
        """What lies where a former name leads."""
        choice = menu.now(f"rain/{name}")
        menu.check(choice)
        return pack.preference_file(choice.removeprefix("rain/")).read_text()

    made("preference")
    for old, new in (("preference", "calm"), ("calm", "mild v1.5"), ("mild v1.5", "calm"), ("calm", "third")):
        rename(pack, old, new)
        assert {leads_to(name) for name in ("preference", old, new)} == {"was preference"}
    made("calm")
    assert (leads_to("calm"), leads_to("mild v1.5")) == ("was calm", "was preference")
    rename(pack, "calm", "another")
    assert (leads_to("calm"), leads_to("mild v1.5")) == ("was calm", "was preference")
    cards.remove(pack.preference_file("another"))
    assert leads_to("calm") == "was preference"
    pack.preference_file("third").with_suffix(".json").write_text('{"former": {"preference-calm": "once"}}')
    for unknown in (
        "rain/calm",
        "rain/never",
        "rain/../third",
        "rain/",
        "../rain/third",
        "gone/third",
        "rain@lamp",
        "",
    ):
        assert menu.now(unknown) == unknown


def test_sample_clips_go_with_it(pack: ActionPack, lora: Path, tmp_path: Path) -> None:
    """Copied, renamed and deleted with the LoRA; one that takes the place of another, or of what was left of it, has
    its own or none."""
    clips = [tmp_path / f"{name}.mp4" for name in ("00000-0", "00000-1", "00040-0", "00040-1")]
    for clip in clips:
        clip.write_bytes(clip.stem.encode())

    def names(lora_name: str) -> dict[int, list[str]]:
        found = cards.read_samples(pack.preference_file(lora_name))
        return {step: [path.read_text() for path in paths] for step, paths in found.items()}

    all_four = {0: ["00000-0", "00000-1"], 40: ["00040-0", "00040-1"]}
    cards.put(pack, "calm", lora, {}, clips)
    assert names("calm") == all_four and pack.preferences == ("calm",)
    rename(pack, "calm", "mild 1.5")
    assert names("mild 1.5") == all_four and names("calm") == {}
    pack.preference_file("mild 1.5").unlink()  # by hand; what it had beside it stays
    cards.put(pack, "calm", lora, {})
    rename(pack, "calm", "mild 1.5")
    assert names("mild 1.5") == {}
    cards.write_samples(pack.preference_file("mild 1.5"), clips[:2])
    assert names("mild 1.5") == {0: ["00000-0", "00000-1"]}
    cards.remove(cards.existing(pack, "mild 1.5"))
    assert list(pack.folder.glob("preference*")) == []


def test_strange_files_are_no_samples(tmp_path: Path) -> None:
    """A system's thumbnails, a copy with a name of its own, a folder's notes: not there."""
    for name in ("Thumbs-1.png", "00040-0 (copy).mp4", "-1.png", "a00040-0.mp4", "00040-0.txt", "00040-0.mp4"):
        (tmp_path / name).touch()
    assert cards.samples_by_step(tmp_path) == {40: [tmp_path / "00040-0.mp4"]}


@pytest.mark.parametrize("refused", ["folder", "file"])
def test_what_cannot_be_renamed_or_deleted_is_as_it_was(pack, lora, tmp_path, monkeypatch, refused) -> None:
    """The system refuses to move the samples or the LoRA itself, or to delete it: a sentence, and nothing has moved."""
    clip = tmp_path / "00000-0.mp4"
    clip.write_bytes(b"a clip")
    file = cards.put(pack, "calm", lora, {"steps": 3}, [clip])
    before = {path: path.read_bytes() for path in pack.folder.rglob("*") if path.is_file()}
    move = Path.rename

    def rename_(path: Path, target: Path) -> Path:
        if path == (file if refused == "file" else file.with_suffix("")):
            raise PermissionError(13, "Permission denied")
        return move(path, target)

    def unlink(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", rename_)
        with pytest.raises(UserError, match=r"could not be renamed \(Permission denied\)"):
            rename(pack, "calm", "mild")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", unlink)
        with pytest.raises(UserError, match=r"could not be deleted \(Permission denied\)"):
            cards.remove(file)
    assert {path: path.read_bytes() for path in pack.folder.rglob("*") if path.is_file()} == before
    assert pack.preferences == ("calm",)


def test_a_full_disk_leaves_no_lora_without_its_mark(pack: ActionPack, lora: Path, full_disk: FullDisk) -> None:
    """The card is written first; when that fails there is no LoRA."""
    full_disk("record")
    with pytest.raises(UserError, match="the disk is full"):
        cards.put(pack, "secret", lora, {"trial": True})
    assert pack.preferences == ()


def test_a_card_that_cannot_be_read_is_an_empty_one(pack: ActionPack, lora: Path) -> None:
    """Damaged, or a list: nothing is known of the LoRA, and it can be used."""
    file = cards.put(pack, "odd", lora, {})
    for text in ("{", "[1]"):
        file.with_suffix(".json").write_text(text)
        assert cards.read_card(file) == {} and ids(pack) == ["rain", "rain/odd", ""]
