"""The long handlers, called as functions with the fake engine."""

import threading

import gradio as gr
import numpy as np
import pytest

from huvidpo_core.errors import Stopped, UserError
from huvidpo_core.models import cards
from huvidpo_core.models.packs import ActionPack
from huvidpo_core.models.painter_loras import PainterLoras
from huvidpo_core.ui.clips import Clips
from huvidpo_core.ui.notes import origin_note
from huvidpo_core.ui.session import Session, Sessions
from huvidpo_core.ui.settings import Settings, controls_of
from huvidpo_core.ui.words import recipe_words
from huvidpo_core.ui.work import UNEXPECTED, Work, editor_value, told
from tests.finished import write_pack


@pytest.fixture
def settings(engine):
    values = controls_of(engine.defaults().with_(prompt="a red horse", seed=7), engine)
    return Settings(**values)


def last(views, part):
    """The last new value of a part of the page."""
    return [value for view in views if not isinstance(value := getattr(view, part), dict) or part == "editor"][-1]


def test_draw_fills_the_editor(engine, settings):
    """First frame shows progress at every step, fills the editor and tells the seed."""
    session = Session()
    views = list(Work(engine).draw(session, settings))
    assert sum("hv-bar" in str(view.bar) and "step" in view.bar for view in views) == 6
    assert "data:image/webp" in views[0].stage
    assert views[-1].seed == 7
    assert np.array_equal(np.asarray(views[-1].editor["background"]), session.picture)
    assert "Drawn from your words" in views[-1].note


def test_animate_in_one_go(engine, settings):
    """Animate with an empty editor draws the picture first; the clip keeps its seed and joins the gallery."""
    session = Session()
    views = list(Work(engine).animate(session, settings, None))
    [clip] = engine.gallery()
    assert views[-1].clip_id == clip.id
    assert clip.recipe.seed == 7
    assert clip.recipe.origin == "generated"


@pytest.mark.parametrize("touch", [False, True])
def test_origin_is_told_by_the_pixels(engine, settings, touch):
    """An unchanged picture stays 'generated'; one changed pixel makes it 'edited'."""
    session = Session()
    list(Work(engine).draw(session, settings))
    picture = session.picture.copy()
    picture[3, 4] ^= 255 * touch
    list(Work(engine).animate(session, settings, editor_value(picture)))
    assert engine.gallery()[0].recipe.origin == ("edited" if touch else "generated")


def test_a_clip_of_other_words_than_its_picture_says_so(engine, settings):
    """The picture stays and the words are changed before Animate: the clip does not say that its words drew it, and
    neither does the page when the clip is taken up again."""
    session = Session()
    list(Work(engine).draw(session, settings))
    blue = settings._replace(prompt="a blue horse")
    list(Work(engine).animate(session, blue, editor_value(session.picture)))
    [clip] = engine.gallery()
    assert clip.recipe.prompt == "a blue horse" and clip.recipe.origin == "kept"
    assert "first frame: drawn from other words" in recipe_words(clip, engine.actions, engine.styles)
    again = Session()
    again.put(session.picture, "kept")
    assert "Drawn from other words" in origin_note(again)


def test_seeds(settings):
    """New seeds come when asked for: for a new picture or a second clip of one, not for its first."""
    session, fresh = Session(), settings._replace(fresh=True)
    assert fresh.seed_for(session, picture_stays=True) == 7
    session.last_seed, session.animated = 7, True
    assert fresh.seed_for(session, picture_stays=True) != 7
    assert settings.seed_for(session, picture_stays=False) == 7
    assert settings._replace(seed=None).seed_for(session, picture_stays=True) >= 0


def test_stop(engine, settings):
    """A set flag ends the work at the next step with a friendly word and without an error."""
    session = Session()
    work = Work(engine).animate(session, settings, None)
    next(work)
    session.stop.set()
    list(work)
    assert engine.steps_done == 1
    assert session.outcome[0].startswith("Stopped")
    assert engine.gallery() == []


def test_leaving_the_page_ends_the_work(engine, settings):
    """Closing the handler, as Gradio does on reload, closes the engine's generator too."""
    work = Work(engine).draw(Session(), settings)
    next(work)
    work.close()
    assert engine.steps_done == 1


def test_forgetting_a_session_stops_it():
    """A closed page's stop flag is set, and whoever comes with its id gets nothing of it."""
    sessions = Sessions()
    session = sessions.of("a")
    session.put(np.zeros((2, 2, 3), np.uint8), "generated")
    sessions.forget("a")
    assert session.stop.is_set()
    assert sessions.of("a").picture is None


def test_bad_input_is_a_sentence(engine, settings):
    """A UserError reaches the person word by word, and once: by the buttons, not in the corner too."""
    session = Session()
    list(Work(engine).draw(session, settings._replace(prompt="  ")))
    assert session.outcome == (session.outcome[0], "error")
    assert "prompt is empty" in session.outcome[0]


def test_what_has_no_place_by_the_buttons_is_a_toast(caplog):
    """Without a session, as for an upload, a sentence is a `gr.Error`; a surprise is one too, and logged."""
    with pytest.raises(gr.Error, match="too small"), told():
        raise UserError("too small")
    with pytest.raises(gr.Error, match=UNEXPECTED[:20]), told():
        raise RuntimeError("tensor 8 is on fire")
    assert "tensor 8 is on fire" in caplog.text


