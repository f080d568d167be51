"""The Align tab's view of a run over real records, the blind round's verdict, and LoRAs."""

import time
from dataclasses import replace
from html import unescape
from pathlib import Path

import gradio as gr
import pytest

from huvidpo_core.engine import PairQueue, RunState, Score
from huvidpo_core.errors import UserError
from huvidpo_core.models import cards
from huvidpo_core.models.packs import ActionPack
from huvidpo_core.preferences.records import Estimate
from huvidpo_core.ui import align_outcome as outcome
from huvidpo_core.ui import align_words as said
from huvidpo_core.ui import run_follow, run_view
from huvidpo_core.ui.align_loras import LoraForm
from huvidpo_core.ui.align_view import look
from huvidpo_core.ui.clips import Clips
from huvidpo_core.ui.run_view import LATEST, fresh
from huvidpo_core.ui.run_words import status
from huvidpo_core.ui.session import Session
from tests.finished import finish, until, write_pack
from tests.ui.align.align_page import STEPS, begin, parts


def test_a_run_is_followed_stopped_resumed_and_removed(form, view, engine):
    """Its files alone say all: bar and time left, plots, clips of step 0 beside the latest, then what can be done."""
    engine.trainings.pause = 0.1
    run = begin(form, raters=["Anna"])
    name = run.path.name
    until(run, "running")
    while run.state().step < 5:
        time.sleep(0.02)
    seen = parts(engine)
    assert seen["live"] and seen["can_stop"] and not seen["can_remove"] and seen["can_resume"] == ""
    assert f"of {STEPS}" in seen["head"] and "left" in seen["head"] and "votes of Anna" in seen["head"]
    assert "beta 800 (measured; reward: half of it times" in seen["head"] and seen["plots"].count("<figure") == 5
    assert seen["checks"] == ((0, 4), 0) and "Step 4" in seen["clips"] and seen["clips"].count("<video") == 4
    assert f'data-run="{name}" aria-pressed="true"' in seen["list"]
    view.act(lambda run: run.ask_to_stop())(name)
    assert "Stopping after this step" in parts(engine)["head"] or run.state().status == "stopped"
    assert until(run, "stopped").step < STEPS
    seen = parts(engine, name, 0)
    assert (seen["can_resume"], seen["can_remove"], seen["live"]) == ("Resume", True, False)
    assert "Stopped. Resume continues here." in seen["head"] and seen["clips"].count("<video") == 2
    view.act(engine.trainings.start)(name)
    assert until(run, "finished").step == 20
    assert "all 20 steps are done" in parts(engine)["head"]
    view.act(engine.trainings.remove)(name)
    with pytest.raises(gr.Error, match="no longer there"):
        view.act(engine.trainings.start)(name)
    assert look(engine, name, LATEST)[0] == "" and "No training yet" in parts(engine)["list"]


def test_what_failed_or_died_says_so_and_can_go_on(form, engine):
    """A full disk by its sentence; a process that is gone by the record's."""
    engine.trainings.pause, engine.trainings.breaks_at = 0.01, 3
    run = begin(form)
    until(run, "failed")
    seen = parts(engine)
    assert "The disk is full." in seen["head"] and 'role="alert"' in seen["head"] and seen["can_resume"] == "Try again"
    run.tell(status="running", pid=2**22 - 3, born=1.0)
    seen = parts(engine)
    assert "Ended unexpectedly" in seen["list"] and "ended without a word" in seen["head"]
    assert (seen["can_resume"], seen["live"]) == ("Resume", False)


def test_a_run_that_holds_nothing_back_says_so(form, engine):
    """Of three pairs none are left to check on, and the checks say None."""
    engine.trainings.pause = 0.01
    run = begin(form)
    until(run, "finished")
    assert "none held back" not in parts(engine)["head"]
    run.note("check", {**run.metrics("check")[-1], "accuracy": None, "loss": None})
    assert "none held back: too few" in parts(engine)["head"]


