"""The judge's stage: what it learns from, its loss, and how right it is on clips that no training has seen."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from huvidpo_core.config import load_styles
from huvidpo_core.evaluation.judge import Judge, JudgeModel, grey, pictures
from huvidpo_core.miniature import data, text
from huvidpo_core.miniature.loop import train
from huvidpo_core.miniature.stages import normal
from huvidpo_core.miniature.workshop import Workshop
from huvidpo_core.miniature.world import ACTIONS, COLORS, HELD_OUT_ACTIONS, PLACES, STYLES, TIMES, Scene, render

LABELS = {
    "action": [*ACTIONS, *HELD_OUT_ACTIONS],
    "style": [*STYLES],
    "color": [*COLORS],
    "place": [*PLACES],
    "time": [*TIMES],
}
WIDTHS = (32, 64, 128, 192)


def pools(shop: Workshop) -> list[data.Pool]:
    """What the judge alone sees: clips of the held-out actions."""
    count = max(2, shop.budget.clips // 16)
    return [
        data.Pool(f"judge-{action}", count, data.FRAMES, fixed=(("action", action),)) for action in HELD_OUT_ACTIONS
    ]


class Lessons:
    """Pictures, clips and their scenes, small enough to be held in memory at the judge's own sizes."""

    def __init__(self, shop: Workshop) -> None:
        stills, clips = [], []
        self.still_scenes: list[Scene] = []
        self.clip_scenes: list[Scene] = []
        for pool in (shop.clips, *pools(shop), shop.stills):
            for number, shard in zip(pool.shards(), data.pixels(pool, shop.folder), strict=True):
                scenes = pool.scenes(number)
                stills += [_bytes(pictures(np.concatenate([clip[:1], clip[-1:]])[: pool.frames])) for clip in shard]
                self.still_scenes += [scene for scene in scenes for _ in range(min(2, pool.frames))]
                if pool.frames > 1:
                    clips += [_bytes(grey(clip)) for clip in shard]
                    self.clip_scenes += scenes
        self.stills, self.clips = torch.cat(stills), torch.stack(clips)
        self.styles = load_styles()

    def look(self, rng: np.random.Generator, count: int) -> tuple[Tensor, list[Scene], list[str]]:
        """Pictures (count, 3, h, w), a little spoilt as a decoder might; their scenes; a caption of each."""
        chosen = rng.integers(len(self.stills), size=count)
        seen = _unit(self.stills[torch.from_numpy(chosen)])
        soft = F.avg_pool2d(F.pad(seen, (1, 1, 1, 1), mode="replicate"), 3, 1)
        share = torch.from_numpy(rng.random((count, 1, 1, 1))).float() * torch.from_numpy(
            rng.random((count, 1, 1, 1)) < 0.5
        )
        seen = torch.lerp(seen, soft, share)
        seen = seen + normal(rng, seen.shape) * 0.15 * torch.from_numpy(rng.random((count, 1, 1, 1)) ** 2).float()
        scenes = [self.still_scenes[index] for index in chosen]
        return seen, scenes, [data.training_caption(scene, rng, self.styles) for scene in scenes]

    def watch(self, rng: np.random.Generator, count: int) -> tuple[Tensor, list[Scene]]:
        """Grey clips (count, f, h, w) of varied contrast, some mirrored, some noisy; their scenes."""
        chosen = rng.integers(len(self.clips), size=count)
        seen = _unit(self.clips[torch.from_numpy(chosen)])
        if rng.random() < 0.5:
            seen = seen.flip(-1)
        seen = seen * torch.from_numpy(rng.uniform(0.6, 1.4, (count, 1, 1, 1))).float()
        seen = seen + normal(rng, seen.shape) * 0.06 * torch.from_numpy(rng.random((count, 1, 1, 1)) ** 2).float()
        return seen, [self.clip_scenes[index] for index in chosen]


def train_judge(shop: Workshop, tokenizer: text.PreTrainedTokenizerFast, batch: int = 32) -> JudgeModel:
    """Cross-entropy of every attribute and of the action from motion, and CLIP's contrast of pictures and captions."""
    torch.manual_seed(3)
    model = JudgeModel(labels=LABELS, vocabulary=len(tokenizer), length=text.LENGTH, widths=WIDTHS).to(shop.device)
    lessons = Lessons(shop)

    def loss_at(rng: np.random.Generator) -> Tensor:
        seen, scenes, captions = lessons.look(rng, batch)
        logits, images = model.look(seen.to(shop.device))
        named = [F.cross_entropy(logits[name].float(), _numbers(scenes, name).to(shop.device)) for name in LABELS]
        words = model.read(text.tokenize(tokenizer, captions).to(shop.device))
        likeness = (images.float() @ words.float().T) * model.temperature.clamp(max=4.6).exp()
        own = torch.arange(batch, device=shop.device)
        contrast = (F.cross_entropy(likeness, own) + F.cross_entropy(likeness.T, own)) / 2
        moving, scenes = lessons.watch(rng, batch // 2)
        moved = F.cross_entropy(model.watch(moving.to(shop.device)).float(), _numbers(scenes, "action").to(shop.device))
        return sum(named) + 0.3 * contrast + moved

    return train("judge", model, loss_at, shop.budget.judge, shop.folder, precision=shop.precision)


def own_answers(judge: Judge, scenes: Iterable[Scene]) -> dict[str, list[tuple[str, str]]]:
    """What the judge says of renders of `scenes`, and what is true, by attribute; "motion": the action, from motion."""
    answers: dict[str, list[tuple[str, str]]] = {name: [] for name in (*judge.labels, "motion")}
    for scene in scenes:
        frames = render(scene, frames=data.FRAMES, width=data.WIDTH, height=data.HEIGHT)
        for name, word in judge.recognise(frames).items():
            answers[name].append((word, getattr(scene, name)))
        answers["motion"].append((judge.recognise_motion(frames), scene.action))
    return answers


def _numbers(scenes: list[Scene], name: str) -> Tensor:
    return torch.tensor([LABELS[name].index(getattr(scene, name)) for scene in scenes])


def _bytes(values: Tensor) -> Tensor:
    return ((values + 1) * 127.5).round().to(torch.uint8)


def _unit(values: Tensor) -> Tensor:
    return values.float() / 127.5 - 1
