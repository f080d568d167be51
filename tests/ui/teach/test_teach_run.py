"""The Teach tab's view of a run over real records, and the way to Create."""

import json
import time
from html import unescape

import gradio as gr
import numpy as np
import pytest

from huvidpo_core.models.packs import TAUGHT
from huvidpo_core.ui.clips import Clips
from huvidpo_core.ui.menus import ActionMenus, titles
from huvidpo_core.ui.run_view import LATEST
from huvidpo_core.ui.session import Few, Session, Wording
from huvidpo_core.ui.teach_taught import TaughtForm
from huvidpo_core.ui.teach_view import look
from tests.finished import until, write_pack
from tests.ui.teach.teach_page import STEPS, begin, bring, parts


def test_a_teaching_is_followed_stopped_resumed_and_removed(form, view, engine, clips):
    """Its files alone say all: bar, time left, three plots, clips of step 0 beside the latest, how much they move."""
    engine.trainings.pause = 0.1
    bring(form, clips)
    run = begin(form, engine)
    name = run.path.name
    while run.state().step < 5:
        time.sleep(0.02)
    seen = parts(engine)
    assert seen["live"] and seen["can_stop"] and not seen["can_remove"] and not seen["can_try"]
    assert f"of {STEPS}" in seen["head"] and "left" in seen["head"] and "8 clips" in seen["head"]
    assert "samples move 20% as much as your clips" in seen["head"] and "Ball bounce" in seen["head"]
    assert seen["plots"].count("<figure") == 3 and "kept for checking" in seen["plots"] and "by heart" in seen["plots"]
    assert seen["checks"] == ((0, 4), 0) and "Step 4" in seen["clips"] and seen["clips"].count("<video") == 4
    assert f'data-run="{name}" aria-pressed="true"' in seen["list"] and "8 clips" in seen["list"]
    view.act(lambda run: run.ask_to_stop())(name)
    assert until(run, "stopped").step < STEPS
    seen = parts(engine, name, 0)
    assert (seen["can_resume"], seen["can_remove"], seen["live"]) == ("Resume", True, False)
    assert "Stopped. Resume continues here." in seen["head"] and seen["clips"].count("<video") == 2
    engine.trainings.breaks_at = STEPS
    view.act(engine.trainings.start)(name)
    until(run, "failed")
    assert "The disk is full." in parts(engine)["head"] and parts(engine)["can_resume"] == "Try again"
    (run.path / "log.txt").write_text("Traceback\nMemoryError: <b>none left</b>\n\n")
    run.tell(status="running", pid=2**22 - 3, born=1.0)
    assert "ended without a word" in parts(engine)["head"] and "MemoryError: &lt;b&gt;none" in parts(engine)["head"]
    view.act(engine.trainings.remove)(name)
    with pytest.raises(gr.Error, match="no longer there"):
        view.act(engine.trainings.start)(name)
    assert look(engine, name, LATEST)[0] == "" and "Nothing taught yet" in parts(engine)["list"]
    assert engine.trainings.runs() == []


def test_the_two_kinds_of_runs_are_kept_apart(form, view, engine, clips):
    """An alignment is not in this list, nor a teaching in that of alignments."""
    bring(form, clips)
    run = begin(form, engine)
    aligned = engine.trainings.prepare("waterfall", engine.trainings.settings(steps=4), name="calm")
    assert [each.path for each in engine.trainings.runs()] == [aligned.path]
    assert aligned.path.name not in parts(engine)["list"]
    chosen, marks, *first = view.look("", LATEST, {})
    assert chosen == run.path.name and gr.skip() not in first and len(first) + 2 == len(view._outputs)
    until(run, "finished")
    changed = view.look(chosen, LATEST, marks)
    assert view.look(chosen, LATEST, changed[1])[2:] == [gr.skip()] * len(first)


def test_a_finished_one_can_be_chosen_at_once(form, view, engine, clips):
    """A sentence, the way to Create with that action and motion chosen, all menus of actions; no restart, no reload."""
    with gr.Blocks():
        menus, radio, plain = ActionMenus(engine), gr.Radio(titles(engine)), gr.Dropdown(titles(engine))
    menus.add(radio)
    menus.add(plain, ("All actions", ""))
    known = json.dumps(titles(engine))
    assert menus.refresh(known, "rain", "") == [gr.skip()] * 3
    bring(form, clips)
    run = begin(form, engine)
    until(run, "finished")
    seen = parts(engine)
    assert "“Ball bounce” can now be chosen in Create." in seen["made"]
    assert (seen["can_try"], seen["can_use"]) == (True, False)
    told, first, second = menus.refresh(known, "rain", "")
    assert ["Ball bounce", "ball_bounce"] in json.loads(told)
    assert isinstance(first, gr.Radio) and first.choices[-1] == ("Ball bounce", "ball_bounce")
    assert second.choices[0] == ("All actions", "") and len(second.choices) == len(first.choices) + 1
    assert first.value != "rain" and menus.refresh(told, "rain", "") == [gr.skip()] * 3
    _, action, pack, *_ = Clips(engine).choose(Session(), view.made_by(run.path.name), "rain")
    assert (action.value, pack.value) == ("ball_bounce", "ball_bounce")
    assert ("Ball bounce", "ball_bounce") in action.choices


