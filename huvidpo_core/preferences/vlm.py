"""A vision-language model as a rater, behind any endpoint that speaks OpenAI's chat protocol.

DenseDPO's recipe: frames of both clips in one request with a list of artefacts to look for, an answer per segment,
asked in both orders; what the model says in one order only is its habit, not its judgement, and counts as a tie. The
key goes into one header of the request and nowhere else: not into the votes, a log or an error.
"""

import base64
import io
import json
import os
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import httpx
import numpy as np
from PIL import Image

from huvidpo_core.errors import Stopped, UserError
from huvidpo_core.preferences.judges import VLM, Segment
from huvidpo_core.preferences.records import Side

Verdict = Literal["first", "second", "tie"]

SIDE = 512  # px, the longer side of a picture that is sent
PICTURES = 4  # of a segment and clip, evenly spread
LONGEST_WAIT = 60.0  # seconds between two tries, whatever the server asks for

TASK = """You judge two short videos, FIRST and SECOND, that a text-to-video model made for this prompt: {prompt}

They are similar on purpose: often they share the opening picture and the coarse motion. Look for what differs. Check:
- anatomy and shape: limbs, hands, faces or objects that bend, melt, split, merge, appear or vanish
- identity: the subject or the background changes its look, colour or texture from frame to frame
- motion: nothing moves although it should, or it jumps, slides or reverses against physics
- picture: flicker, blur, ghosting, noise, blocks, washed-out colours
- prompt: the action that it asks for does not take place
A video in which nothing moves is not better for being clean.

Both are cut into {count} segments, shown below in order as a few frames each. For every segment answer which video is
better in it: "first", "second" or "tie". Be conservative: answer "tie" unless the difference is clear to anyone.

Answer with one JSON object and nothing else:
{{"reasons": ["a few words for each segment"], "segments": [{count} answers in order]}}"""


