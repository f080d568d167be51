"""The inflated network as a whole: against the 2D network, saved and loaded, as a diffusers model."""

from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor2_0
from safetensors.torch import load_file, save_file

from huvidpo_core.errors import UserError
from huvidpo_core.models import VideoUNet
from huvidpo_core.models.frames import FrameCount
from huvidpo_core.models.temporal import ClipGroupNorm, SpatioTemporalBlock
from tests.models.conftest import Clip, image_unet, stir

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


# --- as a diffusers model ---


@torch.no_grad()
def test_timesteps_in_every_form(unet: VideoUNet, clip: Clip) -> None:
    """A number, a scalar tensor and one entry per clip mean the same; clips of a batch do not influence each other."""
    sample, _, text = clip
    together = unet(sample, 20, text).sample
    assert torch.equal(together, unet(sample, torch.tensor(20), text).sample)
    assert torch.equal(together, unet(sample, torch.tensor([20, 20]), text).sample)
    assert torch.equal(together, unet(sample, torch.tensor([20]), text).sample)
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


def test_new_key_frames_keep_the_way_of_computing(unet: VideoUNet) -> None:
    """Attention set to another backend stays there when a pack chooses other key frames; an unknown choice is named."""
    unet.set_attention_backend("_native_math")
    unet.set_key_frames("first")
    processor = unet.mid_block.attentions[0].transformer_blocks[0].attn1.processor
    assert (processor.key_frames, str(processor._attention_backend.value)) == ("first", "_native_math")
    with pytest.raises(ValueError, match="'last'"):
        unet.set_key_frames("last")
    unet.set_attention_backend("native")  # diffusers keeps the last one chosen for all models


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


@torch.no_grad()
def test_can_be_compiled_by_regions(clip: Clip) -> None:
    """diffusers' own `compile_repeated_blocks` compiles every transformer block and nothing else; the output stays,
    for another number of frames too."""
    unet = stir(VideoUNet.inflate(image_unet()))
    sample, timestep, text = clip
    shorter = sample[:, :, :2]
    expected = [unet(given, timestep, text).sample for given in (sample, shorter)]
    unet.compile_repeated_blocks(backend="eager")
    compiled = [module for module in unet.modules() if module._compiled_call_impl is not None]
    assert compiled == [module for module in unet.modules() if isinstance(module, SpatioTemporalBlock)] != []
    for given, wanted in zip((sample, shorter), expected, strict=True):
        torch.testing.assert_close(unet(given, timestep, text).sample, wanted, atol=1e-5, rtol=1e-4)


def test_is_a_stock_unet_to_diffusers(unet: VideoUNet) -> None:
    """Pipelines and training helpers may treat it as a UNet2DConditionModel."""
    assert isinstance(unet, UNet2DConditionModel)
    assert unet.dtype == torch.float32
