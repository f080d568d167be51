"""The Teach tab's form over real clips: what is gathered, what is said of it, what a mistake does."""

import json
from types import SimpleNamespace

import gradio as gr
import numpy as np
import pytest

from huvidpo_core import media
from huvidpo_core.engine import Naming
from huvidpo_core.training.material import Material
from huvidpo_core.ui import teach_draft
from huvidpo_core.ui import teach_words as said
from huvidpo_core.ui.teach_form import NAMELESS
from tests.clips import moving_clip
from tests.finished import until, write_pack
from tests.ui.teach.teach_page import PAGE, PROMPT, STEPS, begin, bring, event, key, parts


def test_what_was_understood_of_each_clip(form, clips):
    """A card each: first frame, length, size, and the sentence it is taught with, its gap filled by its text file. The
    dropping place is emptied, and a bar tells which clip is being looked at."""
    shown = list(form.bring(PAGE, clips, PROMPT))
    assert shown[0][0] is None and "Looking at ball0.mp4" in shown[1][2] and "step 7 of 8" in shown[8][2]
    _, strip, remarks = shown[-1]
    assert strip.count("<img") == strip.count('class="hv-shot"') == strip.count("2 s, 128 x 80") == 8
    assert 'a <input value="red"' in strip and 'a <input value="blue"' in strip and strip.count('value=""') == 6
    assert "Nothing fills the gap of 6 clips" in remarks
    for number in range(2, 8):
        remarks = form.say(PAGE, event(clip=key(form, f"ball{number}.mp4"), words="striped"), PROMPT)
    assert "8 clips, and nothing to remark" in remarks
    assert bring(form, clips)[0].count("<img") == 8  # nothing twice
    whole = form.reword(PAGE, "a ball bounces")[0]
    assert "<input" not in whole and whole.count("<q>striped</q>") == 6 and "<q>red</q>" in whole
    assert "<q>" not in form.reword(PAGE, " ")[0]


def test_what_could_be_better_is_said_before_anything_starts(form, clips, tmp_path):
    """Few, short, slow, of another shape; a broken one is marked, told of and can be left out; one by one, or all."""
    tall = media.write_mp4(tmp_path / "tall.mp4", moving_clip(5, height=160, width=40), 4)
    broken = tmp_path / "<b>broken.mp4"
    broken.write_bytes(tall.read_bytes()[:600])
    strip, remarks = bring(form, [*clips[:3], str(tall), str(broken)], "")
    assert strip.count("hv-faulty") == 1 and "One clip cannot be used" in remarks
    assert "<b>broken" not in strip.replace("<b title", "") and "&lt;b&gt;broken.mp4" in strip
    for words in (
        "There are 4 clips only",
        "1 clip is shorter than the 16",
        "another shape",
        "4 frames a second and not 8",
    ):
        assert words in remarks
    strip, remarks = form.leave(PAGE, event(clip=key(form, broken.name)), "")
    assert "hv-faulty" not in strip and "cannot be used" not in remarks and strip.count("data-clip") == 4
    strip, remarks = form.leave(PAGE, event(clip=key(form, "tall.mp4")), "")
    assert "another shape" not in remarks and "There are 3 clips only" in remarks
    assert form.leave(PAGE, event(clip=""), "") == ["", ""]
    assert "There is one clip only" in bring(form, clips[:1])[1]


def test_a_prompt_that_is_written_while_clips_are_looked_at_counts(form, clips):
    """Whichever of the two ends last."""
    looking = form.bring(PAGE, clips, "")
    next(looking)
    assert form.reword(PAGE, PROMPT)[0].count("<input") == 8
    *_, (_, strip, _) = looking
    assert strip.count("<input") == 8


def test_many_remarks_are_folded(engine):
    """Four are read at once."""
    card = teach_draft.Card("k", "a.mp4", None, "", "")
    told = said.remarks([card], [f"note {number}" for number in range(6)], "")
    assert "<summary>2 more</summary><ul><li>note 4</li>" in told


def test_a_gap_is_filled_on_the_page(form, engine, clips):
    """What is typed stands for {} in that clip, over its text file, also when the button is faster than its sending."""
    bring(form, clips[:8])
    assert "Nothing says what {} stands for" in form.reword(PAGE, PROMPT)[1]
    said = form.say(PAGE, event(clip=key(form, "ball4.mp4"), words="striped"), PROMPT)
    assert "Nothing says" not in said and "Nothing fills the gap of 7 clips" in said
    bring(form, clips[8:])
    form.say(PAGE, event(clip=key(form, "ball0.mp4"), words="dark red"), PROMPT)
    strip = form.reword(PAGE, "one {} ball")[0]
    assert 'one <input value="dark red"' in strip and 'one <input value="striped"' in strip and 'value="blue"' in strip
    run = begin(form, engine, gaps=json.dumps({key(form, "ball5.mp4"): "tiny", "of nobody": "x"}))
    taught = {take.name: take.text for take in Material.load(run.path).takes}
    assert {name: taught[f"ball{number}.mp4"] for number, name in enumerate(("0", "1", "2"))} == {
        "0": "a dark red ball bounces", "1": "a blue ball bounces", "2": "a ball bounces",
    }  # fmt: skip
    assert (taught["ball4.mp4"], taught["ball5.mp4"]) == ("a striped ball bounces", "a tiny ball bounces")


