"""What the form orders for each way of pairing."""

import gradio as gr
import pytest

from huvidpo_core import media
from huvidpo_core.ui.prefer_pairs import PairForm
from tests.ui.rated import FPS, coded, keep_clips

FORM = {
    "prompt": "a red horse", "action": "horse_run", "style": "cartoon", "count": 2, "pack": "horse_run", "rival": "",
    "clip": None, "files": None,
}  # fmt: skip


@pytest.fixture
def form(engine):
    """The form on a page of its own."""
    with gr.Blocks():
        return PairForm(engine)


def test_each_way_orders_what_it_needs_and_no_more(form, engine):
    """Models only where models are compared, a clip only where one is varied; the scene always."""
    clip = keep_clips(engine, 1)[0].id
    for way in ("seeds", "structural", "models"):
        said, _ = form.order(way, **FORM | {"clip": clip})
        assert "2 pairs are being made" in said
    seeds, structural, models = engine.orders
    assert {order.recipe.prompt for order in engine.orders} == {"a red horse"}
    assert (seeds.recipe.pack, seeds.clip, seeds.rival) == (None, "", "")
    assert (structural.recipe.pack, structural.clip, structural.rival) == (None, clip, "")
    assert (models.recipe.pack, models.clip, models.rival, models.count) == ("horse_run", "", "", 2)


def test_a_clip_brings_its_scene(form, engine):
    """Choosing the clip to vary fills in its prompt, action and style."""
    clip = keep_clips(engine, 1)[0]
    recipe = clip.recipe
    assert form.scene_of(clip.id) == [recipe.prompt, recipe.action, recipe.style]


def test_brought_clips(form, engine, tmp_path):
    """Files become clips; what is wrong with the form is a sentence, and what was ordered is unharmed."""
    file = str(media.write_gif(tmp_path / "a.gif", coded(128, 80), FPS))
    assert "One clip is taken in" in form.order("brought", **FORM | {"files": [file]})[0]
    assert engine.gallery()[0].recipe.prompt == "a red horse"
    assert "Choose the clips first" in form.order("brought", **FORM)[0]
    for way, files in (("seeds", None), ("brought", [file])):
        with pytest.raises(gr.Error, match="prompt is empty"):
            form.order(way, **FORM | {"prompt": None, "files": files})
    assert engine.orders == []
