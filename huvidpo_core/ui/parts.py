"""What stands where on the Create tab. Layout only: no handler, no engine work."""

from dataclasses import dataclass, fields
from typing import Any

import gradio as gr

from huvidpo_core.engine import Engine
from huvidpo_core.ui import words
from huvidpo_core.ui.fetch import Fetch
from huvidpo_core.ui.few import PICK_JS
from huvidpo_core.ui.menus import painter_menu
from huvidpo_core.ui.notes import origin_note
from huvidpo_core.ui.session import Session
from huvidpo_core.ui.settings import Settings

COLOURS = ["#e5484d", "#f5a524", "#ffe14d", "#30a46c", "#0091ff", "#8e4ec6", "#8b5a2b", "#ffffff", "#808080", "#111111"]
PICTURE_HINT = (
    "Brush strokes are **paint**: *Animate* uses the picture as you see it. To have a part drawn anew instead, "
    "brush over it in any colour and press *Redraw what I brushed*."
)


@dataclass(frozen=True)
class Controls:
    """The components behind `Settings`, in its order."""

    prompt: gr.Textbox
    action: gr.Radio
    style: gr.Radio
    pack: gr.Dropdown
    strength: gr.Slider
    seed: gr.Number
    fresh: gr.Checkbox
    sampler: gr.Radio
    steps: gr.Slider
    guidance: gr.Slider
    frames: gr.Slider
    painter: gr.Dropdown

    @classmethod
    def gather(cls, *parts: Any) -> "Controls":
        """From the parts of the column that hold them."""
        found = {name: component for part in parts for name, component in vars(part).items()}
        return cls(**{name: found[name] for name in Settings._fields})

    def all(self) -> list[Any]:
        """As a list of inputs or outputs."""
        return [getattr(self, part.name) for part in fields(self)]


assert tuple(field.name for field in fields(Controls)) == Settings._fields


@dataclass(frozen=True)
class Scene:
    """Left column: what is to be seen."""

    prompt: gr.Textbox
    action: gr.Radio
    style: gr.Radio
    reading: gr.HTML
    examples: gr.Dataset
    surprise: gr.Button


@dataclass(frozen=True)
class Frame:
    """Left column: the first frame."""

    editor: gr.ImageEditor
    note: gr.HTML
    upload: gr.UploadButton
    draw_few: gr.Button
    repaint: gr.Button
    few: gr.HTML


@dataclass(frozen=True)
class Motion:
    """Left column: how it moves, and what few people change."""

    pack: gr.Dropdown
    strength: gr.Slider
    seed: gr.Number
    fresh: gr.Checkbox
    sampler: gr.Radio
    steps: gr.Slider
    guidance: gr.Slider
    frames: gr.Slider
    painter: gr.Dropdown
    reuse: gr.Button
    fetch: Fetch


@dataclass(frozen=True)
class Bar:
    """Left column: progress and the buttons that start and stop work; always in sight."""

    bar: gr.HTML
    draw: gr.Button
    animate: gr.Button
    stop: gr.Button


@dataclass(frozen=True)
class Result:
    """Right column: the clip, what to do with it, and all clips so far."""

    stage: gr.HTML
    details: gr.Column
    recipe: gr.HTML
    links: gr.HTML
    score: gr.Radio
    rater: gr.Textbox
    gif: gr.Button
    gif_link: gr.HTML
    use: gr.Button
    delete: gr.Button
    confirm: gr.Row
    confirm_yes: gr.Button
    confirm_no: gr.Button
    for_rating: gr.Checkbox
    gallery: gr.HTML
    more: gr.Button
    dropped: gr.File


