"""The command line's work that several processes may share under `accelerate launch`: `evaluate` and `make-pairs`."""

import argparse
import sys
import threading
from pathlib import Path

from huvidpo_core.cli_output import check_writable, follow
from huvidpo_core.engine import Engine, Order, choose_profile
from huvidpo_core.errors import UserError
from huvidpo_core.flags import add_machine
from huvidpo_core.recipe import Recipe
from huvidpo_core.together import gathered, meet, share


def add_commands(commands: "argparse._SubParsersAction") -> None:
    """Add what is here to the command line."""
    judge = commands.add_parser(
        "evaluate", help="measure a folder of clips: agreement, motion, flicker, with intervals"
    )
    judge.add_argument("--clips", type=Path, required=True, help="folder of MP4s and GIFs; the folders in it count")
    judge.add_argument(
        "--prompts",
        type=Path,
        help="NAME, tab, PROMPT on each line; or a JSON object; or a prompt on each line, in the order of the clips' "
        "names; the prompts in the clips' recipes if not given",
    )
    judge.add_argument("--json", type=Path, required=True, help="the JSON file to write")
    judge.add_argument("--markdown", type=Path, help="write the tables here too")
    judge.add_argument("--plot", type=Path, help="write a plot here too, a PNG")
    judge.add_argument("--profile", help="miniature or full; chosen by the hardware when not given")
    judge.add_argument("--data", type=Path, default=Path("data"), help="the app's data folder")
    judge.set_defaults(run=evaluate)

    pairs = commands.add_parser("make-pairs", help="make pairs of clips to be rated, without the app")
    pairs.add_argument("--action", required=True)
    pairs.add_argument("--prompts", type=Path, required=True, help="a prompt on each line; they are drawn in turn")
    pairs.add_argument("--count", type=int, required=True, help="how many pairs")
    pairs.add_argument(
        "--source",
        choices=("settings", "seeds"),
        default="settings",
        help="what differs between the two clips of a pair: seed, steps and guidance, or the seed alone",
    )
    pairs.add_argument("--style", help="the first style if not given")
    pairs.add_argument(
        "--pack", help="action pack or PACK/PREFERENCE, empty for the base; the action's own if not given"
    )
    pairs.add_argument("--painter", help="who draws the first frames; the profile's own if not given")
    pairs.add_argument("--allow-downloads", action="store_true", help="fetch models the profile lacks")
    add_machine(pairs)
    pairs.set_defaults(run=make_pairs)


def evaluate(options: argparse.Namespace) -> None:
    """Measure the clips, write what was asked for, and print the table of the totals."""
    if options.plot and options.plot.suffix.lower() != ".png":
        raise UserError(f"--plot is {options.plot}; its name must end in .png.")
    for flag in ("json", "markdown", "plot"):
        if path := getattr(options, flag):
            check_writable(path, f"--{flag}")
    prompts = ""
    if options.prompts:
        from huvidpo_core.evaluation.clips import read_prompts

        prompts = read_prompts(options.prompts)
    profile = choose_profile(options.profile)
    crew, device = meet()
    engine = Engine(profile, options.data, device)
    work = engine.evaluate(options.clips, threading.Event(), prompts=prompts, share=share(crew))
    parts = follow(gathered(crew, work), show=crew.leads)
    if not crew.leads:
        return
    from huvidpo_core.evaluation import Evaluation

    found = Evaluation.joined(parts)
    found.write_json(options.json)
    if options.markdown:
        found.write_markdown(options.markdown)
    if options.plot:
        from huvidpo_core.evaluation.plot import write_plot

        write_plot(found, options.plot)
    sys.stdout.write(found.summary())


def make_pairs(options: argparse.Namespace) -> None:
    """Make the pairs and print how many."""
    if options.count < 1:
        raise UserError(f"--count is {options.count}; ask for one pair at least.")
    prompts = _lines(options.prompts)
    profile = choose_profile(options.profile, options.device)
    crew, device = meet(options.device)
    engine = Engine(profile, options.data, device, plan=options.plan)
    if options.allow_downloads:
        engine.allow_downloads(options.painter or "", options.pack or "")
    style = options.style or next(iter(engine.styles))
    recipes = [
        Recipe.asked(prompt, options.action, style, pack=options.pack, painter=options.painter) for prompt in prompts
    ]
    orders = [Order(recipes[number % len(recipes)], options.source) for number in range(options.count)]
    work = engine.make_pairs_now(orders, threading.Event(), share(crew))
    made = sum(follow(gathered(crew, work), show=crew.leads))
    if crew.leads:
        sys.stdout.write(f"{made} pair{'' if made == 1 else 's'}\n")


def _lines(path: Path) -> list[str]:
    """The lines of a text file that say something. Raises UserError when there are none."""
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not text in UTF-8. Write a prompt on each line.") from error
    except OSError as error:
        raise UserError(f"The prompts file {path} cannot be read: {error.strerror}.") from error
    if not lines:
        raise UserError(f"{path} is empty. Write a prompt on each line.")
    return lines
