"""The inflated network against numbers recorded from the published one (`tests/reference.py`)."""

import json
import shutil
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from huvidpo_core.errors import UserError
from huvidpo_core.models import VideoUNet, is_motion, motion_parameters, official, preference
from huvidpo_core.models.weights import read_weights
from tests.reference import DATA, reference

TOLERANCE = {"atol": 1e-4, "rtol": 1e-4}
CASES = ("batch2", "odd", "short_text", "one_frame", "two_frames")
ATTENTIONS = {"first+previous": "out_huvidpo", "first": "out_lamp"}


@pytest.fixture(scope="module")
def published() -> VideoUNet:
    return VideoUNet.from_official(reference("model/unet"))


@pytest.fixture(scope="module")
def passes() -> dict[str, Tensor]:
    return load_file(reference("unet_forward.safetensors"))


@torch.no_grad()
def predict(unet: VideoUNet, recorded: dict[str, Tensor], case: str) -> Tensor:
    inputs = (recorded[f"{case}.{name}"] for name in ("sample", "timestep", "encoder_hidden_states"))
    return unet(*inputs).sample


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("key_frames", ATTENTIONS)
def test_reproduces_every_recorded_pass(
    published: VideoUNet, passes: dict[str, Tensor], key_frames: str, case: str
) -> None:
    """Both attention variants, batches, odd sizes, short texts, one and two frames: the published outputs to 1e-4."""
    published.set_key_frames(key_frames)
    expected = passes[f"{case}.{ATTENTIONS[key_frames]}"]
    torch.testing.assert_close(predict(published, passes, case), expected, **TOLERANCE)