def scene_part(engine: Engine) -> Scene:
    """The scene in words, and how it moves."""
    own = engine.defaults()
    first = next(iter(engine.actions))
    with gr.Group(elem_classes="hv-card-group"):
        prompt = gr.Textbox(
            label="Describe the scene", placeholder="a blue waterfall in the mountains", lines=2, max_lines=5,
            elem_id="prompt",
        )  # fmt: skip
        reading = gr.HTML("", elem_id="reading")
        with gr.Row(elem_classes="hv-examples"):
            examples = gr.Dataset(
                components=[prompt], samples=[[text] for text in engine.actions[first].examples], show_label=False,
                container=False, elem_id="examples", layout="gallery", scale=1,
            )  # fmt: skip
            surprise = gr.Button("Surprise me", size="sm", elem_id="surprise", scale=0, min_width=130)
    action = gr.Radio(
        [(action.title, name) for name, action in engine.actions.items()], value=first, label="What happens",
        elem_id="action", elem_classes="hv-pills",
    )  # fmt: skip
    style = gr.Radio(
        [(style.title, name) for name, style in engine.styles.items()], value=own.style, label="Style",
        elem_id="style", elem_classes="hv-pills",
    )  # fmt: skip
    return Scene(prompt, action, style, reading, examples, surprise)


