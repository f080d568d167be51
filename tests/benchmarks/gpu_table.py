"""What the tables of a GPU share: a command whose rows are measured in processes of their own, so that each one's peak
is its own, and networks with random weights."""

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import nn

Size = tuple[int, int, int]  # frames, height, width
Row = dict[str, float]
Cells = Callable[[str, Row, Mapping[str, Row]], Sequence[str]]

_FAILURE = re.compile(r"[\w.]*(Error|Exception|Interrupt)\b")


def filled(network: nn.Module, device: torch.device, dtype: torch.dtype) -> nn.Module:
    """A network on `meta`, without buffers, with random weights on a device: every part has an effect."""
    network = network.to(dtype).to_empty(device=device)
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, parameter[0].numel() ** -0.5)
            else:
                parameter.fill_(float("norm" in name and name.endswith("weight")))
    return network.eval()


def wait(device: torch.device) -> None:
    """Until a GPU has done all that it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def table(
    module: str,
    words: str,
    rows: Mapping[str, str],
    measured: Callable[[str, Size, int, torch.device], Row],
    columns: Sequence[str],
    cells: Cells,
) -> None:
    """A whole command: measure each row in a process of its own, and print.

    Args:
        module: the command's own name, `tests.benchmarks.SOMETHING`.
        words: what it does, for people.
        rows: kind by title, in the order of measuring.
        measured: in that process, a row's figures by its title.
        columns: heads of the cells.
        cells: what is told of a row by its kind, its figures and those of the rows before it, by title.
    """
    parser = argparse.ArgumentParser(description=words, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, nargs=3, default=(16, 320, 512), metavar=("FRAMES", "HEIGHT", "WIDTH"))
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--only", nargs="*", choices=sorted(set(rows.values())), help="kinds of rows")
    parser.add_argument("--row", help=argparse.SUPPRESS)
    options = parser.parse_args()
    device, size = torch.device(options.device), tuple(options.size)
    if options.row:
        told = measured(options.row, size, options.steps, device)
        sys.stdout.write(f"\n{json.dumps(told)}\n")  # a line of its own, whatever a library has written before
        return
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else "a CPU"
    sys.stdout.write(f"{name}, PyTorch {torch.__version__}, {' x '.join(map(str, size))}\n\n")
    sys.stdout.write(f"| | {' | '.join(columns)} |\n|{'---|' * (1 + len(columns))}\n")
    sys.stdout.flush()
    found: dict[str, Row] = {}
    for title, kind in rows.items():
        if options.only and kind not in options.only:
            continue
        arguments = ["--row", title, "--device", options.device, "--steps", str(options.steps)]
        row = _apart(module, [*arguments, "--size", *map(str, size)])
        if isinstance(row, str):
            told = [row, *[""] * (len(columns) - 1)]
        else:
            told = cells(kind, row, found)
            found[title] = row
        sys.stdout.write(f"| {title} | {' | '.join(told)} |\n")
        sys.stdout.flush()


def _apart(module: str, arguments: Sequence[str]) -> Row | str:
    """What a process says in the last line of its output, or why it failed."""
    done = subprocess.run([sys.executable, "-m", module, *arguments], capture_output=True, text=True)
    if done.returncode == 0:
        return json.loads(done.stdout.strip().splitlines()[-1])
    lines = done.stderr.strip().splitlines() or [f"ended with {done.returncode}"]
    # Below the error there may be more of its words, and what is said at the end of a process.
    why = next((line for line in reversed(lines) if _FAILURE.match(line)), lines[-1])
    return why.replace("|", "/")
