"""The command line over models and packs of a test: `python -m tests.commanded JOB COMMAND ...`.

JOB is a pickle of a profile and a folder of packs.
"""

import pickle
import sys
from functools import partial
from pathlib import Path

from huvidpo_core import cli, cli_together
from huvidpo_core.engine import Engine
from huvidpo_core.together import leave

if __name__ == "__main__":
    profile, packs = pickle.loads(Path(sys.argv[1]).read_bytes())
    cli_together.choose_profile = lambda *_: profile
    cli_together.Engine = partial(Engine, packs=packs)
    leave(cli.main(sys.argv[2:]))
