"""What finished runs made, put to use: a LoRA beside its action pack, first on trial, for a blind round only, then for
everybody; a taught action's pack among the others; a LoRA for first frames among the painters.

`use.json` in the run's folder remembers what became of it.
"""

import filecmp
import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any

from huvidpo_core.actions import check_name
from huvidpo_core.config import build
from huvidpo_core.errors import UserError
from huvidpo_core.files import whole_file
from huvidpo_core.models import cards
from huvidpo_core.models.packs import MOTION, ActionPack
from huvidpo_core.models.painter_loras import PREFIX, PainterLoras
from huvidpo_core.training.record import CARD, PACK, RESULT, RunFolder

FILE = "use.json"


@dataclass(frozen=True)
class Use:
    """What became of a run's LoRA, or of the pack of an action that was taught."""

    pack: str  # the action pack it lies beside, or that it is
    trial: str = ""  # the name it was tried under, empty if it was not
    since: float = 0.0  # when the trial began, seconds since the epoch
    adopted: str = ""  # what it is called since it was put to use, empty while it is not in use
    former: tuple[str, ...] = ()  # what it was called before a person renamed it; clips carry these names too


def used(run: RunFolder, packs: Path) -> Use:
    """What became so far of what this run made; a LoRA that was renamed is followed, and one that was tried before its
    run was prolonged does not count. Raises UserError for a damaged record."""
    use, kind = _record(run), run.asked()["kind"]
    if kind == "teach":
        return use
    if not use.adopted:
        return use if use.trial and _same(run.path / RESULT, _tried(use, packs)) else Use(use.pack)
    files = PainterLoras(packs).files() if kind == "picture" else _in_use(packs / use.pack)
    name = _called(run, files, use.adopted)
    return use if name == use.adopted else replace(use, adopted=name, former=(*use.former, use.adopted))


def try_out(run: RunFolder, packs: Path) -> Use:
    """Put the LoRA beside its pack on trial, unless it is there already: it can be generated with, and is in no menu.

    Raises:
        UserError: the run has not finished, or there is no pack to put it beside.
    """
    pack, use = _pack(run, packs), used(run, packs)
    if use.adopted or _on_trial(use, pack):
        return _keep(run, use)  # clips are made under the name that it has now
    pack = _without_trial(run, packs)
    name = _free(pack, run.asked()["name"])
    cards.put(pack, name, run.path / RESULT, cards.read_card(run.path / CARD) | {"trial": True})
    return _keep(run, Use(pack.name, trial=name, since=time.time()))


def adopt(run: RunFolder, packs: Path, name: str = "", more: Mapping[str, Any] | None = None) -> str:
    """Put the LoRA to use for everybody, with `more` on its card and its sample clips beside it; what Create calls it:
    'PACK/NAME'. Without a `name` it has the run's, or that with a number behind it.

    Raises:
        UserError: it is not finished, there is no pack to put it beside, the name is taken or cannot be one.
    """
    pack, use = _pack(run, packs), used(run, packs)
    if use.adopted:
        raise UserError(f"This LoRA is in use already, as '{use.adopted}'.")
    card = cards.read_card(run.path / CARD) | dict(more or {})
    clips = _before_and_after(run, card.get("best_step", 0))
    if _on_trial(use, pack):
        name = name or use.trial
        if name != use.trial:
            cards.rename(pack.preference_file(use.trial), cards.free_file(pack, name))
        file = pack.preference_file(name)
        cards.write_samples(file, clips)
        before = cards.former(file)  # clips of its round carry the name it was tried under
        cards.write_card(file, card | ({cards.FORMER: before} if before else {}))
    else:
        pack = _without_trial(run, packs)
        name = name or _free(pack, run.asked()["name"])
        cards.put(pack, name, run.path / RESULT, card, clips)
    _keep(run, replace(use, adopted=name))
    return f"{pack.name}/{name}"


def adopt_pack(run: RunFolder, packs: Path, name: str = "") -> str:
    """Put a taught action's pack among the others; its name there. Nothing happens when it is there already.

    Without a `name` it has the action's, or that with a number behind it: a pack is never replaced.

    Raises:
        UserError: the run has not finished, the name is taken or cannot be one, or the disk is full.
    """
    from huvidpo_core.models.weights import read_weights

    if not (run.path / PACK).is_dir():
        raise UserError("This training has not finished, so there is no action pack to use yet. Resume it.")
    pack, there = ActionPack.load(run.path / PACK), _record(run).adopted
    if there and name in ("", there) and _same(run.path / PACK / MOTION, packs / there / MOTION):
        return there
    title = pack.title
    if name:
        check_name(name)
    else:
        number = free_number(packs, pack.action)
        name = numbered(pack.action, number)
        title += f" {number}" if number > 1 else ""
    replace(pack, title=title).save(packs / name, read_weights(run.path / PACK / MOTION))
    return _keep(run, Use(name, since=time.time(), adopted=name)).adopted


