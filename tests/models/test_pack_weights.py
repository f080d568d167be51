"""Action packs in a loaded network: put in, swapped, taken out without a trace; what does not fit is named."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from peft import LoraConfig
from safetensors.torch import load_file, save_file
from torch import nn

from huvidpo_core.errors import UserError
from huvidpo_core.generation.animate import Animator
from huvidpo_core.models import VideoUNet, preference
from huvidpo_core.models.pack_weights import apply_pack, remove_pack
from huvidpo_core.models.packs import ActionPack
from huvidpo_core.models.weights import write_weights
from tests.models.conftest import TARGETS, Clip, add_preference, base_unet, describe, image_unet, motion, output


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0, 1.5])
def test_strength_runs_along_the_line_from_base_to_pack(pack: ActionPack, strength: float) -> None:
    """Every motion tensor is base + strength (pack - base), exactly at 0 and 1; no other tensor moves."""
    unet, base, goal = base_unet(), base_unet().state_dict(), motion(base_unet(), 1)
    apply_pack(unet, pack, strength=strength)
    for name, tensor in unet.state_dict().items():
        if name not in goal:
            assert torch.equal(tensor, base[name])
        elif strength in (0, 1):
            assert torch.equal(tensor, goal[name] if strength else base[name])
        else:
            torch.testing.assert_close(tensor, base[name] * (1 - strength) + goal[name] * strength)


def test_packs_are_swapped_and_removed_without_a_trace(pack: ActionPack, clip: Clip) -> None:
    """A, then B, then A with a preference, then none: each time what a freshly loaded network gives, bit by bit."""
    other = replace(pack, name="snow").save(pack.folder.parent / "snow", motion(base_unet(), 2))
    add_preference(pack, "preference", 5)
    choices = [(pack, None), (other, None), (pack, "preference"), (other, None), (pack, None)]
    unet = base_unet()
    bare, names = output(unet, clip), list(unet.state_dict())
    outputs = []
    for chosen, taste in choices:
        fresh = base_unet()
        apply_pack(fresh, chosen, taste)
        apply_pack(unet, chosen, taste)
        outputs.append(output(unet, clip))
        assert torch.equal(outputs[-1], output(fresh, clip))
    assert all((one - bare).abs().max() > 1e-3 for one in outputs)
    assert (outputs[0] - outputs[1]).abs().max() > 1e-3 and (outputs[0] - outputs[2]).abs().max() > 1e-3
    apply_pack(unet, pack, "preference", 0.7)
    remove_pack(unet)
    remove_pack(unet)
    assert torch.equal(output(unet, clip), bare) and list(unet.state_dict()) == names


def test_several_preferences(pack: ActionPack, clip: Clip) -> None:
    """They are listed with the unnamed first; each has its own effect, scaled: 0 is the motion alone, bit by bit."""
    for seed, name in enumerate(("warm", "preference", "calm")):
        add_preference(pack, name, seed)
    assert pack.preferences == ("preference", "calm", "warm")
    unet = base_unet()
    apply_pack(unet, pack)
    alone = output(unet, clip)
    effect = {}
    for name in pack.preferences:
        apply_pack(unet, pack, name, preference_strength=0.0)
        assert torch.equal(output(unet, clip), alone)
        apply_pack(unet, pack, name)
        effect[name] = output(unet, clip)
        assert torch.equal(effect[name], output(unet, clip)), "dropout is off"
        assert (effect[name] - alone).abs().max() > 1e-3
    assert (effect["calm"] - effect["warm"]).abs().max() > 1e-3


def test_diffusers_reads_our_lora(pack: ActionPack) -> None:
    """The preference file is diffusers' own format: a stock 2D UNet's loader takes it, alpha included."""
    stock = image_unet()
    stock.add_adapter(LoraConfig(r=2, lora_alpha=8, init_lora_weights=False, target_modules=TARGETS), "x")
    preference.save(stock, "x", pack.preference_file("plain"))
    again: UNet2DConditionModel = image_unet()
    again.load_lora_adapter(
        pack.folder, weight_name="preference-plain.safetensors", prefix="unet", use_safetensors=True, adapter_name="y"
    )
    inputs = torch.randn(1, 4, 8, 8), 3, torch.randn(1, 6, 12)
    with torch.no_grad():
        assert torch.equal(stock(*inputs).sample, again(*inputs).sample)
    assert again.peft_config["y"].lora_alpha == 8


@pytest.mark.parametrize("layout", ["adapter", "prefixed"])
def test_we_read_diffusers_lora(pack: ActionPack, clip: Clip, layout: str) -> None:
    """`save_lora_adapter` writes names without a prefix, pipelines with one: both are read, to the same effect."""
    unet = base_unet()
    apply_pack(unet, pack)
    unet.add_adapter(LoraConfig(r=2, lora_alpha=8, init_lora_weights=False, target_modules=TARGETS), "x")
    expected = output(unet, clip)
    if layout == "adapter":
        unet.save_lora_adapter(pack.folder, adapter_name="x", weight_name="preference-it.safetensors")
    else:
        preference.save(unet, "x", pack.preference_file("it"))
    fresh = base_unet()
    apply_pack(fresh, pack, "it")
    assert torch.equal(output(fresh, clip), expected)


def test_another_adapter_stays(pack: ActionPack) -> None:
    """A pack's LoRA comes and goes beside an adapter that is being trained."""
    unet = base_unet()
    unet.add_adapter(LoraConfig(r=2, target_modules=TARGETS), "student")
    add_preference(pack, "preference", 5)
    apply_pack(unet, pack, "preference")
    assert set(unet.peft_config) == {"student", "preference"}
    remove_pack(unet)
    assert set(unet.peft_config) == {"student"}


