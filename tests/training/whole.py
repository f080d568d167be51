"""Whole trainings of tiny models, of either stage, in this process or in one that is killed: `carry_out` may be run by
another."""

import json
import math
import os
import signal
import threading
from collections.abc import Callable
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch

from huvidpo_core import carrying_out, media
from huvidpo_core.alignment import Alignment
from huvidpo_core.config import Profile
from huvidpo_core.generation.animate import Animator
from huvidpo_core.models.packs import ActionPack
from huvidpo_core.models.weights import model_hash, motion_parameters
from huvidpo_core.picture_alignment import PictureAlignment
from huvidpo_core.teaching import Teaching
from huvidpo_core.training import checkpoint
from huvidpo_core.training.crew import Crew
from huvidpo_core.training.record import RunFolder
from huvidpo_core.training.settings import LoraShape
from tests.training.made import SETTINGS

ACTION = "rain"
DROPOUT = replace(SETTINGS, held_out=0.25, lora=LoraShape(rank=2, alpha=4, dropout=0.5), least_motion=0.0)
PATIENCE = 300  # seconds until a test that waits gives up

# Where a run of four steps with checks at 0, 2 and 4 is killed, one after the other, and how often it saves.
DEATHS = [
    ("half a line", 3, False),  # in the line of step 2; the checkpoint is that of the start
    ("a line", 3, False),  # right after the line of check 2, before its checkpoint
    ("half a checkpoint", 1, False),  # in check 2's checkpoint
    ("a checkpoint", 1, False),  # right after it
    ("a line", 1, True),  # between two checkpoints: after step 3's line
    ("a checkpoint", 1, True),  # right after step 3's own checkpoint
]


def make_pack(profile: Profile, packs: Path) -> ActionPack:
    """An action pack for the profile's base, below `packs`."""
    unet = Animator.load(profile.video, device=torch.device("cpu"), dtype=torch.float32).unet
    generator = torch.Generator().manual_seed(2)
    motion = {
        name: value.detach() + 0.1 * torch.randn(value.shape, generator=generator)
        for name, value in motion_parameters(unet).items()
    }
    video = profile.video
    return ActionPack(
        name=ACTION, title="Rain", action=ACTION, prompt="{}", base="tiny", base_hash=model_hash(unet),
        frames=video.frames, fps=video.fps, width=video.width, height=video.height, licence="Apache-2.0",
    ).save(packs / ACTION, motion)  # fmt: skip


def make_dataset(folder: Path, profile: Profile, pairs: int = 4, frames: int | None = None, seed: int = 0) -> Path:
    """A `videofolder` of pairs of noisy clips; the chosen ones are brighter."""
    video, rng, rows = profile.video, np.random.default_rng(seed), []
    for number in range(pairs):
        for side, light in (("chosen", 90), ("rejected", 0)):
            shape = (frames or video.frames, video.height // 8, video.width // 8, 3)
            clip = rng.integers(light, light + 150, shape).repeat(8, 1).repeat(8, 2).astype(np.uint8)
            media.write_mp4(folder / f"{side}{number}.mp4", clip, video.fps)
        names = {f"{side}_file_name": f"{side}{number}.mp4" for side in ("chosen", "rejected")}
        rows.append(json.dumps(names | {"prompt": "rain on a roof", "action": ACTION}))
    (folder / "metadata.jsonl").write_text("\n".join(rows))
    return folder


def carry_out(
    path: Path, profile: Profile, data: Path, die: tuple[str, int] | None = None, every_step: bool = False
) -> None:
    """A run from where it stands. With `die` the process kills itself the n-th time that it is in the middle or at the
    end of writing a line or a checkpoint. With `every_step` there is a checkpoint after each."""
    torch.set_num_threads(1)
    if every_step:
        carrying_out.CHECKPOINT_SECONDS, carrying_out.CHECKPOINT_SHARE = -1, math.inf
    if die:
        _arm(*die)
    run = RunFolder.open(path)
    stage = {"align": Alignment, "teach": Teaching, "picture": PictureAlignment}[run.asked()["kind"]]
    for _ in stage(run, profile, torch.device("cpu"), Crew(), data).carry_out(threading.Event()):
        pass


def in_a_process(*arguments: Any) -> int:
    """`carry_out` in a process of its own, forked from one that has imported everything; its exit code."""
    context = get_context("forkserver")
    context.set_forkserver_preload([__name__])
    process = context.Process(target=carry_out, args=arguments)
    process.start()
    process.join(PATIENCE)
    process.kill()
    return process.exitcode


def _arm(where: str, times: int) -> None:
    left = [times]

    def now() -> bool:
        left[0] -= 1
        return not left[0]

    def dying(work: Callable, half: Callable[..., None]) -> Callable:
        def run(*arguments: Any) -> None:
            if where.startswith("half") and now():
                half(*arguments)
                os.kill(os.getpid(), signal.SIGKILL)
            work(*arguments)
            if not where.startswith("half") and now():
                os.kill(os.getpid(), signal.SIGKILL)

        return run

    if where.endswith("line"):

        def half_a_line(run: RunFolder, kind: str, values: dict) -> None:
            with (run.path / "metrics.jsonl").open("a") as file:
                file.write(f'{{"kind": "{kind}", "st')

        RunFolder.note = dying(RunFolder.note, half_a_line)
    else:

        def half_a_file(folder: Path, state: dict) -> None:
            (folder / ".half.part").write_bytes(b"PK\x03\x04")

        checkpoint.write = dying(checkpoint.write, half_a_file)
