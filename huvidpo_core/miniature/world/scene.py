"""What a scene of the action world may contain, and how it is said in words."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

ACTIONS = ("waterfall", "smile", "horse_run", "guitar", "birds_fly", "helicopter", "rain", "firework")
HELD_OUT_ACTIONS = ("ball_bounce", "flag_wave", "fish_swim")
STYLES = ("realistic", "cartoon", "claymation", "pixel_art")
COLORS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "white", "black", "brown")
PLACES = ("mountains", "city", "beach", "forest", "desert", "snow", "meadow", "moon")
TIMES = ("day", "night")

SHIFT = 0.1  # largest sideways shift of the subject, in frame heights
SCALES = (0.94, 1.06)  # range of the subject's scale

_WHERE = {
    "mountains": ("in the mountains", "among the mountains"),
    "city": ("in the city", "in a city"),
    "beach": ("on the beach", "by the sea"),
    "forest": ("in the forest", "among the trees"),
    "desert": ("in the desert", "among the dunes"),
    "snow": ("in the snow", "on a snowy field"),
    "meadow": ("in the meadow", "among the flowers"),
    "moon": ("on the moon", "on the surface of the moon"),
}
_WHEN = {
    "day": ("by day", "during the day", "on a bright day", "in daylight"),
    "night": ("at night", "in the night", "under the night sky", "by night"),
}
# {c}: the colour, {a}: its article and the colour, {who}: "girl" or "boy" by the scene's variant.
_WHAT = {
    "waterfall": (
        "{a} waterfall", "{a} waterfall falls", "{c} water falls from a cliff", "a falling {c} waterfall",
        "a waterfall of {c} water",
    ),
    "smile": (
        "a {who} in {a} hat smiles", "a smiling {who} with {a} hat", "a {who} wearing {a} hat is smiling",
        "a person in {a} hat smiles", "a face with {a} hat begins to smile",
    ),
    "horse_run": (
        "{a} horse runs", "a galloping {c} horse", "{a} horse is running", "{a} horse gallops", "a running {c} horse",
    ),
    "guitar": (
        "a musician plays {a} guitar", "a guitarist playing {a} guitar", "a person is playing {a} guitar",
        "{a} guitar played by a musician", "someone plays {a} guitar",
    ),
    "birds_fly": (
        "{c} birds fly", "three {c} birds flying", "{c} birds are flying", "a flock of {c} birds flies",
        "flying {c} birds",
    ),
    "helicopter": (
        "{a} helicopter flies", "a flying {c} helicopter", "{a} helicopter hovers", "{a} helicopter is flying",
        "a hovering {c} helicopter",
    ),
    "rain": (
        "rain falls on {a} umbrella", "{a} umbrella in the rain", "it is raining on {a} umbrella",
        "a child under {a} umbrella in the rain", "falling rain and {a} umbrella",
    ),
    "firework": (
        "{c} fireworks burst", "{c} fireworks", "{a} firework explodes", "{c} fireworks light up",
        "bursting {c} fireworks",
    ),
    "ball_bounce": ("{a} ball bounces", "a bouncing {c} ball", "{a} ball is bouncing"),
    "flag_wave": ("{a} flag waves", "a waving {c} flag", "{a} flag is waving in the wind"),
    "fish_swim": ("{a} fish swims", "a swimming {c} fish", "{a} fish is swimming"),
}  # fmt: skip


@dataclass(frozen=True)
class Scene:
    """One scene: five named attributes, and a small layout.

    shift: sideways offset of the subject in frame heights, -SHIFT..SHIFT; scale: its size, SCALES; flip: the
    subject faces left instead of right; variant: 0 or 1, a second look (who smiles,
        who plays); mirror: the place is seen
    mirrored.
    """

    action: str
    style: str = "realistic"
    color: str = "red"
    place: str = "meadow"
    time: str = "day"
    shift: float = 0.0
    scale: float = 1.0
    flip: bool = False
    variant: int = 0
    mirror: bool = False

    def __post_init__(self) -> None:
        for name, allowed in _ALLOWED.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} {getattr(self, name)!r} is not one of {', '.join(map(str, allowed))}")

    @classmethod
    def sample(cls, rng: np.random.Generator, **fixed: object) -> Scene:
        """Draw every attribute and the layout from `rng`; keyword arguments pin any field.

        Held-out actions are drawn only when pinned. The draws do not depend on what is pinned.
        """
        drawn = {
            "action": str(rng.choice(ACTIONS)),
            "style": str(rng.choice(STYLES)),
            "color": str(rng.choice(COLORS)),
            "place": str(rng.choice(PLACES)),
            "time": str(rng.choice(TIMES)),
            "shift": round(float(rng.uniform(-SHIFT, SHIFT)), 3),
            "scale": round(float(rng.uniform(*SCALES)), 3),
            "flip": bool(rng.integers(2)),
            "variant": int(rng.integers(2)),
            "mirror": bool(rng.integers(2)),
        }
        return cls(**(drawn | fixed))


_ALLOWED = {
    "action": ACTIONS + HELD_OUT_ACTIONS,
    "style": STYLES,
    "color": COLORS,
    "place": PLACES,
    "time": TIMES,
    "variant": (0, 1),
}


def caption(scene: Scene, rng: np.random.Generator | None = None) -> str:
    """The scene in words, without its style.

    Without `rng` the canonical sentence ("a red horse runs in the desert at night"); with it another wording: synonyms,
    commas, the place first, the place, the hour or the colour left out.
    """
    fill = {
        "c": scene.color,
        "a": ("an " if scene.color[0] in "aeiou" else "a ") + scene.color,
        "who": ("girl", "boy")[scene.variant],
    }
    whats, wheres, whens = _WHAT[scene.action], _WHERE[scene.place], _WHEN[scene.time]
    if rng is None:
        return f"{whats[0].format(**fill)} {wheres[0]} {whens[0]}"
    if rng.random() < 0.06:
        fill |= {"c": "", "a": "a"}
    what = whats[_often_first(rng, len(whats))].format(**fill)
    what = " ".join(what.split()).replace("a umbrella", "an umbrella")
    where = wheres[_often_first(rng, len(wheres))]
    when = whens[_often_first(rng, len(whens))]
    if rng.random() < 0.1:
        where = ""
    # An hour left out means day more often than night: that is what people leave out.
    if rng.random() < (0.35 if scene.time == "day" else 0.06):
        when = ""
    order = rng.random()
    if order < 0.6:
        return " ".join(part for part in (what, where, when) if part)
    if order < 0.8:
        spot = where.partition(" ")[2].removeprefix("the ").removeprefix("a ")
        bare = (spot, scene.time if when else "")
        return ", ".join(part for part in (what, *bare) if part)
    return " ".join(part for part in (when, where, what) if part)


def _often_first(rng: np.random.Generator, count: int) -> int:
    """An index below `count`; the first, canonical one half of the time."""
    return 0 if rng.random() < 0.5 else int(rng.integers(count))
