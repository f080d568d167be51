"""What an action is taught from, as files in the run's folder: clips with their words. No torch.

The clips are copies, so nothing that happens to the originals changes a run.
"""

import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path

from huvidpo_core.errors import UserError
from huvidpo_core.files import whole_file
from huvidpo_core.training.lot import rng

FILE, CLIPS = "material.json", "clips"
MANY = 6  # clips; of more, some are kept for checking


@dataclass(frozen=True)
class Take:
    """One clip."""

    name: str  # for people: what the file was called
    file: str  # below the run's `clips/`: a video, or a folder of pictures
    text: str  # the whole text it is taught with
    prompt: str  # of that, what a person would type
    frames: int  # at the profile's rate


@dataclass(frozen=True)
class Material:
    """The clips of a run. `digest` is the SHA-256 of their files and words."""

    takes: tuple[Take, ...]
    digest: str

    def save(self, folder: Path) -> None:
        """Write to a run's folder. Raises UserError."""
        values = {"takes": [asdict(take) for take in self.takes], "digest": self.digest}
        with whole_file(folder / FILE) as path:
            path.write_text(json.dumps(values, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "Material":
        """What `save` wrote. Raises UserError for a missing or damaged file."""
        try:
            values = json.loads((folder / FILE).read_text(encoding="utf-8"))
            return cls(tuple(Take(**take) for take in values["takes"]), values["digest"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{folder / FILE} is missing or damaged ({error}). Start the training anew.") from error

    def split(self, share: float, seed: int) -> tuple[list[int], list[int]]:
        """Numbers of the takes that are trained on, and of those kept for checking: `share` of them, at least one of
        more than `MANY`, none of fewer."""
        count = len(self.takes)
        kept = max(1, math.floor(share * count)) if share and count > MANY else 0
        order = [int(number) for number in rng(seed, 4).permutation(count)]
        return sorted(order[kept:]), sorted(order[:kept])
