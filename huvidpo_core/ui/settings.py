"""The controls' values as one record, and their way to a recipe and back. No gradio."""

import random
from typing import Any, NamedTuple

from huvidpo_core.engine import Engine
from huvidpo_core.recipe import Recipe
from huvidpo_core.ui.session import Session, Wording

SEEDS = 1_000_000  # drawn below this: a number a person can read out
SLIDERS = {"strength": 1.5, "steps": 100, "guidance": 20, "frames": 32}  # how far they go; a recipe may go further


class Settings(NamedTuple):
    """What the controls hold, in the order in which handlers receive them. An emptied field is None."""

    prompt: str | None
    action: str | None
    style: str | None
    pack: str | None
    strength: float | None
    seed: float | None
    fresh: bool  # a new seed every time
    sampler: str | None
    steps: float | None
    guidance: float | None
    frames: float | None
    painter: str | None

    def in_step(self, engine: Engine) -> "Settings":
        """The same, with the motion as it is called now, and another action's replaced by the action's own.

        The menu of motions follows the choice of an action a moment later; who presses a button in between sends the
        old action's motion. One that is gone stays: whoever is asked for it says so.
        """
        pack = engine.called_now(self.pack or "")
        own, all_ = ({choice.id for choice in engine.packs(action)} for action in (self.action or "", None))
        return self._replace(pack=None if self.pack is None or pack in all_ - own else pack)

    @property
    def wording(self) -> Wording:
        """What a picture is drawn from."""
        return Wording(self.prompt, self.action, self.style)

    def recipe(self, seed: int) -> Recipe:
        """The recipe these settings ask for, with this seed; not checked yet."""
        return Recipe(
            prompt=self.prompt or "",
            action=self.action or "",
            style=self.style or "",
            seed=seed,
            steps=int(self.steps or 0),
            guidance=-1.0 if self.guidance is None else float(self.guidance),
            sampler=self.sampler or "fast",
            pack=self.pack,
            strength=1.0 if self.strength is None else float(self.strength),
            frames=int(self.frames or 0),
            painter=self.painter or "",
        )

    def seed_for(self, session: Session, picture_stays: bool) -> int:
        """The seed of the next piece of work.

        With "new seed every time" a picture gets a new one; the first clip made from that picture keeps it, so that
        the recipe reproduces both; a further clip from the same picture gets a new one again.
        """
        seed = None if self.seed is None else int(self.seed)
        used_up = seed == session.last_seed and session.animated
        if seed is None or (self.fresh and (not picture_stays or used_up)):
            return random.SystemRandom().randrange(SEEDS)
        return seed


def controls_of(recipe: Recipe, engine: Engine) -> dict[str, Any]:
    """What the controls must show to repeat `recipe`; numbers left to the profile are filled in."""
    own = engine.defaults(recipe.sampler)
    return {
        "prompt": recipe.prompt,
        "action": recipe.action,
        "style": recipe.style,
        "pack": recipe.pack,
        "strength": recipe.strength,
        "seed": recipe.seed,
        "fresh": False,
        "sampler": recipe.sampler,
        "steps": recipe.steps or own.steps,
        "guidance": own.guidance if recipe.guidance < 0 else recipe.guidance,
        "frames": recipe.frames or own.frames,
        "painter": recipe.painter,
    }
