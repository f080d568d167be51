"""What the page says unasked: where the picture comes from, whether it still fits the words, how they were read."""

import gradio as gr
import numpy as np
import pytest
from PIL import Image

from huvidpo_core.config import load_actions
from huvidpo_core.results import Reading
from huvidpo_core.ui import notes
from huvidpo_core.ui.picture import painted
from huvidpo_core.ui.remarks import NEED_MODELS, Remarks
from huvidpo_core.ui.session import Session, Sessions, Wording
from huvidpo_core.ui.work import editor_value

RED = Wording("a red horse", "horse_run", "cartoon")
PICTURE = np.full((160, 256, 3), 90, np.uint8)


@pytest.fixture
def drawn():
    session = Session()
    session.put(PICTURE, "generated", RED)
    return session


def said(engine, session, wording, blocked=False):
    return Remarks(engine, Sessions(), lambda: blocked).on(session, wording)


@pytest.mark.parametrize(
    "other",
    [RED._replace(prompt="a blue horse"), RED._replace(style="pixel_art"), RED._replace(action="rain")],
)
def test_a_picture_for_other_words_is_named_as_such(engine, drawn, other):
    """A change of prompt, style or action is told by note and sentence; changing back takes both away."""
    note, sentence = said(engine, drawn, other)
    assert "Drawn before your changes" in note
    assert "drawn for “a red horse” (Horse run, Cartoon)" in sentence
    assert said(engine, drawn, RED._replace(prompt="  a red   horse")) == [notes.origin_note(drawn), ""]
    assert "Drawn from your words" in notes.origin_note(drawn)


def test_only_words_that_would_draw_something_else_count(engine, drawn):
    """An action whose phrase the prompt already says draws the same picture, so nothing is said."""
    drawn.drawn = Wording("a horse in the rain", "horse_run", "cartoon")
    assert said(engine, drawn, drawn.drawn._replace(action="rain"))[1] == ""


def test_painting_is_told_beside_the_words(engine, drawn):
    """Strokes are told with the origin, and First frame is said to drop them; without strokes it is as before."""
    assert drawn.see(np.full_like(PICTURE, 7))
    assert "Drawn from your words, edited by you" in said(engine, drawn, RED)[0]
    assert "without your edits" in said(engine, drawn, Wording("x", "rain", "cartoon"))[1]
    assert drawn.see(PICTURE)
    assert not drawn.see(PICTURE)  # the editor reports what was put into it; the person has done nothing
    assert "edited" not in said(engine, drawn, RED)[0]


def test_pictures_without_words(engine):
    """Uploaded, painted and restored pictures are called so, and fit any words."""
    session = Session()
    assert "No picture yet" in notes.origin_note(session)
    session.see(PICTURE)
    assert "Painted by you" in said(engine, session, RED)[0]
    session.put(PICTURE, "uploaded")
    assert "Your own picture" in said(engine, session, RED)[0]
    session.retouch(PICTURE + 1)
    assert "Your own picture, edited by you" in said(engine, session, RED)[0]
    session.put(PICTURE, "edited")
    assert said(engine, session, RED) == [notes.origin_note(session), ""]
    assert "Edited by you" in notes.origin_note(session)


def test_the_last_word_of_work_goes_when_something_is_done(engine, drawn):
    """ "Stopped" and errors stand until the person's next action, and come before anything else but consent."""
    drawn.outcome = ("Stopped.", "info")
    other = RED._replace(prompt="a blue horse")
    assert "Stopped." in said(engine, drawn, other)[1]
    assert NEED_MODELS in said(engine, drawn, other, blocked=True)[1]
    sessions = Sessions()
    sessions._sessions["a"] = drawn
    request = type("Request", (), {"session_hash": "a"})
    assert "was drawn for" in Remarks(engine, sessions, lambda: False).heed(request, *other)[1]


def test_the_editors_report_of_work_says_nothing(engine, drawn):
    """It is late, with the words of then: "a blue horse" was typed since, and what was said about that must stand."""
    sessions = Sessions()
    sessions._sessions["a"] = drawn
    request = type("Request", (), {"session_hash": "a"})
    remarks = Remarks(engine, sessions, lambda: False)
    shown = {"background": Image.fromarray(PICTURE), "layers": [], "composite": None}
    assert remarks.edited(request, shown, *RED) == [gr.skip(), gr.skip()]
    stroked = shown | {"background": Image.fromarray(PICTURE + 50)}
    assert "edited by you" in remarks.edited(request, stroked, *RED)[0]


