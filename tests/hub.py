"""The hub's cache, laid out by hand."""

import shutil
from pathlib import Path


def put_into_cache(cache: Path, name: str, folder: Path, files: tuple[str, ...]) -> None:
    """Lay out `files` of a model folder as huggingface_hub caches a repository."""
    repository = cache / f"models--{name.replace('/', '--')}"
    snapshot = repository / "snapshots" / "0123456789abcdef0123456789abcdef01234567"
    (repository / "refs").mkdir(parents=True, exist_ok=True)
    (repository / "refs" / "main").write_text(snapshot.name)
    for file in files:
        (snapshot / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / file, snapshot / file)
