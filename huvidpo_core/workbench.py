"""The models of a profile: fetched when the person has agreed, loaded at first use, used by one job at a time."""

import logging
import threading
from collections.abc import Generator, Iterator
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING

from huvidpo_core.config import Download, Profile
from huvidpo_core.device_lock import DeviceLock
from huvidpo_core.errors import Stopped, UserError, enough_memory
from huvidpo_core.progress import Progress

if TYPE_CHECKING:
    from huvidpo_core.evaluation import ClipScorer, Judge
    from huvidpo_core.generation.models import Models

log = logging.getLogger(__name__)


class Workbench:
    """Knows no prompts and no clips. Importing it loads neither torch nor diffusers."""

    def __init__(self, profile: Profile, device: str | None, lock: DeviceLock | None = None) -> None:
        """`lock` is what other processes of the same data folder wait for, such as trainings."""
        self.profile = profile
        self._lock = lock
        self.models: Models | None = None
        self._device = device
        self._loading, self._turn = threading.Lock(), threading.Condition()
        self._busy, self._waiting = False, 0  # both belong to `_turn`
        self._downloads_allowed = False

    def missing_downloads(self) -> list[Download]:
        """Downloads that are not on this machine yet; empty for the miniature."""
        if not self.profile.downloads:
            return []
        from huvidpo_core.generation.downloads import is_present

        return [download for download in self.profile.downloads if not is_present(download)]

    def allow_downloads(self) -> None:
        """The person has seen `missing_downloads` and agreed; the next `load` fetches them."""
        self._downloads_allowed = True

    def warm_up(self) -> None:
        """Load the models now; a failure is logged and shown when they are first needed."""
        if self.missing_downloads() and not self._downloads_allowed:
            return
        try:
            self.load()
        except UserError as error:
            log.warning("%s", error)

    def load(self) -> "Models":
        """The models, loaded if they are not yet. Raises UserError when they cannot be, or may not be fetched."""
        from huvidpo_core.generation.models import Models

        with self._loading, enough_memory():
            if self.models is None:
                if missing := self.missing_downloads():
                    if not self._downloads_allowed:
                        names = "; ".join(f"{d.name} ({d.gigabytes} GB, {d.licence})" for d in missing)
                        raise UserError(
                            f"These models are not on this machine yet: {names}. Agree to the download first: on the "
                            "page, or with --allow-downloads on the command line."
                        )
                    from huvidpo_core.generation.downloads import fetch

                    for item in missing:
                        fetch(item)
                self.models = Models.load(self.profile, self._device)
            return self.models

    def judges(self) -> tuple["ClipScorer | None", "Judge | None"]:
        """What the profile judges clips with; None for what it has not, or what is not on this machine."""
        import torch

        from huvidpo_core.evaluation.judge import Judge
        from huvidpo_core.generation.loading import local_folder

        if self.profile.judge is None:
            return None, None
        try:
            folder = local_folder(self.profile.judge)
        except UserError as error:
            log.warning("%s CLIPScore and subject consistency are left out.", error)
            return None, None
        device = torch.device(self._device) if self._device else torch.device("cpu")
        if Judge.is_at(folder):
            judge = Judge.load(folder, device)
            return judge, judge
        from huvidpo_core.evaluation.clip import HubClip

        return HubClip(folder, device), None

    def ready(self, stop: threading.Event) -> Generator[Progress, None, "Models"]:
        """The models, after a word to the person if they must be loaded first. Raises UserError, Stopped."""
        if self.models is None:
            yield Progress("loading the models", 0, 1)
        models = self.load()
        if stop.is_set():
            raise Stopped
        return models

    @contextmanager
    def reserved(self, stop: threading.Event, *, patient: bool = False) -> Iterator[None]:
        """One job at a time, since weights of packs are swapped in place; a patient one lets all others go first.

        Raises:
            Stopped: `stop` was set while waiting.
            UserError: memory ran out inside.
        """
        with self._turn:
            self._waiting += not patient
            try:
                while self._busy or (patient and self._waiting):
                    if stop.is_set():
                        raise Stopped
                    self._turn.wait(0.2)
                self._busy = True
            finally:
                self._waiting -= not patient
        try:
            with enough_memory(), self._lock.for_a_job(stop.is_set) if self._lock else nullcontext():
                yield
        finally:
            with self._turn:
                self._busy = False
                self._turn.notify_all()
