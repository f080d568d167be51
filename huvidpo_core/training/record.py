"""A run's folder: what was asked for, where it stands, what was measured, sample clips. Files alone, so that every
process (the trainer, the app, a command line) reads the same, and a restart loses nothing.

    run.json           what was asked for; only the number of steps changes later
    .lock              held by the process that carries it out
    .afterwards.lock   held by the one that sees to what follows
    state.json         where it stands; replaced as it goes on
    metrics.jsonl      a line for each step and check
    samples/0050-0.mp4 the sample clips of a check; of first frames, .png
    checkpoint.pt      what a resumed run continues from
    log.txt            what the process printed
    preference.safetensors, card.json   the LoRA and what is to be known of it, when an alignment has finished
    clips/, pack/      the clips an action is taught from; its action pack, when that has finished
"""

import json
import os
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from huvidpo_core.config import build
from huvidpo_core.errors import UserError
from huvidpo_core.files import cannot_write, whole_file
from huvidpo_core.models.cards import samples_by_step
from huvidpo_core.training.carrier import identity, is_carried

VERSION = 1  # of this layout
RESULT, CARD = "preference.safetensors", "card.json"
PACK = "pack"
STOP = "stop"  # a file of this name asks the process to stop

Kind = Literal["align", "teach", "picture"]
"""Stage 2, stage 1, and stage 2 for first frames."""
Status = Literal["new", "running", "stopped", "finished", "failed", "died"]


@dataclass(frozen=True)
class RunState:
    """Where a run stands. `message` says in words why it ended; `seconds_left` is None while unknown."""

    status: Status = "new"
    stage: str = ""
    step: int = 0
    steps: int = 0
    seconds_left: float | None = None
    message: str = ""
    spare: bool = False  # memory ran out: go on by what needs less
    pid: int = 0
    born: float = 0.0  # when the process was created, for numbers are used again
    updated: float = 0.0  # seconds since the epoch


