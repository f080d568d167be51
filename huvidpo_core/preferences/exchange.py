"""The votes as a dataset for others: a Hugging Face `videofolder` whose rows are pairs, chosen and rejected.

    README.md               the card
    metadata.jsonl          a row for each pair that was judged and whose clips are there
    clips/ID.mp4            the clips
    pictures.jsonl, pictures/HASH.png    first frames that were chosen from a few, if any (`picture_exchange`)
    votes.json              all that was said, exactly (`portable`); `imports.import_votes` reads it
    diffusion_dpo.parquet   on request: video_0, video_1 (bytes), label_0 (1, 0.5 or 0), caption

`datasets.load_dataset("videofolder", data_dir=FOLDER)` opens it with the columns `chosen` and `rejected`.
"""

import json
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from huvidpo_core.errors import UserError
from huvidpo_core.files import whole_folder
from huvidpo_core.preferences import picture_exchange, portable, reading
from huvidpo_core.preferences.agreement import label
from huvidpo_core.preferences.pairs import TrainingPair, from_votes
from huvidpo_core.preferences.records import Answer, Mark
from huvidpo_core.preferences.schema import ClipRow, PairRow, RatingRow, ShowingRow, VoteRow
from huvidpo_core.preferences.store import Store
from huvidpo_core.progress import Progress, Stopwatch

PARQUET = "diffusion_dpo.parquet"
ROW_GROUP = 16  # pairs in memory at once while a parquet is written

CARD = """---
pretty_name: Preferences between short video clips
task_categories:
- text-to-video
tags:
- preference
- dpo
- video
configs:
- config_name: default
  data_files:
  - split: train
    path: [metadata.jsonl, "clips/*.mp4"]
---

# Preferences between short video clips

{pairs} pairs of clips, compared {votes} times by {raters} raters with [HuViDPO Lab](https://arxiv.org/abs/2502.01690)'s
*Prefer* tab: side by side, sides by lot, models unknown until the vote.

```python
from datasets import load_dataset
pairs = load_dataset("videofolder", data_dir="FOLDER", split="train")
```

Each row of `metadata.jsonl` is one pair. `chosen` is the clip that is better in more of the frames about which more
than half of the raters agree; where `tie` is true neither is, and the order says nothing. `segments` are the agreed
judgements, frame `start` up to but without frame `end`: `better` is chosen, rejected or tie. `raters` counts the
answers for whole clips. `votes.json` holds all answers, one by one, with the raters' names, and also those that were
taken back for another, which count for nothing.
"""


def export(
    store: Store,
    output: Path,
    *,
    action: str | None = None,
    parquet: bool = False,
    report: Callable[[Progress], object] = lambda progress: None,
) -> Path:
    """Write clips, pictures and votes, of one action or all, to the folder `output`, whole or not at all; returns it.

    An earlier export there is replaced. `report` hears of every clip, and ends the work by raising.

    Raises:
        UserError: nothing was said yet; the folder holds something else, or cannot be written; no pyarrow.
    """
    if output.exists() and not (output / portable.NAME).is_file() and (not output.is_dir() or any(output.iterdir())):
        raise UserError(f"{output} holds something else. Choose an empty or a new folder for --output.")
    with store.database.reading() as session:
        answers = reading.answers(session, action=action)
        bundle = _bundle(session, answers, action)
    if not (answers or bundle.ratings or picture_exchange.standing(bundle.choices)):
        raise UserError("There are no votes to export yet. Rate a few pairs first.")
    present = store.present()
    models = {clip.id: clip.model for clip in bundle.clips}
    pairs = [pair for pair in from_votes(answers) if {pair.first, pair.second} <= present]
    files = {f"clips/{clip}.mp4": store.video(clip) for clip in sorted(models.keys() & present)}
    files |= picture_exchange.picture_files(bundle.choices, store.picture_choices)
    with whole_folder(output) as folder:
        for each in ("clips", picture_exchange.FOLDER) if bundle.choices else ("clips",):
            (folder / each).mkdir()
        watch = Stopwatch("copying the clips", len(files))
        for number, (place, source) in enumerate(files.items(), 1):
            shutil.copy2(source, folder / place)  # its time tells who syncs it that it is old
            report(watch.at(number))
        bundle.write(folder)
        with (folder / "metadata.jsonl").open("w", encoding="utf-8") as file:
            for row in _rows(pairs, answers, models):
                file.write(json.dumps(row) + "\n")
        raters = {answer.rater for answer in answers} | {rating.rater for rating in bundle.ratings}
        card = CARD.format(pairs=len(pairs), votes=len(answers), raters=len(raters))
        (folder / "README.md").write_text(card, encoding="utf-8")
        if bundle.choices:
            picture_exchange.write_rows(folder, bundle.choices)
        if parquet:
            _write_parquet(folder, pairs)
    return output


