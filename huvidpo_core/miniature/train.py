"""Train the miniature from nothing: `python -m huvidpo_core.miniature.train all --budget cpu`.

Stages, in order: render, vae, latents, text, first-frame, taste, video, packs, judge, assemble. Each continues where it
was stopped; `all` runs them one after the other. Work in progress lives in `--work`, outside the repository; `assemble`
writes `assets/miniature` and `lora_weights/miniature` in half precision. `--start assets/miniature` continues from
weights that were assembled before, with `--steps` for how long.
"""

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch: spinning threads are ten times slower on busy cores

import torch
from diffusers import UNet2DConditionModel

from huvidpo_core.config import ASSETS, PACKS, ROOT
from huvidpo_core.errors import UserError
from huvidpo_core.miniature import data, judging, networks, stages, taste, text
from huvidpo_core.miniature.assemble import assemble, save_pack
from huvidpo_core.miniature.workshop import BUDGETS, Workshop
from huvidpo_core.miniature.world import ACTIONS
from huvidpo_core.models import VideoUNet
from huvidpo_core.models.weights import model_hash

log = logging.getLogger("miniature")

STAGES = ("render", "vae", "latents", "text", "first-frame", "taste", "video", "packs", "judge", "assemble")


class Trainer:
    """Runs stages in a workshop; what an earlier stage made is read from its finished files."""

    def __init__(self, shop: Workshop, assets: Path, packs: Path, actions: Sequence[str] = ACTIONS) -> None:
        self.shop = shop
        self.assets_folder, self.packs_folder = assets, packs
        self.actions = actions  # those that `packs` teaches

    def run(self, stage: str) -> None:
        """Run one stage by name."""
        getattr(self, f"stage_{stage.replace('-', '_')}")()

    def stage_render(self) -> None:
        pools = [self.shop.clips, self.shop.stills, *judging.pools(self.shop)]
        data.render_pools(pools, self.shop.folder, self.shop.workers)

    def stage_vae(self) -> None:
        stages.train_vae(self.shop).half().save_pretrained(self.shop.folder / "vae")

    def stage_latents(self) -> None:
        self._encode([self.shop.clips, self.shop.stills])

    def stage_text(self) -> None:
        encoders, tokenizer = stages.train_text(self.shop)
        tokenizer.save_pretrained(self.shop.folder / "tokenizer")
        encoders.first.half().save_pretrained(self.shop.folder / "text_encoder")
        encoders.second.half().save_pretrained(self.shop.folder / "text_encoder_2")

    def stage_first_frame(self) -> None:
        stages.train_first_frame(self.shop, *self._text()).half().save_pretrained(self.shop.folder / "first_frame_unet")

    def stage_taste(self) -> None:
        unet = taste.train_taste(self.shop, *self._text(), self._vae(), self._still())
        unet.half().save_pretrained(self.shop.folder / "first_frame_dpo")

    def stage_video(self) -> None:
        stages.train_video(self.shop, *self._text(), self._still()).half().save_pretrained(
            self.shop.folder / "video_unet"
        )

    def stage_packs(self) -> None:
        lessons = [self.shop.lessons(action) for action in self.actions]
        data.render_pools(lessons, self.shop.folder, self.shop.workers)
        self._encode(lessons)
        encoders, tokenizer = self._text()
        for action in self.actions:
            unet = VideoUNet.from_pretrained(self.shop.made("video_unet"), dtype=torch.float32)
            base_hash = model_hash(unet)
            stages.train_pack(self.shop, encoders.first, tokenizer, unet.to(self.shop.device), action)
            budget = self.shop.budget
            save_pack(unet, action, base_hash, budget.pack.steps, budget.pack_clips, self.shop.folder / "packs")

    def stage_judge(self) -> None:
        _, tokenizer = self._text()
        folder = self.shop.folder / "judge"
        judging.train_judge(self.shop, tokenizer).half().save_pretrained(folder)
        tokenizer.save_pretrained(folder / "tokenizer")

    def stage_assemble(self) -> None:
        assemble(self.shop, self.assets_folder, self.packs_folder)

    def _encode(self, pools: list[data.Pool]) -> None:
        shop = self.shop
        data.encode_pools(pools, self._vae(), shop.folder, shop.latents, device=shop.device, precision=shop.precision)

    def _vae(self) -> data.AutoencoderKL:
        vae = networks.PatchAutoencoderKL.from_pretrained(self.shop.made("vae"), dtype=torch.float32)
        return vae.to(self.shop.device).eval()

    def _still(self) -> UNet2DConditionModel:
        return UNet2DConditionModel.from_pretrained(self.shop.made("first_frame_unet"), dtype=torch.float32)

    def _text(self) -> tuple[text.TextEncoders, text.PreTrainedTokenizerFast]:
        tokenizer = text.PreTrainedTokenizerFast.from_pretrained(self.shop.made("tokenizer"))
        encoders = text.TextEncoders(tokenizer)
        encoders.first = text.CLIPTextModel.from_pretrained(self.shop.made("text_encoder"), dtype=torch.float32)
        encoders.second = text.CLIPTextModelWithProjection.from_pretrained(
            self.shop.made("text_encoder_2"), dtype=torch.float32
        )
        return encoders.to(self.shop.device).eval(), tokenizer


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """Command line of the training."""
    parser = argparse.ArgumentParser(prog="python -m huvidpo_core.miniature.train", description=__doc__)
    parser.add_argument("stage", choices=("all", *STAGES))
    parser.add_argument("--budget", choices=BUDGETS, default="cpu")
    parser.add_argument("--work", type=Path, default=ROOT.parent / "miniature-training", help="work in progress")
    parser.add_argument("--assets", type=Path, default=ASSETS / "miniature", help="where `assemble` writes the models")
    parser.add_argument(
        "--packs", type=Path, default=PACKS / "miniature", help="where `assemble` writes the action packs"
    )
    parser.add_argument("--start", type=Path, help="an assembled miniature, such as assets/miniature, to continue from")
    parser.add_argument("--device", help="any torch device; the budget's own if not given")
    parser.add_argument("--precision", choices=("bfloat16", "float32"), default="bfloat16")
    parser.add_argument("--steps", type=int, help="instead of the budget's, for one stage")
    parser.add_argument("--threads", type=int, default=0, help="0: torch's own choice")
    parser.add_argument(
        "--action", choices=ACTIONS, action="append", help="for `packs`: teach this one, not all; may be repeated"
    )
    return parser.parse_args(arguments)


