"""The finished clips of a data folder: their files and their rows, made, shown and removed together."""

import logging
import uuid
from pathlib import Path

import numpy as np

from huvidpo_core import media
from huvidpo_core.errors import UserError
from huvidpo_core.preferences.store import BROUGHT, Store, StoredClip
from huvidpo_core.recipe import Recipe
from huvidpo_core.results import Clip

log = logging.getLogger(__name__)


class Gallery:
    """Clips in a data folder. Every method raises UserError when the folder or its database cannot be used."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def list(self, for_rating: bool = True) -> list[Clip]:
        """All clips, newest first; those in pairs, and those that people brought, only if `for_rating`."""
        clips = []
        for stored in self._store.list(paired=for_rating):
            try:
                clips.append(self._clip(stored))
            except UserError as error:  # a newer version's clip must not hide all others
                log.warning("clip %s is left out of the gallery: %s", stored.id, error)
        return [clip for clip in clips if for_rating or clip.recipe.origin != "brought"]

    def get(self, clip_id: str) -> Clip:
        """One clip by its id. Raises UserError if there is none."""
        return self._clip(self._store.get(clip_id))

    def keep(
        self,
        recipe: Recipe,
        image: np.ndarray,
        frames: np.ndarray,
        fps: float,
        seconds: float,
        original: Path | None = None,
        method: str = "",
    ) -> Clip:
        """Write a clip uint8 (f, h, w, 3) and its first frame uint8 (h, w, 3) and record them: all or nothing.

        `original` is the file that a brought clip was read from; a copy of it is kept, see `original_of`. `method` is
        what made that file, where the person has said it.
        """
        clip_id = uuid.uuid4().hex
        picture, video = self._store.picture(clip_id), self._store.video(clip_id)
        copy = video.with_name(f"{clip_id}.original{original.suffix.lower()}") if original else None
        try:
            if original and copy:
                media.copy_whole(original, copy)
            media.write_png(picture, image)
            media.write_mp4(video, frames, fps, recipe.to_dict())
            model = method or BROUGHT if original else ""
            row = self._store.add(clip_id, recipe.to_dict(), seconds, frames=len(frames), fps=fps, model=model)
            return self._clip(row)
        except UserError:
            for path in (picture, video, copy):
                if path:
                    path.unlink(missing_ok=True)
            raise

    def original_of(self, clip_id: str) -> Path:
        """The file that a clip was brought as, at its own length, rate and size; of a clip made here, its MP4."""
        video = self.get(clip_id).video
        return next(iter(video.parent.glob(f"{video.stem}.original.*")), video)

    def delete(self, clip_id: str) -> None:
        """Remove a clip and its files."""
        self._store.delete(clip_id)

    def gif(self, clip_id: str) -> Path:
        """The clip as a GIF (made on first request)."""
        video = self.get(clip_id).video
        path = video.with_suffix(".gif")
        if not path.exists():
            media.write_gif(path, *media.read_video(video))
        return path

    def picture_of(self, recipe: Recipe) -> Path | None:
        """The exact first frame that this recipe was animated from, if a clip here still has it."""
        for clip in self.list():
            if recipe.first_frame and clip.recipe.first_frame == recipe.first_frame and clip.picture.exists():
                return clip.picture
        return None

    def _clip(self, stored: StoredClip) -> Clip:
        return Clip(
            id=stored.id,
            recipe=Recipe.from_dict(stored.recipe),
            video=self._store.video(stored.id),
            picture=self._store.picture(stored.id),
            created=stored.created,
            seconds=stored.seconds,
            model=stored.model,
        )