def test_a_lora_on_a_convolution_is_read(pack: ActionPack, clip: Clip) -> None:
    """Not attention alone: a LoRA on a 2D convolution has the effect it was saved with."""
    unet = base_unet()
    apply_pack(unet, pack)
    bare = output(unet, clip)
    targets = ["conv_in.conv2d", "resnets.0.conv1.conv2d"]
    unet.add_adapter(LoraConfig(r=2, lora_alpha=8, init_lora_weights=False, target_modules=targets), "x")
    preference.save(unet, "x", pack.preference_file("conv"))
    fresh = base_unet()
    apply_pack(fresh, pack, "conv")
    assert torch.equal(output(fresh, clip), output(unet, clip))
    assert (output(fresh, clip) - bare).abs().max() > 1e-3


# --- what does not fit ---


@pytest.mark.parametrize("module", ["mid_block.resnets.0.norm1", "conv_in.conv1d"])
def test_a_lora_where_there_can_be_none_is_named(pack: ActionPack, module: str) -> None:
    """PEFT has no LoRA for a norm's weight (one axis) or our temporal convolution (three): a sentence names it."""
    config = LoraConfig(r=2, target_modules=[module]).to_dict()
    tensors = {f"{module}.lora_A.weight": torch.zeros(2, 16), f"{module}.lora_B.weight": torch.zeros(16, 2)}
    preference.write(preference.Adapter(tensors, config), pack.preference_file("odd"))
    unet = base_unet()
    with pytest.raises(UserError, match=f"{module}, which is neither a linear layer"):
        apply_pack(unet, pack, "odd")
    assert not hasattr(unet, "peft_config") and unet.base_motion is None


def damage_motion(pack: ActionPack, kind: str) -> str:
    """Spoil the motion file, or leave it; what the error must name."""
    path, name = pack.folder / "motion.safetensors", "conv_in.conv1d.weight"
    tensors = load_file(path)
    if kind == "missing":
        del tensors[name]
    elif kind == "extra":
        name = "conv_in.conv2d.weight"
        tensors[name] = torch.zeros(1)
    elif kind == "misshapen":
        tensors[name] = torch.zeros(2)
    save_file(tensors, path)
    if kind == "cut":
        path.write_bytes(path.read_bytes()[:2000])
        name = "motion.safetensors"
    return name


def damage_preference(pack: ActionPack, kind: str) -> str:
    """Spoil preference.safetensors; what the error must name."""
    path = pack.preference_file()
    name = "mid_block.attentions.0.transformer_blocks.0.attn1.to_q.lora_B.weight"
    unet = base_unet()
    tensors = {key.removeprefix("unet."): value for key, value in load_file(path).items()}
    config = preference.read(path, unet).config
    if kind == "missing":
        del tensors[name]
    elif kind == "extra":
        name = "mid_block.nowhere.to_q"
        tensors[f"{name}.lora_A.weight"] = torch.zeros(2, 2)
    elif kind == "misshapen":
        tensors[name] = torch.zeros(3, 3)
    preference.write(preference.Adapter(tensors, config), path)
    if kind == "cut":
        path.write_bytes(path.read_bytes()[:2000])
        name = path.name
    elif kind == "no metadata":
        write_weights(tensors, path)
        name = path.name
    return name