def test_only_what_changed_is_sent(form, view, engine):
    """Clips that play are left alone while the numbers move."""
    engine.trainings.pause = 0.01
    run = begin(form)
    until(run, "finished")
    chosen, marks, *first = view.look("", LATEST, {})
    assert chosen == run.path.name and gr.skip() not in first
    assert view.look(chosen, LATEST, marks)[2:] == [gr.skip()] * len(first)
    run.note("step", {"step": 9, "steps": STEPS, "loss": 0.5})
    changed, _ = fresh(look(engine, chosen, LATEST)[1], marks)
    assert changed == {"plots"}
    assert len(view.look(chosen, LATEST, marks)) == len(view._outputs)


def test_did_it_help(form, view, engine, pack):
    """First only a round can be made; then it is to be rated, to the end; then it can be used, and is in the menu."""
    engine.trainings.pause = 0.01
    run = begin(form)
    until(run, "finished")
    name, rounds = run.path.name, engine.blind_rounds
    seen = parts(engine)
    assert (seen["can_try"], seen["can_use"], seen["can_rate"]) == ("Make a blind round", False, False)
    assert "only your eyes can tell" in seen["helped"]
    view.act(rounds.make)(name)
    seen = parts(engine)
    assert (seen["can_try"], seen["can_use"], seen["can_rate"]) == ("Make another round", False, True)
    assert "8 pairs of the round wait in Prefer, under Waterfall, and come first there" in seen["helped"]
    assert "0 of 8 pairs of the round are answered. When all are, the win rate is told" in seen["helped"]
    assert "waterfall/calm" not in [choice.id for choice in engine.packs("waterfall")]
    assert view.to_rate(name)[1] == "waterfall"
    for ahead in (Score(8, 7, 7, 0, 0, Estimate(1.0, 0.6, 1.0)), Score(7, 7, 7, 0, 0, Estimate(1, 0.6, 1), coming=1)):
        rounds.result = ahead
        seen = parts(engine)
        assert (seen["can_use"], seen["can_rate"]) == (False, ahead.pairs == 8)
        assert "7 of 8 pairs of the round are answered." in seen["helped"] and "%" not in seen["helped"]
    rounds.result = Score(8, 8, 8, 0, 0, Estimate(1.0, 0.68, 1.0))
    seen = parts(engine)
    assert seen["can_use"] and not seen["can_rate"] and "answered" not in seen["helped"]
    assert "100%</b>" in seen["helped"] and "68% to 100%" in seen["helped"] and "It helped." in seen["helped"]
    with pytest.raises(UserError, match="Press Use it"):
        view.made_by(name)
    view.act(view.adopt)(name)
    assert "waterfall/calm" in [choice.id for choice in engine.packs("waterfall")]
    _, action, menu, *_ = Clips(engine).choose(Session(), view.made_by(name), "waterfall")
    assert (action.value, menu.value) == ("waterfall", "waterfall/calm")
    seen = parts(engine)
    assert seen["can_use"] is None and seen["offered"]
    assert "now, as “Waterfall + calm” under Learnt motion" in seen["helped"]
    assert engine.loras.list("waterfall")[0].card["blind_round"] == {"pairs": 8, "win_rate": [1.0, 0.68, 1.0]}


@pytest.mark.parametrize(
    ("rate", "verdict"),
    [
        (Estimate(0.8, 0.55, 0.95), "It helped."),
        (Estimate(0.2, 0.05, 0.45), "worse than before"),
        (Estimate(0.6, 0.3, 0.9), "may be luck"),
    ],
)
def test_the_verdict_goes_by_the_interval(rate, verdict):
    """Above one half, below it, or around it; what is being made is told, and what went wrong."""
    score = Score(10, 10, 6, 0, 4, rate)
    words = outcome.helped_words("", True, score, PairQueue(0, "animating, step 2 of 8", 3, ""), "Rain")
    assert verdict in words and "step 2 of 8, 3 more pairs after it" in words
    assert ("Another round makes it surer." in words) == (rate.value == 0.6)
    open_still = outcome.helped_words("", True, replace(score, pairs=16), PairQueue(0, "", 0, ""), "Rain")
    assert verdict not in open_still and "10 of 16 pairs of the round are answered" in open_still
    assert "<b>" not in outcome.helped_words("", True, None, PairQueue(0, "", 0, "<b>full</b>"), "Rain")


