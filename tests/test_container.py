"""How much memory there is where a container has a share of the machine's."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

from huvidpo_core import container
from huvidpo_core.container import GROUPS, memory_free, memory_there

GB = 10**9


@pytest.fixture(autouse=True)
def machine(monkeypatch, tmp_path):
    """Of 24 GB, 20 of them free; its control groups' files lie in a folder each."""
    monkeypatch.setattr(container.psutil, "virtual_memory", lambda: SimpleNamespace(total=24 * GB, available=20 * GB))
    moved = tuple(replace(group, folder=tmp_path / str(number)) for number, group in enumerate(GROUPS))
    monkeypatch.setattr(container, "GROUPS", moved)
    return moved


def write(group, limit, used, files):
    group.folder.mkdir()
    (group.folder / group.limit).write_text(f"{limit}\n")
    (group.folder / group.used).write_text(f"{used}\n")
    half = f"active_file {files // 2}\n{group.prefix}inactive_file {files // 2}"
    (group.folder / "memory.stat").write_text(f"anon 5\n{group.prefix}{half}\n")


@pytest.mark.parametrize("version", [0, 1])
def test_a_containers_share_counts(machine, version):
    """Of 16 GB 6 are held, 2 of these by files that give way: 12 are free."""
    write(machine[version], 16 * GB, 6 * GB, 2 * GB)
    assert (memory_there(), memory_free()) == (16 * GB, 12 * GB)


@pytest.mark.parametrize("limit", ["max", 2**63 - 4096, 64 * GB])
def test_no_limit_below_the_machines(machine, limit):
    """Both versions' ways to say that there is none, and one that is larger."""
    write(machine[0], limit, 6 * GB, 0)
    assert (memory_there(), memory_free()) == (24 * GB, 20 * GB)


def test_no_groups():
    """Elsewhere than on Linux."""
    assert (memory_there(), memory_free()) == (24 * GB, 20 * GB)


def test_a_limit_without_the_rest(machine):
    """Sandboxes leave files out: what is held is not known then, the limit is."""
    write(machine[0], 16 * GB, 6 * GB, 2 * GB)
    (machine[0].folder / "memory.stat").write_text("nonsense\n\n")
    assert memory_free() == 10 * GB
    (machine[0].folder / "memory.stat").unlink()
    (machine[0].folder / machine[0].used).unlink()
    assert (memory_there(), memory_free()) == (16 * GB, 16 * GB)


def test_a_share_that_is_overdrawn(machine):
    write(machine[0], 2 * GB, 3 * GB, 0)
    assert memory_free() == 0
