"""What each of two processes runs in `test_stop_together.py`: `python -m tests.training.whole_together JOB OUTPUT`.

JOB is a pickle of a run's folder, its profile and the data folder; each process writes to OUTPUT how it ended.
"""

import pickle
import sys
import threading
from pathlib import Path

import torch

from huvidpo_core.alignment import Alignment
from huvidpo_core.errors import Stopped
from huvidpo_core.picture_alignment import PictureAlignment
from huvidpo_core.together import leave
from huvidpo_core.training.crew import Crew
from huvidpo_core.training.record import RunFolder

if __name__ == "__main__":
    torch.set_num_threads(1)
    path, profile, data = pickle.loads(Path(sys.argv[1]).read_bytes())
    crew, device = Crew.gather("cpu")
    try:
        run = RunFolder.open(path)
        stage = {"align": Alignment, "picture": PictureAlignment}[run.asked()["kind"]]
        for _ in stage(run, profile, device, crew, data).carry_out(threading.Event()):
            pass
        end = "finished"
    except Stopped:
        end = "stopped"
    (Path(sys.argv[2]) / str(crew.rank)).write_text(end)
    leave(0)
