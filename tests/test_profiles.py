"""The profile `full` on the hub's layouts, made small: what is where, what is fetched, and that nothing is unasked."""

import dataclasses
import errno
import shutil
import threading
from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
from diffusers import SparseControlNetModel, UNet2DConditionModel

from huvidpo_core.config import load_profile
from huvidpo_core.engine import Engine
from huvidpo_core.errors import UserError
from huvidpo_core.generation.downloads import fetch
from huvidpo_core.generation.loading import local_folder
from huvidpo_core.models.painter_menu import PainterMenu
from huvidpo_core.recipe import Recipe
from huvidpo_core.workbench import Workbench
from tests.hub import put_into_cache
from tests.tiny_models import FRAMES, HEIGHT, WIDTH, make_animatediff, make_profile, make_vae

RECIPE = Recipe(prompt="a red horse runs", action="horse_run", style="cartoon")


@pytest.fixture(autouse=True)
def roomy(monkeypatch) -> None:
    """Text encoders are counted in their published size: enough memory for them is free, whatever really is."""
    monkeypatch.setattr("huvidpo_core.generation.plans.memory_free", lambda: 1e12)


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
    for download in load_profile("full").downloads_for():
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
        painters=tuple(dataclasses.replace(each, width=WIDTH, height=HEIGHT, steps=2) for each in full.painters),
    )


def test_full_runs_from_the_hubs_cache(hub, tmp_path, monkeypatch):
    """With the named files of the four repositories in the cache, and nothing else, `full` makes a clip offline."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(hub))
    engine = Engine(small_full(), tmp_path, device="cpu")
    assert engine.missing_downloads() == []
    *_, picture = engine.first_frame(RECIPE, threading.Event())
    *_, clip = engine.animate(picture.recipe, picture.image, threading.Event())
    assert clip.video.stat().st_size > 0 and picture.image.std() > 0


def test_full_has_what_it_is_compared_with(tmp_path, monkeypatch):
    """SD-1.4 draws with what is there anyway; SDXL's own UNet, in half precision, and AnimateDiff's two are listed for
    those who choose them, and nothing else: with exactly these files in the cache both work offline."""
    folder, cache, full = tmp_path / "small", tmp_path / "cache", small_full()
    make_profile(folder)
    make_vae(folder / "vae")
    make_animatediff(folder)
    half = {"variant": "fp16"}
    UNet2DConditionModel.from_pretrained(folder / "sdxl" / "unet").half().save_pretrained(folder / "sdxl/unet", **half)
    SparseControlNetModel.from_pretrained(folder / "control").half().save_pretrained(folder / "control", **half)
    for part in ("sdxl/tokenizer", "sdxl/tokenizer_2", "sd1/tokenizer"):
        _as_four_files(folder / part)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    engine = Engine(full, tmp_path / "data", device="cpu")
    for download, home in zip(full.downloads_for(), ("sdxl", "dpo", "vae", "sd1"), strict=True):
        put_into_cache(cache, download.name, folder / home, download.files)
    plain = full.painters[0]
    assert engine.missing_downloads() == engine.missing_downloads("sd15") == []
    assert engine.missing_downloads("plain") == list(plain.downloads)
    assert engine.missing_downloads("@animatediff") == list(full.animatediff.downloads)
    more = (*plain.downloads, *full.animatediff.downloads)
    for download, home in zip(more, ("sdxl", "adapter", "control"), strict=True):
        put_into_cache(cache, download.name, folder / home, download.files)
    assert engine.missing_downloads("plain", "@animatediff") == []
    for painter in ("plain", "sd15"):
        *_, picture = engine.first_frame(RECIPE.with_(painter=painter), threading.Event())
        assert picture.image.std() > 0
    *_, clip = engine.animate(RECIPE.with_(pack="@animatediff", steps=1), picture.image, threading.Event())
    assert clip.video.stat().st_size > 0


def test_nothing_is_fetched_before_the_person_agreed(tmp_path, monkeypatch):
    """With an empty cache the engine names every model with its size and refuses to work; the network is not asked."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "empty"))

    def asked(*_: object, **__: object) -> None:
        raise AssertionError("asked the network")

    monkeypatch.setattr("huvidpo_core.generation.downloads.get_hf_file_metadata", asked)
    engine = Engine(small_full(), tmp_path, device="cpu")
    assert engine.missing_downloads() == list(load_profile("full").downloads_for())
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

    monkeypatch.setattr("huvidpo_core.generation.downloads.get_hf_file_metadata", fail)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)  # as the tests themselves are run
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


