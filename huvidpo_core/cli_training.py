"""The command line's trainings: `train-motion`, `align` and `align-first-frame`."""

import argparse
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

from huvidpo_core.cli_output import follow
from huvidpo_core.engine import Engine, Progress, choose_profile
from huvidpo_core.errors import Stopped, UserError
from huvidpo_core.flags import add_machine
from huvidpo_core.runs import COMMANDS
from huvidpo_core.training.record import Kind, RunFolder
from huvidpo_core.trainings import Trainings

if TYPE_CHECKING:
    from huvidpo_core.training.motion_settings import MotionSettings
    from huvidpo_core.training.settings import AlignSettings

S = TypeVar("S", "AlignSettings", "MotionSettings")

_SETTINGS = "a preset in assets/{} or a TOML file; the profile's own if not"


def add_commands(commands: "argparse._SubParsersAction") -> None:
    """Add what is here to the command line."""
    motion = commands.add_parser("train-motion", help="teach an action from a few clips: stage 1")
    motion.add_argument("--action", help="its name, a new one or one there is; not needed to resume")
    motion.add_argument(
        "--clips",
        type=Path,
        nargs="+",
        default=[],
        help="folders of videos (or of folders of pictures), or files; 8 to 16 clips; a .txt of a clip's name says "
        "what it shows",
    )
    motion.add_argument("--prompt", help="what the clips show, with {} for what varies: 'a {} ball bounces'")
    motion.add_argument("--title", default="", help="of the action, for people; made from its name if not given")
    motion.add_argument("--settings", default="", help=_SETTINGS.format("teach"))
    motion.add_argument("--steps", type=int, help="in place of the settings'; also to resume")
    motion.add_argument("--no-adopt", action="store_true", help="leave the finished pack in --output: not in Create")
    motion.set_defaults(run=train_motion)

    learn = commands.add_parser("align", help="fine-tune a LoRA on votes: stage 2")
    learn.add_argument("--action", help="whose votes and whose pack; not needed to resume")
    source = learn.add_mutually_exclusive_group()
    source.add_argument("--votes", action="store_true", help="learn from what the data folder holds; the default")
    source.add_argument("--dataset", type=Path, help="learn from a videofolder dataset, as `export` writes it")
    learn.add_argument("--settings", default="", help=_SETTINGS.format("align"))
    learn.add_argument(
        "--rater",
        action="append",
        default=[],
        help="this rater's votes only; may be repeated; if not given, people's, or where none voted, everybody's",
    )
    learn.add_argument(
        "--loss",
        help="huvidpo, dense, dense-sum or kto, in place of the settings', where "
        "loss_type (sigmoid, robust, hinge, ipo), label_smoothing, tie_threshold, safeguard are set",
    )
    learn.add_argument(
        "--steps", type=int, help="in place of the settings'; 0: twelve passes over the pairs; also to resume"
    )
    learn.add_argument("--pack", help="the action pack to train on; the action's own if not given, '' for the base")
    learn.add_argument("--name", default="", help="of the LoRA")
    learn.set_defaults(run=align)

    paint = commands.add_parser("align-first-frame", help="fine-tune a LoRA for first frames on choices made in Create")
    paint.add_argument("--votes", action="store_true", help="learn from what the data folder holds, as it does anyway")
    paint.add_argument("--settings", default="", help=_SETTINGS.format("picture"))
    paint.add_argument("--rater", action="append", default=[], help="this rater's choices only; may be repeated")
    paint.add_argument(
        "--steps", type=int, help="in place of the settings'; 0: twelve passes over the pairs; also to resume"
    )
    paint.add_argument("--name", default="", help="of the LoRA")
    paint.set_defaults(run=align_first_frame)

    for command in (learn, paint):
        command.add_argument(
            "--adopt",
            action="store_true",
            help="put the finished LoRA to use, without a blind round: Create has it then",
        )
    for command in (motion, learn, paint):
        command.add_argument("--output", type=Path, required=True, help="folder of the run, its record and its result")
        command.add_argument("--resume", action="store_true", help="continue the run in --output where it was stopped")
        add_machine(command, "when not given, the run's, or chosen by the hardware")


def train_motion(options: argparse.Namespace) -> None:
    """Begin or resume a run that teaches an action, carry it out here, and say where the pack is."""

    def begin(engine: Engine) -> list[str]:
        trainings = engine.trainings
        for flag in ("action", "clips", "prompt"):
            if not getattr(options, flag):
                raise UserError(f"--{flag} is missing: say what is to be taught, or give --resume.")
        settings, lines = _for_all(trainings.settings(options.settings, "teach", steps=options.steps))
        trainings.prepare_teaching(
            options.action, options.clips, options.prompt, settings, output=options.output, title=options.title,
            adopt=not options.no_adopt,
        )  # fmt: skip
        return [*trainings.open(options.output).asked()["notes"], *lines, trainings.needs(_own_share(settings))]

    _carry_out(options, "teach", begin, ("action", "clips", "prompt", "title", "settings", "no_adopt"))


