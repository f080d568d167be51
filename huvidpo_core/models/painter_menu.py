"""Who may draw the first frame. Read anew on every question, so that a new LoRA needs no restart."""

from dataclasses import dataclass
from pathlib import Path

from huvidpo_core.config import Download, Profile
from huvidpo_core.errors import UserError
from huvidpo_core.models.painter_loras import PREFIX, PainterLoras
from huvidpo_core.results import PainterChoice


@dataclass(frozen=True)
class PainterMenu:
    """The painters of one profile, its own first, then its own with LoRAs that lie among `packs`, then others."""

    profile: Profile
    packs: Path

    def choices(self) -> list[PainterChoice]:
        """The menu."""
        own = self.profile.first_frame.title
        learned = (PainterChoice(PREFIX + name, f"{own} + {name}") for name in PainterLoras(self.packs).names())
        others = (PainterChoice(each.name, each.title) for each in self.profile.painters)
        return [PainterChoice("", own), *learned, *others]

    def now(self, choice: str) -> str:
        """What a painter is called now: a LoRA that was renamed is followed."""
        name = choice.removeprefix(PREFIX)
        return PREFIX + PainterLoras(self.packs).now(name) if name != choice else choice

    def lora(self, choice: str) -> Path | None:
        """The file of the LoRA that this painter draws with; None for one that draws without. Raises UserError."""
        name = choice.removeprefix(PREFIX)
        return PainterLoras(self.packs).file(name) if name != choice else None

    def downloads(self, choice: str) -> tuple[Download, ...]:
        """What this painter takes besides the profile's own downloads."""
        chosen = next((each for each in self.profile.painters if each.name == choice), None)
        return (*self.profile.downloads_for(chosen), *chosen.downloads) if chosen else ()

    def check(self, choice: str) -> None:
        """Raise a UserError that lists who there is, unless `choice` is one of them."""
        known = [each.id for each in self.choices()]
        if choice not in known and choice.startswith(PREFIX):
            name = choice.removeprefix(PREFIX)
            raise UserError(f"The LoRA '{name}' for first frames is not there any more. Choose who draws anew.")
        if choice not in known:
            there = ", ".join(known[1:]) or "nobody else here"
            raise UserError(f"There is no painter '{choice}'. Choose one of: {there}; or '' for the profile's own.")
