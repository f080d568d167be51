"""What each part of HuViDPO gives, on the miniature: the paper's table, part by part.

    python -m tests.benchmarks.alignment.ablations --action helicopter --lora LORA.safetensors [--count 24]
        [--steps 1200] [--work DIR]

Every clip is drawn and animated from the prompt alone, the same prompts and seeds in all rows. The LoRA is one that
`works --save` has written. The row of key frame 0 is an action pack taught as the shipped one, but for what
self-attention looks at; below it lies the miniature's base, which was itself trained with frame 0 and the frame before.
SSIM and MSE are between consecutive frames, and a picture that stands still wins both: hence last row and motion.
"""

import argparse
import hashlib
import json
import os
import shutil
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import numpy as np
import torch

from huvidpo_core import media
from huvidpo_core.config import ASSETS, PACKS, load_profile, resolve
from huvidpo_core.engine import Engine
from huvidpo_core.evaluation import clip_consistency
from huvidpo_core.evaluation.judge import Judge
from huvidpo_core.evaluation.metrics import clip_motion
from huvidpo_core.miniature import data, stages, text
from huvidpo_core.miniature.assemble import save_pack
from huvidpo_core.miniature.workshop import BUDGETS, Workshop
from huvidpo_core.miniature.world import Scene, caption
from huvidpo_core.models import VideoUNet
from huvidpo_core.models.packs import RECORD
from huvidpo_core.models.weights import model_hash
from huvidpo_core.recipe import Recipe
from tests.benchmarks.rows import Row, kept_rows, mean, share, weights_digest, written

SEED = 6101  # odd: training uses even ones
ATTRIBUTES = ("action", "style", "color", "place")
ROWS = {  # title: DPO's first frame, pack behind the action's name
    "HuViDPO": (True, "/aligned"),
    "without stage 2": (True, ""),
    "without stage 2 and DPO's first frame": (False, ""),
    "without stage 2, key frame 0 alone, taught anew": (True, "-first"),
}
FROZEN = "the first of these, frame 0 repeated"
FIGURES = {"clip": ("CLIPScore", 1), "ssim": ("SSIM x 100", 1), "mse": ("MSE", 0), "judge": ("recognised, %", 0),
           "moved": ("action from motion, %", 0), "motion": ("motion", 2)}  # fmt: skip


