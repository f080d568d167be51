"""Which lessons are kept for checking, and how much the others weigh. Split by clips: a clip that was trained on says
nothing about others."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from huvidpo_core.training.lessons import Lesson, teaching
from huvidpo_core.training.settings import AlignSettings

PASSES = 12  # over what is trained on, where nobody says how many steps


def parted(pairs: Sequence[Lesson], settings: AlignSettings) -> tuple[list[Lesson], list[Lesson]]:
    """What a run trains on, and what it checks on. Raises UserError: nothing to learn from."""
    return split(teaching(pairs, ties=settings.tie_threshold > 0), settings.held_out, settings.seed)


def passes(train: Sequence[Lesson], batch: int) -> int:
    """Steps that go through what is trained on `PASSES` times."""
    return math.ceil(PASSES * len(train) / batch)


def split(pairs: Sequence[Lesson], share: float, seed: int) -> tuple[list[Lesson], list[Lesson]]:
    """Pairs to train on and pairs to check on, the latter about `share` of both; no clip is on both sides.

    Pairs that hang together by common clips stay together where there are enough such groups (pairs from two seeds:
    each is one). Where all hang together (all pairs of a few rated clips), some clips are set aside, and pairs of one
    such clip and one that is not are used for neither. Of fewer than four pairs none are kept for checking.

    Of single clips the share is one of the good and one of the bad ones; where one kind has fewer than three, none are
    kept.
    """
    if share <= 0 or len(pairs) < 4:
        return list(pairs), []
    rng = np.random.default_rng(seed)
    if not pairs[0].second:
        return _of_each_kind(pairs, share, rng)
    groups = _groups(pairs)
    if len(groups) >= 4:
        room = max(1, round(share * len(pairs)), min(map(len, groups)))  # the smallest group fits in any case
        held: list[Lesson] = []
        for index in rng.permutation(len(groups)):
            if len(held) + len(groups[index]) <= room:
                held += groups[index]
        return [pair for pair in pairs if pair not in held], held
    clips = sorted({clip for pair in pairs for clip in (pair.first, pair.second)})
    # Of all pairs of n clips, k set aside hold k^2 to the others' (n - k)^2.
    odds = (share / (1 - share)) ** 0.5
    aside = set(rng.choice(clips, size=max(2, round(odds / (1 + odds) * len(clips))), replace=False).tolist())
    inside = [(pair.first in aside) + (pair.second in aside) for pair in pairs]
    train = [pair for pair, count in zip(pairs, inside, strict=True) if count == 0]
    held = [pair for pair, count in zip(pairs, inside, strict=True) if count == 2]
    return (train, held) if train and held else (list(pairs), [])


def weighed(pairs: Sequence[Lesson]) -> list[Lesson]:
    """The same with weights whose mean is 1. Of single clips the good ones weigh as much, all together, as the bad
    ones: KTO's balance, without which the more frequent kind would set the tone."""
    kinds = [pairs] if pairs[0].second else _kinds(pairs)
    whole = {id(pair): sum(each.weight for each in kind) * len(kinds) for kind in kinds for pair in kind}
    return [replace(pair, weight=pair.weight / (whole[id(pair)] / len(pairs))) for pair in pairs]


def _of_each_kind(clips: Sequence[Lesson], share: float, rng: np.random.Generator) -> tuple[list[Lesson], list[Lesson]]:
    kinds = _kinds(clips)
    if min(map(len, kinds)) < 3:
        return list(clips), []
    held = [kind[i] for kind in kinds for i in rng.permutation(len(kind))[: max(1, round(share * len(kind)))]]
    return [clip for clip in clips if clip not in held], held


def _kinds(clips: Sequence[Lesson]) -> list[list[Lesson]]:
    """The good and the bad ones of single clips."""
    return [[clip for clip in clips if clip.good is good] for good in (True, False)]


def _groups(pairs: Sequence[Lesson]) -> list[list[Lesson]]:
    """Pairs that are connected by common clips, together."""
    home: dict[str, str] = {}

    def find(clip: str) -> str:
        while home.setdefault(clip, clip) != clip:
            clip = home[clip]
        return clip

    for pair in pairs:
        home[find(pair.first)] = find(pair.second)
    groups: dict[str, list[Lesson]] = {}
    for pair in pairs:
        groups.setdefault(find(pair.first), []).append(pair)
    return list(groups.values())
