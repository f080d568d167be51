"""Between the image editor's value and the engine's pixels. No gradio.

The editor's value is `{"background", "layers", "composite"}`, RGBA pictures at their natural size, any of them missing.
"""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from PIL import Image

from huvidpo_core.media import read_image

EditorValue = Mapping[str, Any] | None
Fit = Callable[[np.ndarray], np.ndarray]


def painted(value: EditorValue, fit: Fit) -> np.ndarray | None:
    """The picture with the person's strokes on it, at the model's size; None when the editor is empty."""
    if not value:
        return None
    background, layers, composite = value.get("background"), _layers(value), value.get("composite")
    if background is None and not layers:
        return None
    if composite is None or not composite.getbbox():  # the editor has not been touched since it was filled
        size = (background or layers[0]).size
        composite = Image.new("RGBA", size) if background is None else background.convert("RGBA")
        for layer in layers:
            composite = Image.alpha_composite(composite, layer.resize(size))
    return fit(read_image(composite))


def marked(value: EditorValue, fit: Fit) -> tuple[np.ndarray | None, np.ndarray | None]:
    """The picture below the strokes, and where the strokes are, bool (h, w), both at the model's size."""
    if not value or value.get("background") is None:
        return None, None
    picture = read_image(value["background"])
    strokes = np.zeros(picture.shape[:2], np.uint8)
    for layer in _layers(value):
        strokes = np.maximum(strokes, np.asarray(layer.getchannel("A").resize(picture.shape[1::-1])))
    return fit(picture), fit(np.repeat(strokes[..., None], 3, axis=2))[..., 0] > 64


def _layers(value: Mapping[str, Any]) -> list[Image.Image]:
    """The layers something is painted on; an untouched editor may hold a blank one."""
    layers = [layer.convert("RGBA") for layer in value.get("layers") or [] if layer is not None]
    return [layer for layer in layers if layer.getchannel("A").getbbox()]
