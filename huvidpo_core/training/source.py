"""Where a run's labelled pairs come from, copied into its folder: later votes do not change what it learns from."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from huvidpo_core.errors import UserError
from huvidpo_core.files import whole_file
from huvidpo_core.preferences.pairs import TrainingPair
from huvidpo_core.training.lessons import Lesson

FILE = "pairs.json"


@dataclass(frozen=True)
class Source:
    """Labelled pairs, the file of each of their clips by id, and what a LoRA made from them is known by: SHA-256 of the
    labels and of the clips' files as they were then."""

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
        clips = {clip: file(clip) for pair in pairs for clip in (pair.first, pair.second)}
        there = [pair for pair in pairs if clips[pair.first].is_file() and clips[pair.second].is_file()]
        if not there:
            raise UserError("The clips that were voted on are no longer there. Rate some new pairs first.")
        if not any(pair.decided for pair in there):
            raise UserError(
                "None of the votes says which clip is better: nothing can be learned from ties alone. Rate some more "
                "pairs, then try again."
            )
        used = {clip for pair in there for clip in (pair.first, pair.second)}
        lessons = tuple(Lesson.of(pair, text(pair)) for pair in there)
        files = {clip: path.absolute() for clip, path in clips.items() if clip in used}
        return cls(lessons, files, _digest(lessons, files))

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
