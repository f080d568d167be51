"""Settings of a training as files: presets by name, a TOML file of one's own, ranges that are checked in words."""

from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

from huvidpo_core.config import build, read_toml
from huvidpo_core.errors import UserError

T = TypeVar("T")


def load(kind: type[T], folder: Path, source: str | Path) -> T:
    """A dataclass of settings from a preset in `folder` or from a TOML file; what is not said has its default.

    Raises:
        UserError: there is none, it is no TOML, an unknown key, a value of the wrong type.
    """
    path = Path(source) if str(source).endswith(".toml") else folder / f"{source}.toml"
    if not path.is_file() and path.parent == folder:
        names = ", ".join(sorted(path.stem for path in folder.glob("*.toml")))
        raise UserError(f"There is no preset '{source}'. Choose one of: {names}; or name a TOML file.")
    return build(kind, read_toml(path), path.name)


def require(what: str, ranges: Iterable[tuple[str, bool, str]]) -> None:
    """Raise a UserError for the first setting of `what` that is not in its range: (name, whether it is, range)."""
    for name, fine, words in ranges:
        if not fine:
            raise UserError(f"The setting '{name}' of {what} must be {words}.")
