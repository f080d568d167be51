"""The actions that were taught here, as packs: retitled, removed. Those that were shipped or imported are left alone.
Importing this loads no torch.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from huvidpo_core.config import Action
from huvidpo_core.errors import UserError
from huvidpo_core.files import whole_file
from huvidpo_core.models import cards
from huvidpo_core.models.packs import RECORD, ActionPack, list_packs
from huvidpo_core.runs import Runs


@dataclass(frozen=True)
class Taught:
    """Those of a family's folder of packs; `trainings` may be at work on them, `actions` are all there are."""

    packs: Path
    trainings: Runs
    actions: Mapping[str, Action]

    def list(self) -> list[ActionPack]:
        """All of them, by name."""
        return [pack for pack in list_packs(self.packs) if pack.taught_here]

    def loras(self, name: str) -> tuple[str, ...]:
        """Those beside one, which would go with it. Raises UserError."""
        pack = self._of(name)
        return tuple(lora for lora in pack.preferences if not cards.on_trial(pack, lora))

    def retitle(self, name: str, title: str) -> None:
        """Call one otherwise in all menus; in files it keeps its name. Raises UserError: no title, or another's."""
        pack, title = self._of(name), " ".join(title.split())
        if not title:
            raise UserError("Type a new title first.")
        others = [each.title for each in list_packs(self.packs) if each.name != name]
        others += [action.title for each, action in self.actions.items() if each != pack.action]
        if title.casefold() in map(str.casefold, others):
            raise UserError(f"There is an action “{title}” already. Choose another title.")
        file = self.packs / name / RECORD
        record = json.loads(file.read_text(encoding="utf-8")) | {"title": title}
        with whole_file(file) as fresh:
            fresh.write_text(json.dumps(record, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    def remove(self, name: str) -> None:
        """Delete one with the LoRAs beside it; clips made with it stay, and so does the training that taught it.

        Raises:
            UserError: it is not there, a training on it is running, or it may not be deleted.
        """
        self._of(name)
        for run in self.trainings.runs("align"):
            if run.asked()["pack"] == name and run.state().status == "running":
                raise UserError(f"The training “{run.asked()['name']}” is running on this action. Stop it first.")
        gone = self.packs / f".{uuid4().hex}.part"  # out of all menus at once, whatever comes
        try:
            (self.packs / name).rename(gone)
        except OSError as error:
            raise UserError(f"The action could not be deleted ({error.strerror}).") from error
        shutil.rmtree(gone, ignore_errors=True)

    def _of(self, name: str) -> ActionPack:
        pack = next((pack for pack in self.list() if pack.name == name), None)
        if pack is None:
            raise UserError("That action is no longer there. Reload the page to see those that are.")
        return pack
