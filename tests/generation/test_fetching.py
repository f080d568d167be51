"""Fetching models: huggingface_hub's own requests to a small hub on this machine, whose connection breaks."""

import errno
import hashlib
import os
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO

import httpx2
import huggingface_hub
import numpy as np
import pytest
from huggingface_hub import constants, try_to_load_from_cache

from huvidpo_core.config import Download
from huvidpo_core.errors import Stopped, UserError
from huvidpo_core.generation import downloads
from huvidpo_core.generation.downloads import fetch, is_present

CHUNK = 1 << 14
HALF = 4 * CHUNK
MODEL = Download("a/b", "a model", 0.1, "MIT", ("config.json", "unet/model.safetensors"))
CONFIG, WEIGHTS = MODEL.files


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    range: str | None
    token: str | None


class Hub:
    """One repository as the Hub serves it: small files itself, large ones by way of another host ("localhost")."""

    def __init__(self, cache: Path) -> None:
        self.files = {CONFIG: b"{}", WEIGHTS: drawn(1)}
        self.requests: list[Request] = []
        self.breaks = False  # the connection, half-way through the large file, when that half is on the client's disk
        self.honours_ranges = True
        self.before_weights: Callable[[], object] = lambda: None
        self._cache = cache
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_HEAD(self) -> None:
                outer.answer(self)

            def do_GET(self) -> None:
                outer.answer(self)

            def log_message(self, *_: object) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()  # soon shut down
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    @property
    def commit(self) -> str:
        return hashlib.sha1(b"".join(self.files.values())).hexdigest()

    def answer(self, to: BaseHTTPRequestHandler) -> None:
        self.requests.append(Request(to.command, to.path, to.headers["Range"], to.headers["Authorization"]))
        if to.path == f"/cdn/{hashlib.sha256(self.files[WEIGHTS]).hexdigest()}":
            self.before_weights()
            return self._send(to, self.files[WEIGHTS])
        asked = re.fullmatch(rf"/a/b/resolve/(?:main|{self.commit})/(.*)", to.path)
        content = self.files[asked[1]] if asked else b""
        if not asked:
            head = {"Content-Length": "0"}
        elif asked[1] == WEIGHTS:
            etag = hashlib.sha256(content).hexdigest()
            elsewhere = self.url.replace("127.0.0.1", "localhost")
            head = {"Location": f"{elsewhere}/cdn/{etag}", "Content-Length": "0", "X-Linked-Etag": f'"{etag}"'}
            head |= {"X-Linked-Size": str(len(content)), "ETag": '"another"'}
            head |= {"X-Xet-Hash": "0" * 64, "X-Xet-Refresh-Route": f"{self.url}/xet"}
        else:
            head = {"Content-Length": str(len(content)), "ETag": f'W/"{hashlib.sha1(content).hexdigest()}"'}
        to.send_response(302 if "Location" in head else 200 if asked else 404)
        for name, value in (head | {"X-Repo-Commit": self.commit}).items():
            to.send_header(name, value)
        to.end_headers()
        if to.command == "GET" and "Location" not in head:
            to.wfile.write(content)
        return None

    def _send(self, to: BaseHTTPRequestHandler, content: bytes) -> None:
        start = 0
        if to.headers["Range"] and self.honours_ranges:
            start = int(re.fullmatch(r"bytes=(\d+)-", to.headers["Range"])[1])
        to.send_response(206 if start else 200)
        to.send_header("Content-Length", str(len(content) - start))
        if start:
            to.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        to.end_headers()
        if not self.breaks:
            to.wfile.write(content[start:])
            return
        to.wfile.write(content[start:HALF])
        wait_for(lambda: sum(len(part.read_bytes()) for part in parts(self._cache)) >= HALF)
        to.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset, no good-bye
        os.close(to.connection.detach())
        to.close_connection = True

    def sent(self) -> list[str | None]:
        """The range of every request for the large file's bytes."""
        return [each.range for each in self.requests if each.method == "GET" and each.path.startswith("/cdn/")]


def drawn(seed: int) -> bytes:
    return np.random.default_rng(seed).bytes(2 * HALF + 5)


def wait_for(done: Callable[[], bool]) -> None:
    end = time.monotonic() + 3
    while not done() and time.monotonic() < end:
        time.sleep(0.005)


def parts(cache: Path) -> list[Path]:
    return list(cache.glob("models--a--b/blobs/*.incomplete"))


def cached() -> dict[str, bytes]:
    """What the files of the model hold, by the hub's own way to find them."""
    return {file: Path(try_to_load_from_cache(MODEL.name, file)).read_bytes() for file in MODEL.files}


@pytest.fixture
def cache(tmp_path) -> Path:
    return tmp_path / "cache"