def test_reproduces_inner_activations(published: VideoUNet, passes: dict[str, Tensor]) -> None:
    """Not just the output: every recorded inner module, attentions of all three kinds included, agrees to 1e-4."""
    published.set_key_frames("first+previous")
    recorded = load_file(reference("unet_activations_odd.safetensors"))
    seen: dict[str, Tensor] = {}
    hooks = []
    for name in recorded:
        path = name.removeprefix("odd.")

        def keep(_module: object, _inputs: object, output: object, name: str = name) -> None:
            output = output if isinstance(output, Tensor) else output[0]
            seen[name] = output

        hooks.append(published.get_submodule(path).register_forward_hook(keep))
    predict(published, passes, "odd")
    for hook in hooks:
        hook.remove()
    assert seen.keys() == recorded.keys()
    for name, expected in recorded.items():
        found = seen[name]
        if expected.ndim == 5:  # (b, c, f, h, w); inside, frames ride in the batch
            found = found.unflatten(0, (-1, expected.shape[2])).transpose(1, 2)
        elif name == "odd.time_embedding":  # one row per frame here, one per clip there
            found = found[:: found.shape[0] // expected.shape[0]]
        torch.testing.assert_close(found, expected, **TOLERANCE, msg=lambda text, name=name: f"{name}: {text}")


def test_reproduces_the_published_lora() -> None:
    """The published LoRA moves the output by more than 1, exactly as recorded; off, the base is back bit by bit."""
    recorded = load_file(reference("unet_lora_forward.safetensors"))
    whole = reference("model/unet").parents[1] / "lora/model_weights.pth"
    path = whole if whole.is_file() else DATA / "lora/model_weights.safetensors"
    unet = VideoUNet.from_official(reference("model/unet"))
    inputs = [recorded[name] for name in ("sample", "timestep", "encoder_hidden_states")]
    tensors, base = official.read_lora(path)
    if base:
        official.check_same_base(unet, base, path)
    with torch.no_grad():
        before = unet(*inputs).sample
        torch.testing.assert_close(before, recorded["out_base"], **TOLERANCE)
        preference.attach(unet, preference.from_published(tensors), "taste")
        torch.testing.assert_close(unet(*inputs).sample, recorded["out_lora"], **TOLERANCE)
        unet.disable_adapters()
        assert torch.equal(unet(*inputs).sample, before)
    assert (recorded["out_lora"] - before).abs().max() > 1


def test_stage_1_trains_the_published_parameters() -> None:
    """Names, prediction and every recorded gradient of a stage-1 step are the published training's."""
    recorded = load_file(reference("stage1.safetensors"))
    manifest = json.loads(reference("manifest.json").read_text())["files"]["stage1.safetensors"]
    unet = VideoUNet.from_official(reference("model/unet"))
    motion = motion_parameters(unet)
    assert set(motion) == set(manifest["trainable"])
    assert [name for name, _ in unet.named_parameters() if is_motion(name)] == list(motion)
    unet.requires_grad_(False)
    for parameter in motion.values():
        parameter.requires_grad_(True)
    step = {key.removeprefix("step0."): value for key, value in recorded.items() if key.startswith("step0.")}
    predicted = unet(step["noisy_latents"], step["timesteps"], step["encoder_hidden_states"]).sample
    torch.testing.assert_close(predicted, step["model_pred"], **TOLERANCE)
    (predicted - step["noise"])[:, :, 1:].square().mean().backward()
    norms = manifest["grad_norms_step0"]
    assert norms.keys() == motion.keys()
    for name, parameter in motion.items():
        assert parameter.grad.norm().item() == pytest.approx(norms[name], rel=1e-3), name
        if (exact := recorded.get(f"grad_step0.{name}")) is not None:
            torch.testing.assert_close(parameter.grad, exact, atol=1e-6, rtol=1e-3)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A copy of the checkpoint that may be damaged."""
    (tmp_path / "unet").mkdir()
    for name in ("config.json", "diffusion_pytorch_model.safetensors"):
        shutil.copyfile(DATA / "model/unet" / name, tmp_path / "unet" / name)
    return tmp_path / "unet"


NAME = "up_blocks.1.resnets.0.conv1.conv1d.weight"


@pytest.mark.parametrize("damage", ["missing", "extra", "misshapen", "whole numbers"])
@pytest.mark.parametrize("suffix", ["bin", "safetensors"])
def test_a_wrong_tensor_is_named(checkpoint: Path, suffix: str, damage: str) -> None:
    """A missing, extra, misshapen or integer tensor is refused by name, in either file format."""
    weights = checkpoint / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    culprit = "foo.bar" if damage == "extra" else NAME
    tensors[culprit] = {"misshapen": torch.zeros(2, 3), "whole numbers": tensors[NAME].int()}.get(damage, torch.ones(1))
    if damage == "missing":
        del tensors[culprit]
    weights.unlink()
    if suffix == "bin":
        torch.save(tensors, weights.with_suffix(".bin"))
    else:
        save_file(tensors, weights)
    with pytest.raises(UserError, match=culprit):
        VideoUNet.from_official(checkpoint)


def test_both_file_formats_give_the_same_network(checkpoint: Path) -> None:
    """The pickle (.bin, weights only) and the .safetensors file hold the same network."""
    weights = checkpoint / "diffusion_pytorch_model.safetensors"
    one = VideoUNet.from_official(checkpoint).state_dict()
    torch.save(load_file(weights), weights.with_suffix(".bin"))
    weights.unlink()
    other = VideoUNet.from_official(checkpoint).state_dict()
    assert all(torch.equal(one[name], other[name]) for name in one)


class _Harmful:
    def __reduce__(self) -> tuple:
        return Path.touch, (Path("executed"),)


def test_a_pickle_is_never_executed(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A .bin that would run code is refused with a UserError, and has run nothing."""
    monkeypatch.chdir(checkpoint)
    (checkpoint / "diffusion_pytorch_model.safetensors").unlink()
    torch.save({NAME: _Harmful()}, checkpoint / "diffusion_pytorch_model.bin")
    with pytest.raises(UserError, match=r"holds code beside its tensors \(.*\) and was not opened"):
        VideoUNet.from_official(checkpoint)
    assert not Path("executed").exists()


@pytest.mark.parametrize("keep", [0, 7, 5000])
@pytest.mark.parametrize("suffix", ["bin", "safetensors"])
def test_a_file_cut_short_is_named(checkpoint: Path, suffix: str, keep: int) -> None:
    """A truncated weights file, of either format, is a UserError with the file's name."""
    weights = checkpoint / "diffusion_pytorch_model.safetensors"
    if suffix == "bin":
        torch.save(load_file(weights), weights.with_suffix(".bin"))
        weights.unlink()
        weights = weights.with_suffix(".bin")
    weights.write_bytes(weights.read_bytes()[:keep])
    with pytest.raises(UserError, match=weights.name):
        VideoUNet.from_official(checkpoint)


def test_an_old_pickle_damaged_anywhere_is_named(tmp_path: Path) -> None:
    """Of the format before zip, cut at any byte: a UserError with its name. With any byte changed, that or tensors."""
    file = tmp_path / "model_weights.pth"
    torch.save({NAME: torch.ones(2, 3)}, file, _use_new_zipfile_serialization=False)
    whole = file.read_bytes()
    for place in range(len(whole)):
        file.write_bytes(whole[:place])
        with pytest.raises(UserError, match=file.name):
            read_weights(file)
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
        with suppress(UserError):
            read_weights(file)


@pytest.mark.parametrize("kind", ["sparse", "meta"])
def test_a_tensor_that_is_not_dense_is_named(tmp_path: Path, kind: str) -> None:
    """Nothing here computes with a sparse tensor, nor with one that has no numbers."""
    odd = torch.eye(3).to_sparse() if kind == "sparse" else torch.ones(3, device="meta")
    torch.save({"fine": torch.ones(3), NAME: odd}, tmp_path / "model.bin")
    with pytest.raises(UserError, match=f"{NAME} sparse or without numbers"):
        read_weights(tmp_path / "model.bin")


@pytest.mark.parametrize(
    ("kinds", "wanted"),
    [
        ((torch.float16, torch.float32), torch.float32),
        ((torch.bfloat16, torch.float16), torch.float32),
        ((torch.float64, torch.float16), torch.float64),
        ((torch.float8_e4m3fn,), torch.float32),
        ((torch.float16,), torch.float16),
    ],
)
def test_a_checkpoint_of_mixed_precision_becomes_one_that_computes(checkpoint: Path, kinds: tuple, wanted) -> None:
    """Every tensor in the narrowest that holds all of them, to the bit, and a clip gets through it."""
    weights = checkpoint / "diffusion_pytorch_model.safetensors"
    tensors = load_file(weights)
    mixed = {name: tensor.to(kinds[i % len(kinds)]) for i, (name, tensor) in enumerate(tensors.items())}
    torch.save(mixed, weights.with_suffix(".bin"))
    weights.unlink()
    unet = VideoUNet.from_official(checkpoint)
    assert {tensor.dtype for tensor in unet.state_dict().values()} == {wanted}
    assert all(torch.equal(tensor, mixed[name].to(wanted)) for name, tensor in unet.state_dict().items())
    with torch.no_grad():
        unet(torch.ones(1, 4, 2, 16, 16, dtype=wanted), 1, torch.ones(1, 2, 32, dtype=wanted))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"use_flash": True}, "use_flash"),
        ({"down_block_types": ["CrossAttnDownBlock2D"]}, "CrossAttnDownBlock2D"),
        ({"up_block_types": None}, "up_block_types"),
        ({"down_block_types": ["AttnDownBlock3D"] * 4}, "AttnDownBlock2D"),
        ({"mid_block_type": "Foo3D"}, r"config\.json describes no UNet .*Foo2D"),
        ({"up_block_types": ["CrossAttnUpBlock3D"] * 3}, "describes no UNet .*up_block_types"),
        ({"act_fn": "foo"}, "describes no UNet .*foo"),
        ({"act_fn": 3}, "describes no UNet"),
        ({"norm_num_groups": 7}, "describes no UNet"),
        ({"norm_num_groups": 0}, "describes no UNet"),
        ({"block_out_channels": [32]}, "describes no UNet .*block_out_channels"),
        ({"block_out_channels": [32, 32, 48, -64]}, "describes no UNet"),
        ({"attention_head_dim": 0}, "describes no UNet"),
        ({"cross_attention_dim": None}, "describes no UNet"),
        ({"attention_type": "gated"}, "describes no UNet"),
    ],
)
def test_a_foreign_config_is_refused(checkpoint: Path, change: dict, named: str) -> None:
    """An unknown field, a block that is not 3D or cannot be inflated, a missing list, a value that no network can have:
    named in a UserError."""
    config = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(UserError, match=named):
        VideoUNet.from_official(checkpoint)


def test_missing_files_are_named(checkpoint: Path) -> None:
    """No weights, then no config: each time a sentence with the folder."""
    (checkpoint / "diffusion_pytorch_model.safetensors").unlink()
    with pytest.raises(UserError, match="has neither"):
        VideoUNet.from_official(checkpoint)
    (checkpoint / "config.json").unlink()
    with pytest.raises(UserError, match=r"no config\.json"):
        VideoUNet.from_official(checkpoint)
