"""Clips and words encoded once, kept, and cut into windows."""

import json

import numpy as np
import pytest
import torch

from huvidpo_core.errors import UserError
from huvidpo_core.preferences.pairs import TrainingPair
from huvidpo_core.training.lessons import Lesson, Lessons, collate
from tests.training.made import lessons, run_out

LENGTHS = {"long": 6, "short": 3, "one": 1}


def encode(pairs) -> tuple[Lessons, list[str]]:
    """Clips of grey frames that count, and a list of what was asked for."""
    asked = []

    def read(clip: str) -> np.ndarray:
        asked.append(clip)
        return np.arange(LENGTHS[clip], dtype=np.uint8)[:, None, None, None].repeat(3, 3)

    def latents(frames: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(frames).movedim(-1, 0)[None].double()

    def embed(text: str) -> torch.Tensor:
        asked.append(text)
        return torch.full((1, 2, 3), float(len(text)), dtype=torch.bfloat16)

    return run_out(Lessons.encode(pairs, read, latents, embed)), asked


def test_every_clip_and_text_is_encoded_once_and_masks_are_cut_to_both_clips():
    """Three pairs of two clips and one text; in float32; the mask as long as the shorter clip and no longer."""
    pairs = [Lesson("long", "short", (0, 1, 1, 1, 1, 1), "words"), Lesson("short", "long", (0, -1), "words")] * 2
    made, asked = encode(pairs)
    assert sorted(asked) == ["long", "short", "words"]
    assert [pair.mask for pair in made.pairs[:2]] == [(0, 1, 1), (0, -1)]
    assert made.latents["long"].shape == (3, 6, 1, 1) and made.texts["words"].shape == (2, 3)
    assert {value.dtype for value in (*made.latents.values(), *made.texts.values())} == {torch.float32}


def test_a_clip_of_one_frame_teaches_nothing():
    """Its pairs are left out; with no other there is a sentence."""
    still = Lesson("one", "long", (0,), "words")
    made, _ = encode([still, Lesson("long", "short", (0, 1, 1), "words")])
    assert [pair.first for pair in made.pairs] == ["long"]
    with pytest.raises(UserError, match="single frame"):
        encode([still])


def test_a_training_pair_becomes_a_lesson():
    """Plain numbers, so that it can be written as JSON."""
    pair = TrainingPair("a", "b", np.array([0, 1, -1], np.int8), "p", "rain", 1, 0.25)
    lesson = Lesson.of(pair, "whole text")
    assert lesson == Lesson("a", "b", (0, 1, -1), "whole text", 0.25)
    assert json.loads(json.dumps(lesson.mask)) == [0, 1, -1]


def test_what_is_saved_comes_back(tmp_path):
    """Pairs, latents and texts bit by bit; nothing there: None."""
    assert Lessons.load(tmp_path) is None
    made = lessons((0, 1, 1, 1), (0, -1, 0, 1))
    made.save(tmp_path)
    again = Lessons.load(tmp_path)
    assert again.pairs == made.pairs
    for found, wanted in ((again.latents, made.latents), (again.texts, made.texts)):
        assert found.keys() == wanted.keys() and all(torch.equal(found[name], wanted[name]) for name in wanted)


@pytest.mark.parametrize("name", ["lessons.json", "lessons.safetensors"])
@pytest.mark.parametrize("damage", ["cut", "other"])
def test_damaged_files_are_a_sentence(tmp_path, name, damage):
    """Cut in the middle, or of other contents."""
    lessons().save(tmp_path)
    whole = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(whole[: len(whole) // 2] if damage == "cut" else b"{}")
    with pytest.raises(UserError, match="damaged"):
        Lessons.load(tmp_path)


def test_a_run_killed_while_encoding_encodes_again(tmp_path):
    """The tensors alone, without the pairs that are written after them, are nothing yet."""
    lessons().save(tmp_path)
    (tmp_path / "lessons.json").unlink()
    assert Lessons.load(tmp_path) is None


def test_a_batch_has_all_winners_first_in_the_same_window_as_their_losers():
    """Frames start..start+2 of both clips of each pair; text and weight as they belong."""
    made = lessons((0, 1, -1, 1), (0, 1, 1, -1))
    batch = collate(made, made.pairs, starts=[1, 0], frames=3)
    for row, (clip, start) in enumerate([("w0", 1), ("w1", 0), ("l0", 1), ("l1", 0)]):
        assert torch.equal(batch.clean[row], made.latents[clip][:, start : start + 3])
    b, a = made.texts["b"], made.texts["a"]
    assert torch.equal(batch.text, torch.stack([b, a, b, a]))
    assert batch.weight.tolist() == [1, 1]


def test_the_first_frame_of_a_window_is_never_labelled():
    """It is what the network is given: its label goes, those behind it stay."""
    made = lessons((0, 1, -1, 1), (0, 1, 1, -1))
    assert collate(made, made.pairs, starts=[1, 0], frames=3).mask.tolist() == [[0, -1, 1], [0, 1, 1]]
    assert made.pairs[0].mask == (0, 1, -1, 1)
