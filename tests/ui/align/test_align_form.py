"""The Align tab's form over real records: what there is to learn from, whose, how, and what a mistake does."""

from html import unescape
from types import SimpleNamespace

import gradio as gr
import pytest

from huvidpo_core.engine import RatedStock, Stock
from huvidpo_core.preferences.judges import ProfileRater
from huvidpo_core.preferences.records import Ballot
from huvidpo_core.preferences.store import Store
from huvidpo_core.supply import Supply
from huvidpo_core.training.settings import LOSSES as TRAINED
from huvidpo_core.training.settings import load_settings
from huvidpo_core.ui import align_words as said
from huvidpo_core.ui.align_form import LOSSES
from tests.preferences.made import add_pair
from tests.ui.align.align_page import PAGE, STEPS, begin, parts


def test_the_form_says_what_there_is_to_learn_from(form, engine):
    """Votes by action in its menu, an action with votes chosen at first, raters to choose from, a button that waits."""
    actions, raters, _, supply, button = form.refresh(PAGE, "smile", ["Anna", "gone"], "", "")
    assert ("Waterfall (24 votes)", "waterfall") in actions.choices and actions.value == "waterfall"
    assert raters.choices == [("Anna", "Anna"), ("Ben", "Ben")] and raters.value == ["Anna"]
    assert "24 judged pairs by Anna, 22 with a better clip. Enough to begin with; 60 are good." in supply
    assert button.interactive
    supply, button = form.look("rain", [], "")
    assert "No votes on Rain yet" in supply and not button.interactive
    supply, button = form.look("waterfall", ["Ben"], "dense")
    assert "Nothing can be learned from ties alone" in supply and not button.interactive


def vote(store, rater, better):
    """Answer all pairs of rain: for the clips whose name ends so."""
    while showing := store.votes.show(rater, "rain"):
        store.votes.vote(showing.id, rater, Ballot("left" if showing.left.endswith(better) else "right"))


@pytest.mark.parametrize("judge", [ProfileRater.name, "VLM see-1"])
def test_an_automatic_rater_counts_where_it_is_chosen(form, engine, tmp_path, judge):
    """Two people's votes on three pairs, and a judge who contradicts them all: nobody chosen means the two; chosen, the
    judge counts; where only a judge has voted, it does. What the form says is what the training learns from."""
    store = Store(tmp_path / "store")
    supply = engine.trainings.supply = Supply(store, engine.actions, engine.styles)
    for name in ("p", "q", "r"):
        add_pair(store, name)
    vote(store, judge, "b")
    assert "3 judged pairs by automatic raters, 3 with a better clip" in form.look("rain", [], "")[0]
    assert begin(form, action="rain").asked()["raters"] == []
    for person in ("Anna", "Ben"):
        vote(store, person, "a")
    assert "No votes on Waterfall yet" in form.look("waterfall", [], "")[0]
    for chosen, whose, learned, winners in (
        ([], "people", ["Anna", "Ben"], {"pa", "qa", "ra"}),
        ([judge], judge, [judge], {"pb", "qb", "rb"}),
    ):
        assert f"3 judged pairs by {whose}, 3 with a better clip. That is" in unescape(form.look("rain", chosen, "")[0])
        asked = begin(form, action="rain", raters=chosen).asked()
        assert asked["raters"] == learned
        assert {pair.clips[0] for pair in supply.votes("rain", asked["raters"]).pairs} == winners
    assert "automatic raters" in form.raters.info


def test_whose_votes_and_name_outlast_a_reload(form, sessions):
    """What was filled in comes back in the same tab, less raters who are gone; what the page shows goes before it;
    another tab has nothing."""
    sessions.arrive("page", "tab")
    form.whose.keep(PAGE, ["Anna", "gone"], "calm")
    sessions.forget("page")
    sessions.arrive("again", "tab")
    again = SimpleNamespace(session_hash="again")
    _, raters, name, supply, _ = form.refresh(again, "waterfall", [], "", "")
    assert (raters.value, name) == (["Anna"], "calm") and "by Anna" in supply
    _, raters, name, *_ = form.refresh(again, "waterfall", ["Ben"], "lively", "")
    assert raters.value == ["Ben"] and name == gr.skip()
    _, raters, name, *_ = form.refresh(SimpleNamespace(session_hash="other"), "waterfall", [], "", "")
    assert (raters.value, name) == ([], "")


