"""What the form orders for each way of pairing."""

import gradio as gr
import pytest

from huvidpo_core import media
from huvidpo_core.engine import READY
from huvidpo_core.ui.prefer_pairs import PairForm
from tests.ui.rated import FPS, coded, keep_clips

FORM = {
    "prompt": "a red horse", "action": "horse_run", "style": "cartoon", "many": "count", "count": 2,
    "pack": "horse_run", "rival": "", "clip": None, "files": None,
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
        assert "Ordered: 2 pairs." in said
    seeds, structural, models = engine.orders
    assert {order.recipe.prompt for order in engine.orders} == {"a red horse"}
    assert (seeds.recipe.pack, seeds.clip, seeds.rival) == (None, "", "")
    assert (structural.recipe.pack, structural.clip, structural.rival) == (None, clip, "")
    assert (models.recipe.pack, models.clip, models.rival, models.count) == ("horse_run", "", "", 2)


def test_painters_are_ordered_too(form, engine):
    """One draws for both sides in every way of pairing; a second one only where models are compared."""
    form.order("seeds", **FORM | {"painter": "plain", "drawn": ""})
    form.order("models", **FORM | {"painter": "plain", "drawn": "same"})
    form.order("models", **FORM | {"painter": "plain", "drawn": ""})
    drawn = [(order.recipe.painter, order.rival_painter) for order in engine.orders]
    assert drawn == [("plain", None), ("plain", None), ("plain", "")]


def test_a_number_is_a_number_and_keeping_ready_is_said(form, engine):
    """An order of one is one; an order to keep pairs ready says so, and how many."""
    assert "One pair." in form.order("seeds", **FORM | {"count": 1})[0]
    said, _ = form.order("seeds", **FORM | {"many": "keep"})
    assert f"Ordered: {READY} pairs, and as many more" in said
    assert [(order.count, order.keep) for order in engine.orders] == [(1, False), (READY, True)]


def test_scenes_take_turns(form, engine):
    """One on each line, each in every style where all are asked for; only a single scene is warned of."""
    said, _ = form.order("seeds", **FORM | {"prompt": "a red horse\n\n  a blue horse ", "style": "all"})
    assert "one scene" not in said
    (order,) = engine.orders
    assert order.scenes == tuple((f"a {colour} horse", each) for colour in ("red", "blue") for each in engine.styles)
    assert (order.recipe.prompt, order.recipe.style) == order.scenes[0]
    said, _ = form.order("seeds", **FORM)
    assert "They show one scene" in said and engine.orders[1].scenes == (("a red horse", "cartoon"),)
    with pytest.raises(gr.Error, match="one scene"):
        form.order("brought", **FORM | {"prompt": "a red horse\na blue horse", "files": ["a.gif"]})


def test_an_action_brings_its_scenes(form, engine):
    """Where the field holds examples or nothing; what a person wrote stays."""
    horses, rains = ("\n".join(engine.actions[action].examples) for action in ("horse_run", "rain"))
    *_, prompt = form.new_action("seeds", "rain", horses)
    assert prompt == rains
    *_, prompt = form.new_action("seeds", "horse_run", "")
    assert prompt == horses
    *_, prompt = form.new_action("seeds", "rain", f"{horses}\na horse of mine")
    assert prompt == gr.skip()
    one = engine.actions["rain"].examples[0]
    assert form.new_action("brought", "rain", horses)[-1] == form.show("brought", "rain", None, rains)[-1] == one
    assert form.show("seeds", "rain", None, one)[-1] == rains


def test_words_that_name_another_action_are_remarked_on(form, engine):
    """As on the Create tab; nothing is said where words and action agree."""
    assert "Waterfall" in form.remarked("a red waterfall", "horse_run")
    assert form.remarked("a red horse", "horse_run") == form.remarked(None, "rain") == ""


def test_motion_is_taken_from_a_persons_own_clips(form, engine, tmp_path):
    """Made one by one, or brought; the many clips that were made for pairs are no choice."""
    (own,) = keep_clips(engine, 1)
    form.order("seeds", **FORM)
    (brought,) = engine.bring_clips([media.write_gif(tmp_path / "a.gif", coded(128, 80), FPS)], "a bar", "rain")
    menu = form.show("structural", "horse_run", None, None)[5]
    assert {clip for _, clip in menu.choices} == {own.id, brought}


def test_a_clip_brings_its_scene(form, engine):
    """Choosing the clip to vary fills in its prompt, action and style."""
    clip = keep_clips(engine, 1)[0]
    recipe = clip.recipe
    assert form.scene_of(clip.id) == [recipe.prompt, recipe.action, recipe.style]


def test_brought_clips(form, engine, tmp_path):
    """Files become clips; what is wrong with the form is a sentence, and what was ordered is unharmed."""
    file = str(media.write_gif(tmp_path / "a.gif", coded(128, 80), FPS))
    assert "One clip is taken in" in form.order("brought", **FORM | {"files": [file]})[0]
    assert engine.gallery() == []
    assert engine.gallery(for_rating=True)[0].recipe.prompt == "a red horse"
    assert "Choose the clips first" in form.order("brought", **FORM)[0]
    for way, files in (("seeds", None), ("brought", [file])):
        with pytest.raises(gr.Error, match="prompt is empty"):
            form.order(way, **FORM | {"prompt": None, "files": files})
    assert engine.orders == []


def test_clips_of_a_method_are_brought_under_its_name(form, engine, tmp_path):
    """Asked for where clips are brought; without rivals the form says how to get some, and with some what becomes of
    them."""
    shown, hidden = (form.show(way, "horse_run", None, "a bar")[-2] for way in ("brought", "seeds"))
    assert shown.visible and not hidden.visible
    brought = FORM | {"files": [str(media.write_gif(tmp_path / "a.gif", coded(128, 80), FPS))], "method": " LVDM "}
    said, _ = form.order("brought", **brought)
    assert "One clip is taken in. It has nothing to be compared with yet: make clips of this prompt" in said
    assert "One clip is taken in and paired with clips of other models." in form.order("brought", **brought)[0]
    assert [method.strip() for method in engine.methods.values()] == ["LVDM"] * 2
