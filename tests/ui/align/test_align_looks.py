"""What a look at the Align tab does besides: runs of others are followed, and what cannot be listed is told."""

import json
import shutil
import threading
import time

from huvidpo_core import attendance
from huvidpo_core.ui import teach_view
from huvidpo_core.ui.run_view import LATEST
from tests.finished import until
from tests.ui.align.align_page import begin, parts


def test_a_run_that_is_seen_running_is_followed(form, engine, monkeypatch):
    """Whoever has started it: what comes after it is done here when it ends, once, however often it was looked at."""
    monkeypatch.setattr(attendance, "LOOK", 0.01)
    trainings, ended = engine.trainings, threading.Event()
    trainings.pause, trainings.afterwards = 0.05, lambda run: (seen.append(run), ended.wait(10))
    seen, run = [], begin(form)
    until(run, "running")
    assert not trainings.attended(run)
    for _ in range(3):
        parts(engine)
    assert trainings.attended(run) and seen == []
    until(run, "finished")
    parts(engine)
    ended.set()
    while trainings.attended(run):
        time.sleep(0.01)
    assert seen == [run]


def test_what_cannot_be_listed_is_told_under_the_list(form, view, engine):
    """A record of a newer version and a damaged one, each by its folder and the record's sentence, beside a run that is
    listed; in Teach, too, for of which kind they are cannot be read, and where nobody says then that there is none.
    Nothing more is told once they are gone."""
    engine.trainings.pause = 0.01
    until(begin(form), "finished")
    folders = [engine.data / "runs" / name for name in ("late", "<i>broken")]
    for folder, text in zip(folders, (json.dumps({"version": 99}), "{"), strict=True):
        folder.mkdir()
        (folder / "run.json").write_text(text)
    seen, shown = parts(engine), [name for name, *_ in view.shown()]
    assert seen["list"].count("data-run") == 1 and seen["unlisted"].count("<p") == 2
    told = view.look("", LATEST, {})[2 + shown.index("unlisted")]
    for told_of in (told, teach_view.look(engine, "", LATEST)[1]["unlisted"]):
        assert f"{folders[0]} was written by a newer version" in told_of
        assert "&lt;i&gt;broken/run.json is damaged" in told_of and "<i>" not in told_of
    assert "Nothing taught yet" not in teach_view.look(engine, "", LATEST)[1]["list"]
    for folder in folders:
        shutil.rmtree(folder)
    assert parts(engine)["unlisted"] == ""
