"""The flags of whatever makes pictures and clips: the app and the command line. Imports nothing heavy."""

import argparse
from pathlib import Path
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """argparse with its mistakes on one line."""

    def error(self, message: str) -> NoReturn:
        """Exit with status 2, without the usage."""
        self.exit(2, f"{message[0].upper()}{message[1:]}; `{self.prog} --help` lists what is possible.\n")


def add_machine(parser: argparse.ArgumentParser, otherwise: str = "chosen by the hardware when not given") -> None:
    """Which models, on what they run, and where what they make is kept; `otherwise` says which without --profile."""
    parser.add_argument("--profile", help=f"miniature or full; {otherwise}")
    parser.add_argument("--device", help="cpu, cuda, cuda:1, mps: insist on it; the GPU there is when not given")
    parser.add_argument("--plan", default="", help="memory plan: 8, 12, 16, 24 or 48; the GPU's own when not given")
    parser.add_argument("--data", type=Path, default=Path("data"), help="folder of the clips and their database")
