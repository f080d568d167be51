"""Action packs: a motion, and tastes for it, as a folder that can be put into a loaded `VideoUNet` and taken out again.

    lora_weights/<family>/<name>/
        pack.json                    what it is (`ActionPack`)
        motion.safetensors           stage 1: the parameters stage 1 trains, by their published names
        preference.safetensors       stage 2, optional: a LoRA in diffusers' own format with its metadata
        preference-NAME.safetensors  further ones beside it
        preference-NAME.json, preference-NAME/   what is known of it, its sample clips (`cards`)

Here are the folders and their records, without torch, so that a menu of packs is there at once; `pack_weights.py` puts
a pack's tensors into a network.
"""

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from safetensors import SafetensorError, safe_open

from huvidpo_core.config import KeyFrames, build
from huvidpo_core.errors import UserError
from huvidpo_core.files import whole_folder

if TYPE_CHECKING:
    from torch import Tensor

    from huvidpo_core.models.preference import Adapter

log = logging.getLogger(__name__)

RECORD, MOTION = "pack.json", "motion.safetensors"
DEFAULT = "preference"  # the name of the LoRA in preference.safetensors
TAUGHT = "taught in HuViDPO Lab"  # the source of a pack, as its training record says
PAINTERS = "first_frame"  # a folder among the packs that is none: the LoRAs of `painter_loras`