def test_what_is_tried_begins_with_its_own_words(engine):
    """Coming from another action, an example is in the prompt and the picture that was drawn is put away, with those
    that were to choose from; a picture that the person made stays; on the same action everything does."""
    write_pack(
        engine.data / "packs" / "ball", title="Ball", training={"source": TAUGHT, "examples": ["a ball, hopping"]}
    )
    tried, clips, picture = {"action": "ball", "pack": "ball"}, Clips(engine), np.zeros((160, 256, 3), np.uint8)

    def came_from(now, origin):
        session = Session(few=Few(Wording("a red horse"), done=True))
        session.put(picture, origin, Wording("a red horse", "horse_run", "cartoon"))
        *_, prompt, editor, note = clips.choose(session, tried, now)
        return session, prompt, editor, note

    session, prompt, editor, note = came_from("horse_run", "generated")
    assert (prompt, editor, session.picture, session.few) == ("a ball, hopping", None, None, None)
    assert "No picture yet" in note
    for now, origin, words in (
        ("horse_run", "uploaded", "a ball, hopping"),
        ("horse_run", "edited", "a ball, hopping"),
        ("ball", "generated", gr.skip()),
    ):
        session, prompt, editor, _ = came_from(now, origin)
        assert (prompt, editor) == (words, gr.skip()) and session.picture is picture and session.few


def test_a_name_that_is_there_keeps_its_pack(form, view, engine, clips):
    """The new one stands beside it under Learnt motion, and is chosen by the button; taken away, it can be put back."""
    old = write_pack(engine.data / "packs" / "waterfall")
    before = (old / "motion.safetensors").read_bytes()
    bring(form, clips)
    run = begin(form, engine, title="waterfall")
    until(run, "finished")
    assert (old / "motion.safetensors").read_bytes() == before
    made = parts(engine)["made"]
    assert "“Waterfall” can now be chosen in Create, as “Waterfall 2 (motion)” under Learnt motion" in made
    _, action, pack, *_ = Clips(engine).choose(Session(), view.made_by(run.path.name), "rain")
    assert (action.value, pack.value) == ("waterfall", "waterfall-2")
    for file in sorted((engine.data / "packs" / "waterfall-2").rglob("*"), reverse=True):
        file.unlink()
    (engine.data / "packs" / "waterfall-2").rmdir()
    seen = parts(engine)
    assert "Create does not offer it" in seen["made"] and (seen["can_try"], seen["can_use"]) == (False, True)
    with pytest.raises(Exception, match="Put it to use again"):
        view.made_by(run.path.name)
    view.act(engine.trainings.adopt)(run.path.name)
    assert parts(engine)["can_try"]


def test_a_taught_action_is_renamed_and_deleted(form, view, engine, clips):
    """In all menus, without what was shipped; the question names the LoRAs that go with it; whoever had it chosen gets
    another; its training can put it to use again."""
    write_pack(engine.data / "packs" / "waterfall")
    with gr.Blocks():
        taught, menus, radio = TaughtForm(engine), ActionMenus(engine), gr.Radio(titles(engine))
    menus.add(radio)
    assert "None yet" in taught.refresh(None)[0]
    bring(form, clips)
    run = begin(form, engine)
    until(run, "finished")
    empty, menu = taught.refresh("gone")
    assert (empty, menu.choices, menu.value) == ("", [("Ball bounce (ball_bounce)", "ball_bounce")], "ball_bounce")
    for title, sentence in ((" ", "Type a new title"), ("rain", "“rain” already")):
        with pytest.raises(gr.Error, match=sentence):
            taught.do_rename("ball_bounce", title)
    assert "“Rubber <ball>”" in unescape(taught.do_rename("ball_bounce", " Rubber  <ball>"))
    assert engine.actions["ball_bounce"].title == "Rubber <ball>"
    made = unescape(parts(engine)["made"])
    assert "“Rubber <ball>” can now be chosen in Create." in made and "Ball bounce" not in made
    (engine.data / "packs" / "ball_bounce" / "preference-<b>calm.safetensors").write_bytes(b"a LoRA")
    asked, row, _ = taught.ask("ball_bounce")
    assert row.visible and "&lt;b&gt;calm" in asked
    aligned = engine.trainings.prepare("waterfall", engine.trainings.settings(), name="calm", pack="ball_bounce")
    aligned.tell(status="running")
    with pytest.raises(gr.Error, match="training “calm” is running"):
        taught.do_delete("ball_bounce")
    aligned.tell(status="stopped")
    told = menus.refresh(json.dumps(titles(engine)), "ball_bounce")
    assert told == [gr.skip()] * 2
    known = json.dumps(titles(engine))
    assert "deleted" in taught.do_delete("ball_bounce") and "ball_bounce" not in engine.actions
    assert [path.name for path in (engine.data / "packs").iterdir()] == ["waterfall"]
    _, menu = menus.refresh(known, "ball_bounce")
    assert menu.value == titles(engine)[0][1] and parts(engine)["can_use"]
    for press in (lambda: taught.do_delete("waterfall"), lambda: taught.ask(None)):
        with pytest.raises(gr.Error, match=r"no longer there|Choose an action"):
            press()
    view.act(engine.trainings.adopt)(run.path.name)
    assert engine.actions["ball_bounce"].title == "Ball bounce"
