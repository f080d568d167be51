"""A pack and a finished training, without a model."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from huvidpo_core import adoption
from huvidpo_core.models.packs import TAUGHT
from huvidpo_core.training.record import CARD, PACK, RESULT, RunFolder, RunState


def write_pack(folder: Path, base_hash: str = "1-2", **changes: Any) -> Path:
    """A pack for an action of its folder's name, without a motion worth the name; `changes` to its record."""
    folder.mkdir(parents=True)
    record = {
        "name": folder.name, "title": folder.name.capitalize(), "action": folder.name, "prompt": "{}", "base": "tests",
        "base_hash": base_hash, "frames": 6, "fps": 8, "width": 64, "height": 48, "licence": "Apache-2.0",
    }  # fmt: skip
    (folder / "pack.json").write_text(json.dumps(record | changes))
    save_file({"motion": np.zeros(1, np.float32)}, folder / "motion.safetensors")
    return folder


def finish(run: RunFolder, lora: bytes = b"a LoRA") -> RunFolder:
    """Give it a result and say so."""
    (run.path / RESULT).write_bytes(lora)
    card = {"best_step": 20, "held_out_accuracy": 0.75, "pairs": {"trained": 18, "held_out": 4}}
    (run.path / CARD).write_text(json.dumps(card))
    run.tell(status="finished", stage="", step=20, steps=20, message="Ended at step 20: all 20 steps are done.")
    return run


def finish_teaching(run: RunFolder, packs: Path) -> RunFolder:
    """Give it an action pack, put that to use as asked, and say so."""
    asked = run.asked()
    write_pack(
        run.path / PACK, **{key: asked[key] for key in ("title", "action", "prompt")}, training={"source": TAUGHT}
    )
    if asked["adopt"]:
        adoption.adopt_pack(run, packs)
    steps = asked["settings"]["steps"]
    run.tell(status="finished", stage="", step=steps, message=f"Ended at step {steps}: all {steps} steps are done.")
    return run


def until(run: RunFolder, *statuses: str) -> RunState:
    """Where a run stands as soon as it has one of these statuses."""
    for _ in range(1500):
        if run.state().status in statuses:
            return run.state()
        time.sleep(0.02)
    raise AssertionError(run.state())
