"""`VideoUNet`: diffusers' own 2D UNet with its parts wrapped so that they see a whole clip.

No block is rewritten. Convolutions outside the transformers get a gated temporal convolution, group norms outside the
transformers normalise over the clip, transformer blocks get attention over frames, self-attention looks at earlier
frames (`temporal.py`, `attention.py`). Reading the published checkpoints is `official.py`'s business.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention, AttentionProcessor
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from diffusers.models.unets.unet_2d_condition import UNet2DConditionOutput
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from huvidpo_core.config import KeyFrames
from huvidpo_core.errors import UserError, out_of_memory
from huvidpo_core.models import official
from huvidpo_core.models.attention import SharedTextProcessor, SparseCausalProcessor, TemporalProcessor
from huvidpo_core.models.frames import FrameCount, fold, unfold
from huvidpo_core.models.temporal import ClipGroupNorm, GatedTemporalConv, SpatioTemporalBlock
from huvidpo_core.models.weights import few

_BLOCKS = {
    "CrossAttnDownBlock2D",
    "DownBlock2D",
    "UNetMidBlock2DCrossAttn",
    "UNetMidBlock2D",
    "UpBlock2D",
    "CrossAttnUpBlock2D",
}
_WHERE = ("subfolder", "cache_dir", "revision", "token", "local_files_only")


class VideoUNet(UNet2DConditionModel):
    """A noise predictor for clips: `unet(sample, timestep, text).sample`.

    It is a `UNet2DConditionModel` (SD-1.x kind) with everything that brings: `from_pretrained`, `save_pretrained`,
    PEFT adapters, attention backends, gradient checkpointing. Parameters carry the published HuViDPO names.

    Args:
        key_frames: which frames self-attention looks at, see `config.KeyFrames`; kept in the config.
        **unet2d: the arguments of `UNet2DConditionModel`.

    Raises:
        UserError: a block type, or an attention layout, that cannot be inflated.
    """

    _repeated_blocks = [SpatioTemporalBlock.__name__]  # noqa: RUF012  (diffusers': what `compile_repeated_blocks` takes)

    def __init__(self, *, key_frames: KeyFrames = "first+previous", **unet2d: Any) -> None:
        super().__init__(**unet2d)
        self.register_to_config(key_frames=key_frames)
        kinds = (*self.config.down_block_types, self.config.mid_block_type, *self.config.up_block_types)
        if unknown := {kind for kind in kinds if kind} - _BLOCKS:
            raise UserError(f"A UNet with {', '.join(sorted(unknown))} cannot be inflated; use one of the SD-1.x kind.")
        if self.config.only_cross_attention not in (False, None):
            raise UserError("A UNet without self-attention (only_cross_attention) cannot be inflated.")
        self.frames = FrameCount()
        self.base_motion: dict[str, Tensor] | None = None  # on the CPU: what a pack displaced (`pack_weights.py`)
        self.base_key_frames: KeyFrames | None = None
        self.base_hash: str | None = None  # from before it was rounded to bfloat16 (`weights.model_hash`)
        _wrap(self, self.frames)
        processors = {
            "attn1": SparseCausalProcessor(key_frames, self.frames),
            "attn2": SharedTextProcessor(self.frames),
            "attn_temp": TemporalProcessor(),
        }
        for name, module in self.named_modules():
            if isinstance(module, Attention):
                module.processor = processors[name.rpartition(".")[2]]

    # --- where one comes from ---

    @classmethod
    def inflate(cls, unet2d: UNet2DConditionModel, key_frames: KeyFrames = "first+previous") -> Self:
        """The clip model that treats every frame as `unet2d` does, ready to learn motion.

        A clip of identical frames comes out as `unet2d` would treat each, whatever `key_frames` is: conv1d, gate and
        the output projection of attn_temp are zero, and attention to, or a group norm over, equal frames is that of
        one. For different frames the same holds with the two clip-wise parts off that have no weights of their own:
        `key_frames="own"` and group norm per frame.

        It takes over the tensors of `unet2d` (no copy): hand it a copy if the image model is to be trained further.

        Raises:
            UserError: a block type that cannot be inflated.
        """
        with torch.device("meta"):
            unet = cls.from_config(unet2d.config, key_frames=key_frames)
        tensors = unet2d.state_dict()
        names = {name: name.replace(".conv2d.", ".") for name in unet.state_dict()}
        spatial = {ours: tensors[theirs] for ours, theirs in names.items() if theirs in tensors}
        assert len(spatial) == len(tensors), "every tensor of the 2D network has a place"
        unet.load_state_dict(spatial, strict=False, assign=True)
        for module in unet.modules():
            if isinstance(module, GatedTemporalConv | SpatioTemporalBlock):
                module.start_as_image_model()
        return unet.train(unet2d.training)

    @classmethod
    def from_2d(cls, folder: str | Path, key_frames: KeyFrames = "first+previous", **kwargs: Any) -> Self:
        """Inflate a stock UNet folder (or hub name with `subfolder="unet"`); kwargs and errors as `from_pretrained`."""
        return cls.inflate(_complete(UNet2DConditionModel.from_pretrained, folder, **kwargs), key_frames)

    @classmethod
    def from_pretrained(cls, folder: str | Path, **kwargs: Any) -> Self:
        """Load what `save_pretrained` wrote, or inflate a stock `UNet2DConditionModel` folder: config.json says which.

        `key_frames=...` overrides the saved choice; everything else is as for any diffusers model, but strict.

        Raises:
            UserError: the folder cannot be read, or a tensor is missing, extra or misshapen; the message names it.
        """
        where = {key: kwargs[key] for key in _WHERE if key in kwargs}
        try:
            kind = cls.load_config(folder, **where).get("_class_name")
        except OSError as error:
            raise UserError(f"There is no model in {folder} ({_first_line(error)}).") from error
        if kind == UNet2DConditionModel.__name__:
            return cls.from_2d(folder, **kwargs)
        return _complete(super().from_pretrained, folder, **kwargs)

    @classmethod
    def from_official(cls, folder: str | Path, key_frames: KeyFrames = "first+previous") -> Self:
        """Load a published HuViDPO or LAMP UNet folder (config.json and its weights, .safetensors or .bin), strictly.

        Args:
            folder: the checkpoint folder, or its `unet/`.
            key_frames: "first+previous" for HuViDPO's attention, "first" for LAMP's; the checkpoint does not say.

        Raises:
            UserError: no such folder, a field or block that is not known or that no network can have, or a tensor that
                is missing, too many, of the wrong shape or unreadable; the message names it.
        """
        folder = official.unet_of(Path(folder))
        config = official.read_config(folder)
        try:
            with torch.device("meta"):
                unet = cls.from_config(config, key_frames=key_frames)
        except UserError:
            raise
        except Exception as error:  # diffusers stumbles over its fields in any way
            if out_of_memory(error):
                raise
            raise UserError(
                f"{folder / 'config.json'} describes no UNet of the SD-1.x kind ({_first_line(error)}); copy it again, "
                "or choose a HuViDPO or LAMP checkpoint."
            ) from error
        official.load_weights(unet, folder)
        return _in_one_precision(unet).eval()

    @staticmethod
    def _get_init_keys(input_class: type) -> set[str]:
        # diffusers reads the accepted config fields off the constructor; ours hands most of them on.
        stock = UNet2DConditionModel._get_init_keys
        return (stock(input_class) | stock(UNet2DConditionModel) | {"key_frames"}) - {"unet2d"}

    # --- use ---

    def forward(
        self,
        sample: Tensor,
        timestep: Tensor | float | int,
        encoder_hidden_states: Tensor,
        return_dict: bool = True,
    ) -> UNet2DConditionOutput | tuple[Tensor]:
        """Predict the noise in a clip.

        Args:
            sample: noisy latents (b, c, f, h, w), any f >= 1.
            timestep: one number, (), (1,) or (b,).
            encoder_hidden_states: text (b, l, c_text), the same for all frames of a clip.
            return_dict: False for a tuple.

        Returns:
            `.sample` (b, c, f, h, w).
        """
        if sample.ndim != 5:
            raise ValueError(f"sample has shape {tuple(sample.shape)}; a clip is (b, c, f, h, w).")
        frames = self.frames.value = sample.shape[2]
        if torch.is_tensor(timestep) and timestep.ndim:
            timestep = timestep.expand(len(sample)).repeat_interleave(frames)
        text = encoder_hidden_states.repeat_interleave(frames, dim=0)
        rows = super().forward(fold(sample), timestep, text, return_dict=False)[0]
        clip = unfold(rows, frames).contiguous()
        return UNet2DConditionOutput(sample=clip) if return_dict else (clip,)

    def set_key_frames(self, key_frames: KeyFrames) -> None:
        """Choose anew which frames self-attention looks at (see `config.KeyFrames`); the config follows."""
        for module in self.modules():
            if isinstance(processor := getattr(module, "processor", None), SparseCausalProcessor):
                processor.look_at(key_frames)
        self.register_to_config(key_frames=key_frames)

    # --- settings that would break a clip if they were taken over as they are ---

    def enable_gradient_checkpointing(self, gradient_checkpointing_func: Callable | None = None) -> None:
        """As in diffusers, non-reentrant; the recomputation also sees the frame count of its own forward pass."""

        def recompute(module: Callable, *args: Any) -> Any:
            frames = self.frames.value

            def run(*inputs: Any) -> Any:
                with self.frames.of(frames):
                    return module(*inputs)

            return checkpoint(run, *args, use_reentrant=False)

        super().enable_gradient_checkpointing(gradient_checkpointing_func or recompute)

    def set_attn_processor(self, processor: AttentionProcessor | dict[str, AttentionProcessor]) -> None:
        """A dict sets processors by name; a single one goes everywhere but to `attn1`.

        Sparse-causal attention is the network, not a way to compute it. To change the way, for all attentions
        alike, use `set_attention_backend`.
        """
        if not isinstance(processor, dict):
            own = self.attn_processors
            processor = {name: old if "attn1" in name else processor for name, old in own.items()}
        super().set_attn_processor(processor)

    def set_use_memory_efficient_attention_xformers(self, valid: bool, attention_op: Callable | None = None) -> None:
        """xformers, by the dispatcher all attentions here go through; what `enable_xformers...` calls."""
        self.set_attention_backend("xformers" if valid else "native")

    def set_attention_slice(self, slice_size: str | int | list[int] = "auto") -> None:
        """Nothing to slice: no processor here ever holds the attention matrix of more than a few frames' tokens."""


