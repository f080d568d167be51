"""Where the GPU is asked for by importing torch, and where that can wait."""

import subprocess
import sys
from pathlib import Path

import pytest

from huvidpo_core import drivers
from huvidpo_core.drivers import TRACES, may_have_cuda


def only(monkeypatch, there: str) -> None:
    """Of all traces of a driver, the machine has this one, or none."""
    monkeypatch.setattr(drivers.shutil, "which", lambda name: f"/usr/bin/{name}" if name == there else None)
    monkeypatch.setattr(Path, "exists", lambda path: str(path) == there)


@pytest.mark.parametrize("trace", ["nvidia-smi", *TRACES])
def test_each_trace_of_a_driver_is_a_reason_to_ask(trace, monkeypatch):
    """The command, or without it, as in a slim container and under WSL, what the driver itself leaves."""
    only(monkeypatch, trace)
    assert may_have_cuda()


def test_without_any_there_is_nothing_to_ask(monkeypatch):
    """Another driver's device is no trace."""
    only(monkeypatch, "/dev/kfd")
    assert not may_have_cuda()


def test_without_any_torch_is_not_imported():
    """The profile is chosen by itself, in a process of its own; with one it is."""
    code = (
        "import sys; from huvidpo_core import drivers, engine; drivers.shutil.which = lambda _: None;"
        "drivers.TRACES = {traces}; print(engine.choose_profile(None).name, 'torch' in sys.modules)"
    )
    for traces, told in (((), "miniature False"), (("/",), "True")):
        made = subprocess.run([sys.executable, "-c", code.format(traces=traces)], capture_output=True, text=True)
        assert made.stdout.strip().endswith(told), made.stderr
