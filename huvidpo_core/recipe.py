"""A clip's recipe: everything needed to make it again. It travels as JSON in the MP4's comment tag."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from huvidpo_core.config import build
from huvidpo_core.errors import UserError

MAX_PROMPT = 2000  # characters; the text encoders read far less, a longer text is a paste gone wrong
SAMPLERS = ("fast", "ddim")
ORIGINS = ("generated", "edited", "uploaded")


@dataclass(frozen=True)
class Recipe:
    """The settings of one clip.

    `pack` is the action pack's folder name below `lora_weights/<family>/`, with `/NAME` behind it for one of its
    preference LoRAs, or empty for the bare base model. `strength` scales the pack (0 = base, 1 = as trained).
    `origin` tells where the first frame came from and `first_frame` is the SHA-256 of its RGB bytes.
    """

    prompt: str
    action: str
    style: str
    seed: int = 0
    steps: int = 0  # 0: the profile's own number for the sampler
    guidance: float = -1.0  # negative: the profile's own
    sampler: str = "fast"
    pack: str | None = None  # None: the action's own pack
    strength: float = 1.0
    frames: int = 0  # 0: the profile's
    origin: str = "generated"
    first_frame: str = ""
    profile: str = ""
    version: str = ""

    def check(self, actions: Mapping[str, Any], styles: Mapping[str, Any]) -> "Recipe":
        """This recipe, or a UserError that says what is wrong and what to do."""
        if not self.prompt.strip():
            raise UserError("The prompt is empty. Describe the scene in a few words, for example 'a red horse'.")
        if len(self.prompt) > MAX_PROMPT:
            raise UserError(
                f"The prompt has {len(self.prompt):,} characters; at most {MAX_PROMPT:,} are read. Shorten it."
            )
        _one_of("action", self.action, actions)
        _one_of("style", self.style, styles)
        _one_of("sampler", self.sampler, SAMPLERS)
        _one_of("origin", self.origin, ORIGINS)
        _within("seed", self.seed, 0, 2**32 - 1)
        _within("number of steps", self.steps, 0, 200)
        _within("guidance", self.guidance, -1, 30)
        _within("strength", self.strength, 0, 1.5)
        if self.frames:
            _within("number of frames", self.frames, 2, 64)
        return self

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Recipe":
        """Read a recipe written by `to_dict`; unknown keys and wrong types are UserErrors."""
        return build(cls, values, "The clip's recipe")

    def with_(self, **changes: Any) -> "Recipe":
        """A copy with some settings replaced."""
        return replace(self, **changes)


def _one_of(what: str, value: str, known: Any) -> None:
    if value not in known:
        raise UserError(f"There is no {what} '{value}'. Choose one of: {', '.join(known)}.")


def _within(what: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:  # also refuses NaN
        raise UserError(f"The {what} is {value}; it must lie between {low} and {high}.")
