"""How a prompt's words are read, told by the tokenizer alone."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from huvidpo_core.config import load_profile
from huvidpo_core.engine import Engine
from huvidpo_core.generation.words import Vocabulary, fitted, read, vocabulary
from huvidpo_core.recipe import Recipe
from huvidpo_core.results import Reading


@pytest.fixture
def few_words():
    """Knows a few words and one synonym, and has an unknown token; its encoder reads eight tokens."""
    tokenizer = Tokenizer(models.WordLevel({"<unk>": 0, "red": 1, "horse": 2, "beach": 3, "a": 4}, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), normalizers.Replace("pony", "horse")])
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    return Vocabulary(tokenizer, 8)


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
def test_understood_and_ignored(few_words, prompt, understood, ignored):
    """Known words are phrases, synonyms are told, unknown words and emoji are named once, fillers and marks never."""
    assert read(few_words, prompt) == Reading(understood, ignored)


def test_words_that_come_too_late_are_named(few_words):
    """Eight tokens are read, of what is added behind the words, too; what was said before is not missed."""

    def styled(prompt):
        return f"{prompt} a a a"

    long = "a red horse and unicorn on the beach"  # unknown words take a token each here
    assert read(few_words, long) == Reading(("red horse", "beach"), ("unicorn",))
    assert read(few_words, long, styled) == Reading(("red horse",), ("unicorn",), ("beach",))
    assert read(few_words, "a red horse a red horse on a red beach", styled).unread == ("red beach",)
    assert read(few_words, "beach", lambda prompt: f"{prompt} {'a ' * 20}") == Reading((), (), ("beach",))


def test_word_pieces_read_everything(tmp_path):
    """A tokenizer of word pieces, or none at hand, ignores nothing."""
    (tmp_path / "tokenizer").mkdir()
    Tokenizer(models.BPE({"a": 0}, [])).save(str(tmp_path / "tokenizer" / "tokenizer.json"))
    assert vocabulary(str(tmp_path)) is None
    assert vocabulary("nobody/has-this") is None
    assert read(None, "a majestic unicorn").ignored == ()


def test_the_miniatures_vocabulary():
    """The miniature knows its examples' colours and places and a synonym, and no unicorns."""
    known = vocabulary("assets/miniature/first_frame")
    assert known is not None and known.room == 24
    reading = read(known, "a scarlet horse and a unicorn on the beach at night")
    assert reading == Reading(("scarlet (as red) horse", "beach", "night"), ("unicorn",))


def test_no_torch_is_needed():
    """The words can be told before anything heavy is loaded."""
    code = "import sys, huvidpo_core.generation.words; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0


def test_a_word_said_over_and_over_is_named_once():
    """ "horse horse horse" is one word to a reader."""
    known = vocabulary(load_profile("miniature").first_frame.base)
    assert read(known, "horse " * 40) == Reading(("horse",), ())


def test_a_prompt_that_is_too_long_keeps_its_style():
    """Of the person's words the first are read, as many as there is room for beside what is added behind them; a prompt
    that fits is not touched. Counted with SD's tokenizer's way of an end and a beginning."""
    words = {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "red": 3, "horse": 4, "pixel": 5, "art": 6}
    inner = Tokenizer(models.WordLevel(words, unk_token="[UNK]"))
    inner.pre_tokenizer = pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing("[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=inner, model_max_length=8)

    def styled(prompt: str) -> str:
        return f"{prompt} pixel art"

    assert fitted(styled, "red  horse", tokenizer) == "red  horse pixel art"
    assert fitted(styled, "red horse red horse", tokenizer) == "red horse red horse pixel art"  # 6 + 2
    for more in (1, 2, 500):
        made = fitted(styled, "red horse red horse" + " red" * more, tokenizer)
        assert made == "red horse red horse pixel art"


def test_a_long_prompt_is_drawn_in_its_style(tmp_path):
    """By the miniature: the words that are drawn end with the style, whatever was typed."""
    profile = load_profile("miniature")
    if not Path(profile.first_frame.base).exists():
        pytest.skip("assets/miniature is not there yet")
    engine = Engine(profile, tmp_path, device="cpu")
    told = []
    painter = engine._load().painter_for("", None)
    draw = type(painter).draw
    with pytest.MonkeyPatch.context() as patch:

        def note(self, text: str, *how, **more):
            told.append(text)
            return draw(self, text, *how, **more)

        patch.setattr(type(painter), "draw", note)
        recipe = Recipe("white birds fly over the sea " * 40, "birds_fly", "pixel_art", seed=77)
        list(engine.first_frame(recipe, threading.Event(), steps=1))
    (text,) = told
    assert engine.words("a red horse in the snow at night", "horse_run", "pixel_art").unread == ()
    assert engine.words(f"{'snow at night, ' * 6}red horse", "horse_run", "pixel_art").unread == ("red horse",)
    assert text.startswith("white birds fly over the sea white") and text.endswith(", pixel art style")
    words = painter.text_to_image.tokenizer
    assert len(words(text).input_ids) <= words.model_max_length < len(words(text + " birds birds").input_ids)
