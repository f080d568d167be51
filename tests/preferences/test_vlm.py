"""A vision-language model as a rater, against a local server that speaks the protocol and all its failures."""

import base64
import io
import json
import logging
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest
from PIL import Image

from huvidpo_core import cli
from huvidpo_core.errors import Stopped, UserError
from huvidpo_core.preferences.store import Store
from huvidpo_core.preferences.vlm import VlmRater, read_answer
from tests.clips import moving_clip

KEY = "sk-very-secret-0123456789"
SEGMENTS = [(0, 8), (8, 16)]


class Server:
    """Answers chat requests by `rule(request) -> verdicts`, after the mishaps that are queued in `mishaps`."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.mishaps: list[tuple[int, str, dict[str, str]]] = []
        self.rule = lambda first, second: ["tie"] * len(first)
        self.slow = threading.Event()  # set: requests hang until `release`
        self.release = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.requests.append(body | {"path": self.path})
                outer.headers.append(dict(self.headers))
                if outer.slow.is_set():
                    outer.release.wait(30)
                    return
                status, text, headers = outer.mishaps.pop(0) if outer.mishaps else (200, outer.answer(body), {})
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(text.encode())))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.http.server_port}/v1"

    def answer(self, body: dict[str, Any]) -> str:
        """What the rule says about the mean brightness of the pictures of each segment."""
        shades = pictures(body)
        verdicts = self.rule(*([float(np.mean(shots)) for shots in shades[name]] for name in ("FIRST", "SECOND")))
        text = f"Here it is:\n```json\n{json.dumps({'reasons': ['{'], 'segments': verdicts})}\n```"
        return reply(text)


def reply(text: str) -> str:
    return json.dumps({"choices": [{"message": {"role": "assistant", "content": text}}]})


def pictures(body: dict[str, Any]) -> dict[str, list[list[np.ndarray]]]:
    """The pictures of a request, by clip and segment."""
    found: dict[str, list[list[np.ndarray]]] = {"FIRST": [], "SECOND": []}
    for part in body["messages"][0]["content"][1:]:
        if part["type"] == "text":
            shots: list[np.ndarray] = []
            found[part["text"].split()[-1].rstrip(":")].append(shots)
        else:
            head, data = part["image_url"]["url"].split(",")
            assert head == "data:image/jpeg;base64"
            shots.append(np.asarray(Image.open(io.BytesIO(base64.b64decode(data)))))
    return found


def brighter(first: list[float], second: list[float]) -> list[str]:
    pairs = zip(first, second, strict=True)
    return ["tie" if abs(a - b) < 5 else "first" if a > b else "second" for a, b in pairs]


@pytest.fixture
def server(monkeypatch) -> Iterator[Server]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = Server()
    yield server
    server.release.set()
    server.http.shutdown()
    server.http.server_close()


@pytest.fixture
def waits() -> list[float]:
    return []


@pytest.fixture
def rater(server, waits) -> VlmRater:
    return VlmRater(server.url, "see-1", KEY, wait=waits.append)


def clip(*shades: int, side: int = 32) -> np.ndarray:
    """16 frames, shared out among some shades of grey."""
    return np.repeat(np.uint8(shades), 16 // len(shades))[:, None, None, None] * np.ones((1, side, side, 3), np.uint8)


def test_what_is_sent(server, rater):
    """Two requests, the second with the clips exchanged: task, prompt, four JPEGs a segment and clip, model and key."""
    rater.preference(clip(10, 60, 110, 160), clip(200, 220, side=1024), 'a "red" {horse}', SEGMENTS)
    there, back = server.requests
    assert there["model"] == "see-1" and there["path"] == "/v1/chat/completions"
    assert all(headers["Authorization"] == f"Bearer {KEY}" for headers in server.headers)
    task = there["messages"][0]["content"][0]["text"]
    assert '"a \\"red\\" {horse}"' in task and "2 segments" in task and "conservative" in task
    seen = {
        name: [[round(shot.mean()) for shot in shots] for shots in pictures(there)[name]] for name in pictures(there)
    }
    assert seen == {"FIRST": [[10, 10, 60, 60], [110, 110, 160, 160]], "SECOND": [[200] * 4, [220] * 4]}
    assert pictures(there)["SECOND"][0][0].shape == (512, 512, 3) and pictures(there)["FIRST"][0][0].shape == (
        32,
        32,
        3,
    )
    assert str(pictures(back)["FIRST"]) == str(pictures(there)["SECOND"])
    server.headers.clear()
    replace(rater, key="").preference(clip(1), clip(2), "p", SEGMENTS)
    assert not any("Authorization" in headers for headers in server.headers)


def test_what_both_orders_say_counts(server, rater):
    """A model that looks at the pictures is believed, segment by segment; one that always says "first" is a tie."""
    server.rule = brighter
    assert rater.preference(clip(200, 50), clip(100, 100), "p", SEGMENTS) == ["left", "right"]
    assert rater.preference(clip(100, 50), clip(100, 100), "p", SEGMENTS) == ["tie", "right"]
    server.rule = lambda first, _: ["first"] * len(first)
    assert rater.preference(clip(200, 50), clip(100, 100), "p", SEGMENTS) == ["tie", "tie"]
    answers = iter([["first", "tie"], ["tie", "second"]])
    server.rule = lambda *_: next(answers)
    assert rater.preference(clip(200, 50), clip(100, 100), "p", SEGMENTS) == ["tie", "tie"]


def test_a_short_segment_has_fewer_pictures(server, rater):
    """Two frames are two pictures, none twice."""
    rater.preference(clip(10), clip(20), "p", [(0, 14), (14, 16)])
    assert [len(shots) for shots in pictures(server.requests[0])["FIRST"]] == [4, 2]


GARBAGE = ["", "not JSON", "{}", '{"choices": []}', reply("I prefer the first."), reply('{"segments": ["first"]}'),
           reply('{"segments": ["first", "left"]}'), reply('{"segments": 2}'), reply("{"),
           reply('["first", "tie"]'), reply(None), reply([{"type": "text", "text": "{}"}])]  # fmt: skip


@pytest.mark.parametrize("mishap", [(429, "slow down"), (500, "oops"), (503, ""), *((200, text) for text in GARBAGE)])
def test_what_may_pass_is_tried_again(server, rater, waits, mishap):
    """Too many requests, the server's own errors, answers that cannot be read: after a pause the judgement is there."""
    server.rule = brighter
    server.mishaps = [(*mishap, {})] * 2
    assert rater.preference(clip(200), clip(100), "p", SEGMENTS) == ["left", "left"]
    assert len(server.requests) == 4 and waits == [1, 2]