def test_surprises_are_logged_not_shown(engine, settings, caplog):
    """An unexpected exception is one calm sentence for the person and a traceback in the log."""
    engine.crash = RuntimeError("tensor 7 is on fire")
    session = Session()
    list(Work(engine).draw(session, settings))
    assert session.outcome == (UNEXPECTED, "error")
    assert "tensor 7 is on fire" in caplog.text


def test_repaint_needs_a_picture_and_a_mark(engine, settings):
    """Without a picture, and without strokes, repainting says what to do."""
    work, session = Work(engine), Session()
    list(work.repaint(session, settings, None))
    assert "no picture" in session.outcome[0]
    list(work.repaint(session, settings, editor_value(np.zeros((160, 256, 3), np.uint8))))
    assert "Nothing is marked" in session.outcome[0]


def test_use_these_settings_restores_everything(engine, settings):
    """A clip's settings, restored, ask for exactly its recipe, on exactly its first frame."""
    session = Session()
    chosen = settings._replace(strength=0.4, steps=5, frames=9, pack="waterfall/liked")
    list(Work(engine).animate(session, chosen, None))
    [clip] = engine.gallery()
    restored = Clips(engine).use(session, clip.id)
    values = [value.value if isinstance(value, gr.components.Component) else value for value in restored]
    again = Settings(*values[: len(Settings._fields)])
    wanted = clip.recipe.with_(first_frame="", profile="", version="")
    assert again.recipe(int(again.seed)) == wanted
    *_, repeated = engine.animate(again.recipe(again.seed), np.asarray(values[-2]["background"]), threading.Event())
    assert repeated.recipe.first_frame == clip.recipe.first_frame


def test_a_pack_that_is_gone_gives_way(engine, monkeypatch):
    """The menu falls back to the action's own pack when the wanted one is not on disk, or another action's, and says so
    by titles; when none was wanted there is nothing to say."""
    warned = []
    monkeypatch.setattr(gr, "Warning", warned.append)
    assert Clips(engine).pack_menu("rain", "rain/liked").value == "rain/liked"
    assert Clips(engine).pack_menu("rain", None).value == "rain" and warned == []
    assert Clips(engine).pack_menu("rain", "rain/deleted").value == "rain"
    assert Clips(engine).pack_menu("rain", "waterfall/liked").value == "rain"
    assert warned == [
        "The motion “Rain + deleted” is no longer there; the action's own is chosen instead.",
        "The motion “Waterfall + liked” is another action's; the action's own is chosen instead.",
    ]


def test_a_lora_that_was_renamed_is_followed(engine, settings, monkeypatch):
    """By the menu of an open page, by a press on Animate beside a menu that does not know yet, by the words under its
    clip and by Use these settings, one for first frames too; one that was deleted is not given up for another."""
    warned, folder = [], engine.data / "packs"
    monkeypatch.setattr(gr, "Warning", warned.append)
    pack = ActionPack.load(write_pack(folder / "waterfall"))
    cards.put(pack, "again", pack.folder / "pack.json", {})
    PainterLoras(folder).put("calm", pack.folder / "pack.json", {})
    chosen = settings._replace(pack="waterfall/again", painter="lora:calm")
    list(Work(engine).animate(Session(), chosen, None))
    [clip] = engine.gallery()
    assert engine.loras.rename("waterfall/again", "third") == "waterfall/third"
    assert engine.loras.rename("lora:calm", "bright") == "lora:bright"
    assert Clips(engine).pack_menu("waterfall", "waterfall/again").value == "waterfall/third"
    assert chosen.in_step(engine).pack == "waterfall/third"
    said = Clips(engine).show(Session(), clip.id)[2]
    assert "“Waterfall + third”" in said and "+ bright" in said and "again" not in said
    restored = dict(zip(Settings._fields, Clips(engine).use(Session(), clip.id), strict=False))
    assert (restored["pack"].value, restored["painter"].value) == ("waterfall/third", "lora:bright")
    assert warned == []
    engine.loras.delete("waterfall/third")
    assert chosen.in_step(engine).pack == "waterfall/again"  # whose absence the engine tells
    assert Clips(engine).use(Session(), clip.id)[Settings._fields.index("pack")].value == "waterfall"
    assert warned == ["The motion “Waterfall + again” is no longer there; the action's own is chosen instead."]


def test_new_action_swaps_an_untouched_example(engine):
    """Choosing an action replaces another action's example, never the person's own words."""
    clips = Clips(engine)
    assert clips.new_action("rain", engine.actions["smile"].examples[0])[2] == engine.actions["rain"].examples[0]
    assert isinstance(clips.new_action("rain", "my own words")[2], dict)


def test_stopped_is_not_an_error():
    """`Stopped` stays outside the errors a person is shown."""
    assert not issubclass(Stopped, gr.Error)


def test_a_motion_of_another_action_becomes_the_actions_own(engine, settings):
    """Pressing a button before the menu has followed the action sends the old motion; it is replaced, others stay."""
    lagging = settings._replace(action="rain", pack="waterfall").in_step(engine)
    assert lagging.pack is None and engine._complete(lagging.recipe(1)).pack == "rain"
    for kept in ("rain", "rain/liked", ""):
        assert settings._replace(action="rain", pack=kept).in_step(engine).pack == kept
