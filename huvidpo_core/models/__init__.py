"""The video network and its weights: inflation, published checkpoints, action packs."""

from huvidpo_core.models.inflate import VideoUNet
from huvidpo_core.models.weights import is_motion, motion_parameters

__all__ = ["VideoUNet", "is_motion", "motion_parameters"]
