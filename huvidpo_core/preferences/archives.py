"""A dataset as one .zip, out and back in, as it travels through a browser.

What comes in was written by anybody: of an archive only `votes.json`, `clips/ID.mp4` and `pictures/HASH.png` are read,
under names that are made here, and never more bytes than `LARGEST`, whatever the archive says of itself.
"""

import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from huvidpo_core.errors import UserError
from huvidpo_core.files import cannot_write, whole_file
from huvidpo_core.preferences import picture_exchange, portable
from huvidpo_core.preferences.exchange import export
from huvidpo_core.preferences.imports import ID, import_votes
from huvidpo_core.preferences.picture_exchange import HASH
from huvidpo_core.preferences.store import Store
from huvidpo_core.progress import Progress, Stopwatch

LARGEST = 2_000_000_000  # bytes that an archive may hold, unpacked
CHUNK = 2**20  # bytes read at a time
SQUEEZED = (".mp4", ".png", ".parquet")  # packed already

Report = Callable[[Progress], object]


def export_archive(
    store: Store, target: Path, *, action: str | None = None, parquet: bool = False, report: Report
) -> Path:
    """Write clips and votes, of one action or all, as the archive `target`, whole or not at all; returns it.

    `report` hears of every file, and ends the work by raising. Raises UserError as `export` does.
    """
    with _scratch(target.parent) as scratch, whole_file(target) as temporary:
        folder = export(store, scratch / target.stem, action=action, parquet=parquet, report=report)
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        watch = Stopwatch("packing the dataset", len(files))
        with zipfile.ZipFile(temporary, "w", strict_timestamps=False) as archive:
            for number, path in enumerate(files, 1):
                method = zipfile.ZIP_STORED if path.suffix in SQUEEZED else zipfile.ZIP_DEFLATED
                archive.write(path, path.relative_to(scratch), compress_type=method)
                report(watch.at(number))
    return target


def import_files(store: Store, files: Sequence[Path], scratch: Path, *, report: Report) -> int:
    """Bring in the votes of an archive, a folder, or a `votes.json` with clips; returns how many are new.

    Unpacks into a folder of its own in `scratch`. `report` hears of every clip, and ends the work by raising.

    Raises:
        UserError: the files are none of that, or hold too much; and as `import_votes`.
    """
    for path in files:
        if not path.exists():
            raise UserError(f"There is no {path}. Give a folder or a .zip that `export` has written.")
    if [path.is_dir() for path in files] == [True]:
        return import_votes(store, files[0], report)
    with _scratch(scratch) as folder:
        if [path.name != portable.NAME for path in files] == [True]:
            _unpack(files[0], folder, report)
        else:
            _lay_out(files, folder)
        return import_votes(store, folder, report)


def _unpack(source: Path, folder: Path, report: Report) -> None:
    """What counts of an archive, in its place. Raises UserError."""
    try:
        with zipfile.ZipFile(source) as archive:
            wanted = _wanted(source, archive)
            watch, left = Stopwatch("unpacking the dataset", len(wanted)), LARGEST
            for number, (name, entry) in enumerate(wanted.items(), 1):
                left -= _copy(archive, entry, folder / name, left, source)
                report(watch.at(number))
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise UserError(f"{source.name} is not a whole .zip ({error}). Choose what Export made.") from error


def _wanted(source: Path, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Where each entry that counts belongs; people zip a folder with or without its name."""
    entries = {PurePosixPath(entry.filename): entry for entry in archive.infolist() if not entry.is_dir()}
    if any(path.is_absolute() or ".." in path.parts or "\\" in path.name for path in entries):
        raise UserError(f"{source.name} holds a file that would lie outside of it. Choose what Export made.")
    roots = sorted((path.parent for path in entries if path.name == portable.NAME), key=lambda path: len(path.parts))
    if not roots:
        raise UserError(f"{source.name} holds no {portable.NAME}. Choose a .zip that Export has made here.")
    wanted = {portable.NAME: entries[roots[0] / portable.NAME]}
    for path, entry in entries.items():
        place = _place(path.name)
        if place and path == roots[0] / place:
            wanted[place] = entry
    plain = {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}
    if any(entry.flag_bits & 1 or entry.compress_type not in plain for entry in wanted.values()):
        raise UserError(f"{source.name} is packed with a password or an unusual method. Pack it as a plain .zip.")
    if sum(entry.file_size for entry in wanted.values()) > LARGEST:
        raise _too_large(source)
    return wanted


def _place(name: str) -> str:
    """Where a file of this name lies in a dataset; empty for one that no dataset has."""
    path = PurePosixPath(name)
    if path.suffix == ".mp4" and ID.fullmatch(path.stem):
        return f"clips/{name}"
    return picture_exchange.place(path.stem) if path.suffix == ".png" and HASH.fullmatch(path.stem) else ""


def _copy(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, most: int, source: Path) -> int:
    """Unpack one entry; returns its bytes, counted and not believed."""
    done = 0
    target.parent.mkdir(exist_ok=True)
    with archive.open(entry) as packed, target.open("wb") as file:
        while chunk := packed.read(CHUNK):
            done += len(chunk)
            if done > most:
                raise _too_large(source)
            file.write(chunk)
    return done


def _lay_out(files: Sequence[Path], folder: Path) -> None:
    """Single files as they lie in a dataset. Raises UserError."""
    for each in ("clips", picture_exchange.FOLDER):
        (folder / each).mkdir()
    if portable.NAME not in {path.name for path in files}:
        raise UserError(f"There is no {portable.NAME} among these files. Choose it too, or the whole .zip.")
    for path in files:
        if path.name == portable.NAME:
            shutil.copyfile(path, folder / portable.NAME)
        elif place := _place(path.name):
            shutil.copyfile(path, folder / place)


def _too_large(source: Path) -> UserError:
    return UserError(
        f"{source.name} would unpack to more than {LARGEST / 1e9:.0f} GB. Unpack it yourself and bring it in with "
        "`python -m huvidpo_core import --input FOLDER`."
    )


@contextmanager
def _scratch(parent: Path) -> Iterator[Path]:
    """A folder that is gone afterwards; what cannot be written in it is a UserError."""
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".", suffix=".part", dir=parent, ignore_cleanup_errors=True) as folder:
            yield Path(folder)
    except OSError as error:
        raise cannot_write(parent / "dataset", error) from error
