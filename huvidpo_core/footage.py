"""Clips as people have them, for an action to be taught from: found, read at a profile's size and rate, put into words.

A clip is a video file or a folder of pictures. Beside it a text file of the same name may say what it shows; a video
that this app made says so itself.
"""

import hashlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from huvidpo_core import media
from huvidpo_core.config import VideoConfig, without_gap
from huvidpo_core.errors import UserError
from huvidpo_core.files import whole_folder
from huvidpo_core.recipe import MAX_PROMPT
from huvidpo_core.training.material import CLIPS, Material, Take
from huvidpo_core.viewing import LONGEST, View, pictures, read_clip, view

__all__ = ["LONGEST", "Footage", "Shot", "look", "read_clip"]

ENDINGS = (".mp4", ".m4v", ".mov", ".webm", ".mkv", ".avi", ".gif")
FEWEST, GOOD = 2, 8  # clips that an action can be taught from, and that do it well
CUT = 0.2  # of a picture; less is not worth a word
STILL = 0.1  # levels: below this mean change from frame to frame nothing moves

Compose = Callable[[str, str, str], str]  # prompt, action, style -> the whole text


@dataclass(frozen=True)
class Shot:
    """A clip that was found, and what it is taught with."""

    path: Path
    take: Take


@dataclass(frozen=True)
class Footage:
    """Clips that can be taught from. `notes` are sentences about what is not as good as it could be."""

    shots: tuple[Shot, ...]
    notes: tuple[str, ...]

    def keep(self, folder: Path) -> Material:
        """Copy the clips into a run's folder, all or none. Raises UserError when they cannot be written."""
        try:
            with whole_folder(folder / CLIPS) as fresh:
                for shot in self.shots:
                    target = fresh / shot.take.file
                    if shot.path.is_dir():
                        target.mkdir()
                    for file in _files(shot.path):
                        shutil.copyfile(file, target / file.name if shot.path.is_dir() else target)
        except UserError:
            with suppress(OSError):
                folder.rmdir()  # if it is empty
            raise
        takes = tuple(shot.take for shot in self.shots)
        material = Material(takes, _digest(folder / CLIPS, takes))
        material.save(folder)
        return material


def look(files: Sequence[Path], template: str, video: VideoConfig, compose: Compose) -> Footage:
    """Find and read clips, and say what each is taught with.

    A clip's own words, from a text file, stand for the template's "{}", or for the whole template where it has none.
    The prompt of a clip that this app made is a whole sentence, and stands for the whole template. Without either, "{}"
    is left out.

    Args:
        files: videos, folders of pictures, folders of both, and text files named as a clip.
        template: what the clips show, with "{}" for what varies, or a sentence.
        compose: makes the text that the models see of a recipe's prompt, action and style.

    Raises:
        UserError: no template, fewer than `FEWEST` clips, or some that cannot be used: all of them are named.
    """
    template = " ".join(template.split())
    if not template:
        raise UserError("What do the clips show? Give a prompt, with {} for what varies: 'a {} ball bounces'.")
    if template.count("{}") > 1:
        raise UserError("The prompt has more than one {}. Keep one, for what varies from clip to clip.")
    if len(template) > MAX_PROMPT:
        raise UserError(f"The prompt has {len(template):,} characters; at most {MAX_PROMPT:,} are read. Shorten it.")
    clips, words = _find(files)
    if len(clips) < FEWEST:
        for path in clips:
            view(path, video)  # what is no video is the mistake to be told
        there = "There is one clip only" if clips else "There is no clip"
        raise UserError(f"{there}. Give at least {FEWEST} videos of one action; {GOOD} to 16 are good.")
    shots, views, notes, problems = [], [], [], []
    for number, path in enumerate(clips):
        try:
            seen = view(path, video)
            text, prompt = _words(path, words.get(path.stem), seen.recipe, template, compose)
            notes += _remarks(path, seen, video)
            file = f"{number:02d}{'' if path.is_dir() else path.suffix.lower()}"
            shots.append(Shot(path, Take(path.name, file, text, prompt, seen.frames)))
            views.append(seen)
        except UserError as error:
            problems.append(str(error))
    if problems:
        more = f" And {len(problems) - 3} more are at fault." if len(problems) > 3 else ""
        raise UserError(" ".join(problems[:3]) + more)
    return Footage(tuple(shots), (*_remarks_on_all(shots, views, template, video), *notes))


def _find(files: Sequence[Path]) -> tuple[list[Path], dict[str, Path]]:
    """The clips in these files and folders, each folder's by name; and the text files that were given, by stem."""
    found: list[Path] = []
    for path in files:
        if path.is_dir():
            found += _inside(path)
        elif not path.exists():
            raise UserError(f"There is no file or folder {path}.")
        elif path.suffix.lower() in ENDINGS:
            if path.stat().st_size > media.MAX_FILE:
                raise UserError(f"{path.name} has over {media.MAX_FILE / 2**20:,.0f} MB. Cut out the part that counts.")
            found.append(path)
        elif path.suffix.lower() != ".txt":
            raise UserError(f"{path.name} is not a video ({', '.join(ending[1:].upper() for ending in ENDINGS)}).")
    return list(dict.fromkeys(found)), {path.stem: path for path in files if path.suffix.lower() == ".txt"}


