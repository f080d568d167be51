"""Who draws the first frame: what the page keeps of it, and what it says."""

import gradio as gr
import pytest

from huvidpo_core.recipe import ANIMATEDIFF, Recipe
from huvidpo_core.results import PackChoice, PainterChoice
from huvidpo_core.ui.clips import Clips
from huvidpo_core.ui.prefer_reveal import title_of
from huvidpo_core.ui.session import Session, Sessions
from huvidpo_core.ui.settings import Settings, controls_of
from huvidpo_core.ui.words import motion_words
from huvidpo_core.ui.work import Work, editor_value


@pytest.fixture
def settings(engine):
    values = controls_of(engine.defaults().with_(prompt="a red horse", seed=7), engine)
    return Settings(**values)


def test_a_clip_says_who_drew_its_picture(engine, settings):
    """Whoever did, not who is chosen by the time it is animated, also after a reload; the clip's chips name them."""
    sessions = Sessions()
    before = sessions.arrive("one page", "a tab")
    list(Work(engine).draw(before, settings._replace(painter="plain")))
    session = sessions.arrive("the page reloaded", "a tab")
    list(Work(engine).animate(session, settings, editor_value(session.picture)))
    [clip] = engine.gallery()
    assert clip.recipe.painter == "plain"
    said = Clips(engine).show(session, clip.id)[2]
    assert "first frame: drawn from your words by Without alignment" in said


def test_a_picture_of_ones_own_was_drawn_by_nobody(engine, settings):
    """An uploaded picture is animated without a word about the painter in the menu."""
    session = Session()
    list(Work(engine).draw(session, settings))
    session.put(session.picture, "uploaded")
    list(Work(engine).animate(session, settings._replace(painter="plain"), editor_value(session.picture)))
    assert engine.gallery()[0].recipe.painter == ""


def test_a_painter_comes_back_with_a_clips_settings_or_gives_way(engine, settings, monkeypatch):
    """Use these settings chooses the clip's painter; one that is gone is said to be, and is the profile's own."""
    session, warned = Session(), []
    monkeypatch.setattr(gr, "Warning", warned.append)
    list(Work(engine).animate(session, settings._replace(painter="plain"), None))
    [clip] = engine.gallery()
    place = Settings._fields.index("painter")
    assert Clips(engine).use(session, clip.id)[place].value == "plain" and not warned
    monkeypatch.setattr(engine, "painters", lambda: [PainterChoice("", "Own")])
    menu = Clips(engine).use(session, clip.id)[place]
    assert menu.value == "" and not menu.visible and "“plain” is no longer there" in warned[0]


def test_models_are_named_with_their_painter():
    """After a vote, by both titles; in a recipe AnimateDiff has no strength."""
    packs, painters = [PackChoice("rain", "Rain (motion)")], [PainterChoice("plain", "Without alignment")]
    assert title_of("rain, first frame by plain", packs, painters) == "Rain (motion), first frame by Without alignment"
    gone = title_of("rain/x, first frame by lora:y", packs, painters)
    assert gone == "Rain + x (deleted), first frame by y (deleted)"
    assert title_of("base model, first frame by gone", packs, painters) == "the bare base model, first frame by gone"
    assert motion_words(Recipe("a", "rain", "cartoon", pack=ANIMATEDIFF), packs) == "AnimateDiff"
