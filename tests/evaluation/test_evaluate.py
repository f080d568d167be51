"""A folder from end to end: values, intervals, the frozen row, what is left out, the three files, stopping."""

import json
import threading
from statistics import fmean

import numpy as np
import pytest
from PIL import Image

from huvidpo_core import media
from huvidpo_core.errors import Stopped, UserError
from huvidpo_core.evaluation import ClipReport, Evaluation, clip_consistency, evaluate, metrics
from huvidpo_core.evaluation.plot import write_plot
from huvidpo_core.evaluation.report import bootstrap
from huvidpo_core.progress import Progress
from tests.evaluation.conftest import moving


class ColourScorer:
    """A picture's vector is its mean colour, a text's the colour it names."""

    largest = 0  # batch

    def image(self, frames):
        self.largest = max(self.largest, len(frames))
        means = frames.reshape(len(frames), -1, 3).mean(axis=1).astype(np.float32)
        return means / np.linalg.norm(means, axis=1, keepdims=True)

    def text(self, texts):
        return np.eye(3, dtype=np.float32)[[["red", "green", "blue"].index(text) for text in texts]]


class MotionJudge:
    """Sees rain wherever something moves, and cartoons everywhere."""

    def recognise(self, frames):
        return {"style": "cartoon", "action": "smile"}

    def recognise_motion(self, frames):
        return "rain" if np.ptp(frames, axis=0).any() else "nothing"


def result(*arguments, **options) -> Evaluation:
    *_, last = evaluate(*arguments, **options)
    return last


def report(name: str, group: str = "g", **values: float) -> ClipReport:
    return ClipReport(name, group, None, 2, 8, 16, 16, values, dict.fromkeys(values, 0.0))


def test_a_folder(folder):
    """Each clip's values are the metrics of the frames in its file; the total is their mean."""
    found = result(folder)
    blue, red = found.clips
    assert (blue.frames, blue.fps, blue.width, blue.height) == (6, 10, 40, 24)
    assert (red.frames, red.fps, red.width, red.height, red.prompt) == (4, 8, 48, 32, "a red square")
    frames = media.read_video(folder / "red.mp4").frames
    assert red.values["ssim"] == clip_consistency(frames).ssim
    assert red.values["mse_first"] == clip_consistency(frames, "first").mse
    assert red.values["motion_energy"] == fmean(metrics.motion_energy(*frames[i : i + 2]) for i in range(3))
    assert red.values["flicker"] == fmean(metrics.flicker(*frames[i : i + 3]) for i in range(2))
    assert found.total()["mse"].mean == fmean([blue.values["mse"], red.values["mse"]])


def test_the_frozen_row_is_always_there(folder):
    """Frame 0 repeated: SSIM 1, no error, no motion; with models, frame 0's score and an unmoved judge."""
    found = result(folder, prompts="red\nblue", scorer=(scorer := ColourScorer()), judge=MotionJudge())
    frozen = {key: interval.mean for key, interval in found.frozen().items()}
    assert set(frozen) == set(found.total())
    assert frozen["ssim"] == frozen["ssim_first"] == pytest.approx(1)
    for key in ("mse", "mse_first", "mse_overflowing_8bit", "motion_energy", "optical_flow", "flicker"):
        assert frozen[key] == 0
    assert frozen["subject_consistency"] == pytest.approx(1)
    first = [media.read_video(folder / name).frames[:1] for name in ("others/blue.gif", "red.mp4")]
    expected = [100 * float(scorer.image(frame)[0, channel]) for channel, frame in ((0, first[0]), (2, first[1]))]
    assert frozen["clip_score"] == pytest.approx(fmean(expected), rel=1e-5)
    assert (found.total()["accuracy_motion"].mean, frozen["accuracy_motion"]) == (1, 0)


def test_models_that_are_handed_in(folder):
    """CLIPScore and accuracies by hand: mean colour against the prompt's; truth from the recipe, or given."""
    scorer = ColourScorer()
    found = result(folder, prompts="red\nblue", scorer=scorer, judge=MotionJudge())
    frames = media.read_video(folder / "red.mp4").frames
    blue, red = found.clips
    assert red.values["clip_score"] == pytest.approx(100 * scorer.image(frames)[:, 2].mean(), rel=1e-5)
    assert {key: value for key, value in red.values.items() if "accuracy" in key} == {
        "accuracy_style": 1, "accuracy_action": 0, "accuracy_motion": 1
    }  # fmt: skip
    assert not any("accuracy" in key for key in blue.values)  # a GIF has no recipe
    told = result(folder, judge=MotionJudge(), truth={"others/blue.gif": {"action": "smile"}})
    assert [clip.values["accuracy_action"] for clip in told.clips] == [1, 0]
    assert told.total()["accuracy_action"].clips == 2


def test_long_clips_reach_the_scorer_in_parts(tmp_path):
    """Never more than 16 frames at once, and all of them."""
    media.write_mp4(tmp_path / "long.mp4", moving(37, 16, 24), 8)
    found = result(tmp_path, prompts="red", scorer=(scorer := ColourScorer()))
    assert (found.clips[0].frames, scorer.largest) == (37, 16)
    features = scorer.image(media.read_video(tmp_path / "long.mp4").frames)
    assert found.clips[0].values["clip_score"] == pytest.approx(100 * features[:, 0].mean(), rel=1e-5)


