"""The profile `full` on the hub's layouts, made small: what is where, what is fetched, and that nothing is unasked."""

import dataclasses
import errno
import shutil
import threading
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest

from huvidpo_core import engine as engine_module
from huvidpo_core.config import load_profile
from huvidpo_core.engine import Engine, choose_profile
from huvidpo_core.errors import UserError
from huvidpo_core.generation.downloads import fetch
from huvidpo_core.recipe import Recipe
from tests.tiny_models import FRAMES, HEIGHT, WIDTH, make_profile, make_vae

RECIPE = Recipe(prompt="a red horse runs", action="horse_run", style="cartoon")


def put_into_cache(cache: Path, name: str, folder: Path, files: tuple[str, ...]) -> None:
    """Lay out `files` of a model folder as huggingface_hub caches a repository."""
    repository = cache / f"models--{name.replace('/', '--')}"
    snapshot = repository / "snapshots" / "0123456789abcdef0123456789abcdef01234567"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(snapshot.name)
    for file in files:
        (snapshot / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / file, snapshot / file)


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """The four repositories of `full.toml` in a cache of its own: exactly the files the profile names, small."""
    folder = tmp_path_factory.mktemp("small")
    make_profile(folder)
    make_vae(folder / "vae")
    for part in ("tokenizer", "tokenizer_2"):  # what the real repositories hold; newer transformers writes one file
        for model in ("sdxl", "sd1"):
            if (folder / model / part).is_dir():
                _as_four_files(folder / model / part)
    cache = tmp_path_factory.mktemp("cache")
    homes = dict(zip(("stable-diffusion-xl-base-1.0", "dpo-sdxl-text2image-v1", "sdxl-vae-fp16-fix",
                      "stable-diffusion-v1-4"), ("sdxl", "dpo", "vae", "sd1"), strict=True))  # fmt: skip
    for download in load_profile("full").downloads:
        put_into_cache(cache, download.name, folder / homes[download.name.split("/")[1]], download.files)
    return cache


def _as_four_files(folder: Path) -> None:
    """Write vocab.json and merges.txt from tokenizer.json, as the published repositories have them."""
    import json

    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"]))
    merges = [merge if isinstance(merge, str) else " ".join(merge) for merge in model["merges"]]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")
    (folder / "special_tokens_map.json").write_text("{}")


def small_full():
    """The shipped profile `full` with the sizes of the small models; the names of the models are the real ones."""
    full = load_profile("full")
    return dataclasses.replace(
        full,
        first_frame=dataclasses.replace(full.first_frame, width=WIDTH, height=HEIGHT, steps=2),
        video=dataclasses.replace(full.video, width=WIDTH, height=HEIGHT, frames=FRAMES, steps=2),
    )


def test_full_runs_from_the_hubs_cache(hub, tmp_path, monkeypatch):
    """With the named files of the four repositories in the cache, and nothing else, `full` makes a clip offline."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(hub))
    engine = Engine(small_full(), tmp_path, device="cpu")
    assert engine.missing_downloads() == []
    *_, picture = engine.first_frame(RECIPE, threading.Event())
    *_, clip = engine.animate(picture.recipe, picture.image, threading.Event())
    assert clip.video.stat().st_size > 0 and picture.image.std() > 0


def test_nothing_is_fetched_before_the_person_agreed(tmp_path, monkeypatch):
    """With an empty cache the engine names every model with its size and refuses to work; the network is not asked."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "empty"))

    def asked(*_: object, **__: object) -> None:
        raise AssertionError("asked the network")

    monkeypatch.setattr("huvidpo_core.generation.downloads.hf_hub_download", asked)
    engine = Engine(small_full(), tmp_path, device="cpu")
    assert engine.missing_downloads() == list(load_profile("full").downloads)
    engine.warm_up()
    with pytest.raises(UserError, match=r"stable-diffusion-xl-base-1.0 \(3.3 GB, CreativeML.*Agree"):
        list(engine.animate(RECIPE, np.zeros((HEIGHT, WIDTH, 3), np.uint8), threading.Event()))
    engine.allow_downloads()
    with pytest.raises(AssertionError, match="asked the network"):
        list(engine.animate(RECIPE, np.zeros((HEIGHT, WIDTH, 3), np.uint8), threading.Event()))


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), r"disk is full: .* needs 3.3 GB"),
        (ConnectionError("reset"), r"could not be downloaded \(ConnectionError\)"),
    ],
)
def test_a_download_that_fails_says_why(tmp_path, monkeypatch, error, words):
    """A full disk is not blamed on the network, nor the other way round; the model is named."""

    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("huvidpo_core.generation.downloads.hf_hub_download", fail)
    with pytest.raises(UserError, match=words):
        fetch(load_profile("full").downloads[0])


def test_an_incomplete_download_is_still_missing(hub, tmp_path, monkeypatch):
    """One file less in the cache, as after an interruption: that model, and only that, is listed again."""
    cache = tmp_path / "cache"
    shutil.copytree(hub, cache)
    next(cache.glob("models--mhdang*/snapshots/*/unet/*.safetensors")).unlink()
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    missing = Engine(small_full(), tmp_path, device="cpu").missing_downloads()
    assert [download.name for download in missing] == ["mhdang/dpo-sdxl-text2image-v1"]


@pytest.mark.parametrize(("gigabytes", "chosen"), [(None, "miniature"), (8, "miniature"), (24, "full")])
def test_full_is_chosen_by_itself_only_where_the_gpu_has_the_memory(gigabytes, chosen, monkeypatch):
    """No driver, a GPU of 8 GB, one of 24 GB; a named profile is taken as it is."""
    import torch

    monkeypatch.setattr(engine_module.shutil, "which", lambda _: gigabytes and "nvidia-smi")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    properties = type("Properties", (), {"total_memory": (gigabytes or 0) * 1e9})
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)
    assert choose_profile(None).name == chosen
    assert choose_profile("miniature").name == "miniature" and choose_profile("full").name == "full"