@pytest.mark.parametrize(
    ("part", "kind"),
    [
        *((damage_motion, kind) for kind in ("missing", "extra", "misshapen", "cut")),
        *((damage_preference, kind) for kind in ("missing", "extra", "misshapen", "cut", "no metadata")),
    ],
)
def test_what_does_not_fit_is_named_and_changes_nothing(pack: ActionPack, clip: Clip, part: object, kind: str) -> None:
    """The sentence names tensor or file, and the pack that was in the network is still in it."""
    good = replace(pack, name="good").save(pack.folder.parent / "good", motion(base_unet(), 2))
    add_preference(pack, "preference", 5)
    unet = base_unet()
    apply_pack(unet, good)
    before = output(unet, clip)
    with pytest.raises(UserError, match=part(pack, kind)):
        apply_pack(unet, pack, "preference")
    assert torch.equal(output(unet, clip), before)


def told(pack: ActionPack, **fields: object) -> Path:
    """The pack's LoRA, written with other metadata."""
    add_preference(pack, "preference", 5)
    path = pack.preference_file()
    good = preference.read(path, base_unet())
    preference.write(preference.Adapter(good.tensors, {**good.config, **fields}), path)
    return path


@pytest.mark.parametrize("begun", ["pissa", "olora", "gaussian", "eva"])
def test_how_a_loras_training_began_is_past(pack: ActionPack, clip: Clip, begun: str) -> None:
    """peft would begin anew, which changes the network's own weights: it does what the plain file does, and leaves."""
    unet, other = base_unet(), base_unet()
    add_preference(pack, "preference", 5)
    apply_pack(other, pack, "preference")
    expected = output(other, clip)
    bare = output(unet, clip)
    told(pack, init_lora_weights=begun)
    apply_pack(unet, pack, "preference")
    assert torch.equal(output(unet, clip), expected)
    remove_pack(unet)
    assert torch.equal(output(unet, clip), bare)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"use_dora": True}, "not a plain LoRA .use_dora"),
        ({"modules_to_save": ["conv_in"]}, "not a plain LoRA .modules_to_save"),
        ({"r": 8}, "says rank 8 of .* and has 2"),
        ({"rank_pattern": {"to_q": 3}}, "says rank 3 of .*to_q and has 2"),
        ({"lora_alpha": None}, "does not say rank and alpha"),
        ({"lora_alpha": "two"}, "does not say rank and alpha"),
    ],
)
def test_a_lora_of_another_kind_or_rank_is_refused(pack: ActionPack, clip: Clip, fields: dict, words: str) -> None:
    """Before anything is changed."""
    path, unet = told(pack, **fields), base_unet()
    before = output(unet, clip)
    with pytest.raises(UserError, match=words):
        preference.read(path, unet)
    with pytest.raises(UserError, match=words):
        apply_pack(unet, pack, "preference")
    assert torch.equal(output(unet, clip), before)


def test_a_published_lora_of_several_ranks_is_refused() -> None:
    """It says no scale, which goes by the rank."""
    tensors = {f"{name}.lora_A.weight": torch.zeros(rank, 4) for name, rank in (("a", 2), ("b", 3))}
    with pytest.raises(UserError, match=r"several ranks .2, 3"):
        preference.from_published(tensors)


def test_wrong_choices_are_named(pack: ActionPack) -> None:
    """Another base, a preference that is not there, a strength out of range, a name that is no file's name."""
    with pytest.raises(UserError, match="another base model"):
        apply_pack(VideoUNet.inflate(image_unet(layers_per_block=2)), pack)
    with pytest.raises(UserError, match="'mine'; there is: none"):
        apply_pack(base_unet(), pack, "mine")
    for strength in (-0.1, 1.6, float("nan")):
        with pytest.raises(UserError, match="strength"):
            apply_pack(base_unet(), pack, strength=strength)
    for name in ("", "../x", ".hidden", "a/b"):
        with pytest.raises(UserError, match="name"):
            pack.preference_file(name)
    with pytest.raises(UserError, match="not been saved"):
        apply_pack(base_unet(), describe(base_unet()))
    with pytest.raises(UserError, match="no action pack"):
        ActionPack.load(pack.folder / "nowhere")


def test_what_a_pack_displaces_waits_on_the_cpu(pack: ActionPack) -> None:
    """It takes none of a GPU's memory, wherever the network goes: here to `meta`, where nothing can come back from."""
    unet, base = base_unet(), base_unet().state_dict()
    apply_pack(unet, pack)
    animator = Animator(unet, nn.Identity(), nn.Identity(), None, {}, None, "sdpa")
    animator.to("meta")
    assert {parameter.device.type for parameter in unet.parameters()} == {"meta"}
    assert all(torch.equal(value, base[name]) for name, value in unet.base_motion.items())
