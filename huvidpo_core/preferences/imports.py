"""Votes of an export brought into a store: the same ids, raters and answers; what is there already stays as it is."""

import dataclasses
import hashlib
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from huvidpo_core import media
from huvidpo_core.errors import UserError
from huvidpo_core.preferences import picture_exchange, portable, reading, schema
from huvidpo_core.preferences.ballots import check_ballot, check_rater, check_score
from huvidpo_core.preferences.portable import Bundle
from huvidpo_core.preferences.records import Ballot
from huvidpo_core.preferences.store import Store
from huvidpo_core.progress import Progress, Stopwatch

MOST_FRAMES, MOST_FPS = 1_000_000, 1000  # of a clip that anybody could have compared
ID = re.compile(r"[0-9A-Za-z_-]{1,32}")  # ids become file names


def import_votes(store: Store, folder: Path, report: Callable[[Progress], object] = lambda progress: None) -> int:
    """Bring in what `exchange.export` wrote; returns how many votes, choices of first frames among them, are new. Doing
    it twice changes nothing.

    `report` hears of every clip and picture, and ends the work by raising.

    A vote that was taken back here stays so, and a rater's own answer to a pair here goes before the imported one.

    Raises:
        UserError: no export, a damaged one, or clips that are others than those of the same id here. No vote is then
            brought in; clips and pictures without votes may be.
    """
    bundle = _checked(portable.read_bundle(folder))
    pictures = sorted({name for choice in bundle.choices for name in (choice.chosen, *choice.others)})
    watch = Stopwatch("taking in the clips", len(bundle.clips) + len(pictures))
    for number, clip in enumerate(bundle.clips, 1):
        _bring_clip(store, folder / "clips" / f"{clip.id}.mp4", clip)
        report(watch.at(number))
    for number, picture in enumerate(pictures, 1 + len(bundle.clips)):
        picture_exchange.bring_picture(store.picture_choices, folder, picture)
        report(watch.at(number))
    with store.database.writing() as session:
        return len(_insert(session, bundle)) + picture_exchange.insert_choices(session, bundle.choices)


def _insert(session: Session, bundle: Bundle) -> set[str]:
    """Row after row, each kind after those it refers to; returns the ids of the standing votes that are new."""
    said = (*bundle.showings, *bundle.ratings, *bundle.choices)
    now, raters = min((row.created for row in said), default=0.0), {row.rater for row in said}
    reading.insert_new(session, schema.RaterRow, [{"name": name, "created": now} for name in sorted(raters)])
    clips = [_values(clip) | {"recipe": json.dumps(clip.recipe)} for clip in bundle.clips]
    reading.insert_new(session, schema.ClipRow, clips)
    reading.insert_new(session, schema.PairRow, [_values(pair) for pair in bundle.pairs])

    # The two clips may be a pair here under an id of its own.
    by_clips = {(pair.first, pair.second): pair.id for pair in session.scalars(select(schema.PairRow))}
    here = {pair.id: by_clips[pair.first, pair.second] for pair in bundle.pairs}
    showings = [_values(showing) | {"pair": here[showing.pair]} for showing in bundle.showings]
    reading.insert_new(session, schema.ShowingRow, [showing for showing in showings if not showing["repeat_of"]])
    known = _ids(session, schema.ShowingRow)
    reading.insert_new(session, schema.ShowingRow, [showing for showing in showings if showing["repeat_of"] in known])

    known, old = _ids(session, schema.ShowingRow), _ids(session, schema.VoteRow)
    votes = [vote for vote in bundle.votes if vote.showing in known and vote.id not in old]
    plain = [_values(vote, "marks", "scores") for vote in votes]
    reading.insert_new(session, schema.VoteRow, plain)
    new = _ids(session, schema.VoteRow) - old
    for table, name in ((schema.MarkRow, "marks"), (schema.ScoreRow, "scores")):
        rows = [_values(part) | {"vote": vote.id} for vote in votes if vote.id in new for part in getattr(vote, name)]
        reading.insert_new(session, table, rows)
    reading.insert_new(session, schema.RatingRow, [_values(rating) for rating in bundle.ratings])
    return new & {vote.id for vote in votes if vote.superseded is None}


def _bring_clip(store: Store, source: Path, clip: portable.PortableClip) -> None:
    """Copy a clip's file unless it is there, and give it a first frame to show. Raises UserError."""
    target = store.video(clip.id)
    if not source.is_file():  # it was deleted before the export
        return
    with source.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if clip.hash not in (None, found):
        raise UserError(f"{source} is damaged: it is not the clip that was exported. Copy the export anew.")
    if target.exists():
        with target.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != found:
                raise UserError(f"A different clip with the id {clip.id} is here already; nothing was imported.")
        return
    if not store.picture(clip.id).exists():
        media.write_png(store.picture(clip.id), media.read_video(source, max_frames=1).frames[0])
    media.copy_whole(source, target)


def _checked(bundle: Bundle) -> Bundle:
    """The bundle, or a UserError: what refers to nothing, or could not have been said here."""
    clips = {clip.id for clip in bundle.clips}
    pairs = {pair.id: pair for pair in bundle.pairs}
    for clip in bundle.clips:
        _require(0 <= (clip.frames or 0) <= MOST_FRAMES, f"clip {clip.id} has no length")
    showings = {showing.id: showing for showing in bundle.showings}
    for row in (*bundle.clips, *bundle.pairs, *bundle.showings, *bundle.votes, *bundle.ratings, *bundle.choices):
        _require(ID.fullmatch(row.id), f"the id {row.id!r} is none")
    for pair in bundle.pairs:
        _require({pair.first, pair.second} <= clips and pair.first < pair.second, f"pair {pair.id} has no two clips")
        _require(2 <= pair.frames <= MOST_FRAMES and 1 <= pair.fps <= MOST_FPS, f"pair {pair.id} has no length")
    for showing in bundle.showings:
        pair = pairs.get(showing.pair)
        sides = pair and sorted((showing.left, showing.right)) == [pair.first, pair.second]
        _require(sides, f"showing {showing.id} shows no pair")
        _require(showing.repeat_of is None or showing.repeat_of in showings, f"showing {showing.id} repeats nothing")
    for vote in bundle.votes:
        showing = showings.get(vote.showing)
        _require(showing and showing.rater == vote.rater, f"vote {vote.id} answers nothing")
        scores = tuple((score.side, score.aspect, score.score) for score in vote.scores)
        check_ballot(Ballot(vote.choice, vote.marks, scores, vote.seconds), pairs[showing.pair].frames)
    for rating in bundle.ratings:
        _require(rating.clip in clips, f"rating {rating.id} is of no clip")
        check_score(rating.score)
    for choice in bundle.choices:
        _require(not picture_exchange.fault(choice), picture_exchange.fault(choice))
    for rater in {row.rater for row in (*bundle.showings, *bundle.ratings, *bundle.choices)}:
        _require(check_rater(rater) == rater, f"the rater {rater!r} has spaces around the name")
    return bundle


def _require(holds: Any, otherwise: str) -> None:
    if not holds:
        raise UserError(f"{portable.NAME} does not hang together: {otherwise}. Export again, or copy it anew.")


def _ids(session: Session, table: type[schema.Base]) -> set[str]:
    return set(session.scalars(select(table.id)))


def _values(row: Any, *without: str) -> dict[str, Any]:
    return {field.name: getattr(row, field.name) for field in dataclasses.fields(row) if field.name not in without}
