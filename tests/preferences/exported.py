"""Clips that were really judged, for everything that takes them out of a store."""

import shutil
from pathlib import Path

import numpy as np

from huvidpo_core import media
from huvidpo_core.preferences.records import Ballot, Mark
from huvidpo_core.preferences.store import Store

FRAMES = 6


def write_clips(folder: Path) -> list[Path]:
    """Four real clips, all different."""
    frames = [np.full((FRAMES, 32, 32, 3), 50 * number, np.uint8) for number in range(4)]
    return [media.write_mp4(folder / f"{number}.mp4", clip, 8) for number, clip in enumerate(frames)]


def rate(store: Store, clip_files: list[Path]) -> Store:
    """Two pairs of two actions; three raters, marks, scores, an undone vote, a repeat, a rating."""
    for name, file in zip("abcd", clip_files, strict=True):
        shutil.copyfile(file, store.video(name))
        recipe = {"prompt": f"prompt {name}", "action": "rain" if name in "ab" else "smile"}
        store.add(name, recipe, 1.5, model=f"model {name}")
    store.votes.add_pair("a", "b", source="seeds", prompt="ä horse", action="rain")
    store.votes.add_pair("c", "d", source="models", prompt="a smile", action="smile")

    def vote(rater: str, action: str, better: str, *marks: tuple[int, int, str], **ballot) -> None:
        showing = store.votes.show(rater, action)
        side = {showing.left: "left", showing.right: "right"}
        sides = tuple(Mark(start, end, side.get(mark, "tie")) for start, end, mark in marks)
        store.votes.vote(showing.id, rater, Ballot(side.get(better, better), sides, **ballot))

    vote("ann", "rain", "a")
    store.votes.undo("ann")
    vote("ann", "rain", "b", (0, 2, "a"), (4, 6, "tie"), scores=(("left", "aesthetics", 4),), seconds=2.5)
    vote("bob", "rain", "b", (0, 2, "a"), (4, 6, "a"))
    vote("cem", "rain", "b", (4, 6, "tie"))
    vote("ann", "smile", "both_bad")
    vote("bob", "smile", "skip")
    store.votes.rate_clip("c", "cem", 3)
    return store
