"""Action packs: written, listed, put into a loaded network and taken out again; damaged ones named and survived."""

import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from diffusers import UNet2DConditionModel
from peft import LoraConfig
from safetensors.torch import load_file, save_file
from torch import Tensor

from huvidpo_core.errors import UserError
from huvidpo_core.models import VideoUNet, motion_parameters, preference, weights
from huvidpo_core.models.imports import import_official
from huvidpo_core.models.pack_weights import apply_pack, remove_pack
from huvidpo_core.models.packs import ActionPack, list_packs, scan_packs
from huvidpo_core.models.weights import model_hash, same_base, write_weights
from tests.models.conftest import TARGETS, image_unet, stir
from tests.reference import DATA, REFERENCE, needs_reference

Clip = tuple[Tensor, Tensor, Tensor]


def base_unet() -> VideoUNet:
    """The base that the packs of these tests are for: freshly inflated."""
    return VideoUNet.inflate(image_unet())


def describe(unet: VideoUNet, name: str = "rain") -> ActionPack:
    return ActionPack(
        name=name,
        title="Rain",
        action="rain",
        prompt="rain over {}",
        base="tests",
        base_hash=model_hash(unet),
        frames=5,
        fps=8,
        width=64,
        height=64,
        licence="Apache-2.0",
        training={"steps": 3},
    )


def motion(unet: VideoUNet, seed: int) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    parameters = motion_parameters(unet).items()
    return {name: value.detach() + 0.2 * torch.randn(value.shape, generator=generator) for name, value in parameters}


def add_preference(pack: ActionPack, name: str, seed: int) -> None:
    """Train nothing: a random LoRA under that name."""
    unet = base_unet()
    torch.manual_seed(seed)
    unet.add_adapter(
        LoraConfig(r=2, lora_alpha=8, lora_dropout=0.1, init_lora_weights=False, target_modules=TARGETS), "x"
    )
    preference.save(unet, "x", pack.preference_file(name))


@pytest.fixture
def pack(tmp_path: Path) -> ActionPack:
    unet = base_unet()
    return describe(unet).save(tmp_path / "rain", motion(unet, 1))


@torch.no_grad()
def output(unet: VideoUNet, clip: Clip) -> Tensor:
    return unet(*clip).sample


# --- on disk ---


def test_save_and_load(pack: ActionPack) -> None:
    """What was saved comes back; the folder holds the two files and nothing else."""
    again = ActionPack.load(pack.folder)
    assert again == pack == replace(describe(base_unet()), folder=pack.folder)
    assert sorted(path.name for path in pack.folder.iterdir()) == ["motion.safetensors", "pack.json"]
    assert [path.name for path in pack.folder.parent.iterdir()] == ["rain"]
    saved = load_file(pack.folder / "motion.safetensors")
    expected = motion(base_unet(), 1)
    assert saved.keys() == expected.keys() and all(torch.equal(saved[name], expected[name]) for name in saved)


def test_a_failed_save_leaves_the_old_pack(pack: ActionPack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Overwriting must be asked for; when the disk fills up on the way, the old pack is still whole."""
    with pytest.raises(UserError, match="there already"):
        pack.save(pack.folder, {})
    before = {path.name: path.read_bytes() for path in pack.folder.iterdir()}

    def full_disk(*_: object, **__: object) -> None:
        raise OSError("No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(weights, "write_weights", full_disk)
        with pytest.raises(OSError, match="No space"):
            pack.save(pack.folder, {}, overwrite=True)
    assert {path.name: path.read_bytes() for path in pack.folder.iterdir()} == before
    replace(pack, title="New").save(pack.folder, motion(base_unet(), 2), overwrite=True)
    assert ActionPack.load(pack.folder).title == "New"
    assert [path.name for path in pack.folder.parent.iterdir()] == ["rain"]


def test_a_copied_folder_is_a_pack_of_its_own(pack: ActionPack) -> None:
    """The folder's name counts, so that a copy can stand beside its original."""
    pack.folder.rename(pack.folder.parent / "drizzle")
    assert [found.name for found in list_packs(pack.folder.parent)] == ["drizzle"]


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda record: record.pop("fps"), "fps"),
        (lambda record: record.update(colour="blue"), "colour"),
        (lambda record: record.update(frames="five"), "frames"),
        (lambda record: record.update(width=0), "width"),
        (lambda record: record.update(folder="/"), r"pack\.json"),
    ],
)
def test_a_wrong_record_is_named(pack: ActionPack, change: object, named: str) -> None:
    """A missing or unknown key, a wrong type or a value out of range: a UserError that names it."""
    path = pack.folder / "pack.json"
    record = json.loads(path.read_text())
    change(record)
    path.write_text(json.dumps(record))
    with pytest.raises(UserError, match=named):
        ActionPack.load(pack.folder)