def test_pauses_grow_and_obey_the_server(server, rater, waits):
    """1, 2, 4, 8 seconds; or as long as Retry-After says, within a minute; then a sentence with the last reason."""
    server.mishaps = [(500, "", {})] * 5
    with pytest.raises(UserError, match=r"see-1 gave no usable answer in 5 tries: it answered with status 500"):
        rater.preference(clip(200), clip(100), "p", SEGMENTS)
    assert waits == [1, 2, 4, 8]
    waits.clear()
    asked = ("20", "Wed, 21 Oct 2026 07:28:00 GMT", "100000", "-3")
    server.mishaps = [(429, "", {"Retry-After": value}) for value in asked]
    rater.preference(clip(200), clip(100), "p", SEGMENTS)
    assert waits == [20, 2, 60, 8]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 413, 301])
def test_what_will_not_pass_is_said_at_once(server, rater, waits, status):
    """A wrong key, address or model: one request, no pause, a sentence that tells what to check."""
    server.mishaps = [(status, f"Incorrect API key provided: {KEY}", {})]
    with pytest.raises(UserError, match=rf"status {status}.*HUVIDPO_JUDGE_KEY") as error:
        rater.preference(clip(200), clip(100), "p", SEGMENTS)
    assert len(server.requests) == 1 and waits == [] and KEY not in str(error.value)


def test_silence_and_absence_are_sentences(server, rater, waits):
    """A server that does not answer, and one that is not there; a made-up address."""
    server.slow.set()
    with pytest.raises(UserError, match=r"in 2 tries: it did not answer within 0\.2 seconds"):
        replace(rater, timeout=0.2, tries=2).preference(clip(200), clip(100), "p", SEGMENTS)
    with pytest.raises(UserError, match=r"cannot be reached \(ConnectError\)"):
        replace(rater, url="http://127.0.0.1:1/v1").preference(clip(200), clip(100), "p", SEGMENTS)
    with pytest.raises(UserError, match="cannot be reached"):
        replace(rater, url="http://[::1").preference(clip(200), clip(100), "p", SEGMENTS)


