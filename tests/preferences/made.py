"""Clips and pairs that cost nothing: files of a few bytes whose length the store is told."""

from huvidpo_core.preferences.store import Store

FRAMES, FPS = 16, 8


def add_clip(store: Store, clip: str, model: str = "", prompt: str = "a red horse") -> str:
    """A clip of 16 frames."""
    store.video(clip).write_bytes(clip.encode())
    store.add(clip, {"prompt": prompt}, 1.0, frames=FRAMES, fps=FPS, model=model)
    return clip


def add_pair(store: Store, name: str, action: str = "rain") -> str:
    """A pair of two new clips, `NAMEa` by "one" and `NAMEb` by "two"; its id."""
    clips = add_clip(store, f"{name}a", "one"), add_clip(store, f"{name}b", "two")
    return store.votes.add_pair(*clips, source="seeds", prompt="a red horse", action=action)
