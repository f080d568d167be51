"""A clip's recipe: everything needed to make it again. It travels as JSON in the MP4's comment tag."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from huvidpo_core.config import build
from huvidpo_core.errors import UserError

MAX_PROMPT = 2000  # characters; the text encoders read far less, a longer text is a paste gone wrong
MAX_STEPS, MAX_GUIDANCE, FRAMES = 200, 30, (2, 64)
SEEDS = 2**32
SAMPLERS = ("fast", "ddim")
ORIGINS = ("generated", "kept", "edited", "uploaded", "brought")
# Methods to compare with, in place of a pack of one's own: behind a pack's name, its motion with LAMP's attention (key
# frame 0 only) and no preference LoRA; alone, AnimateDiff, which knows no packs.
LAMP, ANIMATEDIFF = "@lamp", "@animatediff"
PAINTER_LORA = "lora:"  # before the name of a LoRA in `Recipe.painter`


@dataclass(frozen=True)
class Recipe:
    """The settings of one clip.

    `pack` is the action pack's folder name below `lora_weights/<family>/`, with `/NAME` behind it for one of its
    preference LoRAs, or `LAMP`; or `ANIMATEDIFF`; or empty for the bare base model. `strength` scales the pack (0 =
    base, 1 = as trained). `painter` is who drew the first frame: empty for the profile's own. `origin` tells where the
    first frame came from ("kept": drawn from other words than these; "brought": the whole clip was) and `first_frame`
    is the SHA-256 of its RGB bytes. `reference` is the id of the clip whose motion this one varies, or empty, and `eta`
    how much of it was noised away (`generation.structural`).
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
    reference: str = ""
    eta: float = 0.0
    profile: str = ""
    version: str = ""
    painter: str = ""

    @classmethod
    def asked(
        cls,
        prompt: str | None,
        action: str | None,
        style: str | None,
        *,
        seed: float | None = None,
        steps: float | None = None,
        guidance: float | None = None,
        sampler: str | None = None,
        pack: str | None = None,
        strength: float | None = None,
        frames: float | None = None,
        painter: str | None = None,
    ) -> "Recipe":
        """What a command line or a program asks for. None, and nothing else, leaves a setting to its default.

        Raises:
            UserError: a number is none, or not whole where it must be, or beyond its bounds; so are 0 steps.
        """
        chosen = {
            "seed": _number("seed", seed, int),
            "steps": check_steps(_number("number of steps", steps, int)),
            "guidance": _within("guidance", _number("guidance", guidance), 0, MAX_GUIDANCE),
            "sampler": sampler,
            "painter": painter,
            "strength": _number("strength", strength),
            "frames": _within("number of frames", _number("number of frames", frames, int), *FRAMES),
        }
        settings = {name: value for name, value in chosen.items() if value is not None}
        return cls(prompt or "", action or "", style or "", pack=pack, **settings)

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
        _within("seed", self.seed, 0, SEEDS - 1)
        _within("number of steps", self.steps, 0, MAX_STEPS)
        _within("guidance", self.guidance, -1, MAX_GUIDANCE)
        _within("strength", self.strength, 0, 1.5)
        _within("eta", self.eta, 0, 1)
        if self.frames:
            _within("number of frames", self.frames, *FRAMES)
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


def is_own_painter(painter: str) -> bool:
    """Whether a `Recipe.painter` draws with the profile's own network, with a LoRA or without: the one that learns from
    choices among first frames."""
    return not painter or painter.startswith(PAINTER_LORA)


def _one_of(what: str, value: str, known: Any) -> None:
    if value not in known:
        raise UserError(f"There is no {what} '{value}'. Choose one of: {', '.join(known)}.")


def check_steps(steps: int | None) -> int | None:
    """This number of steps. Raises UserError unless it is None or within bounds."""
    return _within("number of steps", steps, 1, MAX_STEPS)


def _within(what: str, value: float | None, low: float, high: float) -> float | None:
    if value is not None and not low <= value <= high:  # also refuses NaN
        raise UserError(f"The {what} is {value}; it must lie between {low} and {high}.")
    return value


def _number(what: str, value: float | None, kind: type = float) -> float | None:
    """`value` as a float or, if it is whole, an int; None stays None."""
    try:
        if value is None or float(value) == kind(value):
            return None if value is None else kind(value)
    except (TypeError, ValueError, OverflowError):
        pass
    raise UserError(f"The {what} is {value!r}; give a {'whole number' if kind is int else 'number'}.")