def main(arguments: list[str] | None = None) -> int:
    """Run the stage or all of them; exit status 0, or 2 with a sentence on stderr."""
    options = parse(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    if options.threads:
        torch.set_num_threads(options.threads)
    device = options.device or ("cuda" if options.budget == "gpu" else "cpu")
    if device == "cuda" and not torch.cuda.is_available():
        sys.stderr.write("There is no CUDA GPU here. Train with --budget cpu, or name another --device.\n")
        return 2
    budget = BUDGETS[options.budget]
    if options.steps:
        if options.stage in ("all", "render", "latents", "assemble"):
            sys.stderr.write(f"--steps does not apply to '{options.stage}'; name the stage whose steps you mean.\n")
            return 2
        field = {"packs": "pack"}.get(options.stage, options.stage.replace("-", "_"))
        budget = replace(budget, **{field: replace(getattr(budget, field), steps=options.steps)})
    if options.action and options.stage != "packs":
        sys.stderr.write(f"--action does not apply to '{options.stage}', only to 'packs'.\n")
        return 2
    shop = Workshop(
        folder=options.work,
        budget=budget,
        device=torch.device(device),
        precision=getattr(torch, options.precision),
        workers=os.cpu_count() or 1,
        start=options.start,
    )
    # The networks that are continued were trained with the text encoders they have; the judge must stay the same judge.
    every = [stage for stage in STAGES if options.start is None or stage not in ("text", "judge")]
    trainer = Trainer(shop, options.assets, options.packs, options.action or ACTIONS)
    try:
        for stage in every if options.stage == "all" else (options.stage,):
            log.info("stage %s", stage)
            trainer.run(stage)
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
