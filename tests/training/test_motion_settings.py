"""What the teaching of an action is told: the published values, the presets, and a sentence for each mistake."""

import pytest

from huvidpo_core.errors import UserError
from huvidpo_core.miniature.stages import STEADY
from huvidpo_core.training.motion_settings import PRESETS, MotionSettings, load_motion_settings


def test_the_published_preset_has_the_published_values():
    """method.md section 2; the defaults are the same."""
    lamp = load_motion_settings("lamp")
    for settings in (lamp, MotionSettings()):
        assert (settings.steps, settings.batch, settings.lr, settings.weight_decay) == (25_000, 1, 3e-5, 1e-2)
        assert settings.timesteps == (0, 1000) and settings.lean == 1 and settings.steady == 0 and settings.mirror
        assert (settings.unprompted, settings.average, settings.decay, settings.warmup) == (0, 0, 0, 0)


def test_the_miniature_is_taught_with_the_loss_that_it_was_trained_with():
    """Its presets' weight of steadiness is that of its own training; all presets can be read."""
    assert load_motion_settings("miniature").steady == STEADY
    assert {path.stem for path in PRESETS.glob("*.toml")} == {"lamp", "miniature"}


def test_a_file_may_say_little(tmp_path):
    """What is not said is the published value."""
    (tmp_path / "mine.toml").write_text("lr = 1e-3\ntimesteps = [100, 900]")
    assert load_motion_settings(tmp_path / "mine.toml") == MotionSettings(lr=1e-3, timesteps=(100, 900))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("colour = 1", "unknown key 'colour'"),
        ("steps = 0", "'steps' of the teaching must be 1 or more"),
        ("batch = 0", "'batch'"),
        ("lr = 'much'", "should be float"),
        ("lr = nan", "'lr'"),
        ("lr = 0.0", "'lr'"),
        ("timesteps = [900, 100]", "'timesteps'"),
        ("timesteps = [0, 1001]", "'timesteps'"),
        ("average = 1.0", "'average'"),
        ("lean = 0.0", "'lean'"),
        ("unprompted = 1.0", "'unprompted'"),
        ("held_out = 0.6", "'held_out'"),
        ("decay = -0.1", "'decay'"),
        ("steady = inf", "'steady'"),
        ("seed = -1", "'seed'"),
        ("precision = 'half'", "precision"),
        ("steps = [", "not valid TOML"),
    ],
)
def test_a_mistake_is_a_sentence(tmp_path, text, words):
    """An unknown key, a wrong type, a value out of range."""
    (tmp_path / "mine.toml").write_text(text)
    with pytest.raises(UserError, match=words):
        load_motion_settings(str(tmp_path / "mine.toml"))


def test_a_preset_that_is_not_there_is_a_sentence():
    """The ones there are are named."""
    with pytest.raises(UserError, match=r"no preset 'best'\. Choose one of: lamp, miniature"):
        load_motion_settings("best")
