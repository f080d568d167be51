"""How a prompt's words are read, told by the tokenizer alone."""

import subprocess
import sys

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from huvidpo_core.config import load_profile
from huvidpo_core.generation.words import read, vocabulary
from huvidpo_core.results import Reading


@pytest.fixture
def tokenizer():
    """Knows a few words and one synonym, and has an unknown token."""
    tokenizer = Tokenizer(models.WordLevel({"<unk>": 0, "red": 1, "horse": 2, "beach": 3, "a": 4}, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), normalizers.Replace("pony", "horse")])
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return tokenizer


@pytest.mark.parametrize(
    ("prompt", "understood", "ignored"),
    [
        ("a red horse on the beach", ("red horse", "beach"), ()),
        ("A majestic Red horse, beach", ("Red horse", "beach"), ("majestic",)),
        ("a red Pony and a unicorn; a UNICORN", ("red Pony (as horse)",), ("unicorn",)),
        ("in the, of! --", (), ()),
        ("", (), ()),
        ("été 馬 red", ("red",), ("été", "馬")),
        ("🐎🌊\ufe0f red ❤", ("red",), ("🐎", "🌊", "❤")),
    ],
)
def test_understood_and_ignored(tokenizer, prompt, understood, ignored):
    """Known words are phrases, synonyms are told, unknown words and emoji are named once, fillers and marks never."""
    assert read(tokenizer, prompt) == Reading(understood, ignored)


def test_word_pieces_read_everything(tmp_path):
    """A tokenizer of word pieces, or none at hand, ignores nothing."""
    (tmp_path / "tokenizer").mkdir()
    Tokenizer(models.BPE({"a": 0}, [])).save(str(tmp_path / "tokenizer" / "tokenizer.json"))
    assert vocabulary(str(tmp_path)) is None
    assert vocabulary("nobody/has-this") is None
    assert read(None, "a majestic unicorn").ignored == ()


def test_the_miniatures_vocabulary():
    """The miniature knows its examples' colours and places and a synonym, and no unicorns."""
    tokenizer = vocabulary("assets/miniature/first_frame")
    assert tokenizer is not None
    reading = read(tokenizer, "a scarlet horse and a unicorn on the beach at night")
    assert reading == Reading(("scarlet (as red) horse", "beach", "night"), ("unicorn",))


def test_no_torch_is_needed():
    """The words can be told before anything heavy is loaded."""
    code = "import sys, huvidpo_core.generation.words; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_a_word_said_over_and_over_is_named_once():
    """ "horse horse horse" is one word to a reader."""
    tokenizer = vocabulary(load_profile("miniature").first_frame.base)
    assert read(tokenizer, "horse " * 40).understood == ("horse",)