def align(options: argparse.Namespace) -> None:
    """Begin or resume a run that learns from votes, carry it out here, and say where the LoRA is."""

    def begin(engine: Engine) -> list[str]:
        trainings = engine.trainings
        if not options.action:
            raise UserError("--action is missing: say whose votes to learn from, or give --resume.")
        settings, lines = _for_all(trainings.settings(options.settings, loss=options.loss, steps=options.steps))
        trainings.prepare(
            options.action, settings, output=options.output, dataset=options.dataset,
            raters=options.rater, name=options.name, pack=options.pack,
        )  # fmt: skip
        return [*lines, trainings.needs(_own_share(settings))]

    _carry_out(options, "align", begin, ("settings", "dataset", "rater", "loss", "pack", "name"))


def align_first_frame(options: argparse.Namespace) -> None:
    """Begin or resume a run that learns from choices of first frames, carry it out here, and say where the LoRA is."""

    def begin(engine: Engine) -> list[str]:
        settings, lines = _for_all(engine.trainings.settings(options.settings, "picture", steps=options.steps))
        engine.picture_trainings.prepare(settings, output=options.output, raters=options.rater, name=options.name)
        return [*lines, engine.trainings.needs(_own_share(settings), "picture")]

    _carry_out(options, "picture", begin, ("settings", "rater", "name"))


def _carry_out(
    options: argparse.Namespace, kind: Kind, begin: Callable[[Engine], list[str]], fixed: tuple[str, ...]
) -> None:
    """Begin or resume a run of a kind and train to the end. Ctrl-C stops it after its step. `begin` gives lines to be
    told. What is `fixed` when it begins cannot be asked for again."""
    begun = _begun(options, kind, fixed) if options.resume else {}
    profile = choose_profile(options.profile or begun.get("profile"), options.device)
    engine = Engine(profile, options.data, options.device, plan=options.plan)
    trainings = engine.trainings
    lines: list[str] = []
    with trainings.one_for_all() as leads:
        if leads and not options.resume:
            lines = begin(engine)
        elif leads and options.steps is not None:
            trainings.prolong(trainings.open(options.output), options.steps)
    run = trainings.open(options.output)
    if options.resume and options.steps is None and run.state().status == "finished" and trainings.result(run).exists():
        _say(trainings, f"There is nothing left to do: {run.state().message}", sys.stderr)
        _put_to_use(options, trainings, run)
        _say(trainings, str(trainings.result(run)))
        return
    stop = threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        follow(_told(lines, trainings.carry_out(run, stop)))
        words = str(trainings.result(run))
        _say(trainings, run.state().message, sys.stderr)
        _put_to_use(options, trainings, run)
    except Stopped:
        words = f"Stopped. Continue with: python -m huvidpo_core {COMMANDS[kind]} --resume --output {run.path}"
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    _say(trainings, words)


def _put_to_use(options: argparse.Namespace, trainings: Trainings, run: RunFolder) -> None:
    """Where that was asked for of a LoRA, once for all processes. Raises UserError."""
    if not getattr(options, "adopt", False):
        return
    with trainings.one_for_all() as leads:
        if leads:
            sys.stderr.write(f"Create has it as '{trainings.adopt(run)}'.\n")


def _for_all(settings: S) -> tuple[S, list[str]]:
    """Settings whose batch the processes that `accelerate launch` has started share evenly, and what to tell of it."""
    count = _processes()
    batch = -(-settings.batch // count) * count
    if batch == settings.batch:
        return settings, []
    line = f"A step learns from {batch} at a time in place of {settings.batch}, which {count} processes share evenly."
    return replace(settings, batch=batch), [line]


def _own_share(settings: S) -> S:
    """The same as one of the processes has it."""
    return replace(settings, batch=settings.batch // _processes())


def _processes() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


def _told(lines: list[str], work: Iterator[Progress]) -> Iterator[Progress]:
    """The work, and the lines on stderr: on a terminal at once, else before the first step, so that a mistake that
    shows until then is the only line there."""
    for progress in chain([None], work):
        if lines and (sys.stderr.isatty() or (progress and progress.stage == "training")):
            sys.stderr.write("".join(f"{line}\n" for line in lines))
            lines = []
        if progress:
            yield progress


def _say(trainings: Trainings, words: str, stream: TextIO | None = None) -> None:
    """Write a line, by default to stdout; of several processes one does."""
    with trainings.one_for_all() as leads:
        if leads:
            (stream or sys.stdout).write(f"{words}\n")


def _begun(options: argparse.Namespace, kind: Kind, fixed: tuple[str, ...]) -> dict[str, Any]:
    """What a run that is to be resumed was asked for. Raises UserError, too for what can no longer be asked for."""
    for flag in fixed:
        if getattr(options, flag) not in (None, "", [], False):
            raise UserError(
                f"A resumed run goes on as it was begun. Leave out --{flag.replace('_', '-')}, or begin a new run."
            )
    asked = RunFolder.open(options.output).asked()
    if asked["kind"] != kind:
        raise UserError(f"{options.output} is a run of another kind. Resume it with `{COMMANDS[asked['kind']]}`.")
    if kind == "align" and options.action not in (None, asked["action"]):
        raise UserError(f"{options.output} is a run of '{asked['action']}'. Leave out --action, or begin a new run.")
    if kind == "align" and options.votes and asked["dataset"]:
        raise UserError(f"{options.output} learns from a dataset. Leave out --votes, or begin a new run.")
    return asked
