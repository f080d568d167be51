"""What a profile needs of a GPU under each memory plan, as a table: drawing, animating, teaching, aligning.
Loads no weights."""

from dataclasses import replace

from huvidpo_core.config import ASSETS, Profile
from huvidpo_core.errors import UserError
from huvidpo_core.generation.footprint import footprint
from huvidpo_core.generation.plans import load_plans
from huvidpo_core.recipe import FRAMES
from huvidpo_core.training.memory import needs
from huvidpo_core.training.motion_settings import load_motion_settings
from huvidpo_core.training.settings import load_settings

TAUGHT, ALIGNED, LIKED = "lamp", "huvidpo", "diffusion_dpo"  # presets: one clip a step; one pair, a LoRA of rank 16


def table(profile: Profile, frames: int | None = None) -> str:
    """Markdown, in 1e9 bytes; `frames` of the profile without it.

    Raises:
        UserError: a profile that needs no GPU, or a number of frames that no clip has.
    """
    if not profile.gpu_gigabytes:
        raise UserError(f"The profile {profile.name} needs no GPU, so it has no memory plans. Ask for --profile full.")
    video = profile.video
    frames = video.frames if frames is None else frames
    if not FRAMES[0] <= frames <= FRAMES[1]:
        raise UserError(f"--frames is {frames}; a clip has {FRAMES[0]} to {FRAMES[1]}.")
    size = {"height": video.height, "width": video.width, "frames": frames}
    teaching = load_motion_settings(TAUGHT)
    pictures = {"height": profile.first_frame.height, "width": profile.first_frame.width, "frames": 0}
    trainings = (
        (teaching, size),
        (replace(teaching, optimizer="adamw8bit"), size),
        (load_settings(ALIGNED), size),
        (load_settings(LIKED, ASSETS / "picture"), pictures),
    )
    learning = {  # counting takes seconds
        recomputed: [
            needs(each if each.checkpointing else replace(each, checkpointing=recomputed), device="cuda", **of).total
            for each, of in trainings
        ]
        for recomputed in {plan.checkpointing for plan in load_plans()}
    }
    lines = [
        f"{profile.title}, {frames} x {video.height} x {video.width}; GB at the peak, as counted beforehand",
        "",
        "| plan | what it does | first frame | animation | by AnimateDiff | teaching | with 8-bit Adam | alignment "
        "| of first frames |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for plan in load_plans():
        made = footprint(profile, plan, frames)
        needed = [made.drawing, made.animating, made.compared, *learning[plan.checkpointing]]
        cells = " | ".join(_cell(need, plan.gigabytes * 1e9) for need in needed)
        activations = ", activations are computed twice in training" if plan.checkpointing else ""
        lines.append(f"| {plan.name} GB | {plan.words}{activations} | {cells} |")
    return "\n".join(lines) + "\n"


def _cell(need: float, there: float) -> str:
    if not need:  # AnimateDiff's clips have an end
        return "not possible"
    return f"{need / 1e9:.1f}" + ("" if need <= there else " (too much)")