def test_with_kto_it_speaks_of_rated_clips(form, engine):
    """What there is, the button, and a run whose head counts good and bad clips."""
    words, button = form.look("waterfall", [], "kto")
    assert "9 rated clips, 4 good and 3 bad. That is little; 10 of each are a beginning." in words
    assert button.interactive
    words, button = form.look("rain", [], "kto")
    assert "No rated clips of Rain yet" in words and "4 or 5" in words and not button.interactive
    begin(form, loss="kto")
    assert "4 good and 3 bad clips" in parts(engine)["head"] and "kto loss" in parts(engine)["head"]


@pytest.mark.parametrize(
    ("stock", "words"),
    [
        (RatedStock(3, 0, 0), "3 rated clips, 0 good and 0 bad. None is good (4, 5) or bad (1, 2)."),
        (RatedStock(3, 3, 0), "It takes bad ones: rate some 1 or 2."),
        (RatedStock(3, 0, 3), "It takes good ones: rate some 4 or 5."),
        (RatedStock(30, 12, 11), "Enough to begin with."),
        (RatedStock(90, 40, 30), "That is plenty."),
    ],
)
def test_how_many_rated_clips_are_enough(stock, words):
    """Both kinds are needed, and the scarcer one counts."""
    assert words in said.rated_words(stock, "Rain", []) and stock.enough == (stock.good > 0 < stock.bad)


@pytest.mark.parametrize(
    ("stock", "words"),
    [
        (Stock(1, 1), "1 judged pair, 1 with a better clip. That is little; 20 are a beginning."),
        (Stock(70, 65), "That is plenty."),
        (Stock(8, 0, 8), "8 on which raters disagree. The raters contradict each other: choose whose votes"),
    ],
)
def test_how_much_is_enough(stock, words):
    assert words in said.supply_words(stock, "Rain", [])


def test_settings_come_from_the_preset_until_they_are_changed(form, engine):
    """The form shows the profile's preset, in words as well, and the memory that it takes, which is found once; another
    one fills it; what is typed is used."""
    own, other = load_settings(engine.profile.name), load_settings("densedpo")
    values = [part.value for part in (form.loss, form.steps, form.beta, form.lr)]
    assert values == [own.loss, own.steps, own.beta, own.lr] and f"Rank {own.lora.rank}" in form.said.value
    assert "about 1.0 GB of this machine" in (needs := form.estimate("", own.loss, ""))
    assert form.fill("densedpo")[2:] == [other.loss, other.steps, other.beta, other.lr] != values
    assert form.estimate("huvidpo", "huvidpo", needs) == gr.skip()
    assert "There is no preset" in form.estimate("none", "", "")  # a sentence in its place: nobody pressed anything
    for loss, beta in (("huvidpo", 500), ("dense-sum", 0), ("kto", 0), ("", 500)):  # 500 is for a mean, 0: measured
        assert form.exchange("densedpo", loss)[1] == beta
    run = begin(form, preset="huvidpo", loss="dense-sum", beta=7, lr=2e-3)
    settings = run.asked()["settings"]
    assert (settings["loss"], settings["steps"], settings["beta"], settings["lr"]) == ("dense-sum", STEPS, 7, 2e-3)
    assert settings["eps"] == load_settings("huvidpo").eps != own.eps
    emptied = {"name": " ", "beta": None, "lr": None, "steps": None}
    unnamed = [begin(form, loss=loss, **emptied).asked() for loss in ("huvidpo", "dense")]
    with pytest.raises(gr.Error, match="running already"):
        begin(form, loss="dense", **emptied)
    assert [(asked["name"], asked["settings"]["steps"]) for asked in unnamed] == [
        ("aligned", own.steps),
        ("aligned-2", own.steps),
    ]
    assert [name for _, name in LOSSES] == ["", *TRAINED]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"action": "rain"}, "no votes to learn from"),
        ({"lr": -1.0}, "'lr' of the alignment must be more than 0"),
        ({"steps": 1.5}, "Steps must be a whole number, not 1.5"),
        ({"steps": float("inf")}, "Steps must be a whole number, not inf"),
        ({"lr": 0}, "'lr' of the alignment must be more than 0"),
        ({"preset": "magic"}, "no preset 'magic'"),
        ({"name": "a/b"}, "cannot be a file's name"),
    ],
)
def test_what_cannot_be_done_is_a_sentence(form, engine, pack, change, sentence):
    """And no run is left behind. The field hands on what was typed, and does not round it."""
    assert form.steps.preprocess(1.5) == 1.5
    with pytest.raises(gr.Error, match=sentence):
        begin(form, **change)
    assert engine.trainings.runs() == []
