"""From the editor's value to pixels: every shape that the editor was seen to send."""

import numpy as np
import pytest
from PIL import Image

from huvidpo_core.errors import UserError
from huvidpo_core.media import fit
from huvidpo_core.ui.picture import marked, painted

WIDTH, HEIGHT = 64, 40


def fitted(image):
    return fit(image, WIDTH, HEIGHT)


def layer(box, size=(WIDTH, HEIGHT), colour=(255, 0, 0, 255)):
    image = Image.new("RGBA", size)
    image.paste(colour, box)
    return image


GREEN = Image.new("RGBA", (WIDTH, HEIGHT), (0, 128, 0, 255))
BLANK = Image.new("RGBA", (WIDTH, HEIGHT))


@pytest.mark.parametrize(
    "value",
    [
        None,
        {"background": None, "layers": [], "composite": None},
        {"background": None, "layers": [BLANK], "composite": BLANK},
    ],
)
def test_empty(value):
    """An editor without picture and strokes is empty, whatever it sends along."""
    assert painted(value, fitted) is None
    assert marked(value, fitted) == (None, None)


def test_untouched_picture_comes_back_exactly():
    """Without strokes the picture is the background bit by bit, with or without a composite."""
    noise = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    image = Image.fromarray(noise).convert("RGBA")
    for value in (
        {"background": image, "layers": [], "composite": None},
        {"background": image, "layers": [BLANK], "composite": image},
    ):
        assert np.array_equal(painted(value, fitted), noise)


def test_strokes_are_paint_and_mark():
    """A stroke shows in the painted picture; as a mark it leaves the picture below untouched."""
    value = {"background": GREEN, "layers": [layer((10, 5, 30, 20))], "composite": None}
    picture = painted(value, fitted)
    assert tuple(picture[10, 20]) == (255, 0, 0)
    below, mask = marked(value, fitted)
    assert (below == (0, 128, 0)).all()
    assert mask[5:20, 10:30].all()
    assert mask.sum() == 15 * 20


def test_mark_of_a_larger_picture_is_refitted():
    """Picture and mark of another size are brought to the model's together."""
    big = Image.new("RGB", (WIDTH * 4, HEIGHT * 4))
    value = {"background": big, "layers": [layer((0, 0, 128, 160), big.size)], "composite": None}
    below, mask = marked(value, fitted)
    assert below.shape == (HEIGHT, WIDTH, 3)
    assert mask.shape == (HEIGHT, WIDTH)
    assert abs(mask.mean() - 0.5) < 0.05


def test_painting_from_nothing():
    """Strokes on an empty editor are a picture on white."""
    picture = painted({"background": None, "layers": [layer((0, 0, 10, 10))], "composite": None}, fitted)
    assert tuple(picture[30, 50]) == (255, 255, 255)
    assert tuple(picture[5, 5]) == (255, 0, 0)


def test_a_crop_to_almost_nothing_is_refused():
    """A picture of 3x3 is refused with a sentence."""
    tiny = Image.new("RGB", (3, 3))
    with pytest.raises(UserError, match="too small"):
        painted({"background": tiny, "layers": [], "composite": tiny.convert("RGBA")}, fitted)
