"""The endpoints, driven by gradio_client against the launched app."""

import json
import threading
from pathlib import Path

import numpy as np
import pytest
from gradio_client import handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from huvidpo_core.media import read_image, read_recipe, read_video, write_gif
from huvidpo_core.ui.prefer_ballots import read_ballot
from tests.ui.rated import keep_clips


def test_only_the_endpoints_are_public(client):
    """The API lists the thirteen endpoints with typed parameters and a description, none of the page's own events."""
    info = client.view_api(return_format="dict")["named_endpoints"]
    making, rating = {"/first_frame", "/animate", "/generate", "/evaluate"}, {"/next_pair", "/vote", "/rate_clip"}
    choosing = {"/first_frames", "/choose_first_frame"}
    learning = {"/align_start", "/align_first_frame_start", "/align_status", "/align_stop"}
    assert set(info) == making | rating | choosing | learning
    names = [parameter["parameter_name"] for parameter in info["/generate"]["parameters"]]
    assert names == [
        "prompt", "action", "style", "seed", "steps", "guidance", "sampler", "pack", "strength", "frames",
        "painter",
    ]  # fmt: skip
    for endpoint in ("/first_frame", "/animate"):  # one order everywhere; the picture goes before it
        own = [parameter["parameter_name"] for parameter in info[endpoint]["parameters"]]
        assert [name for name in own if name != "image"] == [name for name in names if name in own]
    types = {p["parameter_name"]: p["python_type"]["type"] for p in info["/animate"]["parameters"]}
    assert (types["seed"], types["prompt"], types["guidance"]) == ("int", "str", "float")


def test_every_parameter_is_documented(client):
    """Where clients and the API page look: in words of its own, and what comes back in the endpoint's."""
    info = client.view_api(return_format="dict")["named_endpoints"]
    for name, endpoint in info.items():
        assert " Returns " in endpoint["description"] and "Args:" not in endpoint["description"], name
        for parameter in endpoint["parameters"]:
            assert parameter["python_type"]["description"], (name, parameter["parameter_name"])
    told = {p["parameter_name"]: p["python_type"]["description"] for p in info["/vote"]["parameters"]}
    assert told["choice"] == '"left", "right", "tie", "both_bad" or "skip"'
    assert told["seconds"] == "how long it took to answer"


def test_first_frame_then_animate(client, engine):
    """/first_frame gives a picture of the model's size; /animate turns it into an MP4 that carries its recipe."""
    picture = client.predict("a red horse", "horse_run", "cartoon", 5, api_name="/first_frame")
    assert read_image(picture).shape == (160, 256, 3)
    video, recipe = client.predict(
        handle_file(picture), "a red horse", "horse_run", "cartoon", seed=5, frames=6, api_name="/animate"
    )
    assert read_video(video).frames.shape == (6, 160, 256, 3)
    assert read_recipe(video) == recipe
    assert recipe["pack"] == "horse_run"
    assert (recipe["origin"], recipe["strength"]) == ("uploaded", 1.0)


def test_generate(client, engine):
    """/generate needs a prompt and no more; the clip joins the gallery."""
    video, recipe = client.predict("a red horse", api_name="/generate")
    assert read_recipe(video) == recipe
    assert recipe["seed"] == 0
    assert [clip.recipe.to_dict() for clip in engine.gallery()] == [json.loads(json.dumps(recipe))]


def test_another_painter(client, engine):
    """/first_frame and /generate draw with the painter that was asked for, and the recipe says so."""
    scene = ("a red horse", "horse_run", "cartoon", 5)
    own = client.predict(*scene, api_name="/first_frame")
    plain = client.predict(*scene, painter="plain", api_name="/first_frame")
    assert not np.array_equal(read_image(own), read_image(plain))
    video, recipe = client.predict(*scene, painter="plain", api_name="/generate")
    assert recipe["painter"] == read_recipe(video)["painter"] == "plain"
    with pytest.raises(AppError, match="no painter 'leonardo'"):
        client.predict(*scene, painter="leonardo", api_name="/first_frame")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"prompt": " "}, "prompt is empty"),
        ({"prompt": "x" * 10_000}, "10,000 characters"),
        ({"action": "moonwalk"}, "no action 'moonwalk'"),
        ({"style": "cubism"}, "no style 'cubism'"),
        ({"steps": -1}, "number of steps is -1"),
        ({"steps": 0}, "number of steps is 0; it must lie between 1 and 200"),
        ({"frames": 0}, "number of frames is 0"),
        ({"guidance": -1}, "guidance is -1"),
        ({"sampler": "magic"}, "no sampler 'magic'"),
        ({"seed": -5}, "seed is -5"),
    ],
)
def test_bad_values_are_sentences(client, engine, change, sentence):
    """A wrong value comes back as a sentence, and nothing is left behind."""
    with pytest.raises(AppError, match=sentence):
        client.predict(**{"prompt": "a horse", **change}, api_name="/generate")
    assert engine.gallery() == []


def test_none_is_the_default(client, engine):
    """An emptied number (null) is the same as one that is not given, at every endpoint, and never a crash."""
    given, empty = {"prompt": "a horse", "seed": None, "steps": None}, ("guidance", "strength", "frames", "pack")
    path = client.predict(**given, api_name="/first_frame")
    for settings in (given, given | dict.fromkeys(empty)):
        _, recipe = client.predict(**settings, api_name="/generate")
        own = engine.defaults()
        for name in ("steps", "guidance", "frames", "strength", "seed", "pack"):
            assert recipe[name] == getattr(own, name), name
        assert client.predict(handle_file(path), **settings, api_name="/animate")[1]["steps"] == own.steps
    with pytest.raises(AppError, match="number of steps is 0"):
        client.predict("a horse", steps=0, api_name="/first_frame")


