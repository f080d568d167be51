"""Aligning first frames on the page: the form, and a run of that kind among the others."""

import re
import threading

import gradio as gr
import pytest

from huvidpo_core.engine import FIRST_FRAMES
from huvidpo_core.errors import UserError
from huvidpo_core.models.painter_menu import PainterMenu
from huvidpo_core.preferences.picture_choices import PictureChoice
from huvidpo_core.ui.align_loras import LoraForm
from huvidpo_core.ui.align_pictures import PictureForm
from huvidpo_core.ui.clips import Clips
from huvidpo_core.ui.menus import painter_menu
from huvidpo_core.ui.session import Session, Sessions
from tests.finished import until
from tests.ui.align.align_page import PAGE, parts


@pytest.fixture
def form(engine):
    with gr.Blocks():
        return PictureForm(engine, Sessions())


@pytest.fixture
def chosen(engine):
    """Twenty choices by Anna and three by Ben."""
    made = [
        PictureChoice(str(n), 0.0, str(n), "Anna" if n < 20 else "Ben", {}, f"{n}a", (f"{n}b", f"{n}c", f"{n}d"))
        for n in range(23)
    ]
    engine.trainings.supply.chosen += made


def test_the_form_says_what_there_is_to_learn_from(form, engine, chosen):
    """Counts by rater, and a button that waits until there is something."""
    raters, _, supply, button = form.refresh(PAGE, ["Anna", "gone"], "")
    assert raters.choices == [("Anna", "Anna"), ("Ben", "Ben")] and raters.value == ["Anna"] and button.interactive
    assert "20 choices of a first frame from several. Enough to begin with." in supply
    assert "3 choices" in form.look(["Ben"])[0] and "That is little; 20 are a beginning" in form.look(["Ben"])[0]
    engine.trainings.supply.chosen.clear()
    raters, _, supply, button = form.refresh(PAGE, ["Anna"], "")
    assert "press Four to choose from" in supply and not button.interactive and raters.value == []
    with pytest.raises(gr.Error, match="No first frame has been chosen"):
        form.begin([], "", "", None, None)
    assert engine.trainings.runs("picture") == []


def test_a_preset_fills_the_form_once(form):
    """At first, and whenever another preset is chosen; else the settings stay as they were left."""
    needs = form.estimate("", "")
    assert "Rank 16, a batch of 4" in form.said.value and "A step needs about 0.8 GB of this machine" in needs
    assert (form.steps.value, form.lr.value) == (100, 7e-4)
    assert form.estimate("", needs) == gr.skip()
    assert form.fill("diffusion_dpo")[2:] == [0, 1e-5]


def test_a_run_is_followed_and_put_to_use(form, view, engine, chosen):
    """It stands in the list among alignments; pictures as samples, no motion plotted, no blind round; put to use, its
    painter is in Create's menu."""
    run = form.begin(["Anna"], "", "", 8, 5e-4)
    until(run, "finished")
    seen = parts(engine)
    assert "First frames" in seen["list"] and "First frames" in seen["head"]
    for words in ("choices of Anna", "20 choices, 60 pairs", "Diffusion-DPO on pictures"):
        assert words in seen["head"]
    assert "huvidpo" not in seen["head"]
    assert "Motion against" not in seen["plots"] and "Held-out pairs put in order" in seen["plots"]
    assert seen["clips"].count("<img") == 4 and "<video" not in seen["clips"]
    assert seen["can_use"] is True and seen["can_try"] == "" and not seen["can_rate"]
    view.act(view.adopt)(run.path.name)
    assert [choice.id for choice in engine.painters()][:2] == ["", "lora:liked"]
    painter, *others = Clips(engine).choose(Session(), view.made_by(run.path.name), "rain")
    assert painter.value == "lora:liked" and others == [gr.skip()] * 6
    seen = parts(engine)
    assert seen["can_use"] is None and "Drawn by" in seen["helped"] and "liked" in seen["helped"]


