"""Published checkpoints turned into action packs."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from diffusers import DDIMScheduler
from safetensors.torch import load_file, save_file
from torch import Tensor

from huvidpo_core.errors import UserError
from huvidpo_core.generation.denoise import denoise
from huvidpo_core.models import VideoUNet, motion_parameters
from huvidpo_core.models.imports import import_official
from huvidpo_core.models.pack_weights import apply_pack, remove_pack
from huvidpo_core.models.packs import ActionPack
from tests.models.conftest import FullDisk, output
from tests.published import wrapped_lora
from tests.reference import DATA, REFERENCE, needs_reference


@needs_reference
def test_importing_the_published_checkpoint(tmp_path: Path) -> None:
    """Imported into a pack and applied to the bare base, the published stage 1 and LoRA give the recorded outputs."""
    checkpoint = REFERENCE / "model/unet"
    pack = import_official(
        checkpoint, tmp_path / "horse", action="horse_run", lora_file=REFERENCE / "lora/model_weights.pth"
    )
    assert ActionPack.load(pack.folder) == pack and pack.preferences == ("preference",) and pack.title == "Horse run"
    unet = VideoUNet.from_official(checkpoint)
    with torch.no_grad():
        for parameter in motion_parameters(unet).values():
            parameter.zero_()
    recorded = load_file(REFERENCE / "unet_lora_forward.safetensors")
    inputs = tuple(recorded[name] for name in ("sample", "timestep", "encoder_hidden_states"))
    for taste, expected in ((None, "out_base"), ("preference", "out_lora")):
        apply_pack(unet, pack, taste)
        torch.testing.assert_close(output(unet, inputs), recorded[expected], atol=1e-4, rtol=1e-4)


def animated(unet: VideoUNet) -> Tensor:
    """A clip of four frames (1, c, f, h, w), sampled from one fixed noise."""
    draw = torch.Generator().manual_seed(0)
    noise, text = torch.randn(1, 4, 4, 8, 8, generator=draw), torch.randn(1, 7, 32, generator=draw)
    schedule = DDIMScheduler(num_train_timesteps=1000, steps_offset=1)
    clip = {"first_frame": noise[:, :, :1] / 2, "noise": noise, "text": text, "negative_text": None}
    *_, last = denoise(unet, schedule, **clip, guidance=1.0, steps=3)
    return last.latents


def test_a_lamp_import_animates_as_the_published_network(tmp_path: Path) -> None:
    """LAMP's pack makes the clip of `from_official(key_frames="first")` on a base that looks at first+previous.

    The next pack, strength 0 and no pack at all look again where they should.
    """
    checkpoint = DATA / "model/unet"
    lamp = import_official(checkpoint, tmp_path / "lamp", action="rain", key_frames="first")
    huvidpo = import_official(checkpoint, tmp_path / "huvidpo", action="rain")
    expected = {kind: animated(VideoUNet.from_official(checkpoint, kind)) for kind in ("first", "first+previous")}
    assert (expected["first"] - expected["first+previous"]).abs().max() > 0.01
    unet = VideoUNet.from_official(checkpoint)
    with torch.no_grad():
        for parameter in motion_parameters(unet).values():
            parameter.mul_(0.5)
    bare = animated(unet)
    for pack, strength, wanted in (
        (lamp, 1.0, expected["first"]),
        (huvidpo, 1.0, expected["first+previous"]),
        (lamp, 1.0, expected["first"]),
        (lamp, 0.0, bare),
        (ActionPack.load(lamp.folder), 1.0, expected["first"]),
    ):
        apply_pack(unet, pack, strength=strength)
        assert torch.equal(animated(unet), wanted)
    remove_pack(unet)
    assert torch.equal(animated(unet), bare) and unet.config.key_frames == "first+previous"


def test_a_full_disk_while_importing_leaves_nothing(tmp_path: Path, full_disk: FullDisk) -> None:
    """When the disk fills up at the LoRA, after the motion was written, there is a sentence and no half pack."""
    file = tmp_path / "model_weights.safetensors"
    save_file(wrapped_lora(), file)
    full_disk("preference")
    with pytest.raises(UserError, match="disk is full"):
        import_official(DATA / "model/unet", tmp_path / "packs" / "rain", action="rain", lora_file=file)
    assert list((tmp_path / "packs").iterdir()) == []


def test_importing_a_foreign_lora(tmp_path: Path) -> None:
    """A LoRA without its base, of another checkpoint, or without LoRA tensors is refused, and nothing is written."""
    whole = wrapped_lora()
    tensors = {name: tensor for name, tensor in whole.items() if ".lora_" in name}
    wrapped = {name: tensor for name, tensor in whole.items() if ".lora_" not in name}
    base = load_file(DATA / "model/unet/diffusion_pytorch_model.safetensors")
    changed = {**wrapped, "base_model.model.conv_in.conv2d.bias": wrapped["base_model.model.conv_in.conv2d.bias"] + 1}
    for contents, named in (
        (tensors, "lacks"),
        ({**tensors, **changed}, r"conv_in\.conv2d\.bias differs"),
        (wrapped, "no LoRA tensors"),
        (base, "conv_in"),
        ({name: tensor for name, tensor in whole.items() if "lora_A" not in name}, "lacks"),
    ):
        file = tmp_path / "model_weights.safetensors"
        save_file(contents, file)
        with pytest.raises(UserError, match=named):
            import_official(DATA / "model/unet", tmp_path / "pack", action="rain", lora_file=file)
        assert not (tmp_path / "pack").exists()
    save_file(whole, file)
    assert import_official(DATA / "model/unet", tmp_path / "pack", action="rain", lora_file=file).preferences


def test_a_pack_that_is_not_the_checkpoint_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One number of the motion, or of the LoRA, stored a little wrongly: the proof by a forward pass says so."""
    file = tmp_path / "model_weights.safetensors"
    save_file(wrapped_lora(), file)
    save = ActionPack.save

    def spoilt(pack: ActionPack, folder: Path, motion: dict, *, preference: object, part: str) -> ActionPack:
        tensors = motion if part == "motion" else preference.tensors
        values = next(tensor for name, tensor in tensors.items() if tensor.ndim > 1 and tensor.any())
        with torch.no_grad():
            before = values.clone()
            values.view(-1)[0] += 0.1
            saved = save(pack, folder, motion, preference=preference)
            values.copy_(before)
        return saved

    for part in ("motion", "preference"):
        monkeypatch.setattr(ActionPack, "save", lambda *args, part=part, **kwargs: spoilt(*args, **kwargs, part=part))
        with pytest.raises(UserError, match="does not give what the checkpoint gives"):
            import_official(DATA / "model/unet", tmp_path / "pack", action="rain", lora_file=file)
        assert not (tmp_path / "pack").exists()


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
@pytest.mark.parametrize("where", ["checkpoint", "lora", "base of the lora"])
def test_numbers_that_are_not_finite_are_the_files_fault(tmp_path: Path, where: str, number: float) -> None:
    """One in the checkpoint, in a LoRA or in what came along with it: the tensor is named, and nothing is written."""
    unet, file = tmp_path / "unet", tmp_path / "model_weights.safetensors"
    shutil.copytree(DATA / "model/unet", unet)
    tensors = wrapped_lora() if where != "checkpoint" else load_file(unet / "diffusion_pytorch_model.safetensors")
    name = next(name for name in tensors if name.endswith("weight") and ("lora_B" in name) == (where == "lora"))
    tensors[name].view(-1)[-1] = number
    save_file(tensors, file if where != "checkpoint" else unet / "diffusion_pytorch_model.safetensors")
    named = name.removeprefix("base_model.model.").replace(".default", "").replace(".base_layer", "")
    with pytest.raises(UserError, match=rf"not finite, in {named}; fetch or save it again"):
        import_official(unet, tmp_path / "pack", action="rain", lora_file=file if file.exists() else None)
    assert not (tmp_path / "pack").exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"cross_attention_dim": [32] * 4}, "cannot compute"),
        ({"norm_eps": None}, "cannot compute"),
        ({"mid_block_scale_factor": 0}, "gives numbers that are not finite"),
    ],
)
def test_a_config_that_only_computing_finds_wrong(tmp_path: Path, change: dict, words: str) -> None:
    """Its tensors fit, and no clip gets through it: a sentence, and nothing is written."""
    shutil.copytree(DATA / "model/unet", tmp_path / "unet")
    config = json.loads((tmp_path / "unet/config.json").read_text())
    (tmp_path / "unet/config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(UserError, match=rf"{words}.*see that the config\.json is its own"):
        import_official(tmp_path / "unet", tmp_path / "pack", action="rain")
    assert not (tmp_path / "pack").exists()
