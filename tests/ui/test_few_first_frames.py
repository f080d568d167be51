"""A few first frames to choose from: the handlers on the fake engine, and the endpoints on a launched app."""

from dataclasses import replace
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest
from gradio_client.exceptions import AppError

from huvidpo_core.media import read_image, write_png
from huvidpo_core.ui.clips import Clips
from huvidpo_core.ui.few import DONE, NONE, FewWork, grid
from huvidpo_core.ui.remarks import Remarks
from huvidpo_core.ui.session import Few, Session, Sessions, Wording
from huvidpo_core.ui.settings import Settings, controls_of
from huvidpo_core.ui.work import Work, editor_value


@pytest.fixture
def few(engine):
    return FewWork(engine, Sessions(), Work(engine))


@pytest.fixture
def settings(engine):
    values = controls_of(engine.defaults().with_(prompt="a red horse", seed=7), engine)
    return Settings(**values)


def cards(html: str) -> int:
    return html.count('class="hv-card"')


def test_they_are_drawn_and_one_is_chosen(engine, few, settings):
    """Each is shown when it is done, and can be pressed when all are; the chosen one is in the editor as drawn, and is
    kept as better than the other three; another choice takes its place."""
    session = Session()
    views = list(few.draw(session, settings))
    shown = [view.few for view in views if isinstance(view.few, str)]
    assert [cards(html) for html in shown] == [1, 2, 3, 4, 4]
    assert all("disabled" in html and NONE not in html for html in shown[:4])
    assert "disabled" not in shown[4] and f'data-pick="{NONE}"' in shown[4] and DONE not in shown[4]
    assert sum("step" in str(view.bar) for view in views) == 24 and session.picture is None

    view = few.choose(session, "2", " ann ")
    pictures = session.few.pictures
    chosen, others = engine.choices[session.few.offer, "ann"]
    assert chosen is pictures[2] and list(others) == [*pictures[:2], pictures[3]]
    assert np.array_equal(np.asarray(view.editor["background"]), pictures[2].image)
    assert (view.seed, view.clip_id, session.last_seed) == (9, "", 9) and "Drawn from your words" in view.note
    assert view.few.count('aria-pressed="true"') == 1 and f'data-pick="{DONE}"' in view.few
    assert session.drawn == Wording("a red horse", settings.action, settings.style)

    few.choose(session, "0", "ann")
    assert engine.choices[session.few.offer, "ann"][0] is pictures[0] and len(engine.choices) == 1
    assert few.choose(session, DONE, "ann").few == "" and len(engine.choices) == 1 and session.few is None
    with pytest.raises(gr.Error, match="not there any more"):
        few.choose(session, "0", "ann")


def test_none_of_them(engine, few, settings):
    """Nothing is kept; a choice that was made is taken back."""
    session = Session()
    list(few.draw(session, settings))
    assert few.choose(session, NONE, "ann").few == "" and engine.choices == {} and session.picture is None
    list(few.draw(session, settings))
    few.choose(session, "1", "ann")
    few.choose(session, NONE, "ann")
    assert engine.choices == {} and session.picture is not None


@pytest.mark.parametrize(("painter", "teaches"), [("", True), ("lora:mine", True), ("plain", False)])
def test_what_comes_of_a_choice_is_told(few, settings, painter, teaches):
    """Before and after it: that Align can learn from it, or, among another painter's pictures, that nothing does."""
    session = Session()
    list(few.draw(session, settings))
    drawn = session.few.pictures
    session.few.pictures = [replace(each, recipe=each.recipe.with_(painter=painter)) for each in drawn]
    before, after = grid(session.few), few.choose(session, "1", "ann").few
    assert "Your choice is kept" in before and ("can train the painter" in before) == teaches
    assert "Your choice is kept" in after and "You may choose another" in after
    assert ("teaches nothing" in before, "teaches nothing" in after) == (not teaches, not teaches)


