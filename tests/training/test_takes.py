"""The clips of stage 1: what a step draws of them, encoding, and what is kept of it."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from huvidpo_core.errors import UserError
from huvidpo_core.training.crew import Crew
from huvidpo_core.training.material import Material, Take
from huvidpo_core.training.takes import Takes
from tests.training.made import FRAMES, run_out
from tests.training.made_takes import SETTINGS, draws, takes

LONG = (FRAMES + 3,) * 4
ALL = (0, 1, 2, 3)


def numbered(lengths=LONG) -> Takes:
    """Every value of frame f of clip n is 100 n + f, in its mirror image the negative of that."""
    clips = tuple(
        (100.0 * number + torch.arange(length)).view(1, -1, 1, 1).expand(2, -1, 3, 3)
        for number, length in enumerate(lengths)
    )
    return replace(takes(lengths), clips=clips, mirrored=tuple(-clip for clip in clips))


def test_a_step_depends_on_its_number_alone():
    """Drawn again, in another order: the same; other steps and other seeds differ in everything."""
    one, other = draws(numbered(), chosen=ALL), draws(numbered(), chosen=ALL)
    other.at(5)
    a, b, c = one.at(3), other.at(3), draws(numbered(), replace(SETTINGS, seed=1), chosen=ALL).at(3)
    for part in ("clean", "text", "noise", "timestep"):
        assert torch.equal(getattr(a, part), getattr(b, part))
    assert not torch.equal(a.noise, c.noise) and not torch.equal(a.noise, one.at(4).noise)


def test_every_clip_every_window_and_both_sides_come_up():
    """400 steps: passes over all clips; windows of consecutive frames from each start about as often; half mirrored."""
    drawn = draws(numbered(), chosen=ALL)
    clips, starts, mirrored = [], Counter(), 0
    for step in range(400):
        values = drawn.at(step).clean[0, 0, :, 0, 0]
        mirrored += bool((values < 0).any())
        values = values.abs()
        clips.append(int(values[1]) // 100)
        starts[int(values[0]) % 100] += 1
        assert torch.equal(values.diff(), torch.ones(FRAMES - 1))
    assert all(set(clips[turn : turn + 4]) == set(ALL) for turn in range(0, 400, 4))
    assert sorted(starts) == [0, 1, 2, 3] and min(starts.values()) > 70
    assert 160 < mirrored < 240


def test_the_prompt_is_left_out_now_and_then():
    """Three steps in ten, by the settings; never when they say 0."""
    learned = numbered()

    def silent(settings) -> int:
        drawn = draws(learned, settings, chosen=ALL)
        return sum(torch.equal(drawn.at(step).text[0], learned.texts[""]) for step in range(400))

    assert 90 < silent(SETTINGS) < 150 and silent(replace(SETTINGS, unprompted=0.0)) == 0


@pytest.mark.parametrize(("lean", "mean"), [(1.0, 500), (0.5, 667)])
def test_timesteps_lean_as_they_are_told(lean, mean):
    """Even draws have their mean in the middle; draws whose density grows with the timestep at two thirds (Beta(2, 1)).
    All lie within the settings' range."""
    drawn = draws(numbered(), replace(SETTINGS, lean=lean), chosen=ALL)
    found = [drawn.at(step).timestep.item() for step in range(1000)]
    assert np.mean(found) == pytest.approx(mean, abs=30) and min(found) >= 0 and max(found) < 1000
    narrow = draws(numbered(), replace(SETTINGS, lean=lean, timesteps=(300, 302)), chosen=ALL)
    assert {narrow.at(step).timestep.item() for step in range(30)} == {300, 301}


def test_later_frames_share_noise_as_in_the_network_s_own_training():
    """A share s of frame 0's: correlation s / sqrt(s^2 + (1 - s)^2), here for s = 0.2."""
    noise = torch.cat([draws(numbered(), chosen=ALL).at(step).noise for step in range(300)])
    pair = torch.stack([noise[:, :, 0].flatten(), noise[:, :, 2].flatten()])
    assert torch.corrcoef(pair)[0, 1].item() == pytest.approx(0.2 / (0.2**2 + 0.8**2) ** 0.5, abs=0.04)


