"""The preference LoRAs beside an action pack as files: what is known of each, on trial or not; renamed, removed.

A LoRA's card is `preference-NAME.json` beside its file: what it was made from and how it did, as JSON. One whose card
says `"trial": true` may be generated with but stands in no menu: a blind round shows it to people under no name.
No torch.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from huvidpo_core import media
from huvidpo_core.errors import UserError
from huvidpo_core.files import whole_file
from huvidpo_core.models.packs import ActionPack


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


def on_trial(pack: ActionPack, name: str) -> bool:
    """Whether the LoRA is for blind rounds only."""
    return bool(read_card(pack.preference_file(name)).get("trial"))


def free_file(pack: ActionPack, name: str) -> Path:
    """Where a new LoRA of this name is to lie. Raises UserError when the name is taken or cannot be one."""
    file = pack.preference_file(name)
    if file.exists():
        raise UserError(f"There is a LoRA '{name}' beside this action pack already. Choose another name.")
    return file


def put(pack: ActionPack, name: str, source: Path, card: Mapping[str, Any]) -> Path:
    """Copy a LoRA beside its pack; returns where it lies. Raises UserError as `free_file`, or for a full disk."""
    file = free_file(pack, name)
    write_card(file, card)  # first: a LoRA on trial must not be seen without its mark
    media.copy_whole(source, file)
    return file


def rename(pack: ActionPack, old: str, new: str) -> None:
    """Give a LoRA another name, its card too. Raises UserError: it is not there, the name is taken or cannot be one."""
    file, target = existing(pack, old), free_file(pack, new)
    write_card(target, read_card(file))
    try:
        file.rename(target)
    except OSError as error:
        raise UserError(f"The LoRA could not be renamed ({error.strerror}).") from error
    file.with_suffix(".json").unlink(missing_ok=True)


def remove(pack: ActionPack, name: str) -> None:
    """Delete a LoRA and its card. Raises UserError: it is not there, or may not be deleted."""
    file = existing(pack, name)
    try:
        file.unlink()
        file.with_suffix(".json").unlink(missing_ok=True)
    except OSError as error:
        raise UserError(f"The LoRA could not be deleted ({error.strerror}).") from error


def existing(pack: ActionPack, name: str) -> Path:
    """Where a LoRA lies. Raises UserError when it is not there."""
    if name not in pack.preferences:
        there = ", ".join(each for each in pack.preferences if not on_trial(pack, each)) or "none"
        raise UserError(f"The action pack {pack.name} has no LoRA '{name}'; there is: {there}.")
    return pack.preference_file(name)
