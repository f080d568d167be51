"""`python app.py`: what it refuses, and how it says so; what importing the interface costs."""

import ast
import socket
import subprocess
import sys

import pytest

from huvidpo_core.config import ROOT


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