@dataclass(frozen=True)
class VlmRater:
    """Asks `model` at `url`, the address that ends in `/v1`; a key is optional, as local servers need none."""

    url: str
    model: str
    key: str = field(default="", repr=False)
    tries: int = 5
    timeout: float = 120.0  # seconds for one answer
    wait: Callable[[float], object] = field(default=time.sleep, repr=False)

    @classmethod
    def from_environment(
        cls, values: Mapping[str, str] = os.environ, stop: threading.Event | None = None
    ) -> "VlmRater":
        """As HUVIDPO_JUDGE_URL, HUVIDPO_JUDGE_MODEL and, if needed, HUVIDPO_JUDGE_KEY say.

        `stop`, when set, ends the wait between two tries with `Stopped`.

        Raises:
            UserError: one of the first two is missing, or the address is none.
        """
        url, model, key = (values.get(f"HUVIDPO_JUDGE_{name}", "").strip() for name in ("URL", "MODEL", "KEY"))
        if not url or not model:
            raise UserError(
                "Set HUVIDPO_JUDGE_URL to the address of an OpenAI-compatible server (it ends in /v1), "
                "HUVIDPO_JUDGE_MODEL to a model there that sees pictures and, if it needs one, HUVIDPO_JUDGE_KEY."
            )
        if not re.match(r"https?://[^/\s]+", url):
            raise UserError("HUVIDPO_JUDGE_URL is no address; it begins with http:// or https://.")
        if not key.isascii() or not key.isprintable():
            raise UserError("HUVIDPO_JUDGE_KEY holds signs that no key has. Set it anew.")

        def wait(seconds: float) -> None:
            if stop is not None and stop.wait(seconds):
                raise Stopped

        return cls(url, model, key, wait=wait if stop is not None else time.sleep)

    @property
    def name(self) -> str:
        """The model's name, cut to what a rater's name may be."""
        return f"{VLM}{self.model}"[:80]

    def preference(
        self, left: np.ndarray, right: np.ndarray, prompt: str, segments: Sequence[Segment], action: str = ""
    ) -> list[Side]:
        """The side that the model finds better in both orders, or a tie, for every segment.

        Raises:
            UserError: the server refuses, or gives no usable answer in `tries` tries.
        """
        forth = self._ask(left, right, prompt, segments)
        back = self._ask(right, left, prompt, segments)
        agreed: dict[tuple[Verdict, Verdict], Side] = {("first", "second"): "left", ("second", "first"): "right"}
        return [agreed.get(answers, "tie") for answers in zip(forth, back, strict=True)]

    def _ask(self, first: np.ndarray, second: np.ndarray, prompt: str, segments: Sequence[Segment]) -> list[Verdict]:
        content: list[dict[str, Any]] = [_text(TASK.format(prompt=json.dumps(prompt), count=len(segments)))]
        for number, (start, end) in enumerate(segments, 1):
            chosen = np.unique(np.linspace(start, end - 1, min(PICTURES, end - start)).round().astype(int))
            for name, frames in (("FIRST", first), ("SECOND", second)):
                content += [_text(f"Segment {number}, {name}:"), *map(_picture, frames[chosen])]
        body = {"model": self.model, "messages": [{"role": "user", "content": content}]}
        return self._send(body, len(segments))

    def _send(self, body: dict[str, Any], count: int) -> list[Verdict]:
        """Send until there is an answer that can be read, waiting 1, 2, 4, ... seconds or as long as asked."""
        address = self.url.rstrip("/").removesuffix("/chat/completions") + "/chat/completions"
        headers = {"Authorization": f"Bearer {self.key}"} if self.key else {}
        trouble, asked = "", 0.0
        for attempt in range(self.tries):
            if attempt:
                self.wait(min(max(2.0 ** (attempt - 1), asked), LONGEST_WAIT))
            asked = 0.0
            try:
                response = httpx.post(address, json=body, headers=headers, timeout=self.timeout)
            except httpx.TimeoutException:
                trouble = f"it did not answer within {self.timeout:g} seconds"
                continue
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                trouble = f"it cannot be reached ({type(error).__name__})"
                continue
            if response.status_code in (408, 409, 425, 429) or response.status_code >= 500:
                trouble, asked = f"it answered with status {response.status_code}", _seconds(response)
                continue
            if response.status_code != 200:
                raise UserError(
                    f"The judge {self.model} refuses with status {response.status_code}. Check HUVIDPO_JUDGE_URL, "
                    "HUVIDPO_JUDGE_MODEL and HUVIDPO_JUDGE_KEY, and that the model sees pictures."
                )
            try:
                return read_answer(response.json()["choices"][0]["message"]["content"], count)
            except (ValueError, LookupError, TypeError):
                trouble = "its answer cannot be read"
        raise UserError(
            f"The judge {self.model} gave no usable answer in {self.tries} tries: {trouble}. The votes so far are "
            "kept; try again later."
        )


def read_answer(text: str, count: int) -> list[Verdict]:
    """The verdicts in a model's answer: a JSON object, whatever stands around it.

    Raises:
        ValueError: no such object, another number of verdicts, or a verdict that is none.
    """
    if not isinstance(text, str):  # null, or a list of parts
        raise ValueError("no text")
    begin = text.find("{", max(text.rfind("</think>"), 0))
    if begin < 0:
        raise ValueError("no object")
    found, _ = json.JSONDecoder().raw_decode(text[begin:])
    verdicts = [str(verdict).strip().lower() for verdict in found["segments"]]
    if len(verdicts) != count or not set(verdicts) <= {"first", "second", "tie"}:
        raise ValueError(f"not {count} verdicts")
    return verdicts


def _text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


def _picture(frame: np.ndarray) -> dict[str, Any]:
    image, memory = Image.fromarray(frame), io.BytesIO()
    image.thumbnail((SIDE, SIDE))
    image.save(memory, format="JPEG", quality=90)
    data = base64.b64encode(memory.getvalue()).decode()
    return {"type": "image_url", "image_url": {"url": f"data:image/jpeg;base64,{data}"}}


def _seconds(response: httpx.Response) -> float:
    """How long the server asks to wait; 0 where it says nothing, or gives a date."""
    try:
        return max(0.0, float(response.headers.get("Retry-After", 0)))
    except ValueError:
        return 0.0