def _rows(pairs: list[TrainingPair], answers: list[Answer], models: dict[str, str]) -> Iterator[dict[str, Any]]:
    """One for each pair; every row has the same keys and types, as `datasets` wants it."""
    judged: dict[tuple[str, ...], list[Answer]] = defaultdict(list)
    for answer in answers:
        if answer.repeat_of is None and answer.ballot.choice != "skip":
            judged[tuple(sorted((answer.left, answer.right)))].append(answer)
    for pair in pairs:
        group = judged[tuple(sorted((pair.first, pair.second)))]
        said = [label(answer) for answer in group]
        chosen, rejected = ("first", "second") if pair.first < pair.second else ("second", "first")
        yield {
            "chosen_file_name": f"clips/{pair.first}.mp4",
            "rejected_file_name": f"clips/{pair.second}.mp4",
            "prompt": pair.prompt,
            "action": pair.action,
            "source": group[0].source,
            "tie": not pair.mask.sum(),
            "frames": len(pair.mask),
            "segments": _segments(pair.mask),
            "raters": {
                "chosen": said.count(chosen),
                "rejected": said.count(rejected),
                "tie": said.count("tie"),
                "both_bad": said.count("both_bad"),
            },
            "chosen_model": models[pair.first],
            "rejected_model": models[pair.second],
            "pair": group[0].pair,
        }


def _segments(mask: np.ndarray) -> list[dict[str, Any]]:
    """Runs of equal judgement; frame 0, which is the same picture on both sides, goes with frame 1."""
    found, start = [], 0
    for value, run in groupby(mask[1:].tolist()):
        end = max(start, 1) + len(list(run))
        found.append({"start": start, "end": end, "better": {1: "chosen", -1: "rejected", 0: "tie"}[value]})
        start = end
    return found


def _bundle(session: Session, answers: list[Answer], action: str | None) -> portable.Bundle:
    """What was said, with everything it refers to: pairs, the showings, the clips; and choices of first frames."""
    showings = {answer.showing for answer in answers} | {answer.repeat_of for answer in answers}
    pairs = {answer.pair for answer in answers}
    clips = {clip for answer in answers for clip in (answer.left, answer.right)}
    clip_rows = session.scalars(select(ClipRow).order_by(ClipRow.created, ClipRow.id)).all()
    about = {row.id for row in clip_rows if action is None or json.loads(row.recipe).get("action") == action}
    standing = select(RatingRow).where(RatingRow.superseded.is_(None)).order_by(RatingRow.created, RatingRow.id)
    ratings = [row for row in session.scalars(standing) if row.clip in about]
    clips |= {row.clip for row in ratings}
    showing_rows = session.scalars(select(ShowingRow).order_by(ShowingRow.created, ShowingRow.id))
    pair_rows = session.scalars(select(PairRow).order_by(PairRow.created, PairRow.id))
    return portable.Bundle(
        clips=tuple(
            _copy(portable.PortableClip, row, recipe=json.loads(row.recipe)) for row in clip_rows if row.id in clips
        ),
        pairs=tuple(_copy(portable.PortablePair, row) for row in pair_rows if row.id in pairs),
        showings=tuple(_copy(portable.PortableShowing, row) for row in showing_rows if row.id in showings),
        votes=_portable_votes(session, answers, showings),
        ratings=tuple(_copy(portable.PortableRating, row) for row in ratings),
        choices=picture_exchange.read_choices(session, action),
    )


def _portable_votes(
    session: Session, answers: list[Answer], showings: set[str | None]
) -> tuple[portable.PortableVote, ...]:
    """The standing votes, and those on the same showings that were taken back."""
    standing = [
        portable.PortableVote(
            answer.id, answer.answered, answer.showing, answer.rater, answer.ballot.choice, answer.ballot.seconds,
            answer.ballot.marks, tuple(portable.PortableScore(*score) for score in answer.ballot.scores),
        )
        for answer in answers
    ]  # fmt: skip
    undone = select(VoteRow).where(VoteRow.superseded.is_not(None)).order_by(VoteRow.created, VoteRow.id)
    taken_back = [
        _copy(
            portable.PortableVote,
            row,
            marks=tuple(_copy(Mark, mark) for mark in row.marks),
            scores=tuple(_copy(portable.PortableScore, score) for score in row.scores),
        )
        for row in session.scalars(undone)
        if row.showing in showings
    ]
    return (*standing, *taken_back)


def _copy(kind: type, row: Any, **other: Any) -> Any:
    """A portable record of a row: the columns of the same names, `other` in the place of some."""
    return kind(**{name: getattr(row, name) for name in kind.__dataclass_fields__ if name not in other}, **other)


def _write_parquet(folder: Path, pairs: list[TrainingPair]) -> None:
    """The layout of Diffusion-DPO's Pick-a-Pic with videos in the place of pictures."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise UserError("A parquet needs pyarrow, which is not installed. Run: pip install pyarrow") from None
    schema = pa.schema(
        [("video_0", pa.binary()), ("video_1", pa.binary()), ("label_0", pa.float64()), ("caption", pa.string())]
    )
    with pq.ParquetWriter(folder / PARQUET, schema) as writer:
        for start in range(0, len(pairs), ROW_GROUP):
            rows = [
                {
                    "video_0": (folder / "clips" / f"{pair.first}.mp4").read_bytes(),
                    "video_1": (folder / "clips" / f"{pair.second}.mp4").read_bytes(),
                    "label_0": 1.0 if pair.mask.sum() else 0.5,
                    "caption": pair.prompt,
                }
                for pair in pairs[start : start + ROW_GROUP]
            ]
            writer.write_table(pa.Table.from_pylist(rows, schema))
