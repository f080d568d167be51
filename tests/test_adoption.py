"""From a finished training to a LoRA in the menu: tried out, put to use, taken away; and how runs are kept."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from huvidpo_core.config import load_actions, load_profile, load_styles
from huvidpo_core.errors import UserError
from huvidpo_core.models import cards
from huvidpo_core.models.menu import PackMenu
from huvidpo_core.models.packs import ActionPack
from huvidpo_core.models.painter_loras import PainterLoras
from huvidpo_core.preferences.records import Ballot
from huvidpo_core.preferences.store import Store
from huvidpo_core.training.record import RESULT, RunFolder, identity
from huvidpo_core.trainings import Trainings
from tests.finished import finish, write_pack
from tests.preferences.made import add_pair


@pytest.fixture
def trainings(tmp_path: Path) -> Trainings:
    """Of a data folder with a vote on rain, and a pack for it."""
    store = Store(tmp_path / "data")
    add_pair(store, "p")
    store.votes.vote(store.votes.show("ann", "rain").id, "ann", Ballot("left"))
    write_pack(tmp_path / "packs" / "rain")
    return Trainings(
        tmp_path / "data", load_profile("miniature"), None, store, tmp_path / "packs", load_actions(), load_styles()
    )


PICTURES = {"kind": "picture", "action": "", "name": "liked", "pack": "", "profile": "miniature", "settings": {}}


def begun(trainings: Trainings, name: str = "", **how: object) -> RunFolder:
    return trainings.prepare("rain", trainings.settings("huvidpo"), name=name, **how)


def pack(trainings: Trainings) -> ActionPack:
    return ActionPack.load(trainings._packs / "rain")


def rename(trainings: Trainings, old: str, new: str) -> None:
    cards.rename(pack(trainings).preference_file(old), pack(trainings).preference_file(new))


def menu(trainings: Trainings) -> list[str]:
    return [choice.id for choice in PackMenu(trainings._packs).choices("rain")]


def test_adopted_it_is_in_the_menu_with_its_card(trainings):
    """At once, under its name; a second time, an unfinished run and a name that is taken are sentences."""
    run = begun(trainings, "calm")
    with pytest.raises(UserError, match="has not finished"):
        trainings.adopt(run)
    finish(run)
    assert menu(trainings) == ["rain", ""]
    assert trainings.adopt(run, more={"blind_round": {"pairs": 8}}) == "rain/calm"
    assert menu(trainings) == ["rain", "rain/calm", ""]
    file = pack(trainings).preference_file("calm")
    assert file.read_bytes() == b"a LoRA"
    assert cards.read_card(file)["best_step"] == 20 and cards.read_card(file)["blind_round"] == {"pairs": 8}
    assert trainings.use(run).adopted == "calm"
    with pytest.raises(UserError, match="in use already, as 'calm'"):
        trainings.adopt(run)
    with pytest.raises(UserError, match="'calm' beside this action pack already"):
        begun(trainings, "calm")


def test_on_trial_it_is_hidden_until_it_is_adopted(trainings):
    """The same file all the time, under the name it was tried with, or another."""
    for wanted, name in (("", "one"), ("better", "two")):
        run = finish(begun(trainings, name))
        use = trainings_try(trainings, run)
        assert (use.trial, use.adopted) == (name, "") and use.since <= time.time()
        assert trainings_try(trainings, run) == use  # a second round: nothing is copied again
        assert f"rain/{name}" not in menu(trainings) and name in pack(trainings).preferences
        assert trainings.adopt(run, wanted) == f"rain/{wanted or name}"
        assert f"rain/{wanted or name}" in menu(trainings)
        assert trainings.use(run).trial == name  # clips of the round carry that name
    assert pack(trainings).preferences == ("better", "one")
    assert PackMenu(trainings._packs).now("rain/two") == "rain/better"  # as clips of the round call it
    assert "trial" not in cards.read_card(pack(trainings).preference_file("better"))


def trainings_try(trainings, run):
    from huvidpo_core import adoption

    return adoption.try_out(run, trainings._packs)


def test_a_trial_takes_a_free_name_and_goes_with_its_run(trainings):
    """Two runs of one name do not meet; removing a run takes its trial away and leaves what was put to use."""
    first, second = begun(trainings, "calm"), begun(trainings, "calm")
    assert first.path != second.path  # within one second
    assert trainings_try(trainings, finish(first)).trial == "calm"
    assert trainings_try(trainings, finish(second)).trial == "calm-2"
    trainings.remove(second)
    assert pack(trainings).preferences == ("calm",) and not second.path.exists()
    trainings.adopt(first)
    trainings.remove(first)
    assert pack(trainings).preferences == ("calm",) and trainings.runs() == []


def test_its_sample_clips_come_along(trainings):
    """Those of the base and those of the step that was kept, tried out before or not; the run may go then."""
    for number, tried in enumerate((False, True)):
        run = finish(begun(trainings, f"calm{number}"))
        for step in (0, 10, 20):
            for clip in range(2):
                path = run.sample(step, clip)
                path.parent.mkdir(exist_ok=True)
                path.write_text(f"{step} {clip}")
        if tried:
            trainings_try(trainings, run)
        trainings.adopt(run)
        trainings.remove(run)
        kept = cards.read_samples(pack(trainings).preference_file(f"calm{number}"))
        found = {step: [path.read_text() for path in paths] for step, paths in kept.items()}
        assert found == {0: ["0 0", "0 1"], 20: ["20 0", "20 1"]}


def test_a_lora_that_is_renamed_stays_in_use(trainings):
    """It is known by its content, whatever it is called: no second copy, and a new round is made under the name it has
    now; another LoRA of its old name is not taken for it. Deleted, it can be put to use again."""
    run = finish(begun(trainings, "calm"))
    trainings_try(trainings, run)
    trainings.adopt(run)
    for old, new in (("calm", "mild"), ("mild", "gentle")):
        rename(trainings, old, new)
        cards.put(pack(trainings), old, run.path / "run.json", {})
        assert trainings.use(run).adopted == new
        with pytest.raises(UserError, match=f"in use already, as '{new}'"):
            trainings.adopt(run)
        use = trainings_try(trainings, run)
        assert use == trainings.use(run) and (use.trial, use.adopted) == ("calm", new)
    assert use.former == ("calm", "mild")  # clips of earlier rounds carry these names
    cards.remove(pack(trainings).preference_file("gentle"))
    assert trainings.use(run).adopted == ""
    assert trainings.adopt(run) == "rain/calm-2" and trainings.use(run).adopted == "calm-2"


def test_one_for_first_frames_that_is_renamed_stays_in_use(trainings, tmp_path):
    """As those beside a pack: known by its content, not by a name that another has now."""
    run = finish(RunFolder.create(tmp_path / "run", PICTURES))
    loras = PainterLoras(trainings._packs)
    assert trainings.adopt(run) == "lora:liked"
    cards.rename(loras.file("liked"), loras.free_file("bright"))
    loras.put("liked", run.path / "run.json", {})
    use = trainings.use(run)
    assert (use.adopted, use.former) == ("lora:bright", ("lora:liked",))
    with pytest.raises(UserError, match="in use already, as 'lora:bright'"):
        trainings.adopt(run)
    cards.remove(loras.file("bright"))
    assert trainings.use(run).adopted == "" and trainings.adopt(run) == "lora:liked-2"


@pytest.mark.parametrize("copy", ["a copy", "calm"])
def test_an_uploaded_copy_is_not_taken_for_the_lora(trainings, copy):
    """The one that was put to use and renamed is what is in use, whatever the copy is called."""
    run = finish(begun(trainings, "calm"))
    trainings.adopt(run)
    rename(trainings, "calm", "mild")
    cards.put(pack(trainings), copy, run.path / RESULT, {"brought": 1.0})
    assert trainings.use(run).adopted == "mild"
    cards.remove(pack(trainings).preference_file("mild"))
    assert trainings.use(run).adopted == copy


def test_a_run_that_was_prolonged_gives_another_lora(trainings):
    """What was put to use is that of before; the new one can be, beside it."""
    run = finish(begun(trainings, "calm"))
    trainings.adopt(run)
    finish(run, b"a longer LoRA")
    assert trainings.use(run).adopted == ""
    assert trainings.adopt(run) == "rain/calm-2" and pack(trainings).preferences == ("calm", "calm-2")


def test_what_was_tried_before_a_run_was_prolonged_is_not_what_it_gives(trainings):
    """Neither put to use under the new run's card nor tried on: the new LoRA takes its place, and its votes begin
    anew."""
    for again in (trainings.adopt, lambda run: trainings_try(trainings, run)):
        run = finish(begun(trainings, "calm"))
        before = trainings_try(trainings, run)
        finish(run, b"a longer LoRA")
        assert trainings.use(run).trial == ""
        again(run)
        use, kept = trainings.use(run), pack(trainings).preference_file("calm").read_bytes()
        assert kept == b"a longer LoRA" == (run.path / RESULT).read_bytes() and use.since != before.since
        assert pack(trainings).preferences == ("calm",) and "calm" in (use.trial, use.adopted)
        cards.remove(pack(trainings).preference_file("calm"))
        trainings.remove(run)


def test_a_lora_of_the_bare_base_has_no_pack_to_lie_beside(trainings):
    """It is trained, but neither tried out nor adopted."""
    run = finish(begun(trainings, pack=""))
    for step in (trainings.adopt, lambda run: trainings_try(trainings, run)):
        with pytest.raises(UserError, match="kept beside an action pack"):
            step(run)


def test_runs_are_listed_newest_first_and_say_who_was_asked(trainings):
    """By when they were begun, whatever their folders are called; one of a newer version is left out."""
    old = begun(trainings, output=trainings._data / "runs" / "zzz", raters=["ann"])
    time.sleep(0.01)
    new = begun(trainings)
    assert trainings.runs() == [new, old] and old.asked()["raters"] == ["ann"] and new.asked()["raters"] == []
    (new.path / "run.json").write_text(json.dumps(new.asked() | {"version": 99}))
    assert trainings.runs() == [old]
    with pytest.raises(UserError, match="no longer there"):
        trainings.find("../packs")


def test_a_dead_process_is_noticed(trainings):
    """`kill -9`: the record says it has died, and that it can be resumed; it may be removed."""
    run = begun(trainings)
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    run.tell(status="running", stage="training", step=3, steps=9, **identity(process.pid))
    assert run.state().status == "running"
    with pytest.raises(UserError, match="Stop it first"):
        trainings.remove(run)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert (run.state().status, run.state().step) == ("died", 3) and "Resume" in run.state().message
    trainings.remove(run)
    assert trainings.runs() == []
