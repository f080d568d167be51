"""From a scene to its clip."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from PIL import Image, ImageFilter

from .canvas import ASPECT, Canvas, Color
from .palette import PAINT, dark, mix
from .places import draw_place, sky
from .scene import Scene
from .styles import INK, STYLE, lens, shade, snap
from .subjects_animals import birds_fly, horse_run
from .subjects_held_out import ball_bounce, fish_swim, flag_wave
from .subjects_people import guitar, smile
from .subjects_things import firework, helicopter, rain, waterfall

_SUBJECTS: dict[str, Callable[[Canvas, Scene, Color, float], None]] = {
    "waterfall": waterfall,
    "smile": smile,
    "horse_run": horse_run,
    "guitar": guitar,
    "birds_fly": birds_fly,
    "helicopter": helicopter,
    "rain": rain,
    "firework": firework,
    "ball_bounce": ball_bounce,
    "flag_wave": flag_wave,
    "fish_swim": fish_swim,
}
_SIZE = {"smile": 0.93, "guitar": 1.08}  # subjects that stand on the ground fill the frame about equally


def render(scene: Scene, *, frames: int = 16, width: int = 256, height: int = 160, start: int = 0) -> np.ndarray:
    """The clip of a scene, uint8 (frames, height, width, 3) at 8 frames a second; the same for the same arguments.

    The world is made for `width` 128..512 and `height` 80..320, in the proportion 8:5 (others stretch it). `start` is
    the first frame's place in time, in frames: `start=4` continues a clip of four frames.
    """
    if frames < 1 or width < 64 or height < 40:
        raise ValueError(f"cannot render {frames} frames of {width}x{height}: at least 1 frame of 64x40")
    paint = _paint_cells if STYLE[scene.style].cells else _paint_smooth
    clip = np.empty((frames, height, width, 3), np.uint8)
    last, step = None, STYLE[scene.style].step
    for i in range(frames):
        t = (start + i) // step * step
        clip[i] = clip[i - 1] if t == last else paint(scene, t, width, height)
        last = t
    return clip


def _paint_smooth(scene: Scene, t: int, width: int, height: int) -> np.ndarray:
    style = STYLE[scene.style]
    image = _background(scene.place, scene.time, scene.style, scene.mirror, width, height).copy()
    beat = t // 2 % 2
    canvas = Canvas(image, 2, shaded=style.relief > 0, wobble=style.wobble, phase=0.3 * beat)
    _paint_subject(canvas, scene, t)
    _draw(canvas, scene, style.ink)
    picture = image.reduce(2)
    if not style.relief:
        return np.asarray(picture)
    frame = shade(_planes(picture), canvas.relief, style, scene.style, beat)
    if scene.style == "realistic":
        vignette, grain = lens(height, width)
        frame *= vignette
        frame += grain
    return _pixels(frame)


def _planes(picture: Image.Image) -> np.ndarray:
    """float32 (3, h, w)."""
    return np.asarray(picture).transpose(2, 0, 1).astype(np.float32, order="C")


def _pixels(planes: np.ndarray) -> np.ndarray:
    """Rounded to uint8 (h, w, 3); changes `planes`."""
    planes += 0.5
    return np.clip(planes, 0, 255, out=planes).astype(np.uint8).transpose(1, 2, 0)


def _paint_cells(scene: Scene, t: int, width: int, height: int) -> np.ndarray:
    rows = STYLE[scene.style].cells
    columns = round(rows * ASPECT)
    ground, colors = _cells(scene.place, scene.time, scene.mirror)
    image = ground.resize((columns * 4, rows * 4), Image.Resampling.NEAREST)
    canvas = Canvas(image, 4)
    _paint_subject(canvas, scene, t)
    own = np.array(canvas.colors())
    _draw(canvas, scene, 0.0)
    middle = Image.fromarray(np.asarray(image)[2::4, 2::4])  # no averaging: cells are crisp
    cells = snap(middle, np.concatenate([colors, own]))
    return np.asarray(Image.fromarray(cells).resize((width, height), Image.Resampling.NEAREST))


def _paint_subject(canvas: Canvas, scene: Scene, t: int) -> None:
    size = scene.scale * _SIZE.get(scene.action, 1.0)
    with canvas.at(ASPECT / 2 + scene.shift, 0.5 + 0.38 * (1 - size), scale=size, flip=scene.flip):
        _SUBJECTS[scene.action](canvas, scene, PAINT[scene.color], t)


def _draw(canvas: Canvas, scene: Scene, ink: float) -> None:
    """Draw with a rim that parts the subject from the place: pale around dark colours at night, else dark."""
    if scene.color in ("black", "brown", "blue", "purple") and scene.time == "night":
        rim, rim_color = (0.012 + ink, (176, 190, 236)) if not STYLE[scene.style].cells else (0.026, (176, 190, 236))
    elif STYLE[scene.style].cells:
        rim, rim_color = 0.026, INK
    else:
        rim, rim_color = (
            0.0 if ink else 0.009,
            (112, 118, 150) if scene.color == "white" else dark(PAINT[scene.color], 0.45),
        )
    canvas.draw(ink=ink, ink_color=INK, rim=rim, rim_color=rim_color)


@lru_cache(maxsize=96)
def _background(place: str, time: str, style_name: str, mirror: bool, width: int, height: int) -> Image.Image:
    """The finished place at twice the size, so that subjects can be drawn on it and reduced with it."""
    style = STYLE[style_name]
    air = sky(place, time, width * 2, height * 2)
    if style.ink:
        # Flat colour: four bands instead of a gradient.
        air = air[np.minimum((np.arange(height * 2) * 5 // (height * 2)) * (height * 2) // 5, height * 2 - 1)]
    image = Image.fromarray(air)
    canvas = Canvas(image, 2, shaded=style.relief > 0, wobble=style.wobble)
    draw_place(canvas, place, time)
    canvas.draw(ink=style.ink * 0.62, ink_color=mix(INK, (90, 80, 130), 0.3))
    picture = image.reduce(2)
    if style_name == "realistic":
        # The place lies a little out of focus, the subject does not.
        picture = picture.filter(ImageFilter.GaussianBlur(0.014 * height))
    if style.relief:
        relief = Image.eval(canvas.relief, lambda v: v or 200)  # the sky is clay too
        picture = Image.fromarray(_pixels(shade(_planes(picture), relief, style, style_name, 0)))
    if mirror:
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return picture.resize((width * 2, height * 2), Image.Resampling.NEAREST)


@lru_cache(maxsize=32)
def _cells(place: str, time: str, mirror: bool) -> tuple[Image.Image, np.ndarray]:
    """The place on the coarse grid, and its colours int (n, 3)."""
    rows = STYLE["pixel_art"].cells
    columns = round(rows * ASPECT)
    air = sky(place, time, columns * 4, rows * 4)
    bands = air[(np.arange(rows * 4) // 20 * 20)]
    image = Image.fromarray(bands)
    canvas = Canvas(image, 4)
    draw_place(canvas, place, time)
    colors = np.unique(np.concatenate([np.array(canvas.colors()), bands[:, 0]]), axis=0)
    canvas.draw()
    cells = Image.fromarray(snap(image.reduce(4), colors))
    if mirror:
        cells = cells.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    return cells, colors