def adopt_painter(run: RunFolder, packs: Path, name: str = "", more: Mapping[str, Any] | None = None) -> str:
    """Put a LoRA for first frames among the painters, with its card, to which `more` is added, and sample pictures;
    what Create calls it: 'lora:NAME'. Without a `name` it has the run's, or that with a number behind it.

    Raises:
        UserError: it is not finished, in use already, the name is taken or cannot be one.
    """
    if not (run.path / RESULT).is_file():
        raise UserError("This training has not finished, so there is no LoRA to use yet. Resume it.")
    if there := used(run, packs).adopted:
        raise UserError(f"This LoRA is in use already, as '{there}'.")
    loras, card = PainterLoras(packs), cards.read_card(run.path / CARD) | dict(more or {})
    wanted = run.asked()["name"]
    name = name or next(each for each in (numbered(wanted, n) for n in count(1)) if each not in loras.names())
    loras.put(name, run.path / RESULT, card, _before_and_after(run, card.get("best_step", 0)))
    return _keep(run, Use("", since=time.time(), adopted=PREFIX + name)).adopted


def free_number(packs: Path, action: str) -> int:
    """The number that the next pack of an action gets behind its name; 1, which is not written, where there is none."""
    return next(number for number in count(1) if not (packs / numbered(action, number)).exists())


def numbered(name: str, number: int) -> str:
    """A name with a number behind it, from the second on."""
    return name if number == 1 else f"{name}-{number}"


def withdraw(run: RunFolder, packs: Path) -> None:
    """Take a LoRA that is still on trial away, before its run is removed; one that was put to use stays."""
    try:
        use = _record(run)
        pack = ActionPack.load(packs / use.pack) if use.pack and use.trial else None
    except UserError:  # its pack or its record is gone: there is nothing to take away
        return
    if pack and _on_trial(use, pack):
        cards.remove(pack.preference_file(use.trial))


def _without_trial(run: RunFolder, packs: Path) -> ActionPack:
    """The run's pack, when what was tried of it before it was prolonged is gone."""
    withdraw(run, packs)
    return _pack(run, packs)


def _record(run: RunFolder) -> Use:
    """As it was written down."""
    try:
        values = json.loads((run.path / FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Use(run.asked().get("pack", ""))
    except (OSError, ValueError) as error:
        raise UserError(f"{run.path / FILE} is damaged ({error}). Delete that file.") from error
    return build(Use, values, FILE)


def _tried(use: Use, packs: Path) -> Path:
    """Where the LoRA on trial lies; a folder, which is no LoRA, where its pack is gone."""
    try:
        return ActionPack.load(packs / use.pack).preference_file(use.trial)
    except UserError:
        return packs


def _in_use(pack: Path) -> dict[str, Path]:
    """The LoRAs beside a pack by name, but for those on trial; none where the pack is gone."""
    try:
        there = ActionPack.load(pack)
    except UserError:
        return {}
    return {name: there.preference_file(name) for name in there.preferences if not cards.on_trial(there, name)}


def _called(run: RunFolder, files: Mapping[str, Path], name: str) -> str:
    """What the run's LoRA, once put to use as `name`, is called now among these: it is known by its content. Empty: it
    is gone."""

    def unlikely(each: str) -> tuple[bool, bool]:
        return "brought" in cards.read_card(files[each]), each != name  # a copy may have been uploaded

    return next((each for each in sorted(files, key=unlikely) if _same(run.path / RESULT, files[each])), "")


def _free(pack: ActionPack, wanted: str) -> str:
    """A name for a LoRA: this one, or with a number behind it."""
    names = (numbered(wanted, number) for number in count(1))
    return next(name for name in names if name not in pack.preferences)


def _before_and_after(run: RunFolder, step: int) -> list[Path]:
    """The sample clips of the base and of the LoRA that was kept: the same first frames and seeds."""
    made = run.samples()
    return [clip for each in dict.fromkeys((0, step)) for clip in made.get(each, ())]


def _same(one: Path, other: Path) -> bool:
    return one.is_file() and other.is_file() and filecmp.cmp(one, other, shallow=False)  # it remembers what it compared


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
