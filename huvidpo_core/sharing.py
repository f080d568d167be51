"""What leaves the data folder and comes in: votes as a .zip, to the Hugging Face hub; any file for a browser."""

import secrets
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from huvidpo_core.errors import Stopped
from huvidpo_core.preferences.store import Store
from huvidpo_core.progress import Progress, generate

KEPT = 3  # files for browsers that stay on disk


def exports_folder(data: Path) -> Path:
    """Where files for browsers lie; they may be served to whoever knows their address, which cannot be guessed."""
    return data.resolve() / "exports"


def fresh_export(data: Path, name: str) -> Path:
    """Where to write a file of this name for a browser."""
    return exports_folder(data) / secrets.token_hex(16) / name


def forget_old_exports(data: Path) -> None:
    """Remove all but the last few."""
    for old in sorted(exports_folder(data).iterdir(), key=lambda path: path.stat().st_mtime)[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)


def export_archive(
    store: Store, data: Path, stop: threading.Event, action: str | None, parquet: bool
) -> Iterator[Progress | Path]:
    """Clips and votes, of one action or all, as a new .zip; the last item. Raises UserError, Stopped."""
    from huvidpo_core.preferences.archives import export_archive

    target = fresh_export(data, f"huvidpo-votes-{action or 'all'}.zip")

    def work(report: Callable[[Progress], bool]) -> Path:
        try:
            export_archive(store, target, action=action, parquet=parquet, report=_ending(report))
        except BaseException:
            shutil.rmtree(target.parent, ignore_errors=True)
            raise
        forget_old_exports(data)
        return target

    yield from generate(work, stop)


def import_files(store: Store, data: Path, files: Sequence[Path], stop: threading.Event) -> Iterator[Progress | int]:
    """Votes of a .zip, a folder or single files; the last item is how many are new. Raises UserError, Stopped."""
    from huvidpo_core.preferences.archives import import_files

    yield from generate(lambda report: import_files(store, files, data / "imports", report=_ending(report)), stop)


def push_to_hub(store: Store, data: Path) -> None:
    """Push the votes regularly, where HUVIDPO_DATASET_REPO says so; else nothing. Raises UserError for its settings."""
    from huvidpo_core.preferences.hub import Destination, push_regularly

    if destination := Destination.from_environment():
        push_regularly(store, data.resolve() / "hub", destination)


def _ending(report: Callable[[Any], bool]) -> Callable[[Any], None]:
    """`report` that ends the work when asked to stop."""

    def tell(item: Any) -> None:
        if report(item):
            raise Stopped

    return tell
