"""How the models are named after a vote: in a person's words, with what tells the sides apart."""

import pytest

from huvidpo_core.preferences.records import Revealed, Showing
from huvidpo_core.preferences.store import BASE_MODEL, BROUGHT
from huvidpo_core.recipe import Recipe
from huvidpo_core.results import PackChoice
from huvidpo_core.ui.prefer_reveal import reveal_words

MENU = [
    PackChoice("waterfall", "Waterfall (motion)"),
    PackChoice("waterfall/liked", "Waterfall + liked"),
    PackChoice("waterfall/aligned-2", "Waterfall + aligned-2 (on trial)", trial=True),
]
SHOWING = Showing("s", "Anna", "a", "b", "a waterfall", "waterfall", 16, 8)
BY_HAND = Recipe("a waterfall", "waterfall", "cartoon", origin="brought")
SEED_17, SEED_42 = (Recipe("a waterfall", "waterfall", "cartoon", seed=seed) for seed in (17, 42))
VARIED = {"reference": "c", "eta": 0.7}


@pytest.mark.parametrize(
    ("models", "recipes", "said"),
    [
        (("waterfall",) * 2, (SEED_17, SEED_42), "Both by Waterfall (motion): 1 with seed 17, 2 with seed 42."),
        (
            ("waterfall",) * 2,
            (SEED_42.with_(**VARIED), SEED_17.with_(**VARIED)),
            "Both by Waterfall (motion), varying the motion of one clip: 1 with seed 42, 2 with seed 17.",
        ),
        (
            ("waterfall/liked", BASE_MODEL),
            (SEED_17, SEED_17),
            "1 by Waterfall + liked, 2 by the bare base model, both with seed 17.",
        ),
        (
            (BASE_MODEL, "gone"),
            (SEED_17, SEED_42),
            "1 by the bare base model, seed 17; 2 by gone, seed 42.",
        ),
        (
            ("waterfall/once", "rain_fall/My LoRA"),
            (SEED_17, SEED_17),
            "1 by Waterfall + once (deleted), 2 by Rain fall + My LoRA (deleted), both with seed 17.",
        ),
        (
            ("waterfall",) * 2,
            (SEED_17.with_(steps=12), SEED_42.with_(steps=3)),
            "Both by Waterfall (motion): 1 with 12 steps, 2 with 3.",
        ),
        (
            ("waterfall",) * 2,
            (SEED_17.with_(steps=12, guidance=1.5), SEED_42.with_(steps=3, guidance=2.75)),
            "Both by Waterfall (motion): 1 with 12 steps and guidance 1.5, 2 with 3 steps and guidance 2.8.",
        ),
        (
            ("waterfall/aligned-2", "waterfall"),
            (SEED_17, SEED_17),
            "1 with the new LoRA “aligned-2”, 2 without it, both with seed 17.",
        ),
        (
            ("waterfall", "waterfall/aligned-2"),
            (SEED_17, SEED_17),
            "1 without the new LoRA “aligned-2”, 2 with it, both with seed 17.",
        ),
        (("waterfall", "waterfall/aligned-2"), (None, SEED_17), "1 without the new LoRA “aligned-2”, 2 with it."),
        (
            ("waterfall/liked", "waterfall/aligned-2"),
            (SEED_17, SEED_17),
            "1 by Waterfall + liked, 2 by the new LoRA “aligned-2”, both with seed 17.",
        ),
        ((BROUGHT, BROUGHT), (SEED_17, SEED_17), "Both were brought by somebody."),
        (("LVDM", "waterfall/liked"), (BY_HAND, SEED_17), "1 by LVDM, 2 by Waterfall + liked."),
        ((BASE_MODEL, "LVDM"), (BY_HAND.with_(origin="generated"), BY_HAND), "1 by the bare base model, 2 by LVDM."),
        (("waterfall", BASE_MODEL), (None, SEED_17), "1 by Waterfall (motion), 2 by the bare base model."),
        (("waterfall",) * 2, (SEED_17, None), "Both by Waterfall (motion)."),
    ],
)
def test_the_sides_are_named(models, recipes, said):
    """Titles instead of names in the store; the seeds, where they are known, side by side."""
    assert reveal_words(Revealed(SHOWING, "left", *models), *recipes, MENU) == said
