"""The command line's trainings: `align`."""

import argparse
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from huvidpo_core.engine import Engine, choose_profile
from huvidpo_core.errors import Stopped, UserError
from huvidpo_core.training.record import RunFolder


def add_commands(commands: "argparse._SubParsersAction") -> None:
    """Add what is here to the command line."""
    learn = commands.add_parser("align", help="fine-tune a LoRA on votes: stage 2")
    learn.add_argument("--action", help="whose votes and whose pack; not needed to resume")
    source = learn.add_mutually_exclusive_group()
    source.add_argument("--votes", action="store_true", help="learn from the votes in the data folder; the default")
    source.add_argument("--dataset", type=Path, help="learn from a videofolder dataset, as `export` writes it")
    learn.add_argument(
        "--settings", default="", help="a preset in assets/align or a TOML file; the profile's own if not"
    )
    learn.add_argument("--rater", action="append", default=[], help="this rater's votes only; may be repeated")
    learn.add_argument("--loss", help="huvidpo, dense or dense-sum, in place of the settings'")
    learn.add_argument(
        "--steps", type=int, help="in place of the settings'; 0: twelve passes over the pairs; also to resume"
    )
    learn.add_argument("--pack", help="the action pack to train on; the action's own if not given, '' for the base")
    learn.add_argument("--name", default="", help="of the LoRA")
    learn.add_argument("--output", type=Path, required=True, help="folder of the run, its record and the LoRA")
    learn.add_argument("--resume", action="store_true", help="continue the run in --output where it was stopped")
    learn.add_argument("--profile", help="miniature or full; chosen by the hardware when not given, or the run's")
    learn.add_argument("--data", type=Path, default=Path("data"), help="the app's data folder")
    learn.set_defaults(run=align)


def align(options: argparse.Namespace) -> None:
    """Begin or resume a run, carry it out here, and say where the LoRA is. Ctrl-C stops it after its step."""
    from huvidpo_core.cli import follow

    begun = _begun(options) if options.resume else {}
    engine = Engine(choose_profile(options.profile or begun.get("profile")), options.data)
    trainings = engine.trainings
    if options.resume:
        if options.steps is not None:
            with trainings.one_for_all() as leads:
                if leads:
                    trainings.open(options.output).prolong(options.steps)
    else:
        if not options.action:
            raise UserError("--action is missing: say whose votes to learn from, or give --resume.")
        settings = trainings.settings(options.settings, loss=options.loss, steps=options.steps)
        with trainings.one_for_all() as leads:
            if leads:
                trainings.prepare(
                    options.action, settings, output=options.output, dataset=options.dataset,
                    raters=options.rater, name=options.name, pack=options.pack,
                )  # fmt: skip
    run = trainings.open(options.output)
    stop = threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        follow(trainings.carry_out(run, stop))
        words = str(trainings.result(run))
    except Stopped:
        words = f"Stopped. Continue with: python -m huvidpo_core align --resume --output {run.path}"
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    with trainings.one_for_all() as leads:
        if leads:
            sys.stdout.write(f"{words}\n")


def _begun(options: argparse.Namespace) -> dict[str, Any]:
    """What a run that is to be resumed was asked for. Raises UserError, too for what can no longer be asked for."""
    for flag in ("settings", "dataset", "rater", "loss", "pack", "name"):
        if getattr(options, flag) not in (None, "", []):
            raise UserError(f"A resumed run goes on as it was begun. Leave out --{flag}, or begin a new run.")
    return RunFolder.open(options.output).asked()