def test_bad_pictures_are_sentences(client, tmp_path):
    """No picture, a 1x1 picture and a 20,000x20,000 picture are each refused with a sentence."""
    text, dot, bomb = tmp_path / "a.png", tmp_path / "b.png", tmp_path / "c.png"
    text.write_text("hello")
    Image.new("RGB", (1, 1)).save(dot)
    Image.new("1", (20_000, 20_000)).save(bomb)
    for path, sentence in ((text, "not a picture"), (dot, "too small"), (bomb, "too large")):
        with pytest.raises(AppError, match=sentence):
            client.predict(handle_file(str(path)), "a horse", api_name="/animate")


def test_cancel_stops_the_work(client, engine):
    """A cancelled call ends at the next step and leaves no clip; the next call gets through."""
    engine.pause = 0.2
    job = client.submit("a red horse", steps=100, api_name="/generate")
    while engine.steps_done < 2:
        threading.Event().wait(0.02)
    job.cancel()
    engine.pause = 0.001
    assert client.predict("a blue horse", api_name="/generate")[1]["prompt"] == "a blue horse"
    assert [clip.recipe.prompt for clip in engine.gallery()] == ["a blue horse"]


def test_evaluate(client, engine, tmp_path):
    """/evaluate measures uploaded clips, and says what the command writes; an upload that is no clip is a sentence."""
    video, _ = client.predict("a red horse", frames=4, api_name="/generate")
    gif = write_gif(tmp_path / "still.gif", np.repeat(read_video(video).frames[:1], 3, axis=0), 8)
    report = client.predict([handle_file(video), handle_file(str(gif))], api_name="/evaluate")
    *_, expected = engine.evaluate([Path(video), gif], threading.Event())
    assert report == json.loads(json.dumps(expected.to_dict()))
    made, still = report["clips"]
    assert (made["prompt"], still["name"], still["mse"]) == ("a red horse", "still.gif", 0)
    assert client.predict([handle_file(str(gif))], "a grey horse", api_name="/evaluate")["clips"][0]["prompt"]
    (tmp_path / "broken.mp4").write_text("no video")
    for files, prompts, sentence in (
        ([], "", "at least one MP4 or GIF"),
        ([str(tmp_path / "broken.mp4")], "", "broken.mp4"),
        ([str(gif)], "one\ntwo", "2 lines of prompts for 1 clips"),
    ):
        with pytest.raises(AppError, match=sentence):
            client.predict([handle_file(file) for file in files], prompts, api_name="/evaluate")


def test_programs_rate_too(client, engine):
    """/next_pair shows a pair as two blind MP4s, the same until /vote answers it; the models are named after that."""
    keep_clips(engine)
    pair, left, right = client.predict("Judge", api_name="/next_pair")
    assert client.predict("Judge", "", api_name="/next_pair")[0] == pair
    assert (Path(left).name, Path(right).name) == ("left.mp4", "right.mp4")
    assert read_recipe(left) is None
    assert len(read_video(right).frames) == pair["frames"]
    marks, scores = [[0, 8, "left"]], {"left": {"consistency": 5}}
    told = client.predict(pair["id"], "Judge", "left", marks, scores, 1.5, api_name="/vote")
    assert told["choice"] == "left"
    assert {told["left"], told["right"]} < {"horse_run", "horse_run/liked", "base model"}
    showing, ballot = engine.votes[0]
    assert (showing.id, showing.rater) == (pair["id"], "Judge")
    assert ballot == read_ballot("left", marks, scores, 1.5)
    for values, sentence in (
        ((pair["id"], "Judge", "left"), "already been answered"),
        (("nothing", "Judge", "left"), "no such pair"),
        ((pair["id"], " ", "left"), "Say who is rating"),
    ):
        with pytest.raises(AppError, match=sentence):
            client.predict(*values, api_name="/vote")
    assert client.predict("Judge", "rain", api_name="/next_pair") == (None, None, None)


def test_files_outside_the_clips_are_not_served(client, engine):
    """The app serves the clips' files and neither the database's folder nor the system's files."""
    import httpx

    client.predict("a red horse", api_name="/generate")
    secret = engine.data / "secret.txt"
    secret.write_text("no")
    get = lambda path: httpx.get(f"{client.src}gradio_api/file={path}", timeout=60).status_code  # noqa: E731
    assert get(engine.gallery()[0].video) == 200
    assert get(secret) == 403
    assert get("/etc/passwd") == 403


def test_pictures_are_exact(client, engine):
    """The endpoint's picture is the engine's, pixel by pixel."""
    path = client.predict("a red horse", "horse_run", "cartoon", 5, api_name="/first_frame")
    recipe = engine.defaults().with_(prompt="a red horse", style="cartoon", action="horse_run", seed=5)
    *_, picture = engine.first_frame(recipe, threading.Event())
    assert np.array_equal(read_image(path), picture.image)


def test_a_clip_is_rated_alone(client, engine):
    """/rate_clip keeps a whole number from 1 to 5 under the rater's name; anything else is a sentence."""
    assert client.predict("some clip", "Ann", 4, api_name="/rate_clip") == 4
    assert engine.scores == {("some clip", "Ann"): 4}
    for score in (0, 6, 2.5, None):
        with pytest.raises(Exception, match="from 1 to 5"):
            client.predict("some clip", "Ann", score, api_name="/rate_clip")
    with pytest.raises(Exception, match="name"):
        client.predict("some clip", "", 4, api_name="/rate_clip")
    assert engine.scores == {("some clip", "Ann"): 4}
