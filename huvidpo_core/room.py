"""What a profile needs of a GPU under each memory plan, as a table: drawing, animating, aligning. Loads no weights."""

from dataclasses import replace

from huvidpo_core.config import Profile
from huvidpo_core.errors import UserError
from huvidpo_core.generation.footprint import footprint
from huvidpo_core.generation.plans import load_plans
from huvidpo_core.training.memory import needs
from huvidpo_core.training.settings import load_settings

PRESET = "huvidpo"  # one pair a step, a LoRA of rank 16


def table(profile: Profile, frames: int = 0) -> str:
    """Markdown, in 1e9 bytes; `frames` of the profile without it. Raises UserError for a profile that needs no GPU."""
    if not profile.gpu_gigabytes:
        raise UserError(f"The profile {profile.name} needs no GPU, so it has no memory plans. Ask for --profile full.")
    video, settings = profile.video, load_settings(PRESET)
    frames = frames or video.frames
    size = {"height": video.height, "width": video.width, "frames": frames}
    aligning = {  # counting takes seconds
        recomputed: needs(replace(settings, checkpointing=recomputed), device="cuda", **size).total
        for recomputed in {plan.checkpointing for plan in load_plans()}
    }
    lines = [
        f"{profile.title}, {frames} x {video.height} x {video.width}; GB at the peak, as counted beforehand",
        "",
        "| plan | what it does | first frame | animation | alignment |",
        "|---|---|---|---|---|",
    ]
    for plan in load_plans():
        made = footprint(profile, plan, frames)
        needed = [made.drawing, made.animating, aligning[plan.checkpointing]]
        cells = " | ".join(
            f"{need / 1e9:.1f}" + ("" if need <= plan.gigabytes * 1e9 else " (too much)") for need in needed
        )
        activations = ", activations are computed twice in training" if plan.checkpointing else ""
        lines.append(f"| {plan.name} GB | {plan.words}{activations} | {cells} |")
    return "\n".join(lines) + "\n"
