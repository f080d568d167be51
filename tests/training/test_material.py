"""What an action is taught from: which clips are kept for checking, and what is kept of them all."""

import pytest

from huvidpo_core.errors import UserError
from huvidpo_core.training.material import Material, Take


def material(count: int) -> Material:
    return Material(tuple(Take(f"ä{i}.mp4", f"{i:02d}.mp4", "up", "up", 16) for i in range(count)), "digest")


@pytest.mark.parametrize(
    ("clips", "share", "kept"),
    [(2, 0.5, 0), (6, 0.5, 0), (7, 0.125, 1), (8, 0.125, 1), (12, 0.125, 1), (16, 0.125, 2), (16, 0.5, 8), (16, 0, 0)],
)
def test_some_of_many_clips_are_kept_for_checking(clips, share, kept):
    """None of six or fewer; together they are all clips, each once; the seed says which, again and again."""
    learned = material(clips)
    trained, held_out = learned.split(share, 3)
    assert len(held_out) == kept and sorted([*trained, *held_out]) == list(range(clips))
    assert learned.split(share, 3) == (trained, held_out)
    if 0 < kept < clips / 2:
        assert len({tuple(learned.split(share, seed)[1]) for seed in range(20)}) > 3


def test_it_comes_back_as_it_was_saved(tmp_path):
    """Umlauts too; a missing and a damaged file are a sentence."""
    material(3).save(tmp_path)
    assert Material.load(tmp_path) == material(3)
    for damage in ("{", "[]", '{"takes": [{"name": 1}], "digest": ""}'):
        (tmp_path / "material.json").write_text(damage)
        with pytest.raises(UserError, match="Start the training anew"):
            Material.load(tmp_path)
    with pytest.raises(UserError, match="missing"):
        Material.load(tmp_path / "nowhere")
