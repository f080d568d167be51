"""The inflated network as such: against the 2D network, against plain loops, saved, adapted, trained."""

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention, AttnProcessor, AttnProcessor2_0
from peft import LoraConfig
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from huvidpo_core.errors import UserError
from huvidpo_core.models import VideoUNet
from huvidpo_core.models.attention import SharedTextProcessor, SparseCausalProcessor
from huvidpo_core.models.frames import FrameCount, fold, from_planes, to_planes, unfold
from huvidpo_core.models.temporal import CausalConv1d, ClipGroupNorm, GatedTemporalConv
from tests.models.conftest import TARGETS, image_unet, stir

Clip = tuple[Tensor, Tensor, Tensor]


def frame_count(value: int) -> FrameCount:
    frames = FrameCount()
    frames.value = value
    return frames


# --- a fresh inflation is the image model ---


@pytest.mark.parametrize("key_frames", ["first+previous", "first", "own"])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"use_linear_projection": True},
        {
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        },
        {
            "down_block_types": ("DownBlock2D",) * 2,
            "up_block_types": ("UpBlock2D",) * 2,
            "mid_block_type": "UNetMidBlock2D",
        },
        {"attention_head_dim": (2, 3), "layers_per_block": 2, "transformer_layers_per_block": 2},
    ],
    ids=["sd", "linear", "attention below", "no attention", "deep"],
)
@torch.no_grad()
def test_identical_frames_give_the_2d_output(changes: dict, key_frames: str) -> None:
    """A clip of five equal frames comes out of a fresh inflation as five times the stock 2D output (1e-5, relative)."""
    stock = image_unet(**changes)
    unet = VideoUNet.inflate(stock, key_frames)
    still, timestep, text = torch.randn(2, 4, 8, 8), torch.tensor([3, 900]), torch.randn(2, 6, 12)
    expected = stock(still, timestep, text).sample
    found = unet(still.unsqueeze(2).expand(-1, -1, 5, -1, -1), timestep, text).sample
    torch.testing.assert_close(found, expected.unsqueeze(2).expand_as(found), atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_different_frames_with_the_clip_parts_off(clip: Clip) -> None:
    """With own key frames and group norm per frame, a fresh inflation treats each of five different frames as stock."""
    stock = image_unet()
    expected = [stock(clip[0][:, :, i], *clip[1:]).sample for i in range(5)]
    unet = VideoUNet.inflate(stock, "own")
    for module in unet.modules():
        if isinstance(module, ClipGroupNorm):
            module.frames = FrameCount()  # one frame per clip: the stock norm
    torch.testing.assert_close(unet(*clip).sample, torch.stack(expected, dim=2), atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_each_part_has_an_effect_on_other_frames(unet: VideoUNet, clip: Clip) -> None:
    """The tests above are not empty: stirred, the network gives frame 3 another output when frame 1 changes."""
    before = unet(*clip).sample
    sample = clip[0].clone()
    sample[:, :, 1] += 1
    assert (unet(sample, *clip[1:]).sample - before)[:, :, 3].abs().max() > 0.01


def test_inflating_twice_gives_the_same() -> None:
    """Inflation draws nothing at random: a pack trained on one inflation fits the next."""
    one, two = (VideoUNet.inflate(image_unet()).state_dict() for _ in range(2))
    torch.manual_seed(0)
    assert all(torch.equal(one[name], two[name]) for name in one)


def test_foreign_networks_are_refused() -> None:
    """Blocks that cannot be inflated, text-only self-attention and unknown key frames are refused by name."""
    with pytest.raises(UserError, match="AttnDownBlock2D"):
        VideoUNet.inflate(image_unet(down_block_types=("AttnDownBlock2D", "DownBlock2D")))
    with pytest.raises(UserError, match="only_cross_attention"):
        VideoUNet.inflate(image_unet(only_cross_attention=True))
    with pytest.raises(ValueError, match="'last'"):
        VideoUNet.inflate(image_unet(), key_frames="last")
    with pytest.raises(ValueError, match=r"\(2, 4, 8, 8\)"):
        VideoUNet.inflate(image_unet())(torch.zeros(2, 4, 8, 8), 1, torch.zeros(2, 6, 12))


# --- the parts against plain loops ---


def test_folding_is_clip_major() -> None:
    """Row j * f + i is frame i of clip j, and both pairs of functions are inverses in either memory layout."""
    clips = torch.randn(2, 3, 4, 5, 6)
    rows = fold(clips)
    assert torch.equal(rows[1 * 4 + 2], clips[1, :, 2])
    assert torch.equal(unfold(rows, 4), clips)
    for layout in (torch.contiguous_format, torch.channels_last):
        rows = rows.contiguous(memory_format=layout)
        planes = to_planes(rows, 4)
        assert torch.equal(planes[1, :, 2], clips[1, :, 2].flatten(1))
        assert planes.data_ptr() == rows.data_ptr()
        assert torch.equal(from_planes(planes, 5, 6), rows)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("frames", [1, 2, 5])
@torch.no_grad()
def test_temporal_conv_is_the_published_convolution(frames: int, layout: torch.memory_format) -> None:
    """Frame i is W2 x_i + W1 x_(i-1) + W0 x_(i-2) + bias, zeros before the clip, whatever the memory layout."""
    conv = CausalConv1d(6, frame_count(frames))
    nn.init.normal_(conv.weight)
    nn.init.normal_(conv.bias)
    clips = torch.randn(2, 6, frames, 3, 4)
    expected = torch.zeros_like(clips) + conv.bias.view(1, -1, 1, 1, 1)
    for i in range(frames):
        for tap, past in ((2, 0), (1, 1), (0, 2)):
            if i >= past:
                expected[:, :, i] += torch.einsum("oc,bchw->bohw", conv.weight[..., tap], clips[:, :, i - past])
    found = unfold(conv(fold(clips).contiguous(memory_format=layout)), frames)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_temporal_conv_ignores_the_future() -> None:
    """Changing frames from i on leaves the layer's earlier frames as they are, bit by bit; and clips do not mix."""
    layer = stir(GatedTemporalConv(nn.Conv2d(4, 6, 3, padding=1), frame_count(5)))
    clips = torch.randn(2, 4, 5, 8, 8)
    before = unfold(layer(fold(clips)), 5)
    for i in range(5):
        changed = clips.clone()
        changed[0, :, i:] += 1
        after = unfold(layer(fold(changed)), 5)
        assert torch.equal(after[0, :, :i], before[0, :, :i]) and torch.equal(after[1], before[1])
        assert (after[0, :, i] - before[0, :, i]).abs().max() > 0.01


@torch.no_grad()
def test_gate_formula() -> None:
    """out = y + sigmoid(gate(y)) * conv1d(y) with y = conv2d(x): the paper's Fig. 2."""
    layer = stir(GatedTemporalConv(nn.Conv2d(4, 6, 3, padding=1, stride=2), frame_count(3)))
    rows = torch.randn(6, 4, 8, 8)
    y = layer.conv2d(rows)
    gate = torch.sigmoid(F.conv2d(y, layer.conv_gate.weight, layer.conv_gate.bias, padding=1))
    torch.testing.assert_close(layer(rows), y + gate * layer.conv1d(y))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@torch.no_grad()
def test_clip_group_norm_by_hand(layout: torch.memory_format) -> None:
    """Mean and variance are over a group's channels, all frames, h and w of one clip."""
    stock = nn.GroupNorm(2, 6, eps=1e-5)
    nn.init.normal_(stock.weight)
    nn.init.normal_(stock.bias)
    clips = torch.randn(2, 6, 4, 3, 5) * torch.arange(1, 5).view(1, 1, 4, 1, 1)
    groups = clips.unflatten(1, (2, 3))
    mean, var = groups.mean((2, 3, 4, 5), keepdim=True), groups.var((2, 3, 4, 5), correction=0, keepdim=True)
    shape = (1, 6, 1, 1, 1)
    expected = ((groups - mean) / (var + 1e-5).sqrt()).flatten(1, 2) * stock.weight.view(shape) + stock.bias.view(shape)
    rows = fold(clips).contiguous(memory_format=layout)
    found = unfold(ClipGroupNorm(stock, frame_count(4))(rows), 4)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def plain_attention(attn: Attention, query: Tensor, source: Tensor) -> Tensor:
    """One frame (d, c) attending to tokens (k, c), head by head, by the definition."""
    width = attn.inner_dim // attn.heads
    heads = []
    for h in range(attn.heads):
        part = slice(h * width, (h + 1) * width)
        q, k, v = attn.to_q(query)[:, part], attn.to_k(source)[:, part], attn.to_v(source)[:, part]
        heads.append((q @ k.T / width**0.5).softmax(-1) @ v)
    return attn.to_out[0](torch.cat(heads, dim=-1))


@pytest.mark.parametrize("frames", [1, 2, 5])
@pytest.mark.parametrize("key_frames", ["first+previous", "first", "own"])
@torch.no_grad()
def test_sparse_causal_attention_is_a_loop_over_frames(key_frames: str, frames: int) -> None:
    """Frame i of each clip attends to frames 0 and i-1 (or 0, or i) of that clip: Eq. 10-11 as a plain loop."""
    attn = Attention(8, heads=2, dim_head=4)
    attn.processor = SparseCausalProcessor(key_frames, frame_count(frames))
    tokens = torch.randn(2, frames, 6, 8)
    expected = torch.empty_like(tokens)
    for j in range(2):
        for i in range(frames):
            sources = {"first+previous": (0, max(i - 1, 0)), "first": (0,), "own": (i,)}[key_frames]
            expected[j, i] = plain_attention(attn, tokens[j, i], torch.cat([tokens[j, s] for s in sources]))
    torch.testing.assert_close(attn(tokens.flatten(0, 1)), expected.flatten(0, 1), atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_shared_text_is_stock_cross_attention() -> None:
    """Projecting the text once per clip changes nothing: diffusers' own processor gives the same."""
    attn = Attention(8, cross_attention_dim=5, heads=2, dim_head=4)
    rows, text = torch.randn(6, 7, 8), torch.randn(2, 4, 5).repeat_interleave(3, dim=0)
    attn.processor = AttnProcessor()
    expected = attn(rows, encoder_hidden_states=text)
    attn.processor = SharedTextProcessor(frame_count(3))
    torch.testing.assert_close(attn(rows, encoder_hidden_states=text), expected, atol=1e-6, rtol=1e-5)


# --- as a diffusers model ---


@torch.no_grad()
def test_timesteps_in_every_form(unet: VideoUNet, clip: Clip) -> None:
    """A number, a scalar tensor and one entry per clip mean the same; clips of a batch do not influence each other."""
    sample, _, text = clip
    together = unet(sample, 20, text).sample
    assert torch.equal(together, unet(sample, torch.tensor(20), text).sample)
    assert torch.equal(together, unet(sample, torch.tensor([20, 20]), text).sample)
    assert torch.equal(together, unet(sample, 20, text, return_dict=False)[0])
    mixed = unet(*clip).sample
    for j in range(2):
        alone = unet(sample[j : j + 1], clip[1][j], text[j : j + 1]).sample
        torch.testing.assert_close(alone, mixed[j : j + 1], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("key_frames", ["first+previous", "first"])
@torch.no_grad()
def test_save_and_load(unet: VideoUNet, clip: Clip, tmp_path: Path, key_frames: str) -> None:
    """What save_pretrained writes (safetensors, channels-last in memory or not) comes back as the same network."""
    unet.set_key_frames(key_frames)
    expected = unet(*clip).sample
    unet.to(memory_format=torch.channels_last).save_pretrained(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "diffusion_pytorch_model.safetensors"]
    again = VideoUNet.from_pretrained(tmp_path)
    assert again.config.key_frames == key_frames
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in unet.state_dict().items())
    torch.testing.assert_close(again(*clip).sample, expected, atol=1e-5, rtol=1e-4)
    assert VideoUNet.from_pretrained(tmp_path, key_frames="own").config.key_frames == "own"


def test_a_stock_folder_loads_inflated(tmp_path: Path) -> None:
    """from_pretrained and from_2d inflate the folder of a stock UNet, in the precision asked for."""
    stock = image_unet()
    stock.save_pretrained(tmp_path / "unet")
    expected = VideoUNet.inflate(stock, "first").state_dict()
    for loaded in (
        VideoUNet.from_2d(tmp_path / "unet", "first"),
        VideoUNet.from_pretrained(tmp_path, subfolder="unet", key_frames="first"),
    ):
        assert loaded.config.key_frames == "first"
        assert all(torch.equal(value, expected[name]) for name, value in loaded.state_dict().items())
    half = VideoUNet.from_pretrained(tmp_path / "unet", torch_dtype=torch.float16)
    assert {parameter.dtype for parameter in half.parameters()} == {torch.float16}


@pytest.mark.parametrize("kind", ["inflated", "stock"])
@pytest.mark.parametrize("damage", ["missing", "extra", "misshapen", "cut"])
def test_loading_is_strict(tmp_path: Path, kind: str, damage: str) -> None:
    """Where diffusers warns and leaves a hole, a missing, extra or misshapen tensor is a UserError that names it."""
    (VideoUNet.inflate(image_unet()) if kind == "inflated" else image_unet()).save_pretrained(tmp_path)
    path = tmp_path / "diffusion_pytorch_model.safetensors"
    tensors = load_file(path)
    name = "foo.bar" if damage == "extra" else "down_blocks.0.resnets.0.norm1.weight"
    tensors[name] = torch.zeros(3)
    if damage == "missing":
        del tensors[name]
    save_file(tensors, path, {"format": "pt"})
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(UserError, match=tmp_path.name if damage == "cut" else name):
        VideoUNet.from_pretrained(tmp_path)


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    """A folder without a model is a UserError, not a traceback."""
    with pytest.raises(UserError, match=tmp_path.name):
        VideoUNet.from_pretrained(tmp_path, local_files_only=True)


@torch.no_grad()
def test_no_setting_replaces_sparse_causal_attention(unet: VideoUNet, clip: Clip) -> None:
    """set_attn_processor(one), slicing and backends leave `attn1` looking at frames 0 and i-1."""
    expected = unet(*clip).sample
    unet.set_attn_processor(AttnProcessor2_0())
    assert isinstance(
        unet.attn_processors["mid_block.attentions.0.transformer_blocks.0.attn2.processor"], AttnProcessor2_0
    )
    torch.testing.assert_close(unet(*clip).sample, expected, atol=1e-5, rtol=1e-4)
    unet.set_attention_slice("auto")
    unet.set_attention_backend("native")
    torch.testing.assert_close(unet(*clip).sample, expected, atol=1e-5, rtol=1e-4)
    unet.reset_attention_backend()
    own = unet.attn_processors
    unet.set_attn_processor({name: AttnProcessor2_0() if "attn1" in name else old for name, old in own.items()})
    assert (unet(*clip).sample - expected).abs().max() > 1e-3  # by name everything can be set


# --- adapters and training ---


def adapted(unet: VideoUNet) -> VideoUNet:
    """With an adapter whose B is not zero, so that it has an effect."""
    unet.requires_grad_(False)
    unet.add_adapter(LoraConfig(r=2, lora_alpha=4, init_lora_weights=False, target_modules=TARGETS))
    return unet


@pytest.mark.parametrize("processor", [None, AttnProcessor(), AttnProcessor2_0()], ids=["ours", "math", "sdpa"])
@torch.no_grad()
def test_adapter_off_is_the_base_bit_by_bit(unet: VideoUNet, clip: Clip, processor: object) -> None:
    """LoRA on every attention moves the output; switched off, or taken out, the base is back exactly."""
    if processor:
        unet.set_attn_processor(processor)
    base = unet(*clip).sample
    adapted(unet)
    on = unet(*clip).sample
    assert (on - base).abs().max() > 1e-3
    unet.disable_adapters()
    assert torch.equal(unet(*clip).sample, base)
    unet.enable_adapters()
    assert torch.equal(unet(*clip).sample, on)
    unet.unload_lora()
    assert torch.equal(unet(*clip).sample, base)


@pytest.mark.parametrize("checkpointing", [False, True])
def test_every_lora_tensor_gets_a_gradient(unet: VideoUNet, clip: Clip, checkpointing: bool) -> None:
    """Also with gradient checkpointing: all three kinds of attention, down to the first block, A and B alike."""
    adapted(unet).train()
    if checkpointing:
        unet.enable_gradient_checkpointing()
    unet(*clip).sample.square().mean().backward()
    lora = {name: parameter for name, parameter in unet.named_parameters() if "lora_" in name}
    assert {part for part in ("attn1", "attn2", "attn_temp") for name in lora if part in name} == {
        "attn1",
        "attn2",
        "attn_temp",
    }
    for name, parameter in lora.items():
        assert parameter.grad is not None and parameter.grad.abs().max() > 0, name
    assert all(parameter.grad is None for name, parameter in unet.named_parameters() if "lora_" not in name)


def test_checkpointed_gradients_survive_another_clip_length(unet: VideoUNet, clip: Clip) -> None:
    """Recomputation sees its own frame count, even when a clip of another length went through before `backward`."""
    unet.train()

    def gradients() -> dict[str, Tensor]:
        loss = unet(*clip).sample.square().mean()
        with torch.no_grad():
            unet(clip[0][:, :, :2], *clip[1:])
        unet.zero_grad()
        loss.backward()
        return {
            name: parameter.grad.clone() for name, parameter in unet.named_parameters() if parameter.grad is not None
        }

    plain = gradients()
    unet.enable_gradient_checkpointing()
    checkpointed = gradients()
    assert plain.keys() == checkpointed.keys() == dict(unet.named_parameters()).keys()
    for name in plain:
        torch.testing.assert_close(checkpointed[name], plain[name], atol=1e-7, rtol=1e-5)


@torch.no_grad()
def test_can_be_compiled(clip: Clip) -> None:
    """torch.compile traces the network, with every kind of part in it, as one graph with the same output."""
    one_level = {
        "block_out_channels": (16,),
        "down_block_types": ("CrossAttnDownBlock2D",),
        "up_block_types": ("UpBlock2D",),
        "mid_block_type": None,
    }
    unet = stir(VideoUNet.inflate(image_unet(**one_level)))
    traced = torch.compile(unet, backend="eager", fullgraph=True)
    torch.testing.assert_close(traced(*clip).sample, unet(*clip).sample, atol=1e-5, rtol=1e-4)


def test_is_a_stock_unet_to_diffusers(unet: VideoUNet) -> None:
    """Pipelines and training helpers may treat it as a UNet2DConditionModel."""
    assert isinstance(unet, UNet2DConditionModel)
    assert unet.dtype == torch.float32
