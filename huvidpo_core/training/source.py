"""What a run learns from, labelled pairs or single clips, copied into its folder: later votes do not change it."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from huvidpo_core.errors import UserError
from huvidpo_core.files import whole_file
from huvidpo_core.preferences.pairs import TrainingPair
from huvidpo_core.preferences.singles import JudgedClip
from huvidpo_core.training.lessons import Lesson, teaching

FILE = "pairs.json"


@dataclass(frozen=True)
class Source:
    """Labelled pairs (or single clips), the file of each of their clips by id, and what a LoRA made from them is known
    by: SHA-256 of the labels and of the clips' files as they were then."""

    pairs: tuple[Lesson, ...]
    clips: Mapping[str, Path]
    digest: str

    @classmethod
    def of(
        cls, pairs: Sequence[TrainingPair], file: Callable[[str], Path], text: Callable[[TrainingPair], str]
    ) -> "Source":
        """Pairs of votes, ratings or a dataset; those whose clips are gone are left out.

        Raises:
            UserError: nothing to learn from: no pair, ties only, or no clip that is still there.
        """
        if not pairs:
            raise UserError("There are no votes to learn from yet. Rate some pairs first; 20 are a beginning.")
        return cls._there([Lesson.of(pair, text(pair)) for pair in pairs], file)

    @classmethod
    def of_clips(
        cls, clips: Sequence[JudgedClip], file: Callable[[str], Path], text: Callable[[JudgedClip], str]
    ) -> "Source":
        """Clips that were rated alone; those that are gone are left out.

        Raises:
            UserError: nothing to learn from: only good or only bad ones, or none that is still there.
        """
        return cls._there([Lesson.alone(clip, text(clip)) for clip in clips], file)

    @classmethod
    def _there(cls, lessons: Sequence[Lesson], file: Callable[[str], Path]) -> "Source":
        clips = {clip: file(clip) for lesson in lessons for clip in lesson.clips}
        kept = tuple(lesson for lesson in lessons if all(clips[clip].is_file() for clip in lesson.clips))
        if not kept:
            raise UserError("The clips that were judged are no longer there. Rate some new ones first.")
        teaching(kept)
        used = {clip for lesson in kept for clip in lesson.clips}
        files = {clip: path.absolute() for clip, path in clips.items() if clip in used}
        return cls(kept, files, _digest(kept, files))

    @property
    def counts(self) -> dict[str, int]:
        """How many pairs there are, or how many good and bad clips."""
        if self.pairs[0].second:
            return {"pairs": len(self.pairs)}
        good = sum(clip.good for clip in self.pairs)
        return {"good": good, "bad": len(self.pairs) - good}

    def save(self, folder: Path) -> None:
        """Write to a run's folder."""
        values = {
            "pairs": [asdict(pair) for pair in self.pairs],
            "clips": {clip: str(path) for clip, path in self.clips.items()},
            "digest": self.digest,
        }
        with whole_file(folder / FILE) as path:
            path.write_text(json.dumps(values), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Source":
        """What `save` wrote. Raises UserError for a missing or damaged file."""
        try:
            values = json.loads((folder / FILE).read_text(encoding="utf-8"))
            pairs = tuple(Lesson(**{**pair, "mask": tuple(pair["mask"])}) for pair in values["pairs"])
            return cls(pairs, {clip: Path(path) for clip, path in values["clips"].items()}, values["digest"])
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"{folder / FILE} is missing or damaged ({error}). Start the training anew.") from error


def _digest(pairs: Sequence[Lesson], clips: Mapping[str, Path]) -> str:
    digest = hashlib.sha256(json.dumps([asdict(pair) for pair in pairs]).encode())
    for clip in sorted(clips):
        with clips[clip].open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()
