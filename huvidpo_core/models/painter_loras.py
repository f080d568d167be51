"""The LoRAs for whoever draws the first frames, as files: `lora_weights/<family>/first_frame/NAME.safetensors`, in
diffusers' own format, with a card NAME.json and the folder NAME of sample pictures, as those beside action packs have
(`cards`). Read anew on every question. No torch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from huvidpo_core import media
from huvidpo_core.errors import UserError
from huvidpo_core.models import cards
from huvidpo_core.models.packs import PAINTERS
from huvidpo_core.recipe import PAINTER_LORA as PREFIX


@dataclass(frozen=True)
class PainterLoras:
    """Those of one family, whose folder of action packs is `packs`."""

    packs: Path

    def names(self) -> list[str]:
        """Those that are there, by the alphabet."""
        return [path.stem for path in self._files]

    def now(self, name: str) -> str:
        """What the LoRA that had this name is called now (`cards.stem_now`)."""
        return cards.stem_now(self._folder, name)

    def file(self, name: str) -> Path:
        """Where a LoRA lies. Raises UserError when it is not there."""
        if name not in self.names():
            there = ", ".join(self.names()) or "none so far"
            raise UserError(f"There is no LoRA '{name}' for first frames; there is: {there}.")
        return self._folder / f"{name}.safetensors"

    def free_file(self, name: str) -> Path:
        """Where a new LoRA of this name is to lie. Raises UserError when the name is taken or cannot be one."""
        if not name:
            raise UserError("Type a name for the LoRA first.")
        if name != Path(name).name or name.startswith("."):
            raise UserError(f"{name!r} cannot be a file's name; choose letters, digits and dashes for a LoRA.")
        if name in self.names():
            raise UserError(f"There is a LoRA '{name}' for first frames already. Choose another name.")
        return self._folder / f"{name}.safetensors"

    def files(self) -> dict[str, Path]:
        """Where each lies, by what a recipe calls its painter."""
        return {PREFIX + path.stem: path for path in self._files}

    def put(self, name: str, source: Path, card: Mapping[str, Any], samples: Sequence[Path] = ()) -> Path:
        """Copy a LoRA there, its card and sample pictures first; returns where it lies. Raises UserError as
        `free_file`, or for a full disk."""
        file = self.free_file(name)
        cards.write_samples(file, samples)
        cards.write_card(file, card)
        media.copy_whole(source, file)
        return file

    @property
    def _files(self) -> list[Path]:
        found = (path for path in self._folder.glob("*.safetensors") if not path.name.startswith("."))
        return sorted(found, key=lambda path: path.stem)

    @property
    def _folder(self) -> Path:
        return self.packs / PAINTERS