def test_a_round_that_was_passed_over_locks_nobody_out(form, view, engine, pack):
    """Skipped to the end it can be used, without a win rate; skipped in part, the verdict is that of the rest."""
    engine.trainings.pause = 0.01
    run = begin(form)
    until(run, "finished")
    view.act(engine.blind_rounds.make)(run.path.name)
    engine.blind_rounds.result = Score(8, 6, 5, 0, 1, Estimate(0.83, 0.4, 0.9), skipped=2)
    seen = parts(engine)
    assert (seen["can_use"], seen["can_rate"]) == (True, False) and "of 6 pairs went to the new model" in seen["helped"]
    engine.blind_rounds.result = Score(8, 0, 0, 0, 0, None, skipped=8)
    seen = parts(engine)
    assert (seen["can_use"], seen["can_rate"]) == (True, False)
    assert "No pair of the round was judged" in seen["helped"] and "%" not in seen["helped"]
    view.act(view.adopt)(run.path.name)
    assert engine.loras.list("waterfall")[0].card["blind_round"] == {"pairs": 0, "win_rate": None}


def test_a_machines_votes_are_told_not_to_count():
    """Where people are to judge and none has; not once one has, nor where it is said whose count."""
    queue = PairQueue(0, "", 0, "")
    score = Score(8, 0, 0, 0, 0, None, uncounted=8)
    wanted = "Automatic raters have judged 8 pairs of the round. A machine's votes do not count here"
    assert wanted in unescape(outcome.helped_words("", True, score, queue, "Rain"))
    one = replace(score, rated=1, wins=1, win_rate=Estimate(1.0, 0.2, 1.0))
    for seen, whose in ((one, ()), (score, ["Anna"]), (replace(score, uncounted=0), ())):
        assert "machine" not in outcome.helped_words("", True, seen, queue, "Rain", whose)


def test_pairs_that_teach_nothing_are_told(form):
    """Of 24 pairs the ties are not learned from; where all are, there is nothing to tell."""
    asked = begin(form).asked()
    assert "24 pairs" in said.facts(asked, 0.0) and "7 of 24 pairs" in said.facts(asked | {"taught": 7}, 0.0)


def test_what_a_finished_run_kept_is_shown_first(form, engine):
    """Not the step after it, which was discarded; while it runs, and where nothing was kept, the latest."""
    engine.trainings.pause = 0.01
    run = begin(form)
    until(run, "finished")
    assert run_view.check_choices(*parts(engine)["checks"])[0] == ("Step 8 (kept)", LATEST)
    run.note("check", {"step": 8, "best": 4})
    seen = parts(engine)
    assert "<b>Before</b><b>Step 4 (kept)</b>" in seen["clips"] and "<b>Step 8</b>" in parts(engine, step=8)["clips"]
    assert run_view.check_choices(*seen["checks"])[:2] == [("Step 4 (kept)", LATEST), ("Step 8", 8)]
    run.tell(status="stopped")
    assert "<b>Step 8</b>" in parts(engine)["clips"]
    run.tell(status="finished")
    run.note("check", {"step": 8, "best": 0})
    seen = parts(engine)
    assert "<b>Step 8</b>" in seen["clips"] and run_view.check_choices(*seen["checks"])[0] == ("Latest", LATEST)


def test_the_share_of_what_comes_before_the_first_step_is_shown():
    """Where the stage counts; without a count, and while a check goes on, as before."""
    assert 'aria-valuenow="11"' in status(RunState("running", "encoding the clips, 7 of 63"), False)
    assert "Encoding the clips, 7 of 63" in status(RunState("running", "encoding the clips, 7 of 63", 50, 100), False)
    assert "hv-endless" in status(RunState("running", "encoding the clips"), False)
    assert 'aria-valuenow="50"' in status(RunState("running", "checking", 50, 100), False)


def test_two_are_merged_only_beside_one_pack(engine, pack):
    """There is no press that could only be refused."""
    with gr.Blocks():
        loras = LoraForm(engine)
    rows = []
    for name in ("calm", "lively"):
        cards.put(ActionPack.load(pack), name, pack / "pack.json", {})
        rows.append([row.visible for row in loras.refresh("waterfall")[-2:]])
    assert rows == [[True, False], [True, True]]


