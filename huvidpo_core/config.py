"""Profiles, styles and actions: what the TOML files under `assets/` say, as frozen dataclasses.

Reading is strict: an unknown key, a missing key or a value of the wrong type is a `UserError` that names it.
Nothing here loads a model or looks at the hardware.
"""

import dataclasses
import re
import tomllib
import types
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from huvidpo_core.errors import UserError

ROOT = Path(__file__).resolve().parent.parent
ASSETS = ROOT / "assets"
PACKS = ROOT / "lora_weights"

KeyFrames = Literal["first+previous", "first", "own"]
"""Where frame i's keys and values come from: frames 0 and i-1 (HuViDPO), frame 0 (LAMP), or i itself (a 2D network)."""

Attention = Literal["auto", "sdpa", "xformers", "flash"]
"""How the video UNet computes attention: PyTorch's own way, xformers, FlashAttention; "auto": xformers, if it works."""

Precision = Literal["auto", "float16", "bfloat16", "float32"]
"""Of the weights and the arithmetic: "auto" is float32 on a CPU, float16 elsewhere."""

T = TypeVar("T")


@dataclass(frozen=True)
class Download:
    """One thing a profile fetches from the Hugging Face Hub, as shown to the person before it is fetched."""

    name: str
    what: str
    gigabytes: float
    licence: str
    files: tuple[str, ...]  # the only ones that are read, so the only ones that are fetched


@dataclass(frozen=True)
class FirstFrameConfig:
    """The text-to-image half of a profile: an SDXL pipeline whose UNet may come from elsewhere (DPO-SDXL)."""

    base: str  # folder below the project, absolute folder, or hub name
    width: int
    height: int
    steps: int
    guidance: float
    unet: str | None = None
    vae: str | None = None
    negative_prompt: str = ""
    title: str = "The profile's own"  # who draws, in the menu of painters


@dataclass(frozen=True, kw_only=True)
class PainterConfig(FirstFrameConfig):
    """Another way to draw first frames, to compare with the profile's own; what both have in common is loaded once."""

    name: str  # what `Recipe.painter` holds
    title: str = dataclasses.field()  # no default here
    downloads: tuple[Download, ...] = ()  # what it takes besides those of the profile; fetched when it is chosen


@dataclass(frozen=True)
class VideoConfig:
    """The video half: an SD-1.x folder (UNet already inflated, or plain and inflated on loading)."""

    base: str
    width: int
    height: int
    frames: int
    fps: int
    steps: int  # of the `fast` sampler; `ddim` takes `ddim_steps`
    ddim_steps: int
    guidance: float
    guidance_until: float = 1.0  # share of the steps that use guidance
    key_frames: KeyFrames = "first+previous"  # of the base; an action pack may bring its own
    attention: Attention = "auto"
    compile: bool = False  # the network's repeated blocks by torch.compile: minutes at first, faster on a GPU then
    shared_noise: float = 0.2
    training_noise: float = 0.0  # the same in training; the published code draws every frame's noise alone there
    negative_prompt: str = ""


@dataclass(frozen=True)
class AnimateDiffConfig:
    """AnimateDiff on the video half's own SD-1.x, told the first frame by SparseCtrl: a method to compare with."""

    adapter: str  # its motion modules: folder or hub name
    control: str  # SparseCtrl's, for pictures
    steps: int
    guidance: float
    beta_schedule: str = "linear"  # the noise that it was trained with, in place of the base's
    downloads: tuple[Download, ...] = ()  # as a painter's


@dataclass(frozen=True)
class Profile:
    """Everything that differs between the miniature and the full-size models."""

    name: str
    title: str
    family: str  # folder below lora_weights/
    first_frame: FirstFrameConfig
    video: VideoConfig
    gpu_gigabytes: float = 0.0  # memory a CUDA device must have for this profile to be chosen by itself; 0: none needed
    downloads: tuple[Download, ...] = ()  # of every model that may be named; see `downloads_for`
    precision: Precision = "auto"
    judge: str | None = None  # what evaluations see with: a CLIP (folder or hub name), or the miniature's judge
    painters: tuple[PainterConfig, ...] = ()  # who else can draw first frames
    animatediff: AnimateDiffConfig | None = None

    def downloads_for(self, *halves: FirstFrameConfig | VideoConfig) -> tuple[Download, ...]:
        """Those of `downloads` that these take, by default the profile's own two halves: none of a model that a local
        folder, or another model, has taken the place of."""
        parts = ("base", "unet", "vae")
        named = {getattr(half, part, None) for half in halves or (self.first_frame, self.video) for part in parts}
        return tuple(each for each in self.downloads if each.name in named)


@dataclass(frozen=True)
class Style:
    """A prompt template. `template` contains `{prompt}` once."""

    title: str
    template: str
    negative_prompt: str = ""


@dataclass(frozen=True)
class Action:
    """A motion that packs teach. `phrase` joins the prompt when none of `keywords` occurs in it.

    `examples` are shown to people; `scenes` are kept back for blind rounds, so that few have been trained on.
    """

    title: str
    phrase: str
    keywords: tuple[str, ...]
    examples: tuple[str, ...]
    scenes: tuple[str, ...] = ()


