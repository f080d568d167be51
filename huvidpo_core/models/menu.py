"""The action packs a person may choose from. Read anew on every question, so that a new pack needs no restart."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from huvidpo_core.config import Download, Profile
from huvidpo_core.errors import UserError
from huvidpo_core.models import cards
from huvidpo_core.models.packs import DEFAULT, ActionPack, list_packs, scan_packs
from huvidpo_core.recipe import ANIMATEDIFF, LAMP
from huvidpo_core.results import PackChoice


@dataclass(frozen=True)
class PackMenu:
    """The packs of one family, in `folder`, and the preference LoRAs beside them. Those on trial can be used, but are
    not shown: a blind round tells nobody which they are. With a `profile` there are methods to compare with, too."""

    folder: Path
    profile: Profile | None = None

    def choices(self, action: str | None, trials: bool = False) -> list[PackChoice]:
        """The menu of an action, or of all: its own pack first, the bare base model last; with LoRAs on trial, if they
        are to be named."""
        packs = [pack for pack in list_packs(self.folder) if action in (None, pack.action)]
        packs.sort(key=lambda pack: pack.name != action)
        own = (choice for pack in packs for choice in _choices(pack, trials))
        return [*own, *self._others(packs), PackChoice("", "None (base model)")]

    def downloads(self, choice: str) -> tuple[Download, ...]:
        """What an entry takes besides the profile's own downloads."""
        known = self.profile and self.profile.animatediff
        return known.downloads if known and choice == ANIMATEDIFF else ()

    def default(self, action: str) -> str:
        """The pack an action takes when none was chosen; empty, the bare base model, where it has none."""
        return action if (self.folder / action).is_dir() else ""

    def now(self, choice: str) -> str:
        """What an entry is called now: a LoRA that was renamed is followed (`cards.stem_now`)."""
        folder, beside, lora = choice.partition("/")
        if not beside:
            return choice
        try:
            pack = ActionPack.load(self.folder / folder)
            stem = cards.stem_now(self.folder / folder, pack.preference_file(lora).stem)
        except UserError:  # there is no such pack, or no LoRA can have this name: `check` says so
            return choice
        return f"{folder}/{stem.removeprefix(f'{DEFAULT}-')}"

    def check(self, choice: str) -> None:
        """Raise a UserError that lists what there is, or says what is wrong with it, unless `choice` can be used."""
        packs, broken = scan_packs(self.folder)
        known = [*(each for pack in packs for each in _choices(pack, trials=True)), *self._others(packs)]
        if choice and choice not in [each.id for each in known]:
            folder, beside, lora = choice.partition("/")
            if problem := broken.get(folder.removesuffix(LAMP)):
                raise UserError(problem)
            if beside and (pack := next((each for each in packs if each.name == folder), None)):
                names = ", ".join(name for name in pack.preferences if not cards.on_trial(pack, name))
                raise UserError(
                    f"There is no LoRA '{lora}' for {pack.title}; it may have been deleted. Choose its motion alone"
                    f"{f', or one of: {names}' if names else ''}."
                )
            there = ", ".join(each.id for pack in packs for each in _choices(pack)) or "none so far"
            raise UserError(f"There is no action pack '{choice}'. Choose one of: {there}; or '' for the base model.")

    def _others(self, packs: Sequence[ActionPack]) -> list[PackChoice]:
        """The methods to compare with; not LAMP's attention where a pack has no other."""
        if self.profile is None:
            return []
        lamp = [
            PackChoice(f"{pack.name}{LAMP}", f"{pack.title}, LAMP (key frame 0 only)")
            for pack in packs
            if (pack.key_frames or self.profile.video.key_frames) != "first"
        ]
        return [*lamp, PackChoice(ANIMATEDIFF, "AnimateDiff")] if self.profile.animatediff else lamp


def _choices(pack: ActionPack, trials: bool = False) -> list[PackChoice]:
    """The pack alone, then with each of its preference LoRAs."""
    choices = [PackChoice(pack.name, f"{pack.title} (motion)")]
    for name in pack.preferences:
        if not cards.on_trial(pack, name):
            choices.append(PackChoice(f"{pack.name}/{name}", f"{pack.title} + {name}"))
        elif trials:
            choices.append(PackChoice(f"{pack.name}/{name}", f"{pack.title} + {name} (on trial)", trial=True))
    return choices