def test_what_cannot_be_measured_is_left_out(tmp_path, folder):
    """Null in the JSON, a dash in the table, never a number: no models, no prompt, two frames."""
    media.write_mp4(folder / "two.mp4", moving(2), 8)
    data = result(folder).to_dict()
    assert [clip["flicker"] for clip in data["clips"]][-1] is None and data["total"]["flicker"]["clips"] == 2
    assert data["left_out"] == ["clip_score", "subject_consistency"]
    assert "clip_score" not in data["total"]
    text = result(folder).markdown()
    assert "Not measured" in text and text.split("| two.mp4")[1].splitlines()[0].endswith("| - |")
    scored = result(folder / "others", scorer=ColourScorer())
    assert "subject_consistency" in scored.total() and "clip_score" not in scored.total()


def test_bootstrap_intervals():
    """Of 0 and 1 drawn evenly, 400 times: the mean, and within a tenth the normal 1.96 sigma/sqrt(n) on each side."""
    values = [0.0, 1.0] * 200
    mean, low, high, clips = bootstrap(values)
    half = 1.96 * 0.5 / 400**0.5
    assert (mean, clips) == (0.5, 400)
    assert (mean - low, high - mean) == (pytest.approx(half, rel=0.1), pytest.approx(half, rel=0.1))
    assert bootstrap(values) == bootstrap(values)
    assert bootstrap([3.5]) == (3.5, None, None, 1)
    assert bootstrap([2.0, 2.0]) == (2, 2, 2, 2)


def test_groups_only_where_they_say_something():
    """Groups appear when there are several and some holds several clips; their means are their own clips'."""
    a1, a2, b = report("a1", "a", mse=1), report("a2", "a", mse=3), report("b", "b", mse=8)
    groups = Evaluation((a1, a2, b)).groups()
    assert {name: totals["mse"].mean for name, totals in groups.items()} == {"a": 2, "b": 8}
    assert Evaluation((a1, b)).groups() == Evaluation((a1, a2)).groups() == {}


def test_markdown_by_hand():
    """Columns scaled as their titles say, the interval behind the mean, the frozen frame last, pipes kept apart."""
    table = Evaluation((report("a|b", ssim=0.5, mse=4), report("c", ssim=0.75, mse=8))).summary()
    assert table == (
        "|  | SSIM x100 | MSE |\n| --- | --- | --- |\n"
        "| **all 2 clips** | 62.5 [50.0, 75.0] | 6.0 [4.0, 8.0] |\n"
        "| *frozen frame 0* | 0.0 | 0.0 |\n"
    )
    assert r"| a\|b | 50.0 | 4.0 |" in Evaluation((report("a|b", ssim=0.5, mse=4),)).markdown()


def test_the_three_files(folder, tmp_path):
    """JSON that reads back, Markdown, a PNG; nothing temporary is left, and a failed write leaves nothing at all."""
    found = result(folder)
    out = tmp_path / "new"
    found.write_json(out / "a.json")
    found.write_markdown(out / "a.md")
    write_plot(found, out / "a.png")
    data = json.loads((out / "a.json").read_text())
    assert data == found.to_dict()
    assert [clip["name"] for clip in data["clips"]] == ["others/blue.gif", "red.mp4"]
    assert 0 < data["clips"][1]["ssim"] < 1 and data["frozen_frame"]["motion_energy"]["mean"] == 0
    assert (out / "a.md").read_text() == found.markdown()
    assert Image.open(out / "a.png").format == "PNG"
    assert sorted(path.name for path in out.iterdir()) == ["a.json", "a.md", "a.png"]
    (out / "taken").mkdir()
    for write in (found.write_json, found.write_markdown, lambda path: write_plot(found, path)):
        with pytest.raises(UserError, match="could not be written"):
            write(out / "taken")
    assert len(list(out.iterdir())) == 4


@pytest.mark.parametrize("count", [1, 3, 15])
def test_plots_of_any_number_of_clips_and_groups(tmp_path, count):
    """One clip, some groups, more groups than lines fit: always a picture."""
    clips = tuple(report(f"{i}{j}", f"g{i}", ssim=i / 20, mse=3, accuracy_style=1) for i in range(count) for j in "ab")
    write_plot(Evaluation(clips[:1] if count == 1 else clips), tmp_path / "plot.png")
    assert min(Image.open(tmp_path / "plot.png").size) > 100


def test_progress_and_stop(folder):
    """Progress counts the clips; a stop ends the work at the next frame, also in the midst of a clip."""
    stop, seen = threading.Event(), []
    work = evaluate(folder, stop)
    for item in work:
        assert isinstance(item, Progress)
        seen.append((item.step, item.total))
        if len(seen) == 4:
            break
    assert seen == [(0, 1), (0, 2), (0, 2), (0, 2)]
    stop.set()
    with pytest.raises(Stopped):
        next(work)


def test_clips_that_cannot_be_measured(tmp_path):
    """A single frame, a side too short, a damaged file: a sentence that names the clip."""
    for name, frames, words in (
        ("still.mp4", moving(1), "still.mp4 has a single frame"),
        ("thin.gif", moving(3, 40, 24)[:, :6], "thin.gif is 40 x 6"),
    ):
        path = tmp_path / name
        (media.write_mp4 if name.endswith("mp4") else media.write_gif)(path, frames, 8)
        with pytest.raises(UserError, match=words):
            result([path])
    whole = media.write_mp4(tmp_path / "whole.mp4", moving(8), 8).read_bytes()
    for content in (b"", b"no video", whole[: len(whole) // 2]):
        (tmp_path / "broken.mp4").write_bytes(content)
        with pytest.raises(UserError, match=r"broken\.mp4"):
            result([tmp_path / "broken.mp4"])
