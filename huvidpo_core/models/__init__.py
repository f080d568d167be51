"""The video network and its weights: inflation, published checkpoints, action packs.

The names below are imported on first use (PEP 562): listing packs needs this package but not torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from huvidpo_core.models.inflate import VideoUNet
    from huvidpo_core.models.weights import is_motion, motion_parameters

__all__ = ["VideoUNet", "is_motion", "motion_parameters"]

_HOMES = {"VideoUNet": "inflate", "is_motion": "weights", "motion_parameters": "weights"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
