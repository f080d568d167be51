"""What a run learns from is settled when it is asked for, and bad input is a sentence."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from huvidpo_core.errors import UserError
from huvidpo_core.preferences.pairs import TrainingPair
from huvidpo_core.training.lessons import Lesson
from huvidpo_core.training.source import FILE, Source


def pair(first: str, second: str, *mask: int) -> TrainingPair:
    return TrainingPair(first, second, np.array(mask, np.int8), f"{first} runs", "rain", 1)


@pytest.fixture
def source(tmp_path):
    """Makes a Source of pairs, with files for the clips a, b, c, d."""
    for clip in "abcd":
        (tmp_path / f"{clip}.mp4").write_bytes(clip.encode())

    def make(*pairs: TrainingPair) -> Source:
        return Source.of(pairs, lambda clip: tmp_path / f"{clip}.mp4", lambda pair: f"{pair.prompt}, cartoon")

    return make


def test_it_holds_the_labels_the_whole_text_and_the_files(source, tmp_path):
    """Ties stay, for the losses that know them; a pair whose clip is gone does not, and its clips are not kept."""
    found = source(pair("a", "b", 0, 1), pair("c", "d", 0, 0), pair("a", "gone", 0, 1))
    assert found.pairs == (
        Lesson("a", "b", (0, 1), "a runs, cartoon"),
        Lesson("c", "d", (0, 0), "c runs, cartoon"),
    )
    assert found.clips == {clip: tmp_path / f"{clip}.mp4" for clip in "abcd"}
    assert all(path.is_absolute() for path in found.clips.values())


def test_what_is_saved_comes_back_though_the_clips_are_deleted(source, tmp_path):
    """The digest, too: it is what the clips were when the run began."""
    made = source(pair("a", "b", 0, 1, -1))
    made.save(tmp_path / "run")
    (tmp_path / "a.mp4").unlink()
    assert Source.load(tmp_path / "run") == made


def test_the_digest_is_that_of_labels_and_files(source, tmp_path):
    """It changes with a label, a text or a byte of a clip, and with nothing else."""
    first = source(pair("a", "b", 0, 1)).digest
    assert first == source(pair("a", "b", 0, 1)).digest and len(first) == len(hashlib.sha256().hexdigest())
    others = {source(pair("a", "b", 0, -1)).digest, source(pair("a", "c", 0, 1)).digest}
    (tmp_path / "b.mp4").write_bytes(b"B")
    others.add(source(pair("a", "b", 0, 1)).digest)
    assert len(others | {first}) == 4


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        ([], "no votes to learn from yet"),
        ([pair("a", "b", 0, 0), pair("c", "d", 0, 0)], "ties alone"),
        ([pair("a", "gone", 0, 1), pair("gone", "b", 0, 1)], "no longer there"),
        ([pair("a", "b", 0, 0), pair("c", "gone", 0, 1)], "ties alone"),
    ],
)
def test_nothing_to_learn_from_is_a_sentence(source, pairs, words):
    """No votes, only ties, all clips gone, the only decided pair gone."""
    with pytest.raises(UserError, match=words):
        source(*pairs)


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"pairs": [1], "clips": {}}', '{"pairs": [], "clips": []}'])
def test_a_missing_or_damaged_file_is_a_sentence(tmp_path, text):
    """Not there, empty, of another kind, half of it."""
    if text is not None:
        Path(tmp_path / FILE).write_text(text)
    with pytest.raises(UserError, match="missing or damaged"):
        Source.load(tmp_path)