class Bench:
    """The app twice, with DPO's first frames and without, its packs and two more."""

    def __init__(self, folder: Path, action: str, lora: Path, steps: int) -> None:
        self.folder, self.action = folder, action
        profile, packs = load_profile("miniature"), folder / "packs"
        if not packs.is_dir():
            shutil.copytree(PACKS / "miniature", packs / "miniature")
        shutil.copy(lora, packs / "miniature" / action / "preference-aligned.safetensors")
        if not (packs / "miniature" / f"{action}-first").is_dir():
            self._teach(packs / "miniature" / f"{action}-first", "first", steps)
        plain = replace(profile, first_frame=replace(profile.first_frame, unet=None))
        self.engines = {
            dpo: Engine(each, folder / f"data-{dpo}", device="cpu", packs=packs)
            for dpo, each in ((True, profile), (False, plain))
        }
        self.judge = Judge.load(Path(resolve(profile.judge)), torch.device("cpu"))

    def measure(self, index: int) -> Row:
        """All figures of a prompt, by "<row> <figure>"."""
        scene = Scene.sample(np.random.default_rng([SEED, index]), action=self.action)
        recipe = Recipe(prompt=caption(scene), action=scene.action, style=scene.style, seed=SEED + index)
        row: Row = {}
        for title, (dpo, pack) in ROWS.items():
            engine = self.engines[dpo]
            *_, picture = engine.first_frame(recipe, threading.Event())
            made = picture.recipe.with_(pack=f"{self.action}{pack}")
            *_, clip = engine.animate(made, picture.image, threading.Event())
            frames = media.read_video(clip.video).frames
            row |= self._look(title, frames, scene)
            if FROZEN + " clip" not in row:
                row |= self._look(FROZEN, frames[:1].repeat(len(frames), axis=0), scene)
        return row

    def _look(self, title: str, frames: np.ndarray, scene: Scene) -> Row:
        named, steady = self.judge.recognise(frames), clip_consistency(frames)
        cosines = self.judge.image(frames) @ self.judge.text([caption(scene)])[0]
        return {
            f"{title} clip": float(100 * np.maximum(cosines, 0).mean()),
            f"{title} ssim": 100 * steady.ssim,
            f"{title} mse": steady.mse,
            f"{title} judge": float(np.mean([named[what] == getattr(scene, what) for what in ATTRIBUTES])),
            f"{title} moved": float(self.judge.recognise_motion(frames) == scene.action),
            f"{title} motion": clip_motion(frames),
        }

    def _teach(self, folder: Path, keys: str, steps: int) -> None:
        """Stage 1 on the action's clips, as the shipped packs were taught, with these key frames."""
        work = self.folder / f"teach-{folder.name}"
        work.mkdir(parents=True, exist_ok=True)
        budget = replace(BUDGETS["cpu"], pack=replace(BUDGETS["cpu"].pack, steps=steps))
        shop = Workshop(work, budget, torch.device("cpu"), torch.bfloat16, 1, start=ASSETS / "miniature")
        video = load_profile("miniature").video
        engine = Engine(load_profile("miniature"), work / "data", device="cpu")
        animator, pool = engine._load().animator, shop.lessons(self.action)
        data.render_pools([pool], shop.folder, 1)
        data.encode_pools([pool], animator.vae, shop.folder, shop.latents, device=shop.device, precision=shop.precision)
        tokenizer = text.PreTrainedTokenizerFast.from_pretrained(shop.made("tokenizer"))
        unet = VideoUNet.from_pretrained(resolve(video.base) + "/unet", dtype=torch.float32)
        base = model_hash(unet)
        unet.set_key_frames(keys)
        stages.train_pack(shop, animator.text_encoder, tokenizer, unet, self.action)
        save_pack(unet, self.action, base, steps, budget.pack_clips, work / "packs")
        record = json.loads((work / "packs" / self.action / RECORD).read_text())
        record["training"] |= {"key_frames": keys}
        (work / "packs" / self.action / RECORD).write_text(json.dumps(record))
        shutil.copytree(work / "packs" / self.action, folder)


def main() -> None:
    """Teach, make, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--action", default="helicopter")
    parser.add_argument("--lora", type=Path, required=True)
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--steps", type=int, default=BUDGETS["cpu"].pack.steps, help="of the pack that is taught anew")
    parser.add_argument("--work", type=Path, default=Path("runs/ablations"))
    options = parser.parse_args()
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", torch.get_num_threads())))
    folder = options.work / f"{weights_digest()}-{options.action}-{options.steps}"
    bench = Bench(folder, options.action, options.lora, options.steps)
    lora = hashlib.sha256(options.lora.read_bytes()).hexdigest()[:12]
    rows = kept_rows(folder / f"rows-{lora}", range(options.count), bench.measure)
    sys.stdout.write(
        f"| {options.action}, {len(rows)} prompts | " + " | ".join(t for t, _ in FIGURES.values()) + " |\n"
    )
    sys.stdout.write(f"{'|---' * (len(FIGURES) + 1)}|\n")
    result = {"action": options.action, "count": len(rows)}
    for title in [*ROWS, FROZEN]:
        told = {figure: _told(figure)([row[f"{title} {figure}"] for row in rows]) for figure in FIGURES}
        result[title] = told
        cells = [written(value, FIGURES[figure][1]) for figure, value in told.items()]
        sys.stdout.write(f"| {title} | {' | '.join(cells)} |\n")
    sys.stdout.write(json.dumps(result) + "\n")


def _told(figure: str) -> Callable[[list[float]], tuple[float, float, float]]:
    if figure == "moved":
        return share
    return (lambda values: mean([100 * value for value in values])) if figure == "judge" else mean


if __name__ == "__main__":
    main()
