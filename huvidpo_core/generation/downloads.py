"""Models on the Hugging Face Hub: whether they are on this machine, and fetching them once the person has agreed."""

import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from huggingface_hub import constants, get_hf_file_metadata, hf_hub_download, hf_hub_url, try_to_load_from_cache
from huggingface_hub.errors import HTTPError  # what the hub's HTTP library (httpx2) raises; it is no OSError
from huggingface_hub.file_download import http_get, repo_folder_name
from huggingface_hub.utils import WeakFileLock, build_hf_headers

from huvidpo_core.config import Download, hub_cache
from huvidpo_core.errors import UserError
from huvidpo_core.files import is_full

log = logging.getLogger(__name__)

SHA256_DIGITS = 64


def is_present(download: Download) -> bool:
    """Whether every file of it is in the local cache; asks nobody."""
    return all(_is_cached(download.name, file) for file in download.files)


def fetch(download: Download, told: Callable[[int], None] = lambda _: None) -> None:
    """Fetch its files into the cache; an interrupted download is continued.

    `told` is called with the number of bytes of each piece that is there; what it raises ends the download, and what
    arrived is kept.

    Raises:
        UserError: it failed, or HF_HUB_OFFLINE forbids it.
    """
    try:
        for file in download.files:
            log.info("fetching %s of %s", file, download.name)
            _fetch_content(download.name, file, told)
            hf_hub_download(download.name, file)  # has the content by now, and gives it its name
    except (HTTPError, OSError, RuntimeError) as error:  # a RuntimeError is hf_xet's, should the hub fetch after all
        if isinstance(error, OSError) and is_full(error):
            raise UserError(
                f"The disk is full: the model {download.name} needs {download.gigabytes} GB. Free some space, then try "
                "again: what arrived is kept."
            ) from error
        if constants.is_offline_mode():
            raise UserError(
                f"The model {download.name} is not on this machine, and nothing is fetched, for HF_HUB_OFFLINE is set. "
                "Unset it, or name a folder in assets/profiles."
            ) from error
        raise UserError(
            f"The model {download.name} could not be downloaded ({type(error).__name__}). Check the network and, for a "
            "gated model, that you are logged in with `hf auth login`; then try again: what arrived is kept."
        ) from error


def _is_cached(name: str, file: str, revision: str | None = None) -> bool:
    return isinstance(try_to_load_from_cache(name, file, revision=revision), str)


def _fetch_content(name: str, file: str, told: Callable[[int], None]) -> None:
    """Put the content of a file where `hf_hub_download` looks for it, going on from what an earlier try left.

    `hf_hub_download` itself removes what it has when the connection breaks, be it by plain HTTP or by hf_xet. So hf_xet
    is left out here, though it can be faster.
    """
    found = get_hf_file_metadata(hf_hub_url(name, file), retry_on_errors=True)
    if found.etag is None or _is_cached(name, file, found.commit_hash):
        told(found.size or 0)
        return  # without an etag it is not the hub that answers: `hf_hub_download` says so
    folder = repo_folder_name(repo_id=name, repo_type="model")
    blob = hub_cache() / folder / "blobs" / found.etag
    lock = hub_cache() / ".locks" / folder / f"{found.etag}.lock"  # the hub's own, so its other users wait, too
    for path in (blob, lock):
        path.parent.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(lock):
        if blob.exists():
            told(blob.stat().st_size)
            return
        part = blob.with_name(f"{blob.name}.incomplete")  # the name that `hf cache prune` looks for
        if part.exists() and (found.size is None or part.stat().st_size > found.size):
            part.unlink()  # no beginning of this file
        # From the hub's own address, at this commit: on the way to a host of somebody else the token is left out.
        # Uncompressed, for only then is a byte of the range a byte of the file. Who ignores the range is noticed.
        address = hf_hub_url(name, file, revision=found.commit_hash)
        headers = build_hf_headers() | {"Accept-Encoding": "identity"}
        with part.open("ab") as end:
            told(end.tell())
            http_get(
                address,
                _Told(end, told),
                resume_size=end.tell(),
                expected_size=found.size,
                headers=headers,
                displayed_filename=file,
            )
        # Some network file systems do not honour locks, and two processes may have written: the etag tells, where it is
        # the SHA-256 (all large files).
        if len(found.etag) == SHA256_DIGITS and _sha256(part) != found.etag:
            part.unlink()
            raise UserError(
                f"The file {file} of the model {name} arrived damaged and was removed. Try again: it is fetched anew."
            )
        part.replace(blob)


class _Told:
    """A file that tells how much is written to it, after each piece."""

    def __init__(self, file: BinaryIO, told: Callable[[int], None]) -> None:
        self._file, self._told = file, told

    def write(self, piece: bytes) -> int:
        written = self._file.write(piece)
        self._told(written)
        return written

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