def frame_part(engine: Engine) -> Frame:
    """The first frame in its editor."""
    size = engine.profile.video
    with gr.Column(elem_classes="hv-frame"):
        with gr.Row(elem_classes="hv-head"):
            gr.HTML("<h2>First frame</h2>", min_width=120)
            note = gr.HTML(origin_note(Session()), elem_id="note", min_width=120)
        with gr.Row(elem_classes="hv-tools"):
            upload = gr.UploadButton("Upload a picture", file_types=["image"], size="sm", elem_id="upload")
            draw_few = gr.Button("Four to choose from", size="sm", elem_id="draw-few")
            repaint = gr.Button("Redraw what I brushed", size="sm", elem_id="repaint")
        few = gr.HTML("", elem_id="few", js_on_load=PICK_JS)
        editor = gr.ImageEditor(
            type="pil", format="png", image_mode="RGBA", sources=(), transforms=("crop",), layers=False, buttons=[],
            canvas_size=(size.width, size.height), brush=gr.Brush(default_size=size.width // 24, colors=COLOURS),
            eraser=gr.Eraser(default_size=size.width // 16), show_label=False, height=350, elem_id="editor",
        )  # fmt: skip
        gr.Markdown(PICTURE_HINT, elem_classes="hv-hint")
    return Frame(editor, note, upload, draw_few, repaint, few)


def motion_part(engine: Engine) -> Motion:
    """The learnt motion, and the settings folded away."""
    own = engine.defaults()
    choices = engine.packs(own.action)
    with gr.Row(elem_classes="hv-line hv-motion"):
        pack = gr.Dropdown(
            [(choice.title, choice.id) for choice in choices], value=choices[0].id, label="Learnt motion",
            elem_id="pack", scale=3, min_width=180, allow_custom_value=True,  # it may lag behind the action
        )  # fmt: skip
        strength = gr.Slider(
            0, 1.5, 1.0, step=0.05, label="Strength", buttons=[], elem_id="strength", scale=3, min_width=180
        )
    fetch = Fetch("fetch")
    with gr.Accordion("More settings", open=False, elem_id="advanced"):
        painter = painter_menu(engine, own.painter, info="Who draws the first frame", elem_id="painter")
        with gr.Row(elem_classes="hv-line"):
            seed = gr.Number(0, label="Seed", precision=0, elem_id="seed", min_width=120)
            fresh = gr.Checkbox(True, label="New every time", elem_id="fresh", container=False, min_width=140)
            reuse = gr.Button("Last used", size="sm", elem_id="reuse", scale=0, min_width=110)
        sampler = gr.Radio(
            [(title, name) for name, title in words.SAMPLERS.items()], value=own.sampler, label="Sampler",
            elem_id="sampler", elem_classes="hv-pills",
        )  # fmt: skip
        steps = gr.Slider(1, 100, own.steps, step=1, label="Steps", info="More is finer and slower", elem_id="steps")
        guidance = gr.Slider(
            0, 20, own.guidance, step=0.5, label="Guidance", info="How closely the clip follows the words",
            elem_id="guidance",
        )  # fmt: skip
        frames = gr.Slider(
            2, 32, own.frames, step=1, label="Frames", elem_id="frames",
            info=f"{engine.profile.video.fps} play in a second",
        )  # fmt: skip
    return Motion(pack, strength, seed, fresh, sampler, steps, guidance, frames, painter, reuse, fetch)


def bar_part() -> Bar:
    """Progress and the buttons."""
    with gr.Column(elem_id="actionbar"):
        bar = gr.HTML("", elem_id="bar")
        with gr.Row():
            draw = gr.Button("First frame", elem_id="draw", scale=2, min_width=110)
            animate = gr.Button("Animate", variant="primary", elem_id="animate", scale=3, min_width=120)
            stop = gr.Button("Stop", variant="stop", elem_id="stop", scale=3, min_width=120, visible=False)
    return Bar(bar, draw, animate, stop)


def result_part() -> Result:
    """The clip and the gallery."""
    stage = gr.HTML(words.stage_empty(), elem_id="stage")
    with gr.Column(visible=False, elem_id="details") as details:
        recipe = gr.HTML("", elem_id="recipe")
        with gr.Row(elem_classes="hv-tools"):
            links = gr.HTML("", elem_id="links", min_width=130)
            gif = gr.Button("Download GIF", size="sm", elem_id="gif", min_width=120)
            use = gr.Button("Use these settings", size="sm", elem_id="use", min_width=120)
            delete = gr.Button("Delete", size="sm", elem_id="delete", min_width=80)
        score = gr.Radio(
            [1, 2, 3, 4, 5], label="Rate it", elem_id="score",
            info="5 is best. Align pairs the rated clips of one prompt by their scores",
        )  # fmt: skip
        rater = gr.Textbox(visible=False)  # carries what RATER_JS says
        with gr.Row(visible=False, elem_id="confirm", elem_classes="hv-tools") as confirm:
            gr.HTML("<p role='alert'>Delete this clip and its files for good?</p>")
            confirm_yes = gr.Button("Delete it", variant="stop", size="sm", elem_id="confirm-yes", min_width=90)
            confirm_no = gr.Button("Keep it", size="sm", elem_id="confirm-no", min_width=90)
        gif_link = gr.HTML("", elem_id="gif-link", elem_classes="hv-offscreen")
    with gr.Row(elem_classes="hv-head"):
        gr.HTML("<h2>Gallery</h2>", min_width=90)
        for_rating = gr.Checkbox(
            False, label="Also clips made for rating", info="Seen here first, they are not judged blind",
            container=False, elem_id="for-rating", min_width=200,
        )  # fmt: skip
    gallery = gr.HTML("", elem_id="gallery", js_on_load=GALLERY_JS)
    more = gr.Button("Show more", size="sm", elem_id="more", visible=False)
    with gr.Accordion("Reuse the settings of a saved clip", open=False, elem_id="from-file"):
        dropped = gr.File(
            label="Drop an MP4 that was made here", file_types=[".mp4"], height=120, elem_id="dropped",
        )  # fmt: skip
    return Result(
        stage, details, recipe, links, score, rater, gif, gif_link, use, delete, confirm, confirm_yes, confirm_no,
        for_rating, gallery, more, dropped,
    )  # fmt: skip


# Cards answer to a press, and play while the pointer or the keyboard is on them.
GALLERY_JS = """
const card = (event) => event.target.closest('.hv-card');
element.addEventListener('click', (event) => {
  if (!card(event)) return;
  element.querySelectorAll('.hv-card').forEach((other) => other.setAttribute('aria-pressed', other === card(event)));
  trigger('select', {id: card(event).dataset.id});
});
const play = (event) => {
  const video = card(event)?.querySelector('video');
  if (!video) return;
  if (!video.src) video.src = video.dataset.src;
  video.play().catch(() => {});
};
const pause = (event) => card(event)?.querySelector('video').pause();
for (const name of ['mouseover', 'focusin']) element.addEventListener(name, play);
for (const name of ['mouseout', 'focusout']) element.addEventListener(name, pause);
"""