@dataclass(frozen=True)
class RunFolder:
    """A run by its folder."""

    path: Path

    @classmethod
    def create(cls, path: Path, asked: dict[str, Any]) -> "RunFolder":
        """Begin a record. Raises UserError where there is one already, or the folder cannot be written."""
        cls.check_free(path)
        run = cls(path)
        run._ask(asked | {"version": VERSION, "created": time.time()})
        return run

    @staticmethod
    def check_free(path: Path) -> None:
        """Raise UserError where there is a record already."""
        if (path / "run.json").exists():
            raise UserError(f"{path} holds a run already. Continue it with --resume, or choose another folder.")

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """An existing record. Raises UserError where there is none, or one of a newer version."""
        cls(path).asked()
        return cls(path)

    def asked(self) -> dict[str, Any]:
        """What was asked for; `kind` is the stage. Raises UserError for a missing, damaged or newer record."""
        try:
            values = json.loads((self.path / "run.json").read_text(encoding="utf-8"))
            if (version := values["version"]) > VERSION:
                raise UserError(
                    f"{self.path} was written by a newer version of this program (layout {version}). Update to open it."
                )
            return _checked({"kind": "align"} | values)  # the first records did not say
        except (FileNotFoundError, NotADirectoryError):
            raise UserError(f"There is no training run in {self.path}. Check the folder's name.") from None
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{self.path / 'run.json'} is damaged ({error}). Start the training anew.") from error

    def prolong(self, steps: int, passes: int = 0) -> None:
        """Ask for this many steps in all, before it is resumed; `passes` is what 0 comes to, where that is known.

        Raises:
            UserError: no such number, it has done as many, it ended before its last step, and would again, or it is
                running.
        """
        asked, state = self.asked(), self.state()
        if state.status == "running":
            raise UserError("This training is running already. Stop it first, then ask for more steps.")
        least, words = (1, "1") if asked["kind"] == "teach" else (0, "0 (twelve passes over the pairs)")
        if steps < least:
            raise UserError(f"The number of steps is {steps}. Choose {words} or more.")
        if state.status == "finished" and state.step < state.steps:
            raise UserError(f"More steps would change nothing. {state.message}")
        if 0 < (steps or passes) <= state.step:
            means = f"{steps} would be {passes}, and it" if not steps else "It"
            raise UserError(f"{means} has done {state.step} steps already; choose more.")
        self._ask(asked | {"settings": asked["settings"] | {"steps": steps}})

    def _ask(self, values: dict[str, Any]) -> None:
        with whole_file(self.path / "run.json") as file:
            file.write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    # Where it stands

    def state(self) -> RunState:
        """The state now; a run whose process is gone without a word has died."""
        try:
            state = build(RunState, json.loads((self.path / "state.json").read_text()), "state.json")
        except (OSError, ValueError, UserError):
            return RunState()
        if state.status == "running" and not is_carried(self.path, state.pid, state.born):
            log = self.path / "log.txt"
            return replace(state, status="died", message=f"The process ended without a word, see {log}. Resume it.")
        return state

    def tell(self, **changes: Any) -> None:
        """Change the state, by default as this process, which carries out the run. Raises UserError: a full disk."""
        state = replace(self.state(), **identity(os.getpid()) | {"updated": time.time()} | changes)
        with whole_file(self.path / "state.json") as file:
            file.write_text(json.dumps(asdict(state)))

    def ask_to_stop(self) -> None:
        """The process finishes its step, saves and ends."""
        try:
            (self.path / STOP).touch()
        except OSError as error:
            raise cannot_write(self.path / STOP, error) from error

    @property
    def asked_to_stop(self) -> bool:
        """Whether somebody has."""
        return (self.path / STOP).exists()

    def withdraw_stop(self) -> None:
        """Before a run goes on."""
        (self.path / STOP).unlink(missing_ok=True)

    # What was measured

    def note(self, kind: Literal["step", "check"], values: dict[str, Any]) -> None:
        """Add a line to the metrics. Raises UserError when the disk is full."""
        try:
            with (self.path / "metrics.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps({"kind": kind, **values}) + "\n")
        except OSError as error:
            raise cannot_write(self.path / "metrics.jsonl", error) from error

    def metrics(self, kind: Literal["step", "check"]) -> list[dict[str, Any]]:
        """All lines of a kind, oldest first; a half-written last line is left out."""
        found = []
        for line in self._lines():
            try:
                values = json.loads(line)
            except ValueError:
                continue
            if values.pop("kind", None) == kind:
                found.append(values)
        return found

    def forget_after(self, steps: int, checked: int) -> None:
        """Drop lines of steps and checks behind a checkpoint: they are done again."""
        last = {"step": steps, "check": checked}
        kept = []
        for line in self._lines():
            try:
                values = json.loads(line)
            except ValueError:
                continue
            if values["step"] <= last[values["kind"]]:
                kept.append(line)
        with whole_file(self.path / "metrics.jsonl") as file:
            file.write_text("".join(f"{line}\n" for line in kept), encoding="utf-8")

    def samples(self) -> dict[int, list[Path]]:
        """Sample clips by step."""
        return samples_by_step(self.path / "samples")

    def sample(self, step: int, number: int, suffix: str = ".mp4") -> Path:
        """Where a sample clip, or picture, is or will be."""
        return self.path / "samples" / f"{step:05d}-{number}{suffix}"

    def _lines(self) -> list[str]:
        try:
            return (self.path / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        except OSError:
            return []


def _checked(asked: dict[str, Any]) -> dict[str, Any]:
    """What was asked for, with what every reader relies on. Raises KeyError, TypeError or ValueError."""
    if asked["kind"] not in get_args(Kind):
        raise ValueError(f"its kind is {asked['kind']!r}")
    texts = ("action", "profile", "title" if asked["kind"] == "teach" else "name")
    kinds = {"settings": dict} | dict.fromkeys(texts, str)
    for name, wanted in kinds.items():
        if not isinstance(asked[name], wanted):
            raise TypeError(f"'{name}' is {asked[name]!r}")
    return asked | {"created": float(asked.get("created", 0.0))}