@pytest.fixture
def hub(cache, monkeypatch) -> Iterator[Hub]:
    hub = Hub(cache)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setattr(constants, "ENDPOINT", hub.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", hub.url + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)  # the tests themselves are run with it
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", CHUNK)  # what is written at a time: 10 MB
    huggingface_hub.close_session()  # one that was opened with other proxies
    yield hub
    huggingface_hub.close_session()
    hub.http.shutdown()
    hub.http.server_close()


def broken_off(hub: Hub) -> None:
    """A first try, which breaks half-way."""
    hub.breaks = True
    with pytest.raises(UserError, match=r"^The model a/b could not be downloaded \(ReadError\).*what arrived is kept"):
        fetch(MODEL)
    hub.breaks = False


def test_an_interrupted_download_is_continued(hub, cache):
    """The first half is kept and only the second asked for; the files are, byte for byte, what the hub has."""
    broken_off(hub)
    [part] = parts(cache)
    assert part.read_bytes() == hub.files[WEIGHTS][:HALF] and not is_present(MODEL)
    fetch(MODEL)
    assert hub.sent() == [None, f"bytes={HALF}-"]
    assert is_present(MODEL) and cached() == hub.files and not parts(cache)


def test_only_the_hub_is_told_the_token(hub):
    """It is on every request to the hub, also for the bytes, as gated models need it; the other host never gets it. The
    bytes are those of the commit that was named, and hf_xet's route is not taken."""
    fetch(MODEL)
    for each in hub.requests:
        assert each.token == (None if each.path.startswith("/cdn/") else "Bearer hf_secret")
    asked = {each.path for each in hub.requests if each.method == "GET" and not each.path.startswith("/cdn/")}
    assert asked == {f"/a/b/resolve/{hub.commit}/{file}" for file in MODEL.files}
    assert hub.sent() == [None] and cached() == hub.files


def test_a_file_that_changed_meanwhile_begins_anew(hub):
    """Nothing of the old file gets into the new one."""
    broken_off(hub)
    hub.files[WEIGHTS] = drawn(2)
    fetch(MODEL)
    assert hub.sent() == [None, None]
    assert is_present(MODEL) and cached() == hub.files


def test_a_server_that_ignores_the_range_does_not_spoil_the_file(hub):
    """It sends everything: that takes the place of the half that was there."""
    broken_off(hub)
    hub.honours_ranges = False
    fetch(MODEL)
    assert hub.sent() == [None, f"bytes={HALF}-"] and cached() == hub.files


def test_too_long_a_part_is_thrown_away(hub, cache):
    """It cannot be the beginning of the file, and a request for what follows would be refused for ever."""
    broken_off(hub)
    parts(cache)[0].write_bytes(bytes(len(hub.files[WEIGHTS]) + 1))
    fetch(MODEL)
    assert hub.sent() == [None, None] and cached() == hub.files


def test_a_damaged_part_is_noticed(hub, cache):
    """The right length is not enough: other bytes are told by their hash and removed, and the next try is right."""
    broken_off(hub)
    parts(cache)[0].write_bytes(bytes(HALF))
    with pytest.raises(UserError, match=r"model.safetensors of the model a/b arrived damaged and was removed"):
        fetch(MODEL)
    assert not parts(cache) and not is_present(MODEL)
    fetch(MODEL)
    assert cached() == hub.files


def test_two_at_once_fetch_it_once(hub):
    """The second waits for the first, who is at it when the second asks, and finds the file there."""
    head = Request("HEAD", f"/a/b/resolve/main/{WEIGHTS}", None, "Bearer hf_secret")
    hub.before_weights = lambda: wait_for(lambda: hub.requests.count(head) >= 2)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(fetch, [MODEL, MODEL]))
    assert hub.sent() == [None] and cached() == hub.files


def test_stop_keeps_what_arrived_and_every_byte_is_told_of(hub, cache):
    """What is told may end it; the next try goes on, and tells of what was there, too."""

    def told(count: int) -> None:
        if count == CHUNK:
            raise Stopped

    with pytest.raises(Stopped):
        fetch(MODEL, told)
    assert parts(cache)[0].stat().st_size == CHUNK and not is_present(MODEL)
    arrived: list[int] = []
    fetch(MODEL, arrived.append)
    assert sum(arrived) == sum(map(len, hub.files.values())) and CHUNK in arrived
    assert hub.sent() == [None, f"bytes={CHUNK}-"] and cached() == hub.files
    again: list[int] = []
    fetch(MODEL, again.append)
    assert sum(again) == sum(arrived)


def test_what_is_there_is_not_fetched_again(hub, cache):
    """Also where no links can be made, so that the cache holds the file itself under its name."""
    fetch(MODEL)
    link = Path(try_to_load_from_cache(MODEL.name, WEIGHTS))
    link.resolve().rename(link)
    assert not link.is_symlink()
    fetch(MODEL)
    assert hub.sent() == [None] and cached() == hub.files


def test_offline_asks_nobody(hub, monkeypatch):
    """HF_HUB_OFFLINE is obeyed before the first request."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=r"nothing is fetched, for HF_HUB_OFFLINE is set\. Unset it") as caught:
        fetch(MODEL)
    assert not hub.requests and "network" not in str(caught.value)


def test_a_full_disk_keeps_what_arrived(hub, monkeypatch):
    """The disk is full half-way: a sentence says so, and when there is room again only the rest is asked for."""
    get = downloads.http_get

    def fill(address: str, file: BinaryIO, **options: Any) -> None:
        if options["displayed_filename"] == WEIGHTS:
            file.write(hub.files[WEIGHTS][:HALF])
            raise OSError(errno.ENOSPC, "No space left on device")
        get(address, file, **options)

    with monkeypatch.context() as full, pytest.raises(UserError, match=r"disk is full: .* needs 0\.1 GB"):
        full.setattr(downloads, "http_get", fill)
        fetch(MODEL)
    fetch(MODEL)
    assert hub.sent() == [f"bytes={HALF}-"] and cached() == hub.files


@pytest.mark.parametrize("error", [httpx2.ReadTimeout("slow"), httpx2.ProxyError("403"), RuntimeError("xet")])
def test_whatever_the_network_does_is_a_sentence(hub, monkeypatch, error):
    """The HTTP library's errors are no OSErrors, hf_xet's are RuntimeErrors: a person is told the same of each."""

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(downloads, "http_get", fail)
    with pytest.raises(UserError, match=rf"could not be downloaded \({type(error).__name__}\)\. Check the network"):
        fetch(MODEL)
