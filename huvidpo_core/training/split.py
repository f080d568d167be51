"""Which pairs are kept for checking. Split by clips: a clip that was trained on says nothing about others."""

from collections.abc import Sequence

import numpy as np

from huvidpo_core.training.lessons import Lesson


def split(pairs: Sequence[Lesson], share: float, seed: int) -> tuple[list[Lesson], list[Lesson]]:
    """Pairs to train on and pairs to check on, the latter about `share` of both; no clip is on both sides.

    Pairs that hang together by common clips stay together where there are enough such groups (pairs from two seeds:
    each is one). Where all hang together (all pairs of a few rated clips), some clips are set aside, and pairs of one
    such clip and one that is not are used for neither. Of fewer than four pairs none are kept for checking.
    """
    if share <= 0 or len(pairs) < 4:
        return list(pairs), []
    rng = np.random.default_rng(seed)
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
