"""Errands beside the rating, and the two forms that start them: automatic raters, exchange."""

import threading
from types import SimpleNamespace

import gradio as gr
import pytest

from huvidpo_core.config import load_profile
from huvidpo_core.engine import Engine, Progress
from huvidpo_core.errors import UserError
from huvidpo_core.ui.errand import Errand
from huvidpo_core.ui.prefer_exchange import FIRST, NOTHING_NEW, ExchangeForm
from huvidpo_core.ui.prefer_judges import NOTHING, JudgeForm, about
from tests.preferences.exported import rate, write_clips
from tests.ui.rated import keep_clips

ONE, OTHER = SimpleNamespace(session_hash="one"), SimpleNamespace(session_hash="other")
ACTIONS = [("All actions", "")]


@pytest.fixture
def errand():
    with gr.Blocks():
        return Errand("digging", [gr.Button("Dig")])


def work(stop):
    """Three steps, then a word."""
    for step in range(1, 4):
        yield Progress("digging", step, 3, 3.0 - step)
    yield "<p>a hole</p>"


def test_an_errand_shows_its_steps_and_ends_with_its_word(errand):
    """The bar names step and time left; the button is held and Stop is there only while it runs."""
    bar, stop, button = errand.begin(ONE)
    assert "Starting" in bar and stop.visible and not button.interactive
    bars = list(errand.run("one", work))
    assert "step 1 of 3" in bars[0] and "about 2 s left" in bars[0]
    said, stop, button = errand.settle(ONE)
    assert said == "<p>a hole</p>" and not stop.visible and button.interactive


def test_stop_ends_only_the_own_page_s_errand(errand):
    """Two pages: the second waits for the first; a Stop on one is none on the other; one that waits does not begin."""
    errand.begin(ONE)
    assert "another page" in errand.begin(OTHER)[0]
    seen = threading.Event()

    def endless(stop: threading.Event):
        while not stop.is_set():
            seen.set()
            yield Progress("digging", 1, 2)
        raise UserError("stopped in time")

    errand.halt(OTHER)
    assert list(errand.run("other", lambda stop: pytest.fail("begun after Stop")))
    assert "Stopped" in errand.settle(OTHER)[0]
    running = errand.run("one", endless)
    next(running)
    errand.halt(ONE)
    list(running)
    assert seen.is_set() and "stopped in time" in errand.settle(ONE)[0]


def test_leaving_the_page_ends_the_work(errand):
    """Gradio closes the generator of a page that is gone: the work's own clean-up runs."""
    ended = threading.Event()

    def careful(stop: threading.Event):
        try:
            while True:
                yield Progress("digging", 1, 2)
        finally:
            ended.set()

    errand.begin(ONE)
    running = errand.run("one", careful)
    next(running)
    running.close()
    assert ended.is_set()
    assert "another page" not in errand.begin(OTHER)[0]


@pytest.mark.parametrize(("error", "words"), [(UserError("No <spade>."), "No &lt;spade&gt;."), (KeyError("x"), "log")])
def test_trouble_is_a_sentence(errand, error, words):
    """A person's mistake in its own words, anything else in ours; the button is free again."""

    def broken(stop: threading.Event):
        yield Progress("digging", 1, 2)
        raise error

    errand.begin(ONE)
    list(errand.run("one", broken))
    said, _, button = errand.settle(ONE)
    assert words in said and "hv-error" in said and button.interactive


def test_a_judge_votes_on_what_it_has_not_seen(engine):
    """All pairs, then none; each item before the last word is progress."""
    keep_clips(engine, 3)
    with gr.Blocks():
        form = JudgeForm(engine, ACTIONS)
    *steps, said = form.vote(threading.Event(), "profile", "")
    assert [step.step for step in steps] == [1, 2, 3] and "3 votes were given" in said and len(engine.votes) == 3
    [said] = form.vote(threading.Event(), "profile", "")
    assert NOTHING in said


def test_a_vision_language_model_says_what_it_needs_and_never_its_key(engine, monkeypatch):
    """Without settings it names all three; with them the model and where pictures go, but not the key."""
    for name in ("URL", "MODEL", "KEY"):
        monkeypatch.delenv(f"HUVIDPO_JUDGE_{name}", raising=False)
    said = about("vlm")
    assert all(f"HUVIDPO_JUDGE_{name}" in said for name in ("URL", "MODEL", "KEY")) and "hv-error" in said
    with gr.Blocks():
        form = JudgeForm(engine, ACTIONS)
    with pytest.raises(UserError, match="HUVIDPO_JUDGE_URL"):
        list(form.vote(threading.Event(), "vlm", ""))
    for name, value in (("URL", "http://localhost:1/v1"), ("MODEL", "<see>"), ("KEY", "hush")):
        monkeypatch.setenv(f"HUVIDPO_JUDGE_{name}", value)
    said = about("vlm")
    assert "&lt;see&gt;" in said and "hush" not in said and "hv-error" not in said
    assert "Nothing leaves this machine" in about("profile")
    assert all("in a training where it is chosen under Whose votes" in about(who) for who in ("profile", "vlm"))


@pytest.fixture
def rated(tmp_path) -> Engine:
    """The real engine, without models, with a few votes."""
    engine = Engine(load_profile("miniature"), tmp_path / "data")
    (tmp_path / "made").mkdir()
    rate(engine.store, write_clips(tmp_path / "made"))
    yield engine
    engine.store.close()


def test_votes_go_out_and_come_in(rated, tmp_path):
    """Export ends with a link to the archive, Import of it with how many votes are new: five, then none."""
    with gr.Blocks():
        form = ExchangeForm(rated, ACTIONS)
        other = Engine(rated.profile, tmp_path / "other")
        there = ExchangeForm(other, ACTIONS)
    *_, said = form.export(threading.Event(), "", True)
    [archive] = (tmp_path / "data" / "exports").glob("*/*.zip")
    assert f"file={archive}" in said and 'download="huvidpo-votes-all.zip"' in said
    *_, said = there.bring(threading.Event(), [str(archive)])
    assert "5 answers are new" in said and other.store.votes.history() == rated.store.votes.history()
    *_, said = there.bring(threading.Event(), [str(archive)])
    assert NOTHING_NEW in said
    [said] = there.bring(threading.Event(), None)
    assert FIRST in said and "hv-error" in said
    other.store.close()
