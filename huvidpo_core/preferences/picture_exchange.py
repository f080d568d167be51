"""Choices of first frames as they travel with an export, beside the votes on clips:

    pictures.jsonl          a row for each standing choice whose pictures are there: chosen, and the others
    pictures/HASH.png       the pictures, named by the SHA-256 of their pixels

`datasets.load_dataset("imagefolder", data_dir=FOLDER, metadata_filenames=[ROWS])` opens them with the columns `chosen`
and `rejected`, a list. The choices themselves, those that were taken back too, are in `votes.json` (`portable`).
"""

import dataclasses
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from huvidpo_core import media
from huvidpo_core.errors import UserError
from huvidpo_core.preferences import reading
from huvidpo_core.preferences.picture_choices import PictureChoices, picture_hash
from huvidpo_core.preferences.portable import PortableChoice
from huvidpo_core.preferences.schema import PictureChoiceRow

ROWS, FOLDER = "pictures.jsonl", "pictures"
HASH = re.compile(r"[0-9a-f]{64}")  # a picture's name, which becomes a file's
_TEXTS = ("prompt", "action", "style")  # of a recipe, in a row

CARD = """
# First frames

Choices of one first frame from a few that were drawn for one prompt and seen together: {choices}.

```python
choices = load_dataset("imagefolder", data_dir="FOLDER", metadata_filenames=["{rows}"], split="train")
```

`chosen` is the picture that is better than each of those in `rejected`; of these among each other nothing was said.
"""


def read_choices(session: Session, action: str | None) -> tuple[PortableChoice, ...]:
    """All choices, of one action or all, oldest first; those that were taken back too."""
    rows = session.scalars(select(PictureChoiceRow).order_by(PictureChoiceRow.created, PictureChoiceRow.id))
    found = (
        PortableChoice(
            row.id, row.created, row.offer, row.rater, json.loads(row.recipe), row.chosen,
            tuple(json.loads(row.others)), row.superseded,
        )
        for row in rows
    )  # fmt: skip
    return tuple(choice for choice in found if action in (None, choice.recipe.get("action")))


def standing(choices: Sequence[PortableChoice]) -> list[PortableChoice]:
    """Those that count."""
    return [choice for choice in choices if choice.superseded is None]


def picture_files(choices: Sequence[PortableChoice], pictures: PictureChoices) -> dict[str, Path]:
    """The pictures of these choices that are there, by their place in an export."""
    names = sorted({name for choice in choices for name in (choice.chosen, *choice.others)})
    return {place(name): pictures.file(name) for name in names if pictures.file(name).is_file()}


def place(picture: str) -> str:
    """Where a picture lies in an export."""
    return f"{FOLDER}/{picture}.png"


def write_rows(folder: Path, choices: Sequence[PortableChoice]) -> None:
    """Write `pictures.jsonl` beside the pictures, and the card's part that tells of it. Raises OSError."""
    with (folder / ROWS).open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in _rows(folder, choices))
    with (folder / "README.md").open("a", encoding="utf-8") as file:
        file.write(CARD.format(choices=len(standing(choices)), rows=ROWS))


def _rows(folder: Path, choices: Sequence[PortableChoice]) -> Iterator[dict[str, Any]]:
    for choice in standing(choices):
        chosen, *others = (place(name) for name in (choice.chosen, *choice.others))
        if all((folder / name).is_file() for name in (chosen, *others)):
            texts = {key: str(choice.recipe.get(key, "")) for key in _TEXTS}
            yield {"chosen_file_name": chosen, "rejected_file_names": others, **texts, "choice": choice.id}


def fault(choice: PortableChoice) -> str:
    """Why a choice could not have been made here; empty where it could."""
    names = (choice.chosen, *choice.others)
    if len(names) < 2 or len(set(names)) < len(names) or not all(map(HASH.fullmatch, names)):
        return f"choice {choice.id} is not of one picture over others"
    if not (choice.offer.isalnum() and choice.offer.isascii() and len(choice.offer) <= 32):
        return f"choice {choice.id} is from no offer"
    if not all(isinstance(choice.recipe.get(key, ""), str) for key in (*_TEXTS, "profile")):
        return f"choice {choice.id} has no recipe"
    return ""


def bring_picture(pictures: PictureChoices, folder: Path, name: str) -> None:
    """Copy a picture of an export unless it is here, or was not there. Raises UserError: it is another."""
    source, target = folder / place(name), pictures.file(name)
    if target.exists() or not source.is_file():
        return
    if picture_hash(media.read_image(source)) != name:
        raise UserError(f"{source} is damaged: it is not the picture that was exported. Copy the export anew.")
    media.copy_whole(source, target)


def insert_choices(session: Session, choices: Sequence[PortableChoice]) -> int:
    """Write down those that are new; how many of these stand. A rater's own choice here, from the same pictures, goes
    before."""
    old = set(session.scalars(select(PictureChoiceRow.id)))
    values = [dataclasses.asdict(choice) for choice in choices]
    texts = [{key: json.dumps(value[key]) for key in ("recipe", "others")} for value in values]
    reading.insert_new(session, PictureChoiceRow, [one | other for one, other in zip(values, texts, strict=True)])
    new = set(session.scalars(select(PictureChoiceRow.id))) - old
    return sum(choice.id in new for choice in standing(choices))
