"""Where the reference numbers are: what the published HuViDPO code computes, on random weights, recorded as tensors.

They lie beside the repository (`../shared/reference`), a small part of them in `tests/data`. Without them the tests
that need them are skipped, with that as the reason.
"""

from pathlib import Path

import pytest

_BESIDE = Path(__file__).parents[2] / "shared" / "reference"
DATA = Path(__file__).parent / "data"
REFERENCE = _BESIDE if _BESIDE.is_dir() else None

needs_reference = pytest.mark.skipif(REFERENCE is None, reason=f"no reference numbers in {_BESIDE}")


def reference(name: str) -> Path:
    """The path of a reference file: the whole set if it is there, else the part in `tests/data`, else skip the test."""
    for folder in (REFERENCE, DATA):
        if folder and (folder / name).exists():
            return folder / name
    pytest.skip(f"no {name}, neither in {_BESIDE} nor in {DATA}")
