"""What the app says: progress, recipes, clips and empty places as short HTML. Pure functions, no gradio.

Everything that comes from a person or a file is escaped here.
"""

import base64
import io
import time
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

import numpy as np
from PIL import Image

from huvidpo_core.config import Action, Download, Style, hub_cache
from huvidpo_core.engine import Clip, PackChoice, PainterChoice, Progress
from huvidpo_core.recipe import ANIMATEDIFF, LAMP, Recipe

EMPTY_STAGE = (
    "Your clip will play here",
    "Describe a scene, then press Animate, or Ctrl and Enter. To change the picture first, press First frame.",
)
CHOOSE = ("Your pictures are ready", "Choose the one you like best. It goes into the editor; then press Animate.")
PICTURE_READY = ("Your first frame is ready", "Paint on it or crop it if you like, then press Animate.")
ORIGINS = {
    "generated": "Drawn from your words", "kept": "Drawn from other words", "edited": "Edited by you",
    "uploaded": "Your own picture",
}  # fmt: skip
SAMPLERS = {"fast": "Fast", "ddim": "DDIM, as published"}


def status(text: str) -> str:
    """The engine's own line, in the header."""
    return f'<p class="hv-status">{escape(text)}</p>'


def time_left(seconds: float | None) -> str:
    """Seconds as a person says them."""
    if seconds is None:
        return "estimating the time left"
    if seconds < 90:
        return f"about {max(1, round(seconds))} s left"
    return f"about {round(seconds / 60)} min left"


def progress_bar(progress: Progress) -> str:
    """The bar of running work: stage, step and time left in words; a stage without steps only has a name."""
    stage = progress.stage.capitalize()
    if progress.total <= 1:
        return bar(stage)
    left = "" if progress.step >= progress.total else f" · {time_left(progress.seconds_left)}"
    share = round(100 * min(1, progress.step / progress.total))
    step = f"step {progress.step} of {progress.total}"
    if progress.unit:
        step = f"{progress.step:,} of {progress.total:,} {progress.unit}"
    return bar(stage, f"{step}{left}", share)


def waiting_bar(for_others: bool = False) -> str:
    """The bar between the press of a button and the first step."""
    return bar("Waiting until another page's work is done" if for_others else "Starting")


def stopping_bar() -> str:
    """The bar between Stop and the end of the running step."""
    return bar("Stopping after this step")


def bar(stage: str, detail: str = "", share: int | None = None) -> str:
    """A bar; without a share it only shows that something goes on."""
    now = "" if share is None else f' aria-valuenow="{share}" aria-valuemin="0" aria-valuemax="100"'
    track = '<i class="hv-endless"></i>' if share is None else f'<i style="width:{share}%"></i>'
    return (
        '<div class="hv-bar"><div class="hv-bar-words">'
        f'<span role="status">{escape(stage)}</span><span>{escape(detail)}</span></div>'
        f'<div class="hv-track" role="progressbar" aria-label="{escape(stage, quote=True)}"{now}>{track}</div></div>'
    )


def message(text: str, kind: str = "info") -> str:
    """One sentence in place of the bar; `kind` is info or error."""
    role = "alert" if kind == "error" else "status"
    return f'<p class="hv-message hv-{kind}" role="{role}">{escape(text)}</p>' if text else ""


def hint(text: str) -> str:
    """A sentence in small letters."""
    return f'<p class="hv-hint">{escape(text)}</p>'


def stage_empty(texts: tuple[str, str] = EMPTY_STAGE) -> str:
    """The stage without a clip: says what to do next."""
    title, hint = map(escape, texts)
    return f'<div class="hv-stage hv-empty"><div><b>{title}</b><span>{hint}</span></div></div>'


def stage_preview(pixels: np.ndarray) -> str:
    """The stage during work: the intermediate picture (h, w, 3) or clip (f, h, w, 3)."""
    image = f'<img decoding="sync" src="{data_uri(pixels)}" alt="Preview of the work in progress">'
    return f'<div class="hv-stage hv-working">{image}<span class="hv-tag">Preview</span></div>'


def stage_clip(clip: Clip) -> str:
    """The stage with a finished clip, looping."""
    return (
        f'<div class="hv-stage"><video src="{url(clip.video)}" poster="{url(clip.picture)}" '
        f'aria-label="{escape(clip.recipe.prompt, quote=True)}" autoplay loop muted playsinline controls></video></div>'
    )


def data_uri(pixels: np.ndarray) -> str:
    """Pixels as a small WebP in a data address; clips are animated."""
    frames = [Image.fromarray(frame) for frame in (pixels if pixels.ndim == 4 else pixels[None])]
    buffer = io.BytesIO()
    more = {"save_all": True, "append_images": frames[1:], "duration": 125, "loop": 0} if len(frames) > 1 else {}
    frames[0].save(buffer, "WEBP", quality=70, method=0, **more)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def url(path: Path) -> str:
    """Where the browser finds a file of the data folder; relative, so it holds behind a proxy too."""
    return f"gradio_api/file={quote(path.resolve().as_posix())}"


