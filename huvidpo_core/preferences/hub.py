"""The votes pushed to the Hugging Face hub every few minutes, for a Space whose disk is wiped when it restarts.

huggingface_hub's `CommitScheduler` does the pushing; just before, in its own thread and under its lock, the export is
brought up to date, from one state of the database. Nothing happens unless HUVIDPO_DATASET_REPO names a dataset.
"""

import logging
import os
import re
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from huvidpo_core.errors import UserError
from huvidpo_core.files import cannot_write, whole_file
from huvidpo_core.preferences.exchange import export
from huvidpo_core.preferences.schema import ClipRow, PictureChoiceRow, RatingRow, VoteRow
from huvidpo_core.preferences.store import Store

log = logging.getLogger(__name__)

MINUTES = 5.0
_REPO = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)


@dataclass(frozen=True)
class Destination:
    """A dataset on the hub, made private if it is not there, and how often it is pushed to."""

    repo: str
    minutes: float = MINUTES

    @classmethod
    def from_environment(cls, values: Mapping[str, str] = os.environ) -> "Destination | None":
        """As HUVIDPO_DATASET_REPO and HUVIDPO_DATASET_MINUTES say; None where the first is not set.

        Raises:
            UserError: the name is no dataset's, or the minutes are no time.
        """
        repo = values.get("HUVIDPO_DATASET_REPO", "").strip()
        if not repo:
            return None
        if not _REPO.fullmatch(repo):
            raise UserError("HUVIDPO_DATASET_REPO is not the name of a dataset. Write OWNER/NAME, or leave it out.")
        minutes = values.get("HUVIDPO_DATASET_MINUTES", "").strip() or f"{MINUTES}"
        try:
            every = float(minutes)
        except ValueError:
            every = 0.0
        if not 1 <= every <= 24 * 60:
            raise UserError("HUVIDPO_DATASET_MINUTES should be a number of minutes, from 1 to 1440.")
        return cls(repo, every)


def push_regularly(
    store: Store, folder: Path, destination: Destination, scheduler: Callable[..., Any] | None = None
) -> threading.Thread:
    """Start pushing the votes, in the background and as long as the process lives.

    In the dataset they lie in a folder of their own, named by lot when this data folder first pushes: a Space that
    begins anew with an empty disk then writes beside what it pushed before, not over it.

    Args:
        store: whose votes.
        folder: for the export and the name; left to this function.
        destination: where to.
        scheduler: in place of huggingface_hub's `CommitScheduler`, whose token is the hub's own (HF_TOKEN).

    Raises:
        UserError: `folder` cannot be written. What goes wrong with the hub is logged, and tried again.
    """
    name = _name_in_repo(folder)
    thread = threading.Thread(
        target=_push, args=(store, folder / "votes", name, destination, scheduler), daemon=True, name="hub"
    )
    thread.start()
    return thread


def _push(store: Store, folder: Path, name: str, to: Destination, base: Callable[..., Any] | None) -> None:
    """Have a scheduler made, which talks to the hub, until that succeeds; it goes on by itself."""
    if base is None:
        from huggingface_hub import CommitScheduler as base  # noqa: N813  (slow to import, and few need it)

    class Fresh(base):
        """Brings the export up to date before each push."""

        def push_to_hub(self) -> Any:
            with self.lock:
                fresh.update()
            return super().push_to_hub()

    fresh = _Export(store, folder)
    waiting = threading.Event()
    while True:
        try:
            Fresh(
                repo_id=to.repo,
                folder_path=folder,
                path_in_repo=name,
                every=to.minutes,
                repo_type="dataset",
                private=True,
            )
            return
        except Exception as error:  # no network, a wrong token: the app goes on, and it is tried again
            log.warning(
                "Votes cannot be pushed to %s (%s). Check HF_TOKEN; trying again.", to.repo, type(error).__name__
            )
        waiting.wait(60 * to.minutes)


class _Export:
    """An export that is written only when something new was said."""

    def __init__(self, store: Store, folder: Path) -> None:
        self._store, self._folder = store, folder
        self._last: Any = None

    def update(self) -> None:
        """Bring it up to date. What goes wrong is logged: what was exported before is pushed all the same."""
        try:
            now = self._state()
            if now != self._last and (now[0] or now[2] or now[4] > now[5]):
                export(self._store, self._folder)
                self._last = now
        except UserError as error:
            log.warning("The votes were not exported for the hub: %s", error)

    def _state(self) -> tuple[Any, ...]:
        """Differs whenever a vote, rating or choice was given or taken back, or a clip was made or is gone."""
        with self._store.database.reading() as session:
            said = [
                value
                for row in (VoteRow, RatingRow, PictureChoiceRow)
                for value in session.execute(select(func.count(row.id), func.count(row.superseded))).one()
            ]
            clips = session.scalar(select(func.count(ClipRow.id)))
        return (*said, clips, len(self._store.present()))


def _name_in_repo(folder: Path) -> str:
    """This data folder's name in the dataset, made up once. Raises UserError."""
    path = folder / "name"
    try:
        if path.exists():
            return path.read_text(encoding="utf-8").strip()
        name = f"votes-{uuid.uuid4().hex[:12]}"
        with whole_file(path) as temporary:
            temporary.write_text(name, encoding="utf-8")
        return name
    except OSError as error:
        raise cannot_write(path, error) from error
