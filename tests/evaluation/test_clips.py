"""Which files count as clips, and where their prompts come from."""

import pytest

from huvidpo_core.errors import UserError
from huvidpo_core.evaluation.clips import Source, find_clips, read_prompts


def names(sources):
    return [source.name for source in sources]


def test_a_folder_and_the_folders_in_it(folder):
    """MP4 and GIF in the order of names; hidden files, other files and a GIF beside its MP4 are passed over."""
    for name in ("red.gif", ".half.mp4", "notes.txt", ".hidden/other.mp4", "A.GIF"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(b"")
    assert names(find_clips(folder)) == ["A.GIF", "others/blue.gif", "red.mp4"]


def test_the_recipe_tells_prompt_action_and_style(folder):
    """From whatever version, unknown keys or not; a GIF tells nothing."""
    blue, red = find_clips(folder)
    assert (red.prompt, red.truth, red.group) == ("a red square", {"action": "rain", "style": "cartoon"}, "rain")
    assert (blue.prompt, blue.truth, blue.group) == (None, {}, "others/blue")


@pytest.mark.parametrize(
    ("name", "group"),
    [("guitar_12.gif", "guitar"), ("a/b 2.mp4", "a/b"), ("a/007.mp4", "a"), ("007.mp4", "clips"), ("x.mp4", "x")],
)
def test_numbered_names_make_groups(folder, name, group):
    """Without a recipe, clips named alike but for a number at the end belong together."""
    assert Source(name, folder / name).group == group


def test_files_keep_the_order_given(folder):
    """Files of one name stay apart."""
    paths = [folder / "red.mp4", folder / "others" / "blue.gif", folder / "red.mp4"]
    assert names(find_clips(paths)) == ["red.mp4", "blue.gif", "red (2).mp4"]


@pytest.mark.parametrize(
    "text",
    [
        "red.mp4\ta square\nothers/blue.gif\ta cube",
        "\n  blue\t a cube \r\n red \t a square\n",
        '{"red": "a square", "others/blue": "a cube", "another": "not here"}',
        "a cube\n\na square\n",
    ],
)
def test_every_format_of_prompts(folder, text):
    """Names with and without folder and ending; JSON; one line a clip, in the order of names."""
    assert [source.prompt for source in find_clips(folder, text)] == ["a cube", "a square"]


def test_a_recipes_prompt_fills_in(folder):
    """A prompt that is given goes before the recipe's, which stands in where none is given."""
    assert [source.prompt for source in find_clips(folder, "blue\ta cube")] == ["a cube", "a red square"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("red\ta square", "none for others/blue.gif"),
        ('{"red": "a square", "blue": " "}', "none for others/blue.gif"),
        ('{"red": 5}', "must be text"),
        ('{"red": ', "begin like JSON"),
        ("a cube", "1 lines of prompts for 2 clips"),
        ("red\ta square\nblue a cube", "no tab in the prompts' line 'blue a cube'"),
    ],
)
def test_prompts_that_are_wrong(folder, text, words):
    """Each mistake is a sentence that names it."""
    with pytest.raises(UserError, match=words):
        find_clips(folder, text)


def test_files_that_are_wrong(folder, tmp_path):
    """No folder, no clip in it, no file, a file of another kind: each a sentence."""
    (tmp_path / "empty").mkdir()
    for clips, words in (
        (tmp_path / "none", "no folder"),
        (tmp_path / "empty", "no MP4 or GIF"),
        (folder / "red.mp4", "no folder"),
        ([], "at least one"),
        ([folder / "notes.txt"], "neither an MP4 nor a GIF"),
        ([folder / "none.mp4"], "no file"),
    ):
        with pytest.raises(UserError, match=words):
            find_clips(clips)


def test_a_prompts_file_that_cannot_be_read(tmp_path):
    """Missing, a folder, empty, not text: a sentence; a byte order mark is no part of the first name."""
    (tmp_path / "empty.txt").write_text(" \n")
    (tmp_path / "binary.txt").write_bytes(b"\xff\xfe\x00\x81")
    (tmp_path / "good.txt").write_bytes(b"\xef\xbb\xbfred\ta square")
    for name, words in (
        ("none.txt", "No such file"),
        ("", "directory"),
        ("empty.txt", "empty"),
        ("binary.txt", "UTF-8"),
    ):
        with pytest.raises(UserError, match=words):
            read_prompts(tmp_path / name)
    assert read_prompts(tmp_path / "good.txt") == "red\ta square"