def test_another_base_changes_what_is_fetched(tmp_path, monkeypatch):
    """SD-1.5 by the one line, SDXL's parts as they were; a local folder, nothing in its place. Who still draws with
    SD-1.4 then asks for it when chosen."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "empty"))
    full = load_profile("full")
    sdxl = [
        "stabilityai/stable-diffusion-xl-base-1.0",
        "mhdang/dpo-sdxl-text2image-v1",
        "madebyollin/sdxl-vae-fp16-fix",
    ]
    sd14, sd15 = "CompVis/stable-diffusion-v1-4", "stable-diffusion-v1-5/stable-diffusion-v1-5"

    def asked(base: str, *chosen: str) -> list[str]:
        profile = dataclasses.replace(full, video=dataclasses.replace(full.video, base=base))
        return [each.name for each in Workbench(profile, "cpu").missing_downloads(more(profile, *chosen))]

    def more(profile, *chosen: str) -> list:
        return [item for each in chosen for item in PainterMenu(profile, Path("nowhere")).downloads(each)]

    assert asked(sd14) == asked(sd14, "sd15") == [*sdxl, sd14]
    assert asked(sd15) == [*sdxl, sd15] and asked(sd15, "sd15") == [*sdxl, sd15, sd14]
    assert asked("/a/folder") == sdxl
    local = dataclasses.replace(full.first_frame, base="/x", unet="/y", vae="/z")
    assert [each.name for each in dataclasses.replace(full, first_frame=local).downloads_for()] == [sd14]
    files = {each.name: each.files for each in full.downloads}
    assert files[sd15] == files[sd14]


def test_a_model_that_nothing_fetches_is_told_otherwise(tmp_path, monkeypatch):
    """One that a profile has a table for: how to have it fetched; a hub name in none: the hub's own command; a folder
    that is gone: neither."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "empty"))
    for name, words in (
        ("CompVis/stable-diffusion-v1-4", r"generate --profile full --allow-downloads`, or name another"),
        ("some/finetune", r"machine\. Fetch it with `hf download some/finetune`, add a \[\[downloads\]\] table"),
        (str(tmp_path / "gone"), r"machine\. Restore the folder, or name another in assets/profiles"),
    ):
        with pytest.raises(UserError, match=words) as caught:
            local_folder(name)
        assert ("hf download" in str(caught.value)) == (name == "some/finetune")
        assert ("--allow-downloads" in str(caught.value)) == (name == "CompVis/stable-diffusion-v1-4")


def test_an_unlisted_base_is_not_asked_for_over_and_over(hub, tmp_path, monkeypatch):
    """`video.base` with a hub name that no table names: nothing is listed, and the sentence says what does help."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(hub))
    full = small_full()
    profile = dataclasses.replace(full, video=dataclasses.replace(full.video, base="some/finetune"))
    engine = Engine(profile, tmp_path, device="cpu")
    assert engine.missing_downloads() == []
    with pytest.raises(UserError, match="hf download some/finetune"):
        list(engine.first_frame(RECIPE, threading.Event()))


def test_offline_is_not_blamed_on_the_network(tmp_path, monkeypatch):
    """HF_HUB_OFFLINE, and a model that is not there: huggingface_hub's own answer, in words that say what to do."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "empty"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match=r"nothing is fetched, for HF_HUB_OFFLINE is set\. Unset it") as caught:
        fetch(load_profile("full").downloads[0])
    assert "network" not in str(caught.value)
