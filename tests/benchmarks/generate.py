"""How long the miniature takes from a prompt to an MP4, how much memory, and how soon the app answers.

    python -m tests.benchmarks.generate [--repeat 3]

Prints a table and one JSON line. `fast` and `ddim` are measured in one run on one machine; read them as a comparison.
"""

import argparse
import json
import os
import resource
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

from huvidpo_core.config import load_profile
from huvidpo_core.engine import Engine
from huvidpo_core.recipe import Recipe

ROOT = Path(__file__).parents[2]


def clip_seconds(engine: Engine, sampler: str) -> dict[str, float]:
    """Seconds for the first frame, for the animation up to the written MP4, and for both."""
    recipe = Recipe(prompt="a red horse runs on the beach", action="horse_run", style="cartoon", sampler=sampler)
    began = time.perf_counter()
    *_, picture = engine.first_frame(recipe, threading.Event())
    drawn = time.perf_counter()
    *_, _clip = engine.animate(picture.recipe, picture.image, threading.Event())
    ended = time.perf_counter()
    return {"first_frame": drawn - began, "animation": ended - drawn, "total": ended - began}


def seconds_to_port() -> float:
    """From `python app.py` to an open port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as data:
        began = time.perf_counter()
        app = subprocess.Popen([sys.executable, "app.py", "--port", str(port), "--data", data], cwd=ROOT)
        try:
            while True:
                with socket.socket() as probe:
                    if probe.connect_ex(("127.0.0.1", port)) == 0:
                        return time.perf_counter() - began
                time.sleep(0.05)
        finally:
            app.terminate()
            app.wait()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeat", type=int, default=3, help="the fastest of so many runs counts")
    repeat = parser.parse_args().repeat
    result: dict[str, object] = {"seconds_to_port": round(seconds_to_port(), 2)}
    with tempfile.TemporaryDirectory() as data:
        engine = Engine(load_profile("miniature"), Path(data))
        began = time.perf_counter()
        engine.warm_up()
        result["load"] = round(time.perf_counter() - began, 2)
        for sampler in ("fast", "ddim"):
            runs = [clip_seconds(engine, sampler) for _ in range(repeat)]
            best = min(runs, key=lambda run: run["total"])
            result[sampler] = {name: round(value, 2) for name, value in best.items()}
    result["peak_memory_gb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6, 2)
    out = sys.stdout.write
    out("| sampler | first frame s | animation s | prompt to MP4 s |\n|---|---|---|---|\n")
    for sampler in ("fast", "ddim"):
        row = result[sampler]
        out(f"| {sampler} | {row['first_frame']} | {row['animation']} | {row['total']} |\n")
    out(f"\nloading {result['load']} s, app on its port after {result['seconds_to_port']} s, ")
    out(f"peak memory {result['peak_memory_gb']} GB\n{json.dumps(result)}\n")


if __name__ == "__main__":
    main()