def test_its_lora_is_renamed_and_deleted(form, view, engine, chosen):
    """The panel of LoRAs begins with first frames when such a run is followed, offers what can be done with them, and
    what is changed is so in Create's menu and in what the run says."""
    with gr.Blocks():
        loras = LoraForm(engine)
    run = form.begin(["Anna"], "", "", 8, 5e-4)
    until(run, "finished")
    assert loras.open("waterfall", run.path.name) == FIRST_FRAMES
    assert "No LoRA for first frames yet" in loras.refresh(FIRST_FRAMES)[0]
    view.act(view.adopt)(run.path.name)
    table, menu, _, _, pictures, *others = loras.refresh(FIRST_FRAMES)
    assert "22 pairs, 20 steps" in table and menu.value == "lora:liked"
    assert "<img" in pictures and "<video" not in pictures and not any(part.visible for part in others)
    assert all(part.visible for part in loras.refresh("waterfall")[-3:-1])
    assert "called bright now" in loras.do_rename("lora:liked", "bright")
    assert [choice.id for choice in engine.painters()][:2] == ["", "lora:bright"]
    assert "bright" in parts(engine)["helped"]
    with pytest.raises(gr.Error, match="Type a name"):
        loras.do_rename("lora:bright", " ")
    assert "deleted" in loras.do_delete("lora:bright")
    with pytest.raises(UserError, match="The LoRA 'bright' for first frames is not there any more"):
        PainterMenu(engine.profile, engine.data / "packs").check("lora:bright")
    assert painter_menu(engine, "lora:bright").value == ""
    assert "lora:bright" not in [choice.id for choice in engine.painters()] and parts(engine)["can_use"] is True


def test_it_is_stopped_and_removed_like_any_other(form, view, engine, chosen):
    """By the same buttons; what was put to use stays. Pressed twice, with the name left empty, it is begun once."""
    engine.trainings.pause = 0.05
    run = form.begin([], "", "", 400, 5e-4)
    until(run, "running")
    with pytest.raises(gr.Error, match="running already"):
        form.begin([], "", "", 400, 5e-4)
    view.act(lambda each: each.ask_to_stop())(run.path.name)
    until(run, "stopped")
    assert parts(engine)["can_resume"] == "Resume"
    view.act(engine.trainings.remove)(run.path.name)
    assert engine.trainings.runs("picture") == []


@pytest.mark.parametrize(
    ("preset", "steps", "lr", "words"),
    [("../secret", None, 5e-4, "no preset"), ("", 1.5, 5e-4, "not 1.5"), ("", -3, 5e-4, "'steps'"), ("", 3, 0, "'lr'")],
)
def test_what_cannot_be_begun(form, engine, chosen, preset, steps, lr, words):
    """A sentence, and no run."""
    with pytest.raises(gr.Error, match=words):
        form.begin([], "", preset, steps, lr)
    assert engine.trainings.runs("picture") == []


def test_a_blind_round_on_the_page(form, view, engine, chosen):
    """Drawn, looked at two by two without names, pressed; when all are judged, and not before, the panel shows the
    rate."""
    run = form.begin([], "secret", "", 8, 5e-4)
    until(run, "finished")
    assert parts(engine)["can_draw"] and "A blind round draws pairs" in parts(engine)["helped"]
    name, rounds = run.path.name, view.pictures
    assert "There is no round yet" in rounds.show(name, "Anna")
    *progress, said = rounds.make(threading.Event(), name)
    assert "8 pairs can be told apart" in said and "pair 8 of 8" in progress[-1].stage
    assert "8 of 8 pairs wait to be judged" in parts(engine)["helped"]
    seen = rounds.show(name, "Anna")
    for _ in range(8):
        words = re.sub('base64,[^"]*', "", seen)  # pictures may hold any letters
        assert seen.count("<img") == 2 and "secret" not in words and "lora" not in words
        look = engine.picture_rounds.next(run, "Anna")
        assert look.offer in seen and "interval" not in parts(engine)["helped"]
        new = "left" if engine.picture_rounds.score(run).rated % 2 else "right"
        seen = rounds.choose(name, f"{look.offer}/{new}", "Anna")
    assert "You have judged every pair" in seen
    assert "95 % interval" in parts(engine)["helped"] and "of 8 pairs went to the new model" in parts(engine)["helped"]
    with pytest.raises(gr.Error, match="not there any more"):
        rounds.choose(name, "x/left", "Anna")
    written = (run.path / "round.json").read_text()
    (run.path / "round.json").write_text("{")
    assert "A blind round draws pairs" in parts(engine)["helped"]
    (run.path / "round.json").write_text(written)
    view.act(view.adopt)(name)
    with gr.Blocks():
        loras = LoraForm(engine)
    rate = engine.picture_rounds.score(run).win_rate
    assert f"{rate.value:.0%} ({rate.low:.0%} to {rate.high:.0%})" in loras.refresh(FIRST_FRAMES)[0]
