"""The training's endpoints, driven by gradio_client against the launched app."""

import time

import pytest
from gradio_client.exceptions import AppError

from huvidpo_core.preferences.picture_choices import PictureChoice


def status(client, run, wanted):
    for _ in range(1500):
        answer = client.predict(run, api_name="/align_status")
        if answer["status"] == wanted:
            return answer
        time.sleep(0.02)
    raise AssertionError(answer)


def test_a_program_trains(client, engine):
    """Start, status with the latest measurements, stop; the page's Resume carries on with the same run."""
    engine.trainings.pause = 0.05
    run = client.predict("waterfall", "dense", 200, rater="Anna", name="calm", api_name="/align_start")
    asked = status(client, run, "running")["asked"]
    assert (asked["action"], asked["raters"], asked["name"]) == ("waterfall", ["Anna"], "calm")
    assert (asked["settings"]["loss"], asked["settings"]["steps"]) == ("dense", 200)
    while not (answer := status(client, run, "running"))["metrics"]["step"]:
        pass
    assert 0 <= answer["step"] <= answer["steps"] == 200 and answer["metrics"]["check"]["motion"] == 1.0
    assert client.predict(run, api_name="/align_stop")["run"] == run
    stopped = status(client, run, "stopped")
    assert stopped["step"] == stopped["metrics"]["step"]["step"] < 200 and "Resume" in stopped["message"]


def test_a_program_trains_on_choices_of_first_frames(client, engine):
    """The same on pictures; without choices, a sentence and no run."""
    with pytest.raises(AppError, match="No first frame has been chosen"):
        client.predict(api_name="/align_first_frame_start")
    assert engine.trainings.runs("picture") == []
    engine.trainings.pause = 0.05
    engine.trainings.supply.chosen.append(PictureChoice("1", 0.0, "1", "Anna", {}, "1a", ("1b", "1c", "1d")))
    run = client.predict(200, rater="Anna", name="dark", api_name="/align_first_frame_start")
    asked = status(client, run, "running")["asked"]
    assert (asked["raters"], asked["name"], asked["settings"]["steps"]) == (["Anna"], "dark", 200)
    client.predict(run, api_name="/align_stop")
    status(client, run, "stopped")


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"action": "moonwalk"}, "no action 'moonwalk'"),
        ({"action": "rain"}, "no votes to learn from"),
        ({"action": "waterfall", "loss": "magic"}, "no loss 'magic'"),
        ({"action": "waterfall", "steps": -3}, "'steps' of the alignment must be 0"),
        ({"action": "waterfall", "preset": "../secret"}, "no preset"),
    ],
)
def test_bad_values_are_sentences(client, engine, values, sentence):
    """And nothing is begun."""
    with pytest.raises(AppError, match=sentence):
        client.predict(**values, api_name="/align_start")
    assert engine.trainings.runs() == []
    for endpoint in ("/align_status", "/align_stop"):
        with pytest.raises(AppError, match="no longer there"):
            client.predict("../packs", api_name=endpoint)
