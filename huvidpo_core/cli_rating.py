"""The command line's rating: clips that are brought, automatic raters, votes that come and go."""

import argparse
import sys
import threading
from pathlib import Path

from huvidpo_core.cli_output import follow
from huvidpo_core.engine import Engine, choose_profile
from huvidpo_core.errors import UserError


def add_commands(commands: "argparse._SubParsersAction") -> None:
    """Add what is here to the command line."""
    bring = commands.add_parser("bring", help="take in clips to be rated: MP4s, GIFs, or folders of them")
    bring.add_argument("--clips", type=Path, nargs="+", required=True, help="files and folders")
    bring.add_argument("--prompt", required=True, help="what they show; clips of one prompt are paired")
    bring.add_argument("--action", required=True)
    bring.add_argument(
        "--method",
        default="",
        metavar="NAME",
        help="what made them, such as LVDM: they are then paired with clips of other models, and ranked by this name",
    )
    bring.set_defaults(run=bring_clips)

    rater = commands.add_parser("judge", help="let an automatic rater vote on the pairs it has not seen")
    rater.add_argument(
        "--rater",
        choices=("profile", "vlm"),
        default="profile",
        help="what the profile judges with; or the model that HUVIDPO_JUDGE_URL, HUVIDPO_JUDGE_MODEL and "
        "HUVIDPO_JUDGE_KEY name",
    )
    rater.add_argument("--action", help="pairs of this action only")
    rater.set_defaults(run=judge_pairs)

    out = commands.add_parser("export", help="clips, chosen first frames and votes to a Hugging Face dataset")
    out.add_argument("--output", type=Path, required=True, help="an empty or new folder, or an earlier export")
    out.add_argument("--action", help="votes about this action only")
    out.add_argument("--parquet", action="store_true", help="add a parquet as Diffusion-DPO lays it out")
    out.set_defaults(run=export)
    back = commands.add_parser("import", help="bring back what export wrote; nothing comes in twice")
    back.add_argument("--input", type=Path, required=True, help="the exported folder, or a .zip of it")
    back.set_defaults(run=import_votes)
    for command in (bring, rater, out, back):
        command.add_argument("--profile", help="miniature or full; chosen by the hardware when not given")
        command.add_argument("--data", type=Path, default=Path("data"), help="the app's data folder")


def bring_clips(options: argparse.Namespace) -> None:
    """Take clips in and print how many; on stderr, what to do about those of a method that have no rivals yet."""
    engine = Engine(choose_profile(options.profile), options.data)
    taken = engine.bring_clips(options.clips, options.prompt, options.action, options.method)
    sys.stdout.write(f"{len(taken)} clips\n")
    if options.method.strip() and (alone := engine.without_pair(taken)):
        sys.stderr.write(
            f"There is nothing to compare {len(alone)} of them with yet: make clips of this prompt and action first "
            "(generate, into the same --data) and bring these again, or bring another method's.\n"
        )


def judge_pairs(options: argparse.Namespace) -> None:
    """Vote on the open pairs and print how many votes that were."""
    engine = Engine(choose_profile(options.profile), options.data)
    if options.action not in (None, *engine.actions):
        raise UserError(f"There is no action '{options.action}'. Choose one of: {', '.join(engine.actions)}.")
    count = follow(engine.judge_pairs(options.rater, threading.Event(), options.action))
    sys.stdout.write(f"{count} votes\n")


def export(options: argparse.Namespace) -> None:
    """Write the dataset and say where it is."""
    engine = Engine(choose_profile(options.profile), options.data)
    sys.stdout.write(f"{engine.export(options.output, options.action, parquet=options.parquet)}\n")


def import_votes(options: argparse.Namespace) -> None:
    """Bring an export in and print how many votes are new."""
    engine = Engine(choose_profile(options.profile), options.data)
    sys.stdout.write(f"{follow(engine.import_votes([options.input], threading.Event()))} votes\n")
