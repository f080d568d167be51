"""Which words of a prompt the first-frame model's text encoder can read, told by its tokenizer alone.

A word-level tokenizer drops what is not in its vocabulary; tokenizers of word pieces, like CLIP's, can read anything.
Nothing here loads a model, or torch.
"""

import re
import unicodedata
from bisect import bisect_right
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from huvidpo_core.config import resolve
from huvidpo_core.recipe import MAX_PROMPT
from huvidpo_core.results import Reading

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

WORD = re.compile(r"[^\W_]+(?:['\u2019][^\W_]+)*|[^\w\s]")  # or a mark, which ends a phrase

SEEN = "LNS"  # letters, numbers, symbols (an emoji is one): whoever types them wants to see something; not marks

# Words that carry no picture: nobody misses them when a tokenizer drops them.
_FILLERS = (
    "a an the this that these those some any its his her their my your our it he she they we i you who which "
    "in on at of to by for from with without into onto over under above below near beside behind before after between "
    "among through across around up down out off as and or but while when where there here then so very is are was "
    "were be been being am has have had does do did s"
)
FILLERS = frozenset(_FILLERS.split())


class Vocabulary(NamedTuple):
    """A word-level tokenizer, and how many tokens of a text its text encoder reads."""

    tokenizer: Tokenizer
    room: int


@lru_cache(maxsize=4)
def vocabulary(base: str) -> Vocabulary | None:
    """The vocabulary of a text-to-image folder; None where every word can be read, or nothing is known."""
    path = Path(resolve(base)) / "tokenizer" / "tokenizer.json"
    if not path.is_file():
        return None
    tokenizer = Tokenizer.from_file(str(path))
    room = (tokenizer.truncation or {}).get("max_length", MAX_PROMPT)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return Vocabulary(tokenizer, room) if isinstance(tokenizer.model, WordLevel) else None


def read(known: Vocabulary | None, prompt: str, compose: Callable[[str], str] = str) -> Reading:
    """What is made of each word of the prompt; with None every word is understood as it stands.

    Understood words that follow one another are one phrase ("red horse"); a filler or an ignored word ends it. A word
    read as another says so: "pony (as horse)". Words for which there is no room beside what `compose` adds (`fitted`)
    are unread.
    """
    prompt = prompt[:MAX_PROMPT]
    if known is None:
        return Reading(*_phrases(None, prompt))
    tokenizer, words = known.tokenizer, prompt.split()
    room = _fitting(compose, words, lambda text: len(tokenizer.encode(text).ids), known.room)
    said, ignored = _phrases(tokenizer, prompt if room == len(words) else " ".join(words[:room]))
    late, _ = _phrases(tokenizer, " ".join(words[room:]))
    heard = set(" ".join(said).split())
    return Reading(said, ignored, tuple(phrase for phrase in late if not heard.issuperset(phrase.split())))


def _phrases(tokenizer: Tokenizer | None, text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The phrases that are understood of a text, each once, and the words that are not."""
    phrases: list[list[str]] = [[]]
    ignored: list[str] = []
    for word in WORD.findall(text):
        heard = word.lower() if tokenizer is None else _heard(tokenizer, word)
        if word.lower() in FILLERS or not heard:
            phrases.append([])
            if unicodedata.category(word[0])[0] in SEEN and word.lower() not in (*FILLERS, *map(str.lower, ignored)):
                ignored.append(word)
        else:
            said = word if heard == word.lower() else f"{word} (as {heard})"
            if not phrases[-1] or phrases[-1][-1] != said:  # "very very red": once is enough
                phrases[-1].append(said)
    return tuple(dict.fromkeys(" ".join(phrase) for phrase in phrases if phrase)), tuple(ignored)


def fitted(compose: Callable[[str], str], prompt: str, tokenizer: "PreTrainedTokenizerBase") -> str:
    """What is composed of a prompt, with as many of its words, from the first on, as the text encoder reads together
    with what is added to them: it reads so many tokens and no more, and the style stands at the end."""
    words = prompt.split()
    room = _fitting(
        compose, words, lambda text: len(tokenizer(text, verbose=False).input_ids), tokenizer.model_max_length
    )
    return compose(prompt if room == len(words) else " ".join(words[: max(1, room)]))


def _fitting(compose: Callable[[str], str], words: list[str], tokens: Callable[[str], int], room: int) -> int:
    """How many of the words, from the first on, what is composed of them has room for."""

    def needed(count: int) -> int:
        return tokens(compose(" ".join(words[:count])))

    if needed(len(words)) <= room:
        return len(words)
    return max(0, bisect_right(range(len(words)), room, key=needed) - 1)


def _heard(tokenizer: Tokenizer, word: str) -> str:
    """The vocabulary's own words for one word of the person's; empty when there are none."""
    tokens = tokenizer.encode(word, add_special_tokens=False).tokens
    return " ".join(token for token in tokens if token != tokenizer.model.unk_token)
