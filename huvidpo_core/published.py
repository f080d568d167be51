"""A published checkpoint brought into the running app, as an action pack. Importing this loads no torch."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from huvidpo_core.actions import Naming
from huvidpo_core.adoption import numbered
from huvidpo_core.config import KeyFrames, Profile, resolve
from huvidpo_core.errors import UserError
from huvidpo_core.progress import Progress, generate
from huvidpo_core.workbench import Workbench

if TYPE_CHECKING:
    from huvidpo_core.models import VideoUNet

CONFIG, WEIGHTS = "config.json", "diffusion_pytorch_model"


@dataclass(frozen=True)
class Published:
    """Puts checkpoints into a family's folder of packs; `naming` says what an action of a title would be called."""

    profile: Profile
    packs: Path
    bench: Workbench
    naming: Callable[[str], Naming]

    def bring(
        self,
        files: Sequence[Path],
        title: str,
        stop: threading.Event,
        *,
        lora: Path | None = None,
        key_frames: KeyFrames = "first+previous",
    ) -> Iterator[Progress | str]:
        """Convert a checkpoint, prove it, and offer it with an action; the last item is the pack's name.

        Args:
            files: the checkpoint's folder, its unet/ folder, or its config.json and its weights.
            title: of the action, one there is or a new one. A second pack of an action gets a number, as a taught one.
            lora: a published preference LoRA, trained on this checkpoint.
            key_frames: "first" for LAMP's.

        Raises:
            UserError: a file is missing, damaged, holds code or does not fit; no pack is there then.
            Stopped: `stop` was set; no pack is there either.
        """
        from huvidpo_core.models.imports import import_official

        if not title.strip():
            raise UserError("Choose the action first, or type the name of a new one.")
        with one_folder(files) as unet, self.bench.reserved(stop):
            models = yield from self.bench.ready(stop)
            naming = self.naming(title)
            name = numbered(naming.action, naming.number)

            def work(report: Callable[[Progress], bool]) -> str:
                import_official(
                    unet, self.packs / name, action=naming.action, lora_file=lora, key_frames=key_frames,
                    title=naming.title + (f" {naming.number}" if naming.number > 1 else ""),
                    base=self.profile.video.base, onto=models.animator.unet, report=report,
                )  # fmt: skip
                return name

            try:
                yield from generate(work, stop)
            except UserError as error:  # where an upload was kept means nothing to whoever sent it
                words = str(error).replace(f"{unet}/", "")
                raise UserError(words.replace(str(lora), lora.name) if lora else words) from error


@contextmanager
def one_folder(files: Sequence[Path]) -> Iterator[Path]:
    """A folder as a checkpoint's unet/ is. Raises UserError unless these files make one."""
    if len(files) == 1 and files[0].is_dir():
        from huvidpo_core.models.official import unet_of

        yield unet_of(files[0])
        return
    if missing := [file for file in files if not file.exists()]:
        raise UserError(f"{missing[0]} is not there. Check how it is written.")
    configs = [file for file in files if file.suffix == ".json"]
    weights = [file for file in files if file.suffix in (".bin", ".safetensors")]
    if odd := [file.name for file in files if file not in (*configs, *weights)]:
        raise UserError(f"{odd[0]} is not part of a checkpoint. Bring its {CONFIG} and its weights, and nothing else.")
    for found, what in ((configs, CONFIG), (weights, f"{WEIGHTS}.bin or .safetensors")):
        if len(found) != 1:
            count = "more than one" if found else "no"
            raise UserError(f"There is {count} {what}. Bring the two files that lie in the checkpoint's unet/ folder.")
    with TemporaryDirectory() as scratch:
        folder = Path(scratch) / "unet"
        folder.mkdir()
        (folder / CONFIG).symlink_to(configs[0].absolute())
        (folder / f"{WEIGHTS}{weights[0].suffix}").symlink_to(weights[0].absolute())
        yield folder


def base_network(base: str) -> "VideoUNet":
    """What a checkpoint of this base is compared with, from its folder or the hub's cache. Asks no network.

    Of a hub name that is not on this machine there are names and shapes only: those of Stable Diffusion 1.x, which
    published checkpoints are made from, on the `meta` device.

    Raises:
        UserError: a folder that is not there, or that cannot be read.
    """
    import torch

    from huvidpo_core.generation.loading import load_video_unet, local_folder
    from huvidpo_core.models import VideoUNet
    from huvidpo_core.models.architectures import SD14

    place = Path(resolve(base))
    if not place.is_absolute():
        with suppress(UserError):
            place = local_folder(base)
        if not any(file.suffix in (".safetensors", ".bin") for file in place.glob("unet/*")):
            with torch.device("meta"):
                return VideoUNet(**SD14)
    return load_video_unet(place, torch.float32)