def test_who_waits_is_told_for_whom():
    """Only other pages' work is waited for, and only while it runs."""
    sessions = Sessions()
    mine, other = sessions.of("a"), sessions.of("b")
    mine.busy = True
    assert not sessions.others_busy(mine)
    other.busy = True
    assert sessions.others_busy(mine)
    sessions.forget("b")
    assert not sessions.others_busy(mine)


def test_a_sentence_never_replaces_progress(engine, drawn):
    """While work runs the place by the buttons is left alone."""
    drawn.busy = True
    assert isinstance(said(engine, drawn, RED._replace(prompt="b"))[1], dict)


def test_the_hint_about_words():
    """Understood and ignored words are named and escaped; when all were understood there is no hint."""
    hint = notes.reading_hint(Reading(("red horse", "beach"), ("majestic", "<b>")))
    assert "Understood:</b> red horse, beach." in hint
    assert "Ignored:</b> majestic, &lt;b&gt;." in hint
    assert notes.reading_hint(Reading(("red horse",), ())) == ""
    late = notes.reading_hint(Reading(("red horse",), (), ("beach", "night")))
    assert "being too long:</b> beach, night." in late and "Ignored" not in late
    hint = notes.reading_hint(Reading((), tuple(f"word{number}" for number in range(20))))
    assert "word7 and 12 more." in hint and "word8" not in hint


@pytest.mark.parametrize("prompt", ["красная лошадь бежит по пляжу", "一匹红马在海滩上奔跑", "🐎🐎 🏖️"])
def test_a_prompt_that_nothing_is_read_of(engine, prompt):
    """Not understood at all, it is told which words are."""
    hint = Remarks(engine, Sessions(), lambda: False).reading(prompt)
    assert "Understood:</b> nothing yet. This small model knows colours," in hint and "Ignored:" in hint
    assert "English" not in Remarks(engine, Sessions(), lambda: False).reading("a красная horse")


def test_an_endless_word_is_cut(engine):
    """Of three thousand letters the first 24 are shown."""
    hint = Remarks(engine, Sessions(), lambda: False).reading("a horse " + "x" * 3000)
    assert f"Ignored:</b> {'x' * 24}…." in hint and "x" * 25 not in hint


def test_a_reloaded_page_inherits_its_tabs_picture(engine, drawn):
    """The tab's next page has the picture, strokes and all; another tab has nothing; old pictures are dropped."""
    sessions = Sessions()
    before = sessions.arrive("first load", "tab")
    before.put(PICTURE, "generated", RED)
    before.see(PICTURE + 1)
    before.clip_id = "abc"
    sessions.forget("first load")
    after = sessions.arrive("second load", "tab")
    assert np.array_equal(painted(editor_value(after.picture), engine.fit), PICTURE + 1)
    assert (after.origin, after.source, after.drawn, after.clip_id) == ("edited", "generated", RED, "abc")
    assert before.stop.is_set() and not after.stop.is_set()
    assert sessions.arrive("elsewhere", "another tab").picture is None
    for number in range(70):
        sessions.arrive(f"page {number}", f"tab {number}")
    assert sessions.arrive("too late", "tab").picture is None


@pytest.mark.parametrize("closed_first", [True, False])
def test_a_reloaded_page_knows_what_it_ended(closed_first):
    """Whether the old page was seen to close before the new one came or not."""
    for busy in (True, False):
        sessions = Sessions()
        sessions.arrive("old", "tab").busy = busy
        if closed_first:
            sessions.forget("old")
        assert sessions.arrive("new", "tab").ended is busy


def test_words_that_name_another_action_are_noticed():
    """A firework with Waterfall chosen is remarked on; the chosen action's own words, or none at all, are not."""
    actions = load_actions()
    hint = notes.other_action("a green FIREWORK over the city", "waterfall", actions)
    assert "Firework" in hint and "Waterfall" in hint
    for prompt, chosen in (
        ("rain falls on a red umbrella", "rain"),
        ("a green firework", "firework"),
        ("red", "rain"),
        ("", None),
    ):
        assert notes.other_action(prompt, chosen, actions) == "", prompt