def test_a_clip_made_here_brings_its_own_words(form, engine, tmp_path):
    """Its prompt stands in the strip as it is, with no gap to fill."""
    recipe = {"prompt": "a green horse", "action": "", "style": ""}
    files = [media.write_mp4(tmp_path / "own.mp4", moving_clip(16), 8, recipe)]
    files.append(media.write_mp4(tmp_path / "other.mp4", moving_clip(16)[::-1].copy(), 8))
    strip, _ = bring(form, [*map(str, files)])
    assert "<q>a green horse</q>" in strip and strip.count("<input") == 1


def test_the_name_says_what_becomes_of_one_that_is_there(form, engine):
    """A new one by its name in files; one there is keeps its pack, and the new one gets a number."""
    assert "ball_bounce" in form.rename(PAGE, " Ball  bounce ", "") and form.rename(PAGE, " ", "") == ""
    assert "without a learnt motion so far" in form.rename(PAGE, "waterfall", "")
    write_pack(engine.data / "packs" / "waterfall")
    words = form.rename(PAGE, "waterfall", "")
    assert "Its motion stays as it is" in words and "“Waterfall 2”" in words and "waterfall-2" in words
    assert "my-balls" in form.rename(PAGE, "Ball bounce", "my-balls")
    assert "cannot be the name of an action" in form.rename(PAGE, "Ball", "a/b")
    assert "<img" not in said.naming_words(Naming("x", "<img>", True, 2))


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"title": " "}, NAMELESS),
        ({"name": "a/b"}, "cannot be the name of an action"),
        ({"prompt": " "}, "What do the clips show"),
        ({"lr": -1.0}, "'lr' of the teaching must be more than 0"),
        ({"preset": "magic"}, "no preset 'magic'"),
    ],
)
def test_a_mistake_is_a_sentence_and_loses_nothing(form, engine, clips, change, sentence):
    """No run is left behind, and the clips and words are all there still."""
    bring(form, clips)
    form.say(PAGE, event(clip=key(form, "ball3.mp4"), words="round"), PROMPT)
    with pytest.raises(gr.Error, match=sentence.replace("?", r"\?")):
        begin(form, engine, **change)
    assert engine.trainings.runs("teach") == []
    strip, remarks = form.reword(PAGE, PROMPT)
    assert strip.count("<img") == 8 and 'value="round"' in strip and "the gap of 5 clips" in remarks
    with pytest.raises(gr.Error, match="There is no clip"):
        form.leave(PAGE, event(clip=""), PROMPT)
        begin(form, engine)


def test_a_reload_keeps_what_was_gathered(form, sessions, clips):
    """The tab's next page has title, prompt, clips and words; what stands in its fields already is left alone."""
    sessions.arrive("page", "tab")
    bring(form, clips)
    form.rename(PAGE, "Ball bounce", "")
    form.reword(PAGE, PROMPT)
    form.say(PAGE, event(clip=key(form, "ball2.mp4"), words="green"), PROMPT)
    sessions.forget("page")
    sessions.arrive("next", "tab")
    after = SimpleNamespace(session_hash="next")
    title, prompt, naming, strip, _ = form.refresh(after, None, "", "")
    assert (title, prompt) == ("Ball bounce", PROMPT) and "ball_bounce" in naming
    assert strip.count("<img") == 8 and 'value="green"' in strip
    assert form.refresh(after, "Other", "", "x {}")[:2] == [gr.skip(), gr.skip()]
    assert form.refresh(SimpleNamespace(session_hash="stranger"), None, "", "")[3] == ""


def test_settings_come_from_the_preset_until_they_are_changed(form, engine, clips):
    """The form shows the profile's preset, in words as well, and the memory that it takes, which is found once; another
    one fills it; what is typed is used, and an emptied field is as the preset says."""
    own, other = engine.trainings.settings("", "teach"), engine.trainings.settings("lamp", "teach")
    needs, values = form.estimate("", ""), [part.value for part in (form.steps, form.lr, form.check_every)]
    assert (
        values == [own.steps, own.lr, own.check_every]
        and "one clip in 8 is kept for checking" in form.preset_said.value
    )
    assert "A step needs about 1.0 GB of this machine" in needs
    assert form.fill("lamp")[2:] == [other.steps, other.lr, other.check_every] != values
    assert form.estimate("lamp", needs) == gr.skip()
    bring(form, clips)
    asked = begin(form, engine, preset="lamp", lr=2e-4).asked()["settings"]
    assert (asked["steps"], asked["lr"], asked["check_every"]) == (STEPS, 2e-4, 4) and asked["mirror"] is other.mirror
    asked = begin(form, engine, steps=None, lr=None, check_every=None).asked()["settings"]
    assert (asked["steps"], asked["lr"]) == (own.steps, own.lr)


def test_names_are_escaped(form, engine, clips):
    """A title and a prompt are text on the page, never its HTML."""
    bring(form, clips)
    run = begin(form, engine, title="<img src=x>", prompt="<img src=y> {}")
    until(run, "finished")
    seen = parts(engine)
    assert "<img" not in seen["head"] + seen["list"] + seen["made"]
    strip, _ = form.reword(PAGE, "<img src=y> {}")
    assert strip.count("<img") == strip.count('<img src="data:image/webp') == 8


def test_a_picture_is_no_clip(form, tmp_path):
    """It is marked, and can be left out."""
    media.write_png(tmp_path / "one.png", np.zeros((32, 32, 3), np.uint8))
    strip, remarks = bring(form, [str(tmp_path / "one.png")])
    assert "hv-faulty" in strip and "cannot be used" in remarks