def test_names_are_escaped(form, engine):
    """A name is text on the page, never its HTML."""
    run = begin(form, name="<img src=x>")
    until(run, "finished")
    seen = parts(engine)
    assert "<img" not in seen["head"] + seen["list"] + seen["helped"]


def test_loras_are_managed(engine, pack):
    """The table, the menus, and each press with its sentence; the network's own part is tested in test_loras."""
    with gr.Blocks():
        loras = LoraForm(engine)
    assert "No LoRA for this action yet" in loras.refresh("waterfall")[0]
    form_run = engine.trainings.prepare("waterfall", engine.trainings.settings(steps=STEPS), name="calm")
    for step in (0, 12, 20):
        engine.trainings._check(form_run, step)
    engine.trainings.adopt(finish(form_run), more={"blind_round": {"pairs": 8, "win_rate": [0.75, 0.4, 0.9]}})
    table, menu, one, other, clips, *_ = loras.refresh("waterfall")
    assert clips.count("<video") == 4 and "<b>Before</b><b>Step 20</b>" in clips and "Step 12" not in clips
    assert loras.look("waterfall", None) == loras.look("waterfall", "waterfall/gone") == ""
    assert "22 pairs, 20 steps" in table and "75% (40% to 90%)" in table and "3 of 4 in order" in table
    singles = {"held_out_accuracy": 0.75, "singles": {"trained": 9, "held_out": 4}}
    assert "<td>75% in order</td>" in said.loras_table([replace(engine.loras.list("waterfall")[0], card=singles)])
    assert menu.value == one.value == "waterfall/calm" and other.value == "waterfall"
    assert "called lively now" in loras.do_rename("waterfall/calm", "lively ")
    link = loras.do_send("waterfall/lively")
    assert 'download="waterfall-lively.safetensors"' in link
    file = next((engine.data / "exports").glob("*/*.safetensors"))
    assert file.read_bytes() == b"a LoRA" and Path(file.name).stem in link
    assert "5 pairs are being made" in loras.do_compare("waterfall", "waterfall/lively", "waterfall")
    assert engine.blind_rounds.compared == [("waterfall", "waterfall/lively", "waterfall", 5)]
    assert "waterfall/both" in loras.do_merge("waterfall", "waterfall/lively", "waterfall/x", 0.5, 0.7, "both")
    assert engine.loras.merged == [(["waterfall/lively", "waterfall/x"], [0.5, 0.7], "both")]
    assert "deleted" in loras.do_delete("waterfall/lively")
    for press in (lambda: loras.ask(None), lambda: loras.do_delete(None), lambda: loras.do_send("waterfall/gone")):
        with pytest.raises(gr.Error, match=r"Choose a LoRA first|no LoRA 'gone'"):
            press()


def test_the_loras_begin_with_the_run_that_is_followed(form, engine, pack):
    """Else with the first action that has any, else they stay."""
    with gr.Blocks():
        loras = LoraForm(engine)
    assert loras.open("rain", "") == "rain"
    cards.put(ActionPack.load(write_pack(engine.data / "packs" / "smile")), "mild", pack / "pack.json", {})
    assert loras.open("rain", "") == "smile"
    assert loras.open("rain", begin(form).path.name) == "waterfall"


def test_a_run_of_an_action_that_is_gone_is_still_shown(form, engine):
    """Its name stands in for its title."""
    run = begin(form)
    until(run, "finished")
    engine.actions = {name: action for name, action in engine.actions.items() if name != "waterfall"}
    assert "waterfall" in said.row("x", run.asked(), RunState("new"), engine.actions).title
    assert "<h2>waterfall" in parts(engine)["head"]


def test_the_question_before_a_removal_stays_while_its_run_is_shown():
    """News that the run is shown may come after the question about it was asked; another run's take it away."""
    assert run_follow._of_another("one", "one") == gr.skip()
    assert run_follow._of_another("other", "one").visible is False
