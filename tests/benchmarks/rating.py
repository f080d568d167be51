"""How long a rater waits: `python -m tests.benchmarks.rating [--votes 40] [--warm-ups 3]`.

Rates ready pairs of the miniature's size in a real Chromium, as soon as voting opens, and measures on the page from the
press of the key: until the server's answer that the vote is on disk is there; until the next pair's first frame has
been drawn, read from the canvas's pixels. Prints medians and 95th percentiles, and one JSON line.
"""

import argparse
import colorsys
import json
import os
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")

import numpy as np
from playwright.sync_api import Page, sync_playwright

from huvidpo_core import media
from huvidpo_core.config import load_profile
from huvidpo_core.engine import Engine
from huvidpo_core.ui import build_app, launch_options

# On the page: when the last vote was acknowledged, and when the pixels of a new pair are first seen.
WATCH = """
window.acknowledged = null;
const ask = window.fetch;
window.fetch = async (url, options) => {
  const answer = await ask(url, options);
  if (String(options?.body).includes('send_vote')) {
    await answer.clone().text();
    window.acknowledged = performance.now();
  }
  return answer;
};
"""
VOTE = """([key, patience]) => new Promise((done) => {
  const canvas = document.querySelector('.hv-pair canvas');
  const colour = () => [...canvas.getContext('2d').getImageData(2, 2, 1, 1).data];
  const before = colour();
  const began = performance.now();
  window.acknowledged = null;
  document.body.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true}));
  const look = () => {
    const now = colour();
    const other = now.some((value, index) => Math.abs(value - before[index]) > 24);
    const drawn = performance.now() - began;
    if (other || drawn > patience) done({drawn, acknowledged: window.acknowledged - began});
    else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
})"""
PATIENCE = 20_000  # ms


def fill(engine: Engine, pairs: int, folder: Path) -> None:
    """Pairs of moving noise, each pair with a corner of a colour of its own."""
    video = engine.profile.video
    lot = np.random.default_rng(0)
    recipe = engine.defaults()
    for number in range(pairs):
        colour = 255 * np.array(colorsys.hsv_to_rgb(number * 0.381966 % 1, 0.9, 0.9))
        ids = []
        for side in range(2):
            clip = np.cumsum(lot.normal(0, 9, (video.frames, video.height // 8, video.width // 8, 3)), axis=0) + 120
            clip = clip.clip(0, 255).astype(np.uint8).repeat(8, axis=1).repeat(8, axis=2)
            clip[:, :16, :16] = colour
            name = f"{number:05}{side}"
            media.write_mp4(engine.store.video(name), clip, video.fps)
            engine.store.add(name, recipe.with_(seed=side).to_dict(), 1.0, frames=video.frames, fps=video.fps)
            ids.append(name)
        engine.store.votes.add_pair(*ids, source="seeds", prompt=recipe.prompt, action=recipe.action)


def rate(page: Page, votes: int) -> list[dict[str, float]]:
    """So many votes, each as soon as voting is open; milliseconds from the key to `acknowledged` and `drawn`."""
    taken = []
    for number in range(votes):
        page.wait_for_selector("[data-vote=left]:enabled")
        taken.append(page.evaluate(VOTE, ["12"[number % 2], PATIENCE]))
    return taken


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--votes", type=int, default=40)
    parser.add_argument("--warm-ups", type=int, default=3, help="votes before those that count")
    options = parser.parse_args()
    chromium = shutil.which("chromium") or sys.exit("Chromium is missing: apt-get install chromium")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        engine = Engine(load_profile("miniature"), Path(folder))
        fill(engine, options.votes + options.warm_ups + 5, Path(folder))
        app = build_app(engine)
        _, url, _ = app.launch(prevent_thread_lock=True, quiet=True, **launch_options(engine))
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-gpu"])
        page = browser.new_page()
        page.set_default_timeout(90_000)
        page.add_init_script(WATCH)
        page.goto(url)
        page.get_by_role("tab", name="Prefer").click()
        page.locator("[name=rater]").fill("Anna")
        page.get_by_role("button", name="Start rating").click()
        page.wait_for_selector("[data-state=rating]")
        taken = rate(page, options.warm_ups + options.votes)[options.warm_ups :]
        browser.close()
        app.close()
        engine.store.close()
    found = {}
    for name, words in (("acknowledged", "vote acknowledged"), ("drawn", "next pair's first frame drawn")):
        times = [each[name] for each in taken]
        median, high = statistics.median(times), statistics.quantiles(times, n=20)[-1]
        found[name] = {"median": round(median, 1), "95th percentile": round(high, 1)}
        sys.stdout.write(f"{words:32} median {median:7.1f} ms   95th percentile {high:7.1f} ms\n")
    sys.stdout.write(json.dumps({"votes": options.votes, "milliseconds": found}) + "\n")


if __name__ == "__main__":
    main()
