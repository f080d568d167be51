"""`python app.py`: what it refuses, and how it says so; what importing the interface costs."""

import ast
import gc
import os
import socket
import subprocess
import sys
import time
import weakref
from unittest.mock import MagicMock

import gradio
import httpx
import pytest

import app
from huvidpo_core import attendance
from huvidpo_core.config import ROOT
from huvidpo_core.engine import Engine
from huvidpo_core.training.record import RunFolder
from huvidpo_core.ui import build_app, launch_options
from tests.conftest import forget_apps
from tests.ui.fake_engine import FakeEngine


def start(*flags):
    command = [sys.executable, "app.py", *map(str, flags)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_port_in_use(tmp_path):
    """A port in use is one sentence on stderr and exit status 2."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = start("--port", port, "--profile", "miniature", "--data", tmp_path / "data")
    assert done.returncode == 2
    assert done.stderr.strip().splitlines() == [
        f"127.0.0.1:{port} cannot be opened; is it in use? Try another --port or --host."
    ]


def test_a_machine_too_busy_for_gradios_look_at_the_page(tmp_path, monkeypatch):
    """Gradio waits 3 s for the page before it serves it; one that takes longer is served all the same."""
    monkeypatch.setattr(gradio.networking, "url_ok", lambda url: False)
    engine = FakeEngine(tmp_path / "data")
    served = build_app(engine)
    _, url, _ = served.launch(prevent_thread_lock=True, quiet=True, **launch_options(engine))
    try:
        assert httpx.get(url, timeout=60).status_code == 200
    finally:
        served.close()


@pytest.mark.parametrize(("flags", "sentence"), [(["--profile", "huge"], "There is no profile 'huge'")])
def test_unknown_profile(flags, sentence, tmp_path):
    """An unknown profile is one sentence on stderr and exit status 2."""
    done = start(*flags, "--data", tmp_path / "data")
    assert done.returncode == 2
    assert done.stderr.startswith(sentence)
    assert len(done.stderr.strip().splitlines()) == 1


def test_data_folder_that_is_a_file(tmp_path):
    """A data folder that cannot be used is one sentence on stderr and exit status 2."""
    (tmp_path / "file").write_text("")
    done = start("--profile", "miniature", "--data", tmp_path / "file")
    assert done.returncode == 2
    assert "Choose another with --data" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_training_outlives_a_restart_and_is_followed(tmp_path, monkeypatch):
    """What runs in the data folder when the app starts has its blind round when it ends; what ended before has none."""
    running, ended = (RunFolder(tmp_path / "runs" / name) for name in ("running", "ended"))
    for run in (running, ended):
        asked = {"kind": "align", "action": "rain", "name": "calm", "profile": "miniature", "settings": {}}
        RunFolder.create(run.path, asked)
    running.tell(status="running")  # as this process, which is there
    ended.tell(status="finished")
    opened = []
    monkeypatch.setattr("huvidpo_core.ui.build_app", lambda engine, local: opened.append(engine) or MagicMock())
    monkeypatch.setattr(Engine, "warm_up_meanwhile", lambda engine: None)
    monkeypatch.setattr(attendance, "LOOK", 0.01)
    monkeypatch.setattr(os, "environ", os.environ.copy())
    monkeypatch.setattr(sys, "argv", ["app.py", "--profile", "miniature", "--data", str(tmp_path)])
    app.main()
    trainings, seen = opened[0].trainings, []
    trainings.afterwards = seen.append
    assert trainings.attended(running) and not trainings.attended(ended)
    running.tell(status="finished")
    while trainings.attended(running):
        time.sleep(0.01)
    assert seen == [running]


def test_only_the_interface_imports_gradio_and_it_imports_no_torch():
    """Gradio is imported below ui/ alone, and torch or diffusers nowhere below it."""
    for path in [ROOT / "app.py", *(ROOT / "huvidpo_core").rglob("*.py")]:
        inside = path.parent.name == "ui"
        imported = {
            name.split(".")[0]
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            for name in (
                [alias.name for alias in node.names] if isinstance(node, ast.Import)
                else [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            )
        }  # fmt: skip
        assert not imported & ({"torch", "diffusers"} if inside else {"gradio"}), path
    assert len((ROOT / "app.py").read_text().splitlines()) <= 40


def test_apps_are_forgotten(tmp_path):
    """Nothing keeps an app that a test built (`tests/conftest.py`)."""
    built = weakref.ref(build_app(FakeEngine(tmp_path / "data")))
    forget_apps()
    gc.collect()
    assert built() is None
