"""A module of these tests in two processes that `accelerate launch` starts."""

import os
import socket
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def in_two(module: str, *arguments: str) -> subprocess.Popen:
    """`python -m module` in two CPU processes that know each other; the launcher, which ends with them."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    # On a machine without a GPU "--multi_gpu" starts CPU processes; "--cpu" alone would start a single one.
    command = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    command += ["--main_process_port", port, "-m", module, *arguments]
    return subprocess.Popen(
        command, cwd=ROOT, env=os.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