@dataclass(frozen=True)
class ActionPack:
    """What pack.json says, and where it lies. All keys but `training` are required; no others are allowed."""

    name: str  # the folder's name; that counts when a folder was copied under another name
    title: str  # for people
    action: str
    prompt: str  # the template its clips were described with, "{}" for what varies
    base: str  # the model below, for people
    base_hash: str  # the model below, for the program: `weights.model_hash`
    frames: int
    fps: int
    width: int  # of the training clips, pixels
    height: int
    licence: str
    training: dict = field(default_factory=dict)  # anything JSON can hold; `key_frames`, `shared_noise`
    folder: Path | None = field(default=None, compare=False)  # None: not saved yet; never in the JSON

    @classmethod
    def load(cls, folder: Path) -> "ActionPack":
        """Read a pack's record and look whether its motion file is whole; the tensors are read when it is applied.

        Raises:
            UserError: no such pack, a wrong, missing or unknown key, no motion file or a damaged one.
        """
        path = folder / RECORD
        try:
            record = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise UserError(f"There is no action pack in {folder} (no {RECORD}). Check its name.") from None
        except (OSError, ValueError) as error:
            raise UserError(f"{path} is not valid JSON ({error}); mend it or remove the pack.") from error
        if not isinstance(record, Mapping) or "folder" in record:
            raise UserError(f"{path} is not the record of an action pack; mend it or remove the pack.")
        pack = replace(build(cls, record, str(path)), name=folder.name, folder=folder)
        for number in ("frames", "fps", "width", "height"):
            if getattr(pack, number) < 1:
                raise UserError(f"{path}: '{number}' is {getattr(pack, number)}, but must be at least 1.")
        if pack.key_frames not in (None, *get_args(KeyFrames)):
            raise UserError(
                f"{path}: 'key_frames' is {pack.key_frames!r}. Choose one of: {', '.join(get_args(KeyFrames))}."
            )
        noise = pack.shared_noise
        if noise is not None and not (isinstance(noise, int | float) and 0 <= noise <= 1):
            raise UserError(f"{path}: 'shared_noise' is {noise!r}, but must be a number from 0 to 1.")
        try:
            with safe_open(folder / MOTION, framework="np"):
                pass
        except (OSError, SafetensorError) as error:
            raise UserError(
                f"{folder / MOTION} is missing or damaged ({error}); fetch or train the pack again."
            ) from error
        return pack

    def save(
        self,
        folder: Path,
        motion: "Mapping[str, Tensor]",
        overwrite: bool = False,
        preference: "Adapter | None" = None,
    ) -> "ActionPack":
        """Write the pack, whole or not at all; the returned pack knows its folder.

        Args:
            folder: `lora_weights/<family>/<name>`.
            motion: the trained tensors by name, e.g. of `motion_parameters(unet)`.
            overwrite: replace a pack that is there, with its preference LoRAs (they were trained on its motion).
            preference: a LoRA to put beside the motion, as the unnamed one.

        Raises:
            UserError: the folder is there already and `overwrite` is False, or it cannot be written (disk full, no
                permission).
        """
        from huvidpo_core.models import preference as lora  # torch, which reading a record does without
        from huvidpo_core.models.weights import write_weights

        if folder.exists() and not overwrite:
            raise UserError(f"{folder} is there already; choose another name or remove it.")
        record = {key: value for key, value in asdict(self).items() if key != "folder"} | {"name": folder.name}
        with whole_folder(folder) as fresh:
            write_weights(motion, fresh / MOTION, {"format": "pt"})
            if preference is not None:
                lora.write(preference, fresh / f"{DEFAULT}.safetensors")
            (fresh / RECORD).write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        return replace(self, name=folder.name, folder=folder)

    def digest(self) -> str:
        """SHA-256 of what decides how clips are made with it: the motion, and how it is to be used."""
        used = json.dumps([self.base_hash, self.key_frames, self.shared_noise])
        with (self._folder / MOTION).open("rb") as file:
            return hashlib.sha256(used.encode() + hashlib.file_digest(file, "sha256").digest()).hexdigest()

    @property
    def key_frames(self) -> KeyFrames | None:
        """Which frames self-attention must look at for this motion; None: those of the base below."""
        return self.training.get("key_frames")

    @property
    def shared_noise(self) -> float | None:
        """How much of frame 0's noise the later frames start with, 0..1; None: as the profile says."""
        return self.training.get("shared_noise")

    @property
    def taught_here(self) -> bool:
        """Whether somebody taught it in the app or by `train-motion`."""
        return self.training.get("source") == TAUGHT

    @property
    def preferences(self) -> tuple[str, ...]:
        """Names of the preference LoRAs on disk now, "preference" (the unnamed one) first, then by the alphabet."""
        unnamed = (DEFAULT,) if (self._folder / f"{DEFAULT}.safetensors").is_file() else ()
        files = self._folder.glob(f"{DEFAULT}-*.safetensors")
        return unnamed + tuple(sorted({path.stem.removeprefix(f"{DEFAULT}-") for path in files} - {DEFAULT}))

    def preference_file(self, name: str = DEFAULT) -> Path:
        """Where the preference LoRA of this name lies, or would lie."""
        if not name:
            raise UserError("Type a name for the LoRA first.")
        if name != Path(name).name or name.startswith("."):
            raise UserError(f"'{name}' cannot be a file's name: leave out slashes, and dots at the beginning.")
        return self._folder / (f"{DEFAULT}.safetensors" if name == DEFAULT else f"{DEFAULT}-{name}.safetensors")

    @property
    def _folder(self) -> Path:
        if self.folder is None:
            raise UserError(f"The action pack {self.name} has not been saved yet.")
        return self.folder


def scan_packs(folder: Path) -> tuple[list[ActionPack], dict[str, str]]:
    """The packs below a family's folder, by name, and for each broken one its name and what is wrong with it."""
    packs, broken = [], {}
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.is_dir() and not path.name.startswith(".") and path.name != PAINTERS:
            try:
                packs.append(ActionPack.load(path))
            except UserError as error:
                broken[path.name] = str(error)
    return packs, broken


def list_packs(root: Path, family: str = "") -> list[ActionPack]:
    """The usable packs in `root/family`; a broken one is skipped with a logged warning (`scan_packs` reports them)."""
    packs, broken = scan_packs(root / family)
    for problem in broken.values():
        log.warning("skipped an action pack: %s", problem)
    return packs