def test_what_was_drawn_before_stop_stays(engine, few, settings):
    """Stopped in the third: two to choose from. Stopped in the first: nothing. A single one says nothing of others."""
    session = Session()
    for view in few.draw(session, settings):
        if isinstance(view.few, str) and cards(view.few) == 2:
            session.stop.set()
    assert cards(grid(session.few)) == 2 and "Choose from those that are done" in session.outcome[0]
    few.choose(session, "1", "ann")
    assert len(engine.choices[session.few.offer, "ann"][1]) == 1
    list(few.draw(session, settings))
    assert grid(session.few) == "" and session.outcome[0].startswith("Stopped")
    session.few = Few(Wording("a red horse"), session.few.pictures or [next_picture(engine, settings)], done=True)
    engine.choices.clear()
    few.choose(session, "0", "ann")
    assert engine.choices == {} and session.picture is not None


def next_picture(engine, settings):
    *_, picture = engine.first_frame(settings.recipe(3), type(Session().stop)())
    return picture


@pytest.mark.parametrize(("pick", "rater", "words"), [("4", "ann", "no such picture"), ("x", "ann", "no such picture"),
                                                      ("0", " ", "name")])  # fmt: skip
def test_what_cannot_be_chosen(engine, few, settings, pick, rater, words):
    """A sentence; nothing is kept."""
    session = Session()
    list(few.draw(session, settings))
    with pytest.raises(gr.Error, match=words):
        few.choose(session, pick, rater)
    assert engine.choices == {} and session.few.chosen is None


def test_a_reloaded_page_still_shows_them(few, settings):
    """The same tab: what was drawn to its end, and what was chosen; not what was being drawn."""
    sessions = Sessions()
    before = sessions.arrive("one", "tab")
    list(few.draw(before, settings))
    few.choose(before, "3", "ann")
    assert grid(sessions.arrive("two", "tab").few) == grid(before.few) != ""
    before = sessions.arrive("two", "tab")
    next(iter(few.draw(before, settings)))
    assert grid(sessions.arrive("three", "tab").few) == ""


def test_another_picture_closes_them(engine, few, settings, tmp_path):
    """One that is drawn, uploaded, or that comes with a clip's settings; not one that is stopped on its way, nor one of
    the four."""
    sessions, work = Sessions(), Work(engine)
    session = sessions.of("page")
    page = SimpleNamespace(session_hash="page")
    list(few.draw(session, settings))
    few.choose(session, "1", "ann")
    *_, made = work.animate(session, settings, editor_value(session.picture))
    assert cards(grid(session.few)) == 4
    session.stop.set()
    list(work.draw(session, settings))
    assert cards(grid(session.few)) == 4
    session.stop.clear()
    *_, drawn = work.draw(session, settings)
    assert drawn.few == grid(session.few) == ""
    list(few.draw(session, settings))
    Clips(engine).use(session, made.clip_id)
    assert grid(session.few) == ""
    list(few.draw(session, settings))
    upload = write_png(tmp_path / "own.png", session.picture)
    Remarks(engine, sessions, lambda: False).uploaded(page, str(upload), "a red horse", settings.action, settings.style)
    assert grid(session.few) == ""


def test_a_program_chooses(client, engine):
    """Four pictures as the page shows them, then a choice of one; another client has nothing to choose from."""
    with pytest.raises(AppError, match="Nothing was drawn to choose from"):
        client.predict(0, "ann", api_name="/choose_first_frame")
    answer = client.predict("a red horse", "horse_run", "cartoon", 5, api_name="/first_frames")
    drawn = [read_image(each["image"]) for each in answer]
    assert client.predict(1, "ann", api_name="/choose_first_frame") == 6
    [(chosen, others)] = engine.choices.values()
    assert np.array_equal(chosen.image, drawn[1]) and len(others) == 3
    with pytest.raises(AppError, match="no picture 4"):
        client.predict(4, "ann", api_name="/choose_first_frame")
    with pytest.raises(AppError, match="no action 'moonwalk'"):
        client.predict("a red horse", "moonwalk", "cartoon", api_name="/first_frames")
