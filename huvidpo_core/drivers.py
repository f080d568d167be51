"""Whether this machine may have a CUDA GPU, told without the slow import of torch."""

import shutil
from pathlib import Path

TRACES = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg", "/proc/driver/nvidia/version")
"""What NVIDIA's driver leaves on Linux, in a container too; under WSL it is /dev/dxg, which other makers' GPUs have as
well."""


def may_have_cuda() -> bool:
    """False only where there is no trace of a driver; otherwise torch is worth asking. The driver's own command is a
    trace like others: slim images do not have it on their PATH."""
    return shutil.which("nvidia-smi") is not None or any(Path(trace).exists() for trace in TRACES)