def test_stop_does_not_wait_for_the_next_try(server):
    """The server asks for a minute's patience; Stop, pressed before, ends it in the pause after the first try."""
    server.mishaps = [(429, "", {"Retry-After": "60"})]
    stop = threading.Event()
    stop.set()
    values = {"HUVIDPO_JUDGE_URL": server.url, "HUVIDPO_JUDGE_MODEL": "see-1"}
    with pytest.raises(Stopped):
        VlmRater.from_environment(values, stop).preference(*[moving_clip(16)] * 2, "p", SEGMENTS)
    assert len(server.requests) == 1


def test_answers_are_found_in_what_models_write_around_them():
    """Reasoning before, fences, capitals, and words after the object."""
    for text in (
        '{"segments": ["first", "tie"]}',
        '<think>maybe {"segments": ["tie"]}?</think> ```json\n{"segments": ["First", " TIE "]}\n``` I hope this {helps',
    ):
        assert read_answer(text, 2) == ["first", "tie"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "Set HUVIDPO_JUDGE_URL"),
        ({"URL": "http://here/v1"}, "HUVIDPO_JUDGE_MODEL"),
        ({"URL": "here:80/v1", "MODEL": "m"}, "begins with http"),
        ({"URL": "http://here/v1", "MODEL": "m", "KEY": "schlüssel"}, "no key has"),
    ],
)
def test_the_environment_says_what_is_missing(values, words):
    """Each with the variable's name."""
    with pytest.raises(UserError, match=words):
        VlmRater.from_environment({f"HUVIDPO_JUDGE_{name}": value for name, value in values.items()})


@pytest.fixture
def command(tmp_path, monkeypatch, server):
    """`judge --rater vlm` on a data folder with two pairs, one to a brighter clip on either side."""
    for name, value in (("URL", server.url), ("MODEL", "see-1"), ("KEY", KEY)):
        monkeypatch.setenv(f"HUVIDPO_JUDGE_{name}", value)
    monkeypatch.setattr(time, "sleep", lambda _: None)
    from huvidpo_core.gallery import Gallery
    from huvidpo_core.recipe import Recipe

    store = Store(tmp_path)
    gallery = Gallery(store)
    for _ in range(2):
        frames = moving_clip(16)
        bright, dark = (gallery.keep(Recipe("p", "rain", "cartoon"), f[0], f, 8, 1.0).id for f in (frames, frames // 3))
        store.votes.add_pair(bright, dark, source="seeds", prompt="p", action="rain")
    return store, ["judge", "--rater", "vlm", "--profile", "miniature", "--data", str(tmp_path)]


def test_the_command_votes_and_never_shows_the_key(server, command, capsys, caplog, tmp_path):
    """Two votes by "VLM see-1", each for the bright clip; the key is in no output, no log and no file."""
    store, arguments = command
    server.rule = brighter
    caplog.set_level(logging.DEBUG)
    server.mishaps = [(429, "", {})]
    assert cli.main(arguments) == 0
    written = capsys.readouterr()
    assert written.out == "2 votes\n"
    answers = store.votes.history(rater="VLM see-1")
    assert len(answers) == 2
    for answer in answers:
        assert [mark.side for mark in answer.ballot.marks] == [answer.ballot.choice] * 2
        means = {clip: store.video(clip).stat().st_size for clip in (answer.left, answer.right)}
        assert len(means) == 2 and answer.ballot.choice in ("left", "right")
    server.mishaps = [(401, "", {})]
    said = written.out + written.err + caplog.text + repr(VlmRater.from_environment())
    assert KEY not in said
    assert not any(KEY.encode() in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_the_commands_mistakes_are_one_line(server, command, capsys):
    """A refused key and an unknown action: status 2, one line, and no vote."""
    store, arguments = command
    server.mishaps = [(401, "", {})]
    assert cli.main(arguments) == 2
    assert cli.main([*arguments, "--action", "sing"]) == 2
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2 and "401" in lines[0] and "no action 'sing'" in lines[1]
    assert store.votes.history() == []
