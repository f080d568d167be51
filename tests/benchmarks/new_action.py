"""Can a new action be taught from a few clips? The three that no base training saw, by stage 1, before and after.

    python -m tests.benchmarks.new_action [--clips 16] [--steps 150] [--unseen 8] [--work DIR] [--sheet F.png]

For each action the shipped video UNet's motion parameters are trained on rendered clips (as `train packs` does for the
eight, but shorter), then unseen first frames are animated with and without them. Prints, per action, the judge's
recognition from motion alone, the motion energy against the renders', and the PSNR against them; one JSON line.
"""

import argparse
import json
import os
import sys
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import numpy as np
import torch
from PIL import Image

from huvidpo_core.config import ASSETS, load_profile, load_styles, resolve
from huvidpo_core.evaluation.judge import Judge
from huvidpo_core.evaluation.metrics import clip_motion
from huvidpo_core.generation.animate import Animator
from huvidpo_core.miniature import data, stages, text
from huvidpo_core.miniature.workshop import BUDGETS, Workshop
from huvidpo_core.miniature.world import HELD_OUT_ACTIONS, Scene, render

SEED = 5001  # odd: training uses even ones
SHOWN = (0, 5, 10, 15)


def animate(animator: Animator, image: np.ndarray, prompt: str, seed: int) -> np.ndarray:
    """Frames of a clip that begins with `image`, with the profile's settings."""
    config = animator.config
    *_, (step, _) = animator.steps(
        image,
        prompt,
        "",
        seed,
        sampler="fast",
        steps=config.steps,
        guidance=config.guidance,
        frames=config.frames,
    )
    return animator.finish(step.latents)


def main() -> None:
    """Teach, animate, compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--unseen", type=int, default=8)
    parser.add_argument("--work", type=Path, default=Path("runs/new-action"))
    parser.add_argument("--sheet", type=Path)
    options = parser.parse_args()
    options.work.mkdir(parents=True, exist_ok=True)
    pack = replace(BUDGETS["cpu"].pack, steps=options.steps, lr=3e-4, warmup=10, ema=0.95)
    budget = replace(BUDGETS["cpu"], pack_clips=options.clips, pack=pack)
    shop = Workshop(options.work, budget, torch.device("cpu"), torch.bfloat16, 1, start=ASSETS / "miniature")
    profile, styles = load_profile("miniature"), load_styles()
    animator = Animator.load(profile.video, device=shop.device, dtype=torch.float32)
    judge = Judge.load(Path(resolve(profile.judge)), shop.device)
    tokenizer = text.PreTrainedTokenizerFast.from_pretrained(shop.made("tokenizer"))
    untaught = {name: value.clone() for name, value in animator.unet.state_dict().items()}
    table, sheet = [], []
    for number, action in enumerate(HELD_OUT_ACTIONS):
        pool = shop.lessons(action)
        data.render_pools([pool], shop.folder, 1)
        data.encode_pools([pool], animator.vae, shop.folder, shop.latents, device=shop.device, precision=shop.precision)
        scenes = [Scene.sample(np.random.default_rng([SEED, number, i]), action=action) for i in range(options.unseen)]
        true = [render(scene) for scene in scenes]
        prompts = [data.training_caption(scene, np.random.default_rng(0), styles) for scene in scenes]
        row: dict[str, float | str] = {"action": action}
        for when in ("before", "after"):
            animator.unet.load_state_dict(untaught)
            if when == "after":
                with torch.enable_grad():
                    stages.train_pack(shop, animator.text_encoder, tokenizer, animator.unet, action)
            made = [animate(animator, clip[0], prompts[i], SEED + i) for i, clip in enumerate(true)]
            row[f"{when} recognised"] = float(np.mean([judge.recognise_motion(clip) == action for clip in made]))
            row[f"{when} energy"] = sum(map(clip_motion, made)) / sum(map(clip_motion, true))
            errors = [((one.astype(float) - other) ** 2).mean() for one, other in zip(made, true, strict=True)]
            row[f"{when} psnr"] = float(np.mean(10 * np.log10(255**2 / np.array(errors))))
            sheet.append(np.concatenate([made[0][i] for i in SHOWN], axis=1))
        sheet.append(np.concatenate([true[0][i] for i in SHOWN], axis=1))
        table.append(row)
    sys.stdout.write("| action | recognised from motion, % | motion energy / rendered | PSNR dB |\n|---|---|---|---|\n")
    for row in table:
        cells = (
            f"{100 * row['before recognised']:.0f} → {100 * row['after recognised']:.0f}",
            f"{row['before energy']:.2f} → {row['after energy']:.2f}",
            f"{row['before psnr']:.1f} → {row['after psnr']:.1f}",
        )
        sys.stdout.write(f"| {row['action']} | {' | '.join(cells)} |\n")
    sys.stdout.write(json.dumps(table) + "\n")
    if options.sheet:
        Image.fromarray(np.concatenate(sheet)).save(options.sheet)


if __name__ == "__main__":
    main()
