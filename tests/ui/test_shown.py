"""What the running app serves: the sample clips that the page shows, and nothing else of a training."""

import os
from urllib.parse import quote

import httpx
import pytest

from huvidpo_core.ui import shown as module
from huvidpo_core.ui.shown import shown, shown_folder


@pytest.fixture
def run(engine):
    """A training with sample clips, and everything that must stay here."""
    run = engine.trainings.prepare("waterfall", engine.trainings.settings(steps=8), name="calm")
    engine.trainings._check(run, 0)
    for name in ("checkpoint.pt", "log.txt", "lessons.safetensors"):
        (run.path / name).write_text("secret")
    return run


def test_sample_clips_are_served_and_no_other_file_of_a_training(client, engine, run):
    """The address on the page answers; checkpoint, log, record, clips of the run folder and the database do not."""
    (engine.data / "huvidpo.db").write_text("secret")
    (engine.data / "huvidpo.db-wal").write_text("secret")

    def status(path):
        return httpx.get(f"{client.src}gradio_api/file={quote(path.resolve().as_posix())}", timeout=60).status_code

    (clip, *_) = shown(run.samples(), engine.data)[0]
    assert status(clip) == 200
    inside = [path for path in run.path.rglob("*") if path.is_file()]
    assert {"checkpoint.pt", "log.txt", "run.json", "metrics.jsonl", "00000-0.mp4"} <= {path.name for path in inside}
    for path in (*inside, engine.data / "huvidpo.db", engine.data / "huvidpo.db-wal"):
        assert status(path) == 403, path


def test_a_copy_is_that_of_the_clip_as_it_is_now(engine, run):
    """Copied once; again when the clip has changed; a clip that is gone is left out."""
    path = run.sample(0, 0)
    (copy, _) = shown(run.samples(), engine.data)[0]
    assert copy.read_bytes() == path.read_bytes() and shown(run.samples(), engine.data)[0][0] == copy
    path.write_bytes(b"another")
    (again, _) = shown(run.samples(), engine.data)[0]
    assert again != copy and again.read_bytes() == b"another"
    clips = run.samples()
    path.unlink()
    assert len(shown(clips, engine.data)[0]) == 1


def test_the_oldest_copies_go(engine, run, monkeypatch):
    """Those that were not asked for longest."""
    monkeypatch.setattr(module, "KEPT", 2)
    old, wanted = shown(run.samples(), engine.data)[0]
    for copy in (old, wanted):
        os.utime(copy, (1, 1))
    shown({0: [run.sample(0, 1)]}, engine.data)
    engine.trainings._check(run, 4)
    shown({4: [run.sample(4, 0)]}, engine.data)
    assert not old.exists() and wanted.exists() and len(list(shown_folder(engine.data).iterdir())) == 2