def motion_words(recipe: Recipe, choices: Sequence[PackChoice]) -> str:
    """The learnt motion of a recipe under its title in the menu, `choices`."""
    if not recipe.pack:
        return "no learnt motion"
    if recipe.pack == ANIMATEDIFF:
        return "AnimateDiff"
    title = next((choice.title for choice in choices if choice.id == recipe.pack), None)
    title = title or f"{gone_title(recipe.pack, choices)} (no longer there)"
    return f"motion “{title.removesuffix(' (motion)')}” at {recipe.strength:.0%}"


def gone_title(pack: str, choices: Sequence[PackChoice]) -> str:
    """What a motion that is no longer among the `choices` was called there."""
    folder, beside, lora = pack.partition("/")
    spelled = folder.replace(LAMP, ", LAMP").replace("_", " ")
    title = next((each.title.removesuffix(" (motion)") for each in choices if each.id == folder), "")
    return f"{title or spelled[:1].upper() + spelled[1:]}{beside and f' + {lora}'}"


def painter_words(recipe: Recipe, painters: Sequence[PainterChoice]) -> str:
    """Who drew a recipe's first frame, if not the profile's own painter, to go on with."""
    return f" by {painter_title(recipe.painter, painters)}" if recipe.painter else ""


def painter_title(painter: str, painters: Sequence[PainterChoice]) -> str:
    """A painter by its title in the menu; one that is gone by its name."""
    _, lora, name = painter.rpartition(":")  # of a LoRA, "lora:NAME"
    return next((each.title for each in painters if each.id == painter), f"{name} (deleted)" if lora else name)


def recipe_words(
    clip: Clip, actions: Mapping[str, Action], styles: Mapping[str, Style], choices: Sequence[PackChoice] = (),
    painters: Sequence[PainterChoice] = (),
) -> str:  # fmt: skip
    """A clip's recipe as a person reads it, by the menus of motions of its action, `choices`, and of painters."""
    recipe = clip.recipe
    facts = [
        _title(actions, recipe.action),
        _title(styles, recipe.style),
        motion_words(recipe, choices),
        f"seed {recipe.seed}",
        f"{recipe.steps} steps ({SAMPLERS.get(recipe.sampler, recipe.sampler)})",
        f"guidance {recipe.guidance:g}",
        f"{recipe.frames} frames",
        f"first frame: {ORIGINS.get(recipe.origin, recipe.origin).lower()}{painter_words(recipe, painters)}",
        f"made {when(clip.created)} in {clip.seconds:.0f} s",
    ]
    chips = "".join(f"<li>{escape(fact)}</li>" for fact in facts)
    prompt = escape(recipe.prompt)  # a long one is cut; all of it shows under the pointer
    return f'<div class="hv-recipe"><p title="{prompt}">{prompt}</p><ul>{chips}</ul></div>'


def download_link(path: Path, recipe: Recipe, label: str, element_id: str) -> str:
    """A link that saves a clip's file under a name made from its prompt."""
    words = "".join(letter if letter.isalnum() else " " for letter in recipe.prompt.lower()).split()
    name = f"{'-'.join(words[:6])[:60] or 'clip'}-{recipe.seed}{path.suffix}"
    return (
        f'<a class="hv-button" id="{element_id}" href="{url(path)}" download="{escape(name, quote=True)}">'
        f"{escape(label)}</a>"
    )


def gallery(clips: Sequence[Clip], selected: str, limit: int) -> str:
    """The clips as a grid of pictures that play when pointed at."""
    if not clips:
        return '<p class="hv-nothing">Nothing here yet. Every clip you make is kept in this gallery.</p>'
    return f'<div class="hv-grid">{"".join(_card(clip, clip.id == selected) for clip in clips[:limit])}</div>'


def _card(clip: Clip, selected: bool) -> str:
    words = escape(clip.recipe.prompt, quote=True)
    return (
        f'<button type="button" class="hv-card" data-id="{clip.id}" aria-pressed="{str(selected).lower()}" '
        f'title="{words}" aria-label="Show the clip: {words}"><img src="{url(clip.picture)}" alt="" loading="lazy">'
        f'<video data-src="{url(clip.video)}" muted loop playsinline preload="none"></video>'
        f"<span>{words}</span></button>"
    )


def downloads(items: Sequence[Download], title: str = "This app needs models that are not on this machine yet") -> str:
    """What is to be fetched: what, how large, under which licence, and where to."""
    if not items:
        return ""
    rows = "".join(
        f"<tr><td><b>{escape(item.name)}</b><br>{escape(item.what)}</td>"
        f"<td>{item.gigabytes:g} GB</td><td>{escape(item.licence)}</td></tr>"
        for item in items
    )
    total = sum(item.gigabytes for item in items)
    return (
        f'<div class="hv-downloads"><h3>{escape(title)}</h3>'
        f"<p>They come from the Hugging Face Hub, {total:.1f} GB in all, and are kept in "
        f"{escape(str(hub_cache()))}. Nothing is fetched before you agree.</p>"
        f"<table><thead><tr><th>Model</th><th>Size</th><th>Licence</th></tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _title(known: Mapping[str, Action | Style], name: str) -> str:
    return known[name].title if name in known else name


def when(created: float) -> str:
    """A moment, seconds since the epoch, as a person says it."""
    moment = time.localtime(created)
    return time.strftime("today %H:%M" if moment[:3] == time.localtime()[:3] else "%d %b %Y %H:%M", moment)
