"""The models of a profile: fetched when the person has agreed, loaded at first use, used by one job at a time."""

import logging
import threading
import time
from collections.abc import Callable, Collection, Generator, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING

from huvidpo_core.config import Download, Profile, hub_cache
from huvidpo_core.device_lock import DeviceLock
from huvidpo_core.errors import MemoryExhaustedError, Stopped, UserError, enough_memory
from huvidpo_core.progress import Progress, Stopwatch, generate

if TYPE_CHECKING:
    from huvidpo_core.evaluation import ClipScorer, Judge
    from huvidpo_core.generation.models import Models
    from huvidpo_core.generation.plans import Plan

log = logging.getLogger(__name__)

MEGABYTE = 10**6
TELL = 0.5  # seconds between two words on how much of a download has arrived


class Workbench:
    """Knows no prompts and no clips. Importing it loads neither torch nor diffusers."""

    def __init__(self, profile: Profile, device: str | None, lock: DeviceLock | None = None, plan: str = "") -> None:
        """`lock` is what other processes of the same data folder wait for, such as trainings; `plan` is a memory plan
        by name, in place of the one for the device."""
        self.profile, self._plan = profile, plan
        self._lock = lock
        self.models: Models | None = None
        self.shared: Callable[[], bool] = lambda: False  # whether a training works on the same device
        self._device = device
        self._by: Plan | None = None  # what the models were last loaded by, or should have been
        self._loading, self._turn = threading.Lock(), threading.Condition()
        self._busy, self._waiting = False, 0  # both belong to `_turn`
        self._allowed: set[Download] = set()

    def missing_downloads(self, more: Collection[Download] = ()) -> list[Download]:
        """Downloads that are not on this machine yet, the profile's and `more`; empty for the miniature."""
        wanted = list(dict.fromkeys((*self.profile.downloads_for(), *more)))
        if not wanted:
            return []
        from huvidpo_core.generation.downloads import is_present

        return [download for download in wanted if not is_present(download)]

    def allow_downloads(self, more: Collection[Download] = ()) -> None:
        """The person has seen `missing_downloads` and agreed; they are fetched when they are next needed."""
        self._allowed.update(self.profile.downloads_for(), more)

    def check(self) -> None:
        """Raise a UserError if the profile, or a plan that somebody insists on, is too large for this machine: before
        anything is downloaded for it."""
        if self.models is None and self.profile.gpu_gigabytes:
            from huvidpo_core.generation.plans import choose_plan, find_device

            device = find_device(self._device)
            plan = choose_plan(self.profile, device, self._plan, forced=bool(self._device))
            if self._plan or device.type == "cpu":  # else it fits by itself
                from huvidpo_core.generation.footprint import check_fits

                check_fits(self.profile, plan, device)

    def warm_up(self) -> str:
        """Load the models now, unless a training needs the room; why that failed, which is logged, too, and empty if it
        did not."""
        if not self._allowed.issuperset(self.missing_downloads()) or (self.profile.gpu_gigabytes and self.shared()):
            return ""
        wrong = ""
        try:
            self.load()
        except UserError as error:
            wrong = str(error)
            log.warning("%s", error)
        self.make_room()  # for a training that has begun meanwhile
        return wrong

    def make_room(self) -> None:
        """Leave the GPU to the training that works on it, if one does: now, or when the job at work has ended."""
        with self._turn:
            if not self._busy:
                self._leave_to_training()

    def _leave_to_training(self) -> None:
        """The next job loads the models again, by a plan for what is free then."""
        if self.models is not None and self.models.plan.name and self.shared():
            self._put_away()

    def _put_away(self) -> None:
        models, self.models = self.models, None
        if models is not None:
            models.rest()  # not only dropped: whoever worked with them may hold parts of them still

    def load(self) -> "Models":
        """The models, loaded if they are not yet. Raises UserError when they cannot be, or may not be fetched."""
        from huvidpo_core.generation.models import Models, plan_for
        from huvidpo_core.generation.plans import find_device

        with self._loading, self._in_memory():
            if self.models is None:
                for item in self._to_fetch():
                    for _ in self._fetching(item, threading.Event()):
                        pass
                device = find_device(self._device)
                self._by = plan_for(self.profile, device, self._plan, forced=bool(self._device))
                self.models = Models.load(self.profile, device, self._by)
            return self.models

    @contextmanager
    def _in_memory(self) -> Iterator[None]:
        """Where memory runs out inside, the next job goes by the next smaller plan. Raises UserError."""
        try:
            with enough_memory():
                yield
        except MemoryExhaustedError:
            from huvidpo_core.generation.plans import smaller

            if self._by is None or (plan := smaller(self._by)) is None:
                if self.shared():
                    raise UserError(
                        "There is not enough memory for this beside the training that goes on. Stop the training "
                        "(Resume continues it later), or try again when it has ended."
                    ) from None
                raise
            self._put_away()
            self._plan = plan.name
            raise UserError(
                f"The GPU's memory ran out. What you made is kept, and from now on less is used, by the plan for "
                f"{plan.name} GB ({plan.words}): try again."
            ) from None

    def _to_fetch(self, more: Collection[Download] = ()) -> list[Download]:
        """What is missing, if it may be fetched, and is of use here. Raises UserError otherwise."""
        self.check()
        missing = self.missing_downloads(more)
        if not self._allowed.issuperset(missing):
            names = "; ".join(f"{d.name} ({d.gigabytes} GB, {d.licence})" for d in missing)
            raise UserError(
                f"These models are not on this machine yet: {names}. Agree to the download (to {hub_cache()}) first: "
                "on the page, or with --allow-downloads on the command line."
            )
        return missing

    def _fetching(self, item: Download, stop: threading.Event) -> Iterator[Progress]:
        """Fetch a download, telling how much of it has arrived. Raises UserError, and Stopped when `stop` was set: what
        has arrived is kept."""
        from huvidpo_core.generation.downloads import fetch

        def work(report: Callable[[int], bool]) -> None:
            arrived, told_at = 0, 0.0

            def told(count: int) -> None:
                nonlocal arrived, told_at
                arrived += count
                if time.monotonic() - told_at > TELL:
                    told_at = time.monotonic()
                    if report(arrived):
                        raise Stopped

            fetch(item, told)

        stage, whole = f"fetching {item.name}", round(item.gigabytes * 1e9 / MEGABYTE)
        yield Progress(f"{stage} ({item.gigabytes:g} GB)", 0, 1)
        watch = Stopwatch(stage, whole)
        for arrived in generate(work, stop):
            if arrived is not None:
                yield replace(watch.at(min(whole, arrived // MEGABYTE)), unit="MB")

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

    def ready(self, stop: threading.Event, more: Collection[Download] = ()) -> Generator[Progress, None, "Models"]:
        """The models, after a word to the person if they, or `more` that is needed, must be fetched or loaded first.

        Raises:
            UserError: they cannot be, or may not be.
            Stopped: `stop` was set meanwhile.
        """
        for item in self._to_fetch(more):
            yield from self._fetching(item, stop)
            if stop.is_set():
                raise Stopped
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
            with self._in_memory(), self._lock.for_a_job(stop.is_set) if self._lock else nullcontext():
                try:
                    yield
                finally:
                    self._leave_to_training()
        finally:
            with self._turn:
                self._busy = False
                self._turn.notify_all()
