"""The engine's and the command line's way to the votes: real clips on disk, no models."""

import json
import shutil

import numpy as np
import pytest

from huvidpo_core import cli, media
from huvidpo_core.config import load_profile
from huvidpo_core.engine import Engine
from huvidpo_core.errors import UserError
from huvidpo_core.models import cards
from huvidpo_core.models.packs import ActionPack
from huvidpo_core.models.painter_loras import PainterLoras
from huvidpo_core.preferences.records import Ballot
from huvidpo_core.preferences.store import DRAWN_BY
from tests.finished import write_pack


@pytest.fixture
def engine(tmp_path) -> Engine:
    """Twenty pairs of a still and a lively clip; Ann prefers the still one each time."""
    engine = Engine(load_profile("miniature"), tmp_path / "data")
    still = np.full((4, 32, 32, 3), 90, np.uint8)
    lively = still + np.arange(0, 120, 30, dtype=np.uint8)[:, None, None, None]
    media.write_mp4(tmp_path / "still.mp4", still, 8)
    media.write_mp4(tmp_path / "lively.mp4", lively, 8)
    for number in range(20):
        for kind in ("still", "lively"):
            shutil.copyfile(tmp_path / f"{kind}.mp4", engine.store.video(f"{kind}{number}"))
            engine.store.add(f"{kind}{number}", {}, 0.0, frames=4, fps=8, model=kind)
        clips = f"still{number}", f"lively{number}"
        engine.store.votes.add_pair(*clips, source="models", prompt="p", action="rain")
    while showing := engine.next_pair("ann", "rain"):
        better = "left" if showing.left.startswith("still") else "right"
        revealed = engine.vote(showing.id, "ann", Ballot(better))
        assert {revealed.left_model, revealed.right_model} == {"still", "lively"}
    yield engine
    engine.store.close()


def test_what_the_votes_say_of_models_and_motion(engine):
    """Twenty wins for the still model; its motion is measured from the files, and the warning is there."""
    said = engine.what_votes_say()
    assert [(standing.name, standing.wins) for standing in said.models] == [("still", 20), ("lively", 0)]
    assert said.motion.still_wins == 1 and "100%" in said.motion.warning
    assert engine.what_votes_say("smile").votes == 0
    assert engine.what_votes_say(rater="nobody").votes == 0
    assert sum(engine.what_votes_say(rater=name).votes for name in engine.raters()) == said.votes
    for number in range(20):
        engine.store.video(f"lively{number}").write_bytes(b"")  # measured once, remembered
    assert engine.what_votes_say().motion == said.motion
    showing = engine.undo_vote("ann")
    assert engine.next_pair("ann") == showing and engine.what_votes_say().votes == said.votes - 1


def test_a_lora_that_was_renamed_is_one_model(tmp_path):
    """Its clips from before and after are ranked together, under the name it has now, and named so after a vote; those
    of one that is gone keep their name, beside painters too."""
    packs = tmp_path / "packs"
    engine = Engine(load_profile("miniature"), tmp_path / "data", packs=packs)
    pack = ActionPack.load(write_pack(packs / engine.profile.family / "rain"))
    cards.put(pack, "crisp", pack.folder / "pack.json", {})
    loras = PainterLoras(packs / engine.profile.family)
    loras.put("calm", pack.folder / "pack.json", {})
    engine.loras.rename("rain/crisp", "third")
    engine.loras.rename("lora:calm", "bright")
    made = ("rain/crisp", "rain/third", "rain/gone", f"rain/crisp{DRAWN_BY}lora:calm")
    called = ("rain/third", "rain/third", "rain/gone", f"rain/third{DRAWN_BY}lora:bright")
    for number, model in enumerate(made):
        for side, by in (("a", model), ("b", "rain")):
            media.write_mp4(engine.store.video(f"{side}{number}"), np.zeros((4, 32, 32, 3), np.uint8), 8)
            engine.store.add(f"{side}{number}", {}, 0.0, frames=4, fps=8, model=by)
        engine.store.votes.add_pair(f"a{number}", f"b{number}", source="models", prompt="p", action="rain")
    while showing := engine.next_pair("ann", "rain"):
        told = engine.vote(showing.id, "ann", Ballot("left" if showing.left.startswith("a") else "right"))
        number = int(showing.left[1])
        assert {told.left_model, told.right_model} == {called[number], "rain"}
    wins = {standing.name: standing.wins for standing in engine.what_votes_say().models}
    assert wins == {"rain/third": 2, "rain/gone": 1, called[3]: 1, "rain": 0}
    engine.store.close()


def test_export_and_import_on_the_command_line(engine, tmp_path, monkeypatch, capsys):
    """Out of one data folder, into another, twice; mistakes end with status 2 and a sentence."""
    monkeypatch.setattr(cli, "choose_profile", lambda name: engine.profile)
    folder, other = tmp_path / "dataset", tmp_path / "other"
    assert cli.main(["export", "--output", str(folder), "--data", str(engine.data)]) == 0
    assert capsys.readouterr().out == f"{folder}\n"
    assert len((folder / "metadata.jsonl").read_text().splitlines()) == 20
    votes = len(json.loads((folder / "votes.json").read_text())["votes"])
    for expected in (votes, 0):
        assert cli.main(["import", "--input", str(folder), "--data", str(other)]) == 0
        assert capsys.readouterr().out == f"{expected} votes\n"
    assert Engine(engine.profile, other).store.votes.history() == engine.store.votes.history()
    assert cli.main(["import", "--input", str(tmp_path), "--data", str(other)]) == 2
    assert "holds no votes.json" in capsys.readouterr().err
    with pytest.raises(UserError, match="no action 'dancing'"):
        engine.export(folder, "dancing")