def _inside(folder: Path) -> list[Path]:
    """The clips in a folder and below, hidden ones left out, and a GIF beside an MP4 of the same name."""
    every = [folder, *sorted(folder.rglob("*"))]
    every = [path for path in every if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
    videos = [path for path in every if path.suffix.lower() in ENDINGS and path.is_file()]
    mp4 = {path.with_suffix("") for path in videos if path.suffix.lower() == ".mp4"}
    videos = [path for path in videos if path.suffix.lower() != ".gif" or path.with_suffix("") not in mp4]
    homes = {path.parent for path in videos}  # of pictures beside videos nobody knows what they are
    return videos + [path for path in every if path.is_dir() and path not in homes and len(pictures(path)) > 1]


def _files(clip: Path) -> list[Path]:
    """What a clip consists of: the video, or a folder's pictures."""
    return pictures(clip) if clip.is_dir() else [clip]


def _words(
    path: Path, given: Path | None, recipe: Mapping[str, Any], template: str, compose: Compose
) -> tuple[str, str]:
    """The whole text of a clip, and what of it a person would type."""
    beside = path.with_suffix(".txt") if path.is_file() else path.with_name(f"{path.name}.txt")
    if own := _read_words(beside if beside.is_file() else given):
        text = template.replace("{}", own) if "{}" in template else own
        return text, text
    prompt, action, style = (str(recipe.get(key) or "") for key in ("prompt", "action", "style"))
    if prompt.strip():
        return compose(prompt, action, style), prompt
    text = without_gap(template)
    if not text:
        raise UserError(f"What does {path.name} show? Put its words into {beside.name} beside it, or into the prompt.")
    return text, text


def _read_words(path: Path | None) -> str:
    try:
        return " ".join(path.read_text(encoding="utf-8-sig").split())[:MAX_PROMPT] if path else ""
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path.name} cannot be read as text in UTF-8. Save it anew, or remove it.") from error


def _remarks(path: Path, seen: View, video: VideoConfig) -> list[str]:
    """What is not as it should be with one clip."""
    found = []
    if seen.motion < STILL:
        found.append(f"Hardly anything moves in {path.name}: it teaches to stand still.")
    if not 0.75 <= video.fps / seen.fps <= 1.34:
        pace = f"{video.fps / seen.fps:.1f} times as fast"
        found.append(
            f"{path.name} has {seen.fps:.3g} frames a second and not {video.fps}: its motion is taught {pace}."
        )
    if seen.frames == LONGEST * video.frames:
        found.append(f"Of {path.name} the first {seen.frames / video.fps:.0f} seconds are used.")
    return found


def _remarks_on_all(shots: Sequence[Shot], views: Sequence[View], template: str, video: VideoConfig) -> list[str]:
    found = []
    if len(shots) < GOOD:
        found.append(
            f"There are {len(shots)} clips only. {GOOD} to 16 are good; fewer are soon learned by heart, and then "
            "every scene looks like one of them."
        )
    length = video.frames / video.fps
    few = [seen for seen in views if seen.frames < video.frames]
    thin = [seen for seen in few if seen.frames / seen.fps >= length]
    if short := len(few) - len(thin):
        are = "clip is" if short == 1 else "clips are"
        found.append(
            f"{short} {are} shorter than the {video.frames} frames of a clip made here ({length:.3g} seconds): what "
            "comes after is not taught by them."
        )
    if thin:
        last = "1 clip lasts" if len(thin) == 1 else f"{len(thin)} clips last"
        most, rate = max((seen.frames, seen.fps) for seen in thin)
        found.append(
            f"{last} the {length:.3g} seconds of a clip made here, but taken evenly only {most} of its {video.frames} "
            f"frames, {rate:.3g} a second in place of {video.fps}: their motion will look {video.fps / rate:.2g} times "
            f"as fast. Bring some of {video.frames / rate:.2g} seconds or more, or with {video.fps} frames a second."
        )
    if cropped := [seen for seen in views if seen.cut > CUT]:
        are = "clip has" if len(cropped) == 1 else "clips have"
        most = max(seen.cut for seen in cropped)
        found.append(
            f"{len(cropped)} {are} another shape than the {video.width} x {video.height} pixels of a clip made here: "
            f"the middle is used, and up to {most:.0%} of the picture is cut off at its edges."
        )
    own = [seen for shot, seen in zip(shots, views, strict=True) if shot.take.prompt == seen.recipe.get("prompt")]
    if own:
        were = "1 clip was" if len(own) == 1 else f"{len(own)} clips were"
        found.append(f"{were} made by this app: the prompt that is in the file is used there, and not the sentence.")
    if len(actions := sorted({str(seen.recipe["action"]) for seen in own if seen.recipe.get("action")})) > 1:
        found.append(f"They show several actions ({', '.join(actions)}): one is learned best from clips of that one.")
    gaps = sum(shot.take.text == without_gap(template) for shot in shots) if "{}" in template else 0
    if gaps == len(shots):
        found.append(
            "Nothing says what {} stands for, so it is left out. In Teach, type it under each clip; or put a text file "
            "of the same name beside it."
        )
    elif gaps:
        whose = "of one clip" if gaps == 1 else f"of {gaps} clips"
        found.append(f"Nothing fills the gap {whose}: {{}} is left out there.")
    return found


def _digest(folder: Path, takes: Sequence[Take]) -> str:
    """SHA-256 of the clips' words and files."""
    digest = hashlib.sha256(repr([replace(take, name="") for take in takes]).encode())
    for take in takes:
        for file in _files(folder / take.file):
            with file.open("rb") as opened:
                digest.update(hashlib.file_digest(opened, "sha256").digest())
    return digest.hexdigest()
