"""`python -m huvidpo_core evaluate`: status, files, the one line of every mistake, and what starting it costs."""

import json
import subprocess
import sys

import pytest

from huvidpo_core import cli, media
from huvidpo_core.config import ROOT
from tests.evaluation.conftest import moving


@pytest.fixture
def run(tmp_path, monkeypatch, capsys):
    """Runs the command in this process; returns exit status, stdout and stderr."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: object) -> tuple[int, str, str]:
        try:
            status = cli.main(["evaluate", *map(str, arguments)])
        except SystemExit as ended:
            status = ended.code
        captured = capsys.readouterr()
        return status, captured.out, captured.err

    return run


def test_it_writes_what_is_asked_for(run, folder, tmp_path):
    """Status 0, JSON and the two others in new folders, the table of totals on stdout."""
    (tmp_path / "prompts.txt").write_text("red\ta square\nblue\ta cube\n")
    status, out, _ = run(
        "--clips", folder, "--prompts", "prompts.txt",
        "--json", "out/a.json", "--markdown", "out/a.md", "--plot", "b/a.png",
    )  # fmt: skip
    assert status == 0
    data = json.loads((tmp_path / "out" / "a.json").read_text())
    assert [clip["prompt"] for clip in data["clips"]] == ["a cube", "a square"]
    assert "frozen frame 0" in out and out in (tmp_path / "out" / "a.md").read_text()
    assert (tmp_path / "b" / "a.png").read_bytes().startswith(b"\x89PNG")


def test_the_json_alone_is_enough(run, folder, tmp_path):
    """Without the optional files only the JSON appears."""
    assert run("--clips", folder, "--json", tmp_path / "out" / "a.json")[0] == 0
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["a.json"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--clips", "none"], "no folder none"),
        (["--clips", "empty"], "no MP4 or GIF in empty"),
        (["--clips", "broken"], "broken.mp4"),
        (["--clips", "still"], "still.gif has a single frame"),
        (["--prompts", "none.txt"], "none.txt cannot be read"),
        (["--prompts", "wrong.txt"], "none for others/blue.gif"),
        (["--json", "empty"], "empty cannot be written"),
        (["--json", "wrong.txt/a.json"], "cannot be made"),
        (["--plot", "a.jpg"], "must end in .png"),
        (["--profile", "huge"], "no profile 'huge'"),
        (["--wrong"], "Unrecognized"),
    ],
)
def test_a_mistake_is_status_2_and_one_line(run, folder, tmp_path, arguments, words):
    """Every mistake names itself on a single line, and no report is left."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "broken.mp4").write_bytes((folder / "red.mp4").read_bytes()[:900])
    media.write_gif(tmp_path / "still" / "still.gif", moving(1), 8)
    (tmp_path / "wrong.txt").write_text("red\ta square\n")
    status, _, err = run("--clips", folder, "--json", "a.json", *arguments)
    assert status == 2
    assert words in err and err.count("\n") == 1
    assert not (tmp_path / "a.json").exists()


def test_nothing_heavy_is_imported_before_it_is_needed():
    """The engine and the commands load neither scikit-image nor matplotlib nor torch."""
    code = "import sys, huvidpo_core.cli as cli; cli.parser(); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert not {"skimage", "matplotlib", "torch", "scipy"} & set(loaded.split())
