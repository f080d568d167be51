"""Model folders in every layout that is published: one file or several, .safetensors or .bin, half precision alone."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel

from huvidpo_core.config import FirstFrameConfig
from huvidpo_core.errors import UserError
from huvidpo_core.generation.animate import Animator
from huvidpo_core.generation.first_frame import FirstFramePainter
from huvidpo_core.generation.loading import load_component, load_vae, load_video_unet
from huvidpo_core.models.weights import model_hash, same_base
from tests.tiny_models import make_profile, make_sd1, make_sdxl

CPU = torch.device("cpu")
META = {"format": "pt"}
PARTS: dict[str, Callable[[Path], torch.nn.Module]] = {
    "unet": lambda base: load_video_unet(base, torch.float32),
    "vae": lambda base: load_vae(base / "vae", torch.float32),
    "text_encoder": lambda base: load_component(CLIPTextModel, base / "text_encoder", torch.float32),
}


@pytest.fixture(scope="module")
def published(tmp_path_factory) -> Path:
    return make_sd1(tmp_path_factory.mktemp("sd1"))


def laid_out(published: Path, folder: Path, layout: str) -> Path:
    """The same model once more; its loaders (diffusers, transformers) write each layout themselves, but for .bin."""
    _, sharded, half, pickled = (word in layout for word in ("one", "sharded", "half", "bin"))
    for path in published.rglob("*"):
        if path.is_file() and path.suffix != ".safetensors":
            target = folder / path.relative_to(published)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    how = {"variant": "fp16" if half else None, "max_shard_size": "40KB" if sharded else "10GB"}
    networks = {
        "unet": UNet2DConditionModel.from_pretrained(published / "unet"),
        "vae": load_vae(published / "vae", torch.float32),
        "text_encoder": CLIPTextModel.from_pretrained(published / "text_encoder"),
    }
    for part, network in networks.items():
        (network.half() if half else network).save_pretrained(folder / part, **how)
        if pickled:
            pickle(folder / part)
    return folder


def pickle(folder: Path) -> None:
    """A component's files as .bin, by the names that its library has for them; an index names its shards."""

    def called(name: str) -> str:
        return re.sub(r"^model\b", "pytorch_model", name.replace(".safetensors", ".bin"))

    for path in folder.glob("*.safetensors"):
        torch.save(load_file(path), path.with_name(called(path.name)))
        path.unlink()
    for path in folder.glob("*.index*.json"):
        index = json.loads(path.read_text())
        index["weight_map"] = {name: called(shard) for name, shard in index["weight_map"].items()}
        path.with_name(called(path.name)).write_text(json.dumps(index))
        path.unlink()


@pytest.mark.parametrize(
    "layout", ["sharded", "half", "sharded half", "bin", "sharded bin", "half bin", "sharded half bin"]
)
def test_every_layout_gives_the_same_networks(published, tmp_path, layout):
    """Each part's tensors are those of the plain folder, to half precision where that is all there is."""
    folder = laid_out(published, tmp_path, layout)
    for part, load in PARTS.items():
        files = [path.name for path in (folder / part).glob("*") if path.suffix in (".safetensors", ".bin")]
        assert (len(files) > 1) == ("sharded" in layout), files
        assert all(name.endswith(".bin") == ("bin" in layout) for name in files), files
        assert all((".fp16" in name) == ("half" in layout) for name in files)
        expected, found = load(published).state_dict(), load(folder).state_dict()
        assert found.keys() == expected.keys()
        for name, tensor in expected.items():
            # As it was written: rounded to half precision once, or not at all.
            written = tensor.half().float() if "half" in layout else tensor
            assert torch.equal(found[name], written), name


@pytest.mark.parametrize("part", PARTS)
def test_a_tensor_that_is_not_there_is_told(published, tmp_path, part):
    """Libraries only warn of it, and go on with random numbers or none."""
    folder = laid_out(published, tmp_path, "one")
    (file,) = (folder / part).glob("*.safetensors")
    tensors = load_file(file)
    lost = next(name for name in tensors if name.endswith("weight"))
    save_file({name: tensor for name, tensor in tensors.items() if name != lost}, file, META)
    with pytest.raises(UserError, match=r"lacks .*fetch or save it again"):
        PARTS[part](folder)