def test_listing_survives_broken_packs(pack: ActionPack, caplog: pytest.LogCaptureFixture) -> None:
    """Bad JSON, no motion, a motion file cut short, an empty folder: skipped, logged, reported; the good one stays."""
    root = pack.folder.parent
    for name in ("bad json", "no motion", "cut", "list"):
        replace(pack, name=name).save(root / name, motion(base_unet(), 1))
    (root / "bad json/pack.json").write_text("{")
    (root / "list/pack.json").write_text("[]")
    (root / "no motion/motion.safetensors").unlink()
    cut = root / "cut/motion.safetensors"
    cut.write_bytes(cut.read_bytes()[:-10])
    (root / "empty").mkdir()
    (root / "note.txt").touch()
    with caplog.at_level(logging.WARNING):
        assert list_packs(root) == list_packs(root.parent, root.name) == [pack]
    found, broken = scan_packs(root)
    assert found == [pack] and set(broken) == {"bad json", "no motion", "cut", "empty", "list"}
    assert all(problem in caplog.text for problem in broken.values())
    assert list_packs(root / "nowhere") == []


# --- the fingerprint ---


def test_fingerprint_of_the_base(pack: ActionPack, tmp_path: Path) -> None:
    """Unmoved by a pack, an adapter and float16 storage; moved by another base; bfloat16 compares the structure."""
    unet = base_unet()
    own = model_hash(unet)
    add_preference(pack, "preference", 5)
    apply_pack(unet, pack, "preference")
    assert model_hash(unet) == own
    base_unet().half().save_pretrained(tmp_path / "half")
    stored = VideoUNet.from_pretrained(tmp_path / "half", torch_dtype=torch.float32)
    assert model_hash(stored) == own and model_hash(stored.half()) == own
    other = stir(base_unet())
    with torch.no_grad():
        other.conv_in.conv2d.weight += 0.01
    assert not same_base(own, other)
    assert same_base(own, other.bfloat16())
    assert not same_base(own, VideoUNet.inflate(image_unet(layers_per_block=2)).bfloat16())


# --- in a network ---


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


# --- what does not fit ---


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


# --- from the published checkpoints ---


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


def test_importing_a_foreign_lora(tmp_path: Path) -> None:
    """A LoRA without its base, of another checkpoint, or without LoRA tensors is refused, and nothing is written."""
    tensors = load_file(DATA / "lora/model_weights.safetensors")
    base = load_file(DATA / "model/unet/diffusion_pytorch_model.safetensors")
    modules = {name.split(".lora_")[0].removeprefix("base_model.model.") for name in tensors}
    wrapped = {}
    for name, tensor in base.items():
        module, _, kind = name.rpartition(".")
        wrapped[f"base_model.model.{module}{'.base_layer' if module in modules else ''}.{kind}"] = tensor
    changed = {**wrapped, "base_model.model.conv_in.conv2d.bias": wrapped["base_model.model.conv_in.conv2d.bias"] + 1}
    for contents, named in (
        (tensors, "lacks"),
        ({**tensors, **changed}, r"conv_in\.conv2d\.bias differs"),
        (wrapped, "no LoRA tensors"),
        (base, "conv_in"),
    ):
        file = tmp_path / "model_weights.safetensors"
        save_file(contents, file)
        with pytest.raises(UserError, match=named):
            import_official(DATA / "model/unet", tmp_path / "pack", action="rain", lora_file=file)
        assert not (tmp_path / "pack").exists()
    save_file({**tensors, **wrapped}, file)
    assert import_official(DATA / "model/unet", tmp_path / "pack", action="rain", lora_file=file).preferences
