"""`python -m huvidpo_core ...`: the engine without a browser. Exit status 0, or 2 with a sentence on stderr."""

import argparse
import json
import logging
import os
import sys
import threading
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # before torch: spinning threads are ten times slower on busy cores
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")  # stderr is for our one line
os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")

from huvidpo_core import cli_rating, cli_together, cli_training, media
from huvidpo_core.actions import Actions, check_name, title_of
from huvidpo_core.cli_output import check_writable, follow
from huvidpo_core.config import PACKS, load_profile, profile_names
from huvidpo_core.engine import Clip, Engine, Picture, choose_profile
from huvidpo_core.errors import UserError
from huvidpo_core.flags import Parser, add_machine
from huvidpo_core.published import base_network, one_folder
from huvidpo_core.recipe import SAMPLERS, Recipe


def parser() -> Parser:
    """All commands and their arguments."""
    top = Parser(prog="python -m huvidpo_core", description="HuViDPO Lab on the command line.")
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")

    make = commands.add_parser("generate", help="a prompt to an MP4")
    make.add_argument("--prompt", required=True)
    make.add_argument("--action", required=True)
    make.add_argument("--style", required=True)
    make.add_argument("--seed", type=int, default=0)
    make.add_argument("--output", type=Path, required=True, help="the MP4 to write")
    add_machine(make)
    make.add_argument("--first-frame", type=Path, help="animate this picture instead of drawing one")
    make.add_argument("--steps", type=int, help="denoising steps; the profile's own number if not given")
    make.add_argument("--guidance", type=float)
    make.add_argument("--sampler", default="fast", help=" or ".join(SAMPLERS))
    make.add_argument("--frames", type=int, help="frames of the clip; the profile's own number if not given")
    make.add_argument("--pack", help="action pack, PACK/PREFERENCE, PACK@lamp, @animatediff; empty for the base")
    make.add_argument("--strength", type=float, default=1.0)
    make.add_argument("--painter", help="who draws the first frame: plain, sd15, ...; the profile's own if not given")
    make.add_argument("--allow-downloads", action="store_true", help="fetch models the profile lacks (assets/profiles)")
    make.add_argument("--json", action="store_true", help="print the recipe and the times as one JSON line")
    make.set_defaults(run=generate)

    official = commands.add_parser("import-official", help="a published HuViDPO or LAMP checkpoint to an action pack")
    official.add_argument("--unet", type=Path, required=True, help="the checkpoint's folder, or its unet/")
    official.add_argument("--lora", type=Path, help="a HuViDPO LoRA (.pth)")
    official.add_argument(
        "--key-frames",
        choices=("first+previous", "first"),
        default="first+previous",
        help="what attention looks at: first+previous for a HuViDPO checkpoint, first for LAMP's",
    )
    official.add_argument("--action", required=True, help="its name, a new one or one there is")
    official.add_argument("--title", default="", help="of the action, for people; made from its name if not given")
    official.add_argument("--family", default="sd1")
    official.add_argument("--base", help="what it was trained on, a folder or hub name; the family's own if not given")
    official.add_argument("--output", type=Path, help="the pack's folder; lora_weights/FAMILY/ACTION if not given")
    official.set_defaults(run=import_official)

    room = commands.add_parser("memory", help="what a profile needs of a GPU's memory, by plan; loads nothing")
    room.add_argument("--profile", default="full")
    room.add_argument("--frames", type=int, help="frames of the clip; the profile's own number if not given")
    room.set_defaults(run=memory)

    cli_together.add_commands(commands)
    cli_training.add_commands(commands)
    cli_rating.add_commands(commands)
    return top


def generate(options: argparse.Namespace) -> None:
    """Draw or read the first frame, animate it, and put the MP4 where it was asked for."""
    recipe = Recipe.asked(
        options.prompt,
        options.action,
        options.style,
        seed=options.seed,
        steps=options.steps,
        guidance=options.guidance,
        sampler=options.sampler,
        pack=options.pack,
        strength=options.strength,
        frames=options.frames,
        painter=options.painter,
    )
    profile = choose_profile(options.profile, options.device)
    output = options.output
    if output.suffix.lower() != ".mp4":
        raise UserError(f"--output is {output}; its name must end in .mp4.")
    check_writable(output, "--output")
    engine = Engine(profile, options.data, options.device, plan=options.plan)
    if options.allow_downloads:
        engine.allow_downloads(recipe.painter, recipe.pack or "")
    recipe.check(engine.actions, engine.styles)
    stop = threading.Event()
    if options.first_frame:
        picture = Picture(engine.fit(media.read_image(options.first_frame)), recipe.with_(origin="uploaded"))
    else:
        picture = follow(engine.first_frame(recipe, stop))
    clip: Clip = follow(engine.animate(picture.recipe, picture.image, stop))
    media.copy_whole(clip.video, output)
    if options.json:
        result = {"output": str(output), "seconds": round(clip.seconds, 2), "recipe": clip.recipe.to_dict()}
        result |= {"models": engine.status()}  # device, plan, memory at the peak
        sys.stdout.write(json.dumps(result) + "\n")
    else:
        sys.stdout.write(f"{output}\n")


def import_official(options: argparse.Namespace) -> None:
    """Turn a published checkpoint into an action pack and say where it is."""
    from huvidpo_core.models.imports import import_official as convert

    bases = {profile.family: profile.video.base for profile in map(load_profile, reversed(profile_names()))}
    if options.family not in bases and not options.output:  # a pack there would be in no menu
        raise UserError(f"There is no family '{options.family}'. Choose one of: {', '.join(sorted(bases))}.")
    base = options.base or bases.get(options.family) or load_profile("full").video.base
    action = Actions(PACKS / options.family).get(check_name(options.action))
    with one_folder([options.unet]) as unet:
        onto = base_network(base)
        pack = convert(
            unet,
            options.output or PACKS / options.family / options.action,
            action=options.action,
            lora_file=options.lora,
            key_frames=options.key_frames,
            title=" ".join(options.title.split()) or (action.title if action else title_of(options.action)),
            base=base,
            onto=onto,
        )
    if onto.device.type == "meta":
        sys.stderr.write(
            f"{base} is not on this machine, so that names and shapes were compared with it, and not the values. These "
            "are when the pack is used.\n"
        )
    sys.stdout.write(f"{pack.folder}\n")


def memory(options: argparse.Namespace) -> None:
    """Print a table of the plans."""
    from huvidpo_core.room import table

    sys.stdout.write(table(choose_profile(options.profile), options.frames))


def main(arguments: list[str] | None = None) -> int:
    """Run one command."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    options = parser().parse_args(arguments)
    try:
        options.run(options)
    except UserError as error:
        sys.stderr.write(" ".join(str(error).split()) + "\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("Stopped.\n")
        return 130
    return 0
