"""One alignment of first frames, from its record to a LoRA: what the training's process does."""

from collections.abc import Iterator
from typing import Any

from huvidpo_core.alignment import SAMPLES, Alignment
from huvidpo_core.generation.denoise import make_scheduler
from huvidpo_core.generation.first_frame import FirstFramePainter
from huvidpo_core.generation.loading import component_folder
from huvidpo_core.models.weights import model_hash
from huvidpo_core.training.align import Aligner
from huvidpo_core.training.memory import expected
from huvidpo_core.training.pictures import FRAMES, PictureTryout, embed, encode_picture, read_picture, trainable


class PictureAlignment(Alignment):
    """Stage 2 for the network that draws first frames."""

    def _load(self) -> FirstFramePainter:
        """The profile's painter, its network ready to be trained."""
        config = self._profile.first_frame
        return trainable(FirstFramePainter.load(config, device=self._device, dtype=self._precision))

    def _encode(self, painter: FirstFramePainter) -> Iterator[int]:
        config = self._profile.first_frame
        vae = self._whole(component_folder(config.vae or config.base, "vae"))
        yield from self._encode_once(
            lambda file, _: read_picture(file, config.width, config.height),
            lambda picture: encode_picture(vae, picture),
            lambda text: embed(painter, text),
        )

    def _course(self, painter: FirstFramePainter) -> Aligner:
        texts = list(dict.fromkeys(pair.text for pair in self._lessons.pairs))[:SAMPLES]
        return Aligner(
            painter.unet,
            make_scheduler(painter.scheduler.config, "ddim"),
            self._lessons,
            self._settings,
            PictureTryout(painter, texts),
            self.run.path,
            frames=FRAMES,
            crew=self._crew,
        )

    def _expected(self) -> float:
        return expected(self._profile.first_frame, self._device, self._own_share)

    def _about(self, painter: FirstFramePainter) -> dict[str, Any]:
        config = self._profile.first_frame
        return {"base_model": config.unet or config.base, "base_hash": model_hash(painter.unet), "pack": ""}