def test_a_pickle_with_code_is_not_opened(published, tmp_path):
    """And nobody is told how to open it all the same."""
    folder = laid_out(published, tmp_path, "bin") / "text_encoder"
    torch.save({"it": Path()}, folder / "pytorch_model.bin")
    with pytest.raises(UserError, match="holds code beside its tensors, and was not opened") as caught:
        load_component(CLIPTextModel, folder, torch.float32)
    assert "weights_only" not in str(caught.value)
    (folder / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(UserError, match="cannot be loaded"):
        load_component(CLIPTextModel, folder, torch.float32)


@pytest.mark.parametrize("text", ["[]", "null"])
def test_a_config_that_is_none_is_told(published, tmp_path, text):
    """Valid JSON of another kind."""
    folder = laid_out(published, tmp_path, "one")
    for part, load in PARTS.items():
        (folder / part / "config.json").write_text(text)
        with pytest.raises(UserError, match="cannot be loaded"):
            load(folder)


@pytest.mark.parametrize("make", [make_sdxl, make_sd1])
def test_a_tokenizer_without_words_is_told(tmp_path, make):
    """All prompts would be the same to it."""
    folder = make(tmp_path / "base")
    for path in (folder / "tokenizer").iterdir():
        if path.name not in ("tokenizer_config.json", "special_tokens_map.json"):
            path.unlink()
    config = FirstFrameConfig(base=str(folder), width=64, height=48, steps=1, guidance=3.0)
    with pytest.raises(UserError, match="tokenizer"):
        FirstFramePainter.load(config, device=CPU, dtype=torch.float32)


@pytest.mark.parametrize("whole", ["one", "sharded bin"])
def test_whole_precision_goes_first_where_both_are_there(published, tmp_path, whole):
    """A folder with both kinds of files, as the hub has them, is read in whole precision; that of .bin shards, too,
    beside .safetensors in half."""
    laid_out(published, tmp_path, "half")
    folder = laid_out(published, tmp_path, whole)
    for load in PARTS.values():
        expected = load(published).state_dict()
        assert all(torch.equal(tensor, expected[name]) for name, tensor in load(folder).state_dict().items())


def test_another_base_is_one_line(tmp_path):
    """Stable Diffusion 1.5, or a local folder, in place of 1.4: the profile's `video.base` says so and nothing else."""
    profile = make_profile(tmp_path)
    elsewhere = make_sd1(tmp_path / "a local folder" / "sd15")
    (elsewhere / "model_index.json").write_text(json.dumps({"_class_name": "StableDiffusionPipeline"}))
    video = type(profile.video)(**{**vars(profile.video), "base": str(elsewhere)})
    assert Animator.load(video, device=CPU, dtype=torch.float32).unet.config.cross_attention_dim == 32


@pytest.mark.parametrize("make", [make_sdxl, make_sd1])
def test_a_painter_is_read_from_half_precision_alone(tmp_path, make):
    """SDXL's folder, and SD-1.x's, with nothing but fp16 files, as mirrors have them: every network's tensors are those
    that were written, and it draws."""
    folder = make(tmp_path / "base")
    written: dict[str, dict[str, torch.Tensor]] = {}
    for part in ("unet", "vae", "text_encoder", "text_encoder_2"):
        for path in (folder / part).glob("*.safetensors"):
            written[part] = {name: tensor.half() for name, tensor in load_file(path).items()}
            save_file(written[part], path.with_name(path.name.replace(".safetensors", ".fp16.safetensors")), META)
            path.unlink()
    assert len(written) == (4 if make is make_sdxl else 3)
    config = FirstFrameConfig(base=str(folder), width=64, height=48, steps=1, guidance=3.0)
    painter = FirstFramePainter.load(config, device=CPU, dtype=torch.float32)
    for part, tensors in written.items():
        found = painter.text_to_image.components[part].state_dict()
        for name, tensor in tensors.items():
            assert torch.equal(found[name], tensor.float()), (part, name)
    assert painter.draw("a cat", "", 1, lambda *_: False).std() > 0


def test_a_base_is_known_in_bfloat16_too(tmp_path):
    """A pack of SD-1.5 on 1.4: of the same structure, and refused, though bfloat16 keeps too few digits for the
    fingerprint; the base's own, from whole or half precision, is taken."""
    base = make_sd1(tmp_path / "base")
    own = model_hash(load_video_unet(base, torch.float32))
    other = UNet2DConditionModel.from_pretrained(base / "unet")
    with torch.no_grad():
        other.conv_in.weight.mul_(1.001)
    other.save_pretrained(tmp_path / "other" / "unet")
    half = laid_out(base, tmp_path / "half", "half")
    for folder, same in ((base, True), (half, True), (tmp_path / "other", False)):
        unet = load_video_unet(folder, torch.bfloat16)
        assert unet.dtype == torch.bfloat16
        assert same_base(own, unet) is same and (model_hash(unet) == own) is same