def _wrap(parent: nn.Module, frames: FrameCount) -> None:
    """Put the clip-wise parts in place of their 2D counterparts, below `parent`.

    A transformer keeps its entry norm and its projections, which work frame by frame in the published network too.
    """
    for name, child in parent.named_children():
        if isinstance(child, Transformer2DModel):
            child.transformer_blocks = nn.ModuleList(SpatioTemporalBlock(b, frames) for b in child.transformer_blocks)
        elif isinstance(child, nn.Conv2d):
            setattr(parent, name, GatedTemporalConv(child, frames))
        elif isinstance(child, nn.GroupNorm):
            setattr(parent, name, ClipGroupNorm(child, frames))
        else:
            _wrap(child, frames)


def _in_one_precision(unet: VideoUNet) -> VideoUNet:
    """The same network in one dtype that can be computed in: of several, or of float8, in one that holds them all."""
    kinds = {tensor.dtype for tensor in unet.state_dict().values()}
    if len(kinds) == 1 and next(iter(kinds)).itemsize > 1:
        return unet
    wide = torch.float64 if torch.float64 in kinds else torch.float32
    return nn.Module.to(unet, wide)  # diffusers' own `to` warns, without reason


def _complete(from_pretrained: Callable, folder: str | Path, **kwargs: Any) -> Any:
    """`from_pretrained`, which only warns of missing and extra tensors (and leaves the missing without storage)."""
    try:
        model, found = from_pretrained(folder, output_loading_info=True, **kwargs)
    except (OSError, ValueError, SafetensorError) as error:
        raise UserError(f"The model in {folder} cannot be loaded ({_first_line(error)}).") from error
    for words, names in (("lacks", found["missing_keys"]), ("has no place for", found["unexpected_keys"])):
        if names:
            raise UserError(f"The model in {folder} {words} {few(names)}; fetch or save it again.")
    return model


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
