"""The miniature's words: a tokenizer that knows the world's vocabulary, and two CLIP text encoders trained to read it.

Words outside the vocabulary are dropped by the tokenizer's normalizer, and synonyms are replaced there, so that all of
this is data in `tokenizer.json` and the pipelines need not know that these are not CLIP's own tokenizers.
"""

from collections.abc import Iterable

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, PreTrainedTokenizerFast

from huvidpo_core.config import load_styles
from huvidpo_core.miniature.data import training_caption
from huvidpo_core.miniature.world import ACTIONS, COLORS, PLACES, STYLES, TIMES, Scene

LENGTH = 24  # tokens
WIDTH = 64  # of each encoder; the first-frame UNet sees both, the video UNet the first

ATTRIBUTES = {"action": ACTIONS, "style": STYLES, "color": COLORS, "place": PLACES, "time": TIMES}

# What people also say. Every word on the right must occur in the captions.
SYNONYMS = {
    "red": "crimson scarlet ruby",
    "orange": "amber tangerine",
    "yellow": "golden gold lemon",
    "green": "emerald lime olive",
    "blue": "azure navy turquoise cyan",
    "purple": "violet lilac magenta",
    "pink": "rose rosy salmon",
    "white": "snowy ivory",
    "black": "ebony",
    "brown": "chestnut chocolate",
    "horse": "pony mare stallion",
    "mountains": "mountain alps hills peaks",
    "city": "town downtown skyline street",
    "beach": "seaside shore coast sea ocean",
    "forest": "woods jungle trees",
    "desert": "dunes sahara",
    "snow": "arctic winter ice",
    "meadow": "field grassland prairie garden",
    "moon": "lunar space universe mars",
    "night": "midnight nighttime evening dark",
    "day": "daytime noon daylight",
    "waterfall": "waterfalls cascade falls",
    "helicopter": "chopper copter helicopters",
    "guitar": "guitars",
    "birds": "bird gulls seagulls doves",
    "umbrella": "parasol umbrellas",
    "rain": "rainy raining shower storm",
    "fireworks": "firework",
    "face": "man woman person head boy girl child",
    "realistic": "photorealistic photograph",
    "cartoon": "comic anime",
    "claymation": "clay plasticine",
    "pixel": "pixelated 8bit",
}


def corpus(count: int, seed: int = 0) -> Iterable[tuple[Scene, str]]:
    """Scenes with one wording each."""
    styles = load_styles()
    for index in range(count):
        rng = np.random.default_rng([seed, index])
        scene = Scene.sample(rng)
        yield scene, training_caption(scene, rng, styles)


def build_tokenizer() -> PreTrainedTokenizerFast:
    """A word-level tokenizer over every word of 20,000 captions, with synonyms and unknown words taken care of."""
    words = sorted({word for _, text in corpus(20_000) for word in _plain(text).split()})
    specials = ["<pad>", "<start>", "<unknown>", "<end>"]  # CLIP treats an end token numbered 2 specially; ours is 3
    vocabulary = {token: index for index, token in enumerate([*specials, *words])}
    synonyms = {
        known: [word for word in others.split() if word not in words]
        for known, others in SYNONYMS.items()
        if known in words
    }
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unknown>"))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Lowercase(),
            normalizers.Replace(Regex(r"[^a-z0-9]+"), " "),
            *(normalizers.Replace(Regex(rf"\b(?:{'|'.join(o)})\b"), known) for known, o in synonyms.items() if o),
            normalizers.Replace(Regex(rf"\b(?!(?:{'|'.join(words)})\b)[a-z0-9]+\b"), ""),
        ]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<start> $A <end>", special_tokens=[("<start>", 1), ("<end>", 3)]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<start>",
        eos_token="<end>",
        pad_token="<pad>",
        unk_token="<unknown>",
        model_max_length=LENGTH,
    )


def _plain(text: str) -> str:
    return "".join(letter if letter.isalnum() else " " for letter in text.lower())


def tokenize(tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> Tensor:
    """Token ids (b, LENGTH)."""
    return tokenizer(texts, padding="max_length", max_length=LENGTH, truncation=True, return_tensors="pt").input_ids


class TextEncoders(nn.Module):
    """Both text encoders, with the heads that train them: each must tell every attribute from its pooled state.

    Where the wording leaves an attribute out the best answer is how often each value goes without being said.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast) -> None:
        super().__init__()
        config = CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=WIDTH,
            intermediate_size=4 * WIDTH,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=LENGTH,
            projection_dim=WIDTH,
            hidden_act="gelu",
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        self.first = CLIPTextModel(config)
        self.second = CLIPTextModelWithProjection(config)
        sizes = {name: len(values) for name, values in ATTRIBUTES.items()}
        self.heads = nn.ModuleDict(
            {
                f"{encoder}_{name}": nn.Linear(WIDTH, size)
                for encoder in ("first", "second")
                for name, size in sizes.items()
            }
        )

    def loss(self, ids: Tensor, labels: dict[str, Tensor]) -> Tensor:
        """Mean cross-entropy of all attributes from both encoders."""
        pooled = {"first": self.first(ids).pooler_output, "second": self.second(ids).text_embeds}
        losses = [
            F.cross_entropy(self.heads[f"{encoder}_{name}"](state), labels[name])
            for encoder, state in pooled.items()
            for name in ATTRIBUTES
        ]
        return torch.stack(losses).mean()


def labels_of(scenes: list[Scene]) -> dict[str, Tensor]:
    """Attribute numbers (b,) by name."""
    return {
        name: torch.tensor([values.index(getattr(scene, name)) for scene in scenes])
        for name, values in ATTRIBUTES.items()
    }


class TextBatches:
    """Endless batches for the text stage, from a corpus made once."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, count: int) -> None:
        pairs = list(corpus(count, seed=2))
        self.labels = labels_of([scene for scene, _ in pairs])
        self.ids = tokenize(tokenizer, [text for _, text in pairs])

    def draw(self, rng: np.random.Generator, count: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Token ids (count, LENGTH) and labels."""
        chosen = torch.from_numpy(rng.integers(len(self.ids), size=count))
        return self.ids[chosen], {name: values[chosen] for name, values in self.labels.items()}
