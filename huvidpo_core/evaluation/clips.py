"""Which files are evaluated, under which name, and what is known of each: prompt, action, style.

A prompts file is text in UTF-8, one of:

    a JSON object           {"horse.mp4": "a red horse runs on the beach", ...}
    a name, a tab, a prompt on each line
    a prompt on each line, as many as there are clips, in the order of their names

A name is a clip's path below the folder, or its last part, each with or without the ending.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from huvidpo_core import media
from huvidpo_core.errors import UserError

ENDINGS = (".mp4", ".gif")


@dataclass(frozen=True)
class Source:
    """A clip's file. `name` is unique in an evaluation, `truth` what its recipe tells ("action", "style")."""

    name: str
    path: Path
    prompt: str | None = None
    truth: Mapping[str, str] = field(default_factory=dict)

    @property
    def group(self) -> str:
        """Clips that belong together: of one action or, where no recipe tells it, named alike but for a number."""
        stem = str(PurePosixPath(self.name).with_suffix(""))
        return self.truth.get("action") or re.sub(r"[ _-]*\d+$", "", stem).rstrip("/") or "clips"


def find_clips(clips: Path | Sequence[Path], prompts: str = "") -> list[Source]:
    """The clips of a folder and the folders in it, in the order of their names, or these files in the order given.

    Files whose name begins with a dot are passed over, and so is a GIF beside an MP4 of the same name: the app keeps
    both of one clip.

    Args:
        prompts: what a prompts file holds (see above). It goes before the prompts in the clips' recipes; if there is
            any, every clip needs a prompt.

    Raises:
        UserError: no such folder, no clip in it, a file of another kind, prompts that cannot be read or are missing.
    """
    sources = _in_folder(clips) if isinstance(clips, Path) else _as_given(clips)
    sources = [_with_recipe(source) for source in sources]
    return _with_prompts(sources, prompts) if prompts.strip() else sources


def read_prompts(path: Path) -> str:
    """The text of a prompts file. Raises UserError where there is none, or nothing in it."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{path.name} is not text in UTF-8. Each line needs a name, a tab and a prompt.") from error
    except OSError as error:
        raise UserError(f"The prompts file {path} cannot be read: {error.strerror}.") from error
    if not text.strip():
        raise UserError(f"The prompts file {path.name} is empty.")
    return text


def _in_folder(folder: Path) -> list[Source]:
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}. Check how it is written.")
    found = {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in ENDINGS
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    }
    videos = {path.with_suffix("") for path in found.values() if path.suffix.lower() == ".mp4"}
    sources = [
        Source(name, path)
        for name, path in found.items()
        if path.suffix.lower() == ".mp4" or path.with_suffix("") not in videos
    ]
    if not sources:
        raise UserError(f"There is no MP4 or GIF in {folder}. Choose a folder of clips.")
    return sources


def _as_given(paths: Sequence[Path]) -> list[Source]:
    if not paths:
        raise UserError("There is no clip. Give at least one MP4 or GIF.")
    sources: dict[str, Source] = {}
    for path in paths:
        if path.suffix.lower() not in ENDINGS:
            raise UserError(f"{path.name} is neither an MP4 nor a GIF.")
        name, again = path.name, 1
        while name in sources:
            again += 1
            name = f"{path.stem} ({again}){path.suffix}"
        sources[name] = Source(name, path)
    return list(sources.values())


def _with_recipe(source: Source) -> Source:
    """The source with what its recipe tells, of whatever version; a GIF carries none."""
    recipe = (media.read_recipe(source.path) if source.path.suffix.lower() == ".mp4" else None) or {}
    known = {key: value for key in ("prompt", "action", "style") if isinstance(value := recipe.get(key), str) and value}
    return replace(source, prompt=known.pop("prompt", None), truth=known)


def _with_prompts(sources: list[Source], text: str) -> list[Source]:
    named = _parse(text, sources)
    matched = []
    for source in sources:
        full = PurePosixPath(source.name)
        names = (source.name, str(full.with_suffix("")), full.name, full.stem)
        prompt = next((named[name] for name in names if name in named), source.prompt)
        if not prompt:
            raise UserError(f"The prompts name none for {source.name}. Add a line with its name, a tab and its prompt.")
        matched.append(replace(source, prompt=prompt))
    return matched


def _parse(text: str, sources: list[Source]) -> dict[str, str]:
    """Name -> prompt, in any of the three formats."""
    if text.lstrip().startswith("{"):
        try:
            values = json.loads(text)
        except ValueError as error:
            raise UserError(f"The prompts begin like JSON but are none: {error}.") from error
        if not all(isinstance(value, str) for value in values.values()):
            raise UserError('The prompts must be text: {"horse.mp4": "a red horse", ...}.')
        return {name: prompt.strip() for name, prompt in values.items()}
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not any("\t" in line for line in lines):
        if len(lines) != len(sources):
            raise UserError(
                f"There are {len(lines)} lines of prompts for {len(sources)} clips. Begin each with its clip's name "
                "and a tab, or give one for each clip."
            )
        return {source.name: line for source, line in zip(sources, lines, strict=True)}
    pairs = [line.partition("\t") for line in lines]
    if bare := next((name for name, tab, _ in pairs if not tab), None):
        raise UserError(f"There is no tab in the prompts' line '{bare[:60]}'. Each needs a name, a tab and a prompt.")
    return {name.strip(): prompt.strip() for name, _, prompt in pairs}
