"""How fast the store is when much has been said: `python -m tests.benchmarks.votes [--pairs 10000] [--votes 100000]`.

Fills a new database, SQLite or HUVIDPO_DATABASE_URL's, and prints the median of several tries and one JSON line.
"""

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import insert

from huvidpo_core.preferences.records import Ballot
from huvidpo_core.preferences.schema import ClipRow, PairRow, RaterRow, ShowingRow, VoteRow
from huvidpo_core.preferences.store import Store

RATERS, TRIES = 20, 9


def fill(store: Store, pairs: int, votes: int) -> None:
    """So many pairs of two clips each, and so many votes of 20 raters on them."""
    lot = random.Random(0)
    clips = [uuid.uuid4().hex for _ in range(2 * pairs)]
    rows = [
        dict(zip(("first", "second"), sorted(clips[2 * i : 2 * i + 2]), strict=True))
        | {"id": uuid.uuid4().hex, "created": 0.0, "source": "seeds", "prompt": "", "action": "rain"}
        | {"frames": 16, "fps": 8}
        for i in range(pairs)
    ]
    showings, answers = [], []
    for rater in range(RATERS):
        for pair in lot.sample(rows, votes // RATERS):
            left, right = lot.sample((pair["first"], pair["second"]), 2)
            showing = {"id": uuid.uuid4().hex, "created": 1.0, "rater": f"rater {rater}", "pair": pair["id"]}
            showings.append(showing | {"left": left, "right": right})
            vote = {"id": uuid.uuid4().hex, "created": lot.random(), "showing": showing["id"], "seconds": 1.0}
            answers.append(vote | {"rater": showing["rater"], "choice": lot.choice(("left", "right", "tie"))})
    made = {"created": 0.0, "seconds": 0.0, "recipe": "{}", "frames": 16, "fps": 8.0, "model": "m"}
    with store.database.writing() as session:
        session.execute(insert(ClipRow), [made | {"id": clip} for clip in clips])
        session.execute(insert(PairRow), rows)
        session.execute(insert(RaterRow), [{"name": f"rater {i}", "created": 0.0} for i in range(RATERS)])
        session.execute(insert(ShowingRow), showings)
        session.execute(insert(VoteRow), answers)
    for clip in clips:
        store.video(clip).touch()


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=10_000)
    parser.add_argument("--votes", type=int, default=100_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder))
        fill(store, options.pairs, options.votes)
        taken: dict[str, list[float]] = {}

        def measure(name: str, work: Callable):
            began = time.perf_counter()
            result = work()
            taken.setdefault(name, []).append(1000 * (time.perf_counter() - began))
            return result

        for _ in range(TRIES):
            showing = measure("next pair", lambda: store.votes.show("rater 1"))
            measure("same pair after a reload", lambda: store.votes.show("rater 1"))
            measure("queue length", lambda: store.votes.open_pairs("rater 1"))
            measure("vote", lambda seen=showing: store.votes.vote(seen.id, "rater 1", Ballot("left")))
        for _ in range(3):
            measure("all votes read", store.votes.history)
        store.close()
    medians = {name: round(statistics.median(times), 1) for name, times in taken.items()}
    for name, milliseconds in medians.items():
        sys.stdout.write(f"{name:30} {milliseconds:8.1f} ms\n")
    sys.stdout.write(json.dumps({"pairs": options.pairs, "votes": options.votes, "milliseconds": medians}) + "\n")


if __name__ == "__main__":
    main()