def profile_names(folder: Path = ASSETS / "profiles") -> list[str]:
    """Names of the profiles on disk, sorted."""
    return sorted(path.stem for path in folder.glob("*.toml"))


def load_profile(name: str, folder: Path = ASSETS / "profiles") -> Profile:
    """Read `assets/profiles/NAME.toml`. Raises UserError for an unknown name or a malformed file."""
    if name not in profile_names(folder):
        raise UserError(f"There is no profile '{name}'. Choose one of: {', '.join(profile_names(folder))}.")
    path = folder / f"{name}.toml"
    return build(Profile, {"name": name, **read_toml(path)}, path.name)


def load_styles(path: Path = ASSETS / "styles.toml") -> dict[str, Style]:
    """Read the styles, in file order. Raises UserError for a malformed file or one without a style."""
    styles = {name: build(Style, table, f"{path.name} [{name}]") for name, table in read_toml(path).items()}
    if not styles:
        raise UserError(f"{path} has no style in it. Restore it from the project, or add one.")
    for name, style in styles.items():
        if style.template.count("{prompt}") != 1:
            raise UserError(f"{path.name} [{name}]: the template must contain {{prompt}} exactly once.")
    return styles


def load_actions(path: Path = ASSETS / "actions.toml") -> dict[str, Action]:
    """Read the actions, in file order. Raises UserError for a malformed file or one without an action."""
    actions = {name: build(Action, table, f"{path.name} [{name}]") for name, table in read_toml(path).items()}
    if not actions:
        raise UserError(f"{path} has no action in it. Restore it from the project, or add one.")
    for name, action in actions.items():
        if not any(example.strip() for example in action.examples):
            raise UserError(f"{path.name} [{name}]: 'examples' is empty. Add at least one prompt.")
    return actions


def resolve(location: str) -> str:
    """A project-relative folder as an absolute path; a hub name, 'owner/model', unchanged."""
    folder = ROOT / location
    return str(folder) if folder.exists() or location.count("/") != 1 else location


def hub_cache() -> Path:
    """Where models from the Hugging Face Hub are kept: HF_HUB_CACHE, HF_HOME, else a folder of the person's own."""
    from huggingface_hub import constants  # only where something is to be fetched

    return Path(constants.HF_HUB_CACHE)


def compose_prompt(prompt: str, action: Action | None, style: Style) -> str:
    """The text both models see: the person's words, the action's phrase unless already said, the style's template."""
    words = " ".join(prompt.split())
    if action and not any(keyword in words.lower() for keyword in action.keywords):
        words = f"{words}, {action.phrase}"
    return style.template.replace("{prompt}", words)  # not format: other braces are the person's own


def without_gap(template: str) -> str:
    """A prompt's template without the "{}" that stands for what varies: 'a {} ball bounces' is 'a ball bounces'."""
    words = " ".join(template.replace("{}", " ").split())
    return re.sub(r"\s+([,.;])", r"\1", words).strip(" ,;")


def read_toml(path: Path) -> dict[str, Any]:
    """Parse a TOML file; a syntax error or a missing file becomes a UserError."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        own = "Restore it from the project" if path.is_relative_to(ASSETS) else "Check its name"
        raise UserError(f"The settings file {path} is missing. {own}.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is not valid TOML: {error}. Mend that line.") from None


def build(cls: type[T], table: Mapping[str, Any], where: str) -> T:
    """Fill the dataclass `cls` from a table, nested dataclasses included.

    Raises:
        UserError: a key is unknown, missing, or holds a value of the wrong type.
    """
    if not isinstance(table, Mapping):
        raise UserError(f"{where} should be a table of settings, not {table!r}.")
    hints = get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}
    if unknown := sorted(set(table) - set(fields)):
        raise UserError(f"{where}: unknown key '{unknown[0]}'. Known keys: {', '.join(fields)}.")
    for name, field in fields.items():
        if name not in table and field.default is field.default_factory is dataclasses.MISSING:
            raise UserError(f"{where}: the key '{name}' is missing.")
    return cls(**{name: _convert(hints[name], value, f"{where}: {name}") for name, value in table.items()})


def _convert(hint: Any, value: Any, where: str) -> Any:
    if dataclasses.is_dataclass(hint) and isinstance(value, Mapping):
        return build(hint, value, where)
    if get_origin(hint) is tuple and isinstance(value, list | tuple):
        return tuple(_convert(get_args(hint)[0], item, where) for item in value)
    if isinstance(hint, types.UnionType) and value is None:
        return None
    if isinstance(hint, types.UnionType) and isinstance(value, Mapping):
        return _convert(next(filter(dataclasses.is_dataclass, get_args(hint)), str), value, where)
    if get_origin(hint) is Literal:
        if value not in get_args(hint):
            raise UserError(f"{where} is {value!r}. Choose one of: {', '.join(get_args(hint))}.")
        return value
    allowed = get_args(hint) if isinstance(hint, types.UnionType) else (hint,)
    if float in allowed and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, tuple(kind for kind in allowed if isinstance(kind, type))) or (
        isinstance(value, bool) and bool not in allowed
    ):
        names = " or ".join(getattr(kind, "__name__", str(kind)) for kind in allowed)
        raise UserError(f"{where} should be {names}, not {value!r}.")
    return value
