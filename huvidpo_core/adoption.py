"""A finished run's LoRA beside its action pack: first on trial, for a blind round only, then for everybody.

`use.json` in the run's folder remembers what became of it.
"""

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from huvidpo_core.config import build
from huvidpo_core.errors import UserError
from huvidpo_core.files import whole_file
from huvidpo_core.models import cards
from huvidpo_core.models.packs import ActionPack
from huvidpo_core.training.record import CARD, RESULT, RunFolder

FILE = "use.json"


@dataclass(frozen=True)
class Use:
    """What became of a run's LoRA."""

    pack: str  # the action pack it lies beside
    trial: str = ""  # the name it was tried under, empty if it was not
    since: float = 0.0  # when the trial began, seconds since the epoch
    adopted: str = ""  # the name it was put to use under, empty if it was not


def used(run: RunFolder) -> Use:
    """What became of this run's LoRA so far. Raises UserError for a damaged record."""
    try:
        values = json.loads((run.path / FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Use(run.asked()["pack"])
    except (OSError, ValueError) as error:
        raise UserError(f"{run.path / FILE} is damaged ({error}). Delete that file.") from error
    return build(Use, values, FILE)


def try_out(run: RunFolder, packs: Path) -> Use:
    """Put the LoRA beside its pack on trial, unless it is there already: it can be generated with, and is in no menu.

    Raises:
        UserError: the run has not finished, or there is no pack to put it beside.
    """
    pack, use = _pack(run, packs), used(run)
    if use.adopted in pack.preferences or _on_trial(use, pack):
        return use
    wanted = run.asked()["name"]
    names = (wanted if number == 1 else f"{wanted}-{number}" for number in count(1))
    name = next(name for name in names if name not in pack.preferences)
    cards.put(pack, name, run.path / RESULT, cards.read_card(run.path / CARD) | {"trial": True})
    return _keep(run, Use(pack.name, trial=name, since=time.time()))


def adopt(run: RunFolder, packs: Path, name: str = "", more: Mapping[str, Any] | None = None) -> str:
    """Put the LoRA to use for everybody, with `more` on its card; what Create calls it: 'PACK/NAME'.

    Raises:
        UserError: it is not finished, there is no pack to put it beside, the name is taken or cannot be one.
    """
    pack, use = _pack(run, packs), used(run)
    if use.adopted in pack.preferences:
        raise UserError(f"This LoRA is in use already, as '{use.adopted}'.")
    card = cards.read_card(run.path / CARD) | dict(more or {})
    if _on_trial(use, pack):
        name = name or use.trial
        if name != use.trial:
            cards.rename(pack, use.trial, name)
        cards.write_card(pack.preference_file(name), card)
    else:
        name = name or run.asked()["name"]
        cards.put(pack, name, run.path / RESULT, card)
    _keep(run, replace(use, adopted=name))
    return f"{pack.name}/{name}"


def withdraw(run: RunFolder, packs: Path) -> None:
    """Take a LoRA that is still on trial away, before its run is removed; one that was put to use stays."""
    try:
        use = used(run)
        pack = ActionPack.load(packs / use.pack) if use.pack and use.trial else None
    except UserError:  # its pack or its record is gone: there is nothing to take away
        return
    if pack and _on_trial(use, pack):
        cards.remove(pack, use.trial)


def _pack(run: RunFolder, packs: Path) -> ActionPack:
    if not (run.path / RESULT).is_file():
        raise UserError("This training has not finished, so there is no LoRA to use yet. Resume it.")
    if not (name := run.asked()["pack"]):
        raise UserError("This LoRA was trained on the bare base model, and a LoRA is kept beside an action pack.")
    return ActionPack.load(packs / name)


def _on_trial(use: Use, pack: ActionPack) -> bool:
    return use.trial in pack.preferences and cards.on_trial(pack, use.trial)


def _keep(run: RunFolder, use: Use) -> Use:
    with whole_file(run.path / FILE) as path:
        path.write_text(json.dumps(asdict(use)) + "\n", encoding="utf-8")
    return use
