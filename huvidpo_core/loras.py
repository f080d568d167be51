"""The preference LoRAs that a person keeps: listed with what is known of them, renamed, deleted, merged, sent and
brought. Those on trial (`adoption`) are left alone. Importing this loads no torch.

A LoRA's id is what a recipe calls it, 'PACK/NAME', or 'lora:NAME' for one that draws first frames; these are listed
under `FIRST_FRAMES` in the place of an action, and are neither merged nor brought.
"""

import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from huvidpo_core import media
from huvidpo_core.adoption import numbered
from huvidpo_core.errors import UserError
from huvidpo_core.models import cards
from huvidpo_core.models.packs import PAINTERS, ActionPack, list_packs
from huvidpo_core.models.painter_loras import PREFIX, PainterLoras
from huvidpo_core.sharing import forget_old_exports, fresh_export
from huvidpo_core.workbench import Workbench

FIRST_FRAMES = PAINTERS  # no action can have this name
NOTES = "huvidpo"  # key of our own JSON in a LoRA file's metadata
TOLD = ("base_model", "base_hash", "pack", "dataset_hash")  # what is taken over from it; anybody may have written it


@dataclass(frozen=True)
class Lora:
    """One that stands in the menus."""

    id: str
    title: str  # of its pack and itself, as in the menus
    name: str
    card: Mapping[str, Any]  # what is known of it; may be empty
    samples: Mapping[int, Sequence[Path]]  # by the base (0) and by it, by the step of its training; may be empty
    size: int  # bytes


class Loras:
    """The LoRAs beside the packs of one family. Every method raises UserError where a file cannot be used."""

    def __init__(self, packs: Path, bench: Workbench, data: Path) -> None:
        """`packs` is the family's folder, `bench` knows the network they must fit, `data` where files are served."""
        self._packs, self._bench, self._data = packs, bench, data
        self._painters = PainterLoras(packs)

    def list(self, action: str) -> list[Lora]:
        """Those of an action's packs, or those for first frames."""
        if action == FIRST_FRAMES:
            return [_lora(each, file.stem, file.stem, file) for each, file in self._painters.files().items()]
        return [
            _lora(f"{pack.name}/{name}", f"{pack.title} + {name}", name, pack.preference_file(name))
            for pack in list_packs(self._packs)
            if pack.action == action
            for name in pack.preferences
            if not cards.on_trial(pack, name)
        ]

    def rename(self, lora: str, name: str) -> str:
        """Give it another name; returns its new id. What was made with it keeps the old one, which leads here."""
        name = name.strip()
        if lora.startswith(PREFIX):
            cards.rename(self._file(lora), self._painters.free_file(name))
            return PREFIX + name
        pack, old = self._of(lora)
        cards.rename(cards.existing(pack, old), cards.free_file(pack, name))
        return f"{pack.name}/{name}"

    def delete(self, lora: str) -> None:
        """Delete its file, its card and its samples."""
        cards.remove(self._file(lora))

    def copy_out(self, lora: str) -> Path:
        """A copy of its file for a browser to fetch, under an address that cannot be guessed."""
        file = self._file(lora)
        target = fresh_export(self._data, f"{file.parent.name}-{file.stem.removeprefix('preference-')}.safetensors")
        media.copy_whole(file, target)
        forget_old_exports(self._data)
        return target

    def bring(self, file: Path, action: str, name: str = "") -> str:
        """Take in a LoRA for an action's own pack, under `name`, or its file's with a number if that is taken; its id.

        Raises:
            UserError: it is no .safetensors, does not fit the network, or was trained on another base model.
        """
        from huvidpo_core.models import preference

        pack = self._pack(action)
        free = (each for number in count(1) if (each := numbered(file.stem, number)) not in pack.preferences)
        name = name.strip() or next(free)
        cards.free_file(pack, name)
        made = _notes(file)
        if made.get("base_hash", pack.base_hash) != pack.base_hash:
            raise UserError(
                f"{file.name} was trained on another base model ({made.get('base_model', 'unknown')}). Choose a LoRA "
                f"for {pack.base}."
            )
        stop = threading.Event()
        with self._bench.reserved(stop):
            unet = self._bench.load().animator.unet
            try:
                preference.read(file, unet)
            except UserError as error:
                raise UserError(str(error).replace(str(file), file.name)) from error
        told = {key: value for key, value in made.items() if key in TOLD and isinstance(value, str)}
        cards.put(pack, name, file, told | {"brought": time.time()})
        return f"{pack.name}/{name}"

    def merge(self, loras: Sequence[str], weights: Sequence[float], name: str) -> str:
        """A new LoRA that does what these do together, each times its weight (`models.merge`); returns its id.

        Raises:
            UserError: they are not of one pack, not two different ones, a weight or the name cannot be one.
        """
        from huvidpo_core.models import preference
        from huvidpo_core.models.merge import merge

        packs = {lora.partition("/")[0] for lora in loras}
        if len(set(loras)) < 2 or len(packs) > 1 or not all("/" in lora for lora in loras):
            raise UserError("Choose two different LoRAs beside the same action pack.")
        found = [self._of(lora) for lora in loras]
        pack, name = found[0][0], name.strip()
        cards.free_file(pack, name)
        with self._bench.reserved(threading.Event()):
            unet = self._bench.load().animator.unet
            parts = [preference.read(pack.preference_file(old), unet) for _, old in found]
        merged = merge(parts, weights)
        known = {"base_model": pack.base, "base_hash": pack.base_hash, "pack": pack.name}
        made = [{"name": old, "weight": weight} for (_, old), weight in zip(found, weights, strict=True)]
        target = cards.prepare(pack, name, {**known, "merged": made})
        preference.write(merged, target, {NOTES: json.dumps(known)})
        return f"{pack.name}/{name}"

    def _file(self, lora: str) -> Path:
        """Where it lies. Raises UserError unless it is there."""
        if lora.startswith(PREFIX):
            return self._painters.file(lora.removeprefix(PREFIX))
        return cards.existing(*self._of(lora))

    def _of(self, lora: str) -> tuple[ActionPack, str]:
        """Its pack and name. Raises UserError unless it is there."""
        folder, _, name = lora.partition("/")
        if folder not in {pack.name for pack in list_packs(self._packs)}:
            raise UserError("That LoRA is no longer there. Reload the page to see those that are.")
        pack = ActionPack.load(self._packs / folder)
        cards.existing(pack, name)
        return pack, name

    def _pack(self, action: str) -> ActionPack:
        return ActionPack.load(self._packs / action)


def _lora(id_: str, title: str, name: str, file: Path) -> Lora:
    return Lora(id_, title, name, cards.read_card(file), cards.read_samples(file), file.stat().st_size)


def _notes(file: Path) -> dict[str, Any]:
    """What a file says of itself, empty for one made elsewhere. Raises UserError unless it is a .safetensors."""
    try:
        if file.suffix != ".safetensors":
            raise ValueError("its name does not end in .safetensors")
        with safe_open(file, framework="np") as opened:
            notes = json.loads((opened.metadata() or {}).get(NOTES, "{}"))
        return notes if isinstance(notes, dict) else {}
    except (OSError, SafetensorError, ValueError) as error:
        raise UserError(f"{file.name} is not a LoRA file ({error}). Choose a .safetensors.") from error