def test_a_batch_is_as_long_as_its_shortest_clip():
    """And alone, the longer ones have the whole window."""
    learned = numbered((FRAMES, FRAMES - 1))
    both = draws(learned, replace(SETTINGS, batch=2), chosen=(0, 1)).at(0)
    assert both.clean.shape == both.noise.shape == (2, 2, FRAMES - 1, 3, 3)
    assert draws(learned, chosen=(0,)).at(0).clean.shape[2] == FRAMES


def test_two_processes_draw_what_one_would():
    """Each has its half of every batch, bit by bit."""
    settings = replace(SETTINGS, batch=4)
    for step in range(5):
        whole = draws(numbered(), settings, chosen=ALL).at(step)
        halves = [draws(numbered(), settings, Crew(rank, 2), ALL).at(step) for rank in (0, 1)]
        for part in ("clean", "text", "noise", "timestep"):
            assert torch.equal(torch.cat([getattr(half, part) for half in halves]), getattr(whole, part))


def test_a_look_for_checking_is_always_the_same():
    """The clip's beginning, its own words, levels in the middle of equal parts, noise of its own for each."""
    learned = numbered()
    one, other = draws(learned).fixed(2, 4), draws(learned).fixed(2, 4)
    assert one.timestep.tolist() == [125, 375, 625, 875] and torch.equal(one.noise, other.noise)
    assert torch.equal(one.clean[3], learned.clips[2][:, :FRAMES]) and torch.equal(one.text[0], learned.texts["up"])
    assert not torch.equal(one.noise[0], one.noise[1])
    assert not torch.equal(one.noise, draws(learned).fixed(1, 4).noise)


def encoded(settings) -> tuple[Takes, list[str]]:
    """Two clips of 5 and 2 frames through encoders that show what they were given."""
    material = Material((Take("a.mp4", "00.mp4", "up", "up", 5), Take("b.gif", "01.gif", "down", "down", 2)), "digest")
    read = []

    def pixels(file: str) -> np.ndarray:
        read.append(file)
        ramp = np.arange(5 if file == "00.mp4" else 2).reshape(-1, 1, 1, 1) + np.arange(3).reshape(1, 1, 3, 1)
        return np.broadcast_to(ramp, (len(ramp), 2, 3, 3)).astype(np.uint8)

    work = Takes.encode(
        material,
        pixels,
        lambda frames: torch.from_numpy(frames.copy()).double().movedim(-1, 0)[None],
        lambda text: torch.full((1, 2, 3), float(len(text)), dtype=torch.float16),
        lambda frames: float(len(frames)),
        settings,
        4,
    )
    return run_out(work), read


def test_encoding_is_done_once_and_kept(tmp_path):
    """Every clip once, its mirror image only if it is wanted, every text and the empty one; motion of the first window;
    what is saved comes back bit by bit."""
    made, read = encoded(SETTINGS)
    assert read == ["00.mp4", "01.gif"] and made.motions == (4.0, 2.0) and made.captions == ("up", "down")
    assert torch.equal(made.mirrored[0], made.clips[0].flip(-1)) and made.clips[0].dtype == torch.float32
    assert {text: value.mean().item() for text, value in made.texts.items()} == {"up": 2, "down": 4, "": 0}
    assert Takes.load(tmp_path) is None
    made.save(tmp_path)
    back = Takes.load(tmp_path)
    assert all(torch.equal(one, other) for one, other in zip(back.clips, made.clips, strict=True))
    assert all(torch.equal(one, other) for one, other in zip(back.mirrored, made.mirrored, strict=True))
    assert all(torch.equal(back.texts[text], value) for text, value in made.texts.items())
    assert (back.captions, back.motions) == (made.captions, made.motions)

    plain, _ = encoded(replace(SETTINGS, mirror=False))
    plain.save(tmp_path)
    assert plain.mirrored == () and Takes.load(tmp_path).mirrored == ()


@pytest.mark.parametrize("damage", ["cut", "missing", "other"])
def test_damaged_files_are_a_sentence(tmp_path, damage):
    """Tensors cut short or gone, a record of something else."""
    encoded(SETTINGS)[0].save(tmp_path)
    tensors = tmp_path / "takes.safetensors"
    if damage == "cut":
        tensors.write_bytes(tensors.read_bytes()[:50])
    elif damage == "missing":
        tensors.unlink()
    else:
        (tmp_path / "takes.json").write_text("[]")
    with pytest.raises(UserError, match="damaged"):
        Takes.load(tmp_path)
