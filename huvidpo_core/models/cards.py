"""LoRAs as files, those beside an action pack and those for first frames (`painter_loras`): what is known of each, on
trial or not; renamed and followed, removed.

A LoRA's card lies beside its file, `preference-NAME.json` beside a pack: what it was made from and how it did, as
JSON. One whose card says `"trial": true` may be generated with but stands in no menu: a blind round shows it to people
under no name. Samples lie in the folder `preference-NAME`, named by step and number: `00000-1.mp4` is one by the base,
`00040-1.mp4` the same first frame and seed by the LoRA, which is the training's of step 40. The
card keeps the names that a LoRA had before, for recipes and votes that carry them. No torch.
"""

import json
import re
import shutil
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from huvidpo_core import media
from huvidpo_core.errors import UserError
from huvidpo_core.files import whole_file, whole_folder
from huvidpo_core.models.packs import ActionPack

SAMPLES = (".mp4", ".png")
FORMER = "former"  # in a card: what its file was called before, each stem with when it was renamed, seconds since 1970


def read_card(file: Path) -> dict[str, Any]:
    """What is known of the LoRA in `file`; empty where nothing was written down."""
    try:
        card = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return card if isinstance(card, dict) else {}


def write_card(file: Path, card: Mapping[str, Any]) -> None:
    """Write down what is known of the LoRA in `file`. Raises UserError when it cannot be written."""
    with whole_file(file.with_suffix(".json")) as path:
        path.write_text(json.dumps(card, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def former(file: Path) -> dict[str, float]:
    """The stems that the file of this LoRA had before, and until when, seconds since the epoch."""
    known = read_card(file).get(FORMER)
    known = known if isinstance(known, dict) else {}
    return {stem: until for stem, until in known.items() if isinstance(until, int | float)}


def stem_now(folder: Path, stem: str) -> str:
    """The stem that the file of a LoRA in this folder has now, for it may have been renamed. A name that another has
    taken belongs to that one; of several that had it, to the last. The stem itself where there is none."""
    if (folder / f"{stem}.safetensors").exists():
        return stem
    left = {file.stem: former(file).get(stem, 0.0) for file in folder.glob("*.safetensors")}
    last = max(left, key=left.__getitem__, default=stem)
    return last if left.get(last) else stem


def samples_by_step(folder: Path) -> dict[int, list[Path]]:
    """The sample clips (or pictures) in a folder, by the step of the training they were made at; of each by number.
    Files of other names, such as a system's thumbnails, are none."""
    found: dict[int, list[Path]] = {}
    for path in sorted(folder.glob("*-*.*")):
        if path.suffix in SAMPLES and re.fullmatch(r"[0-9]+-[0-9]+", path.stem):
            found.setdefault(int(path.stem.split("-")[0]), []).append(path)
    return found


def read_samples(file: Path) -> dict[int, list[Path]]:
    """The sample clips of the LoRA in `file`; none for one that was merged or brought."""
    return samples_by_step(_samples(file))


def write_samples(file: Path, clips: Sequence[Path]) -> None:
    """Copy sample clips beside the LoRA in `file`, in place of any that were there. Raises UserError: a full disk."""
    if not clips:
        shutil.rmtree(_samples(file), ignore_errors=True)
        return
    with whole_folder(_samples(file)) as fresh:
        for clip in clips:
            shutil.copyfile(clip, fresh / clip.name)


def on_trial(pack: ActionPack, name: str) -> bool:
    """Whether the LoRA is for blind rounds only."""
    return bool(read_card(pack.preference_file(name)).get("trial"))


def free_file(pack: ActionPack, name: str) -> Path:
    """Where a new LoRA of this name is to lie. Raises UserError when the name is taken or cannot be one."""
    file = pack.preference_file(name)
    if file.exists():
        raise UserError(f"There is a LoRA '{name}' beside this action pack already. Choose another name.")
    return file


def prepare(pack: ActionPack, name: str, card: Mapping[str, Any], clips: Sequence[Path] = ()) -> Path:
    """Where a new LoRA is to lie, with its card and sample clips there already: one on trial must not be seen without
    its mark. Raises UserError as `free_file`, or for a full disk."""
    file = free_file(pack, name)
    write_samples(file, clips)
    write_card(file, card)
    return file


def put(pack: ActionPack, name: str, source: Path, card: Mapping[str, Any], clips: Sequence[Path] = ()) -> Path:
    """Copy a LoRA beside its pack, with sample clips; returns where it lies. Raises UserError as `prepare`."""
    file = prepare(pack, name, card, clips)
    media.copy_whole(source, file)
    return file


def rename(file: Path, target: Path) -> None:
    """Move the LoRA in `file` to `target`, which is free, its card, which keeps the old name, and samples too. Raises
    UserError: that may not be; all is then as it was."""
    write_card(target, read_card(file) | {FORMER: former(file) | {file.stem: time.time()}})
    old, new = _samples(file), _samples(target)
    try:
        shutil.rmtree(new, ignore_errors=True)
        if old.is_dir():
            old.rename(new)
        file.rename(target)
    except OSError as error:
        with suppress(OSError):
            target.with_suffix(".json").unlink()
            if new.is_dir():
                new.rename(old)
        raise UserError(f"The LoRA could not be renamed ({error.strerror}).") from error
    with suppress(OSError):  # the LoRA has its new name; a card that is left tells of nothing
        file.with_suffix(".json").unlink()


def remove(file: Path) -> None:
    """Delete a LoRA, its card and samples. Raises UserError: it may not be deleted, and all is as it was."""
    try:
        file.unlink()
    except OSError as error:
        raise UserError(f"The LoRA could not be deleted ({error.strerror}).") from error
    with suppress(OSError):
        file.with_suffix(".json").unlink()
    shutil.rmtree(_samples(file), ignore_errors=True)


def existing(pack: ActionPack, name: str) -> Path:
    """Where a LoRA lies. Raises UserError when it is not there."""
    if name not in pack.preferences:
        there = ", ".join(each for each in pack.preferences if not on_trial(pack, each)) or "none"
        raise UserError(f"The action pack {pack.name} has no LoRA '{name}'; there is: {there}.")
    return pack.preference_file(name)


def _samples(file: Path) -> Path:
    """Where a LoRA's sample clips lie."""
    return file.with_suffix("")
