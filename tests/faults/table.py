"""The moments of each fault, counted, and the page that shows them."""

from __future__ import annotations

import datetime
import json
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path

from tests.faults.bench import Bench, Moment
from tests.faults.faults import Fault

RECORD = "moments.jsonl"
HEAD = """\
# Recovery

[How to read these pages](index.md). What to do after a fault: give the same command again.

*Measured {date}.* `make test-faults` (`python -m tests.faults --seed {seed}`) makes a project of the tiny world, runs
its pipeline once, and then disturbs single stages at random moments: {moments} moments of {faults} faults. At each,
what the stage had made is thrown away, it is started and disturbed, and the same command is given until it ends well.
What a team shares is the real thing: PostgreSQL, SeaweedFS behind a proxy that throttles, cuts or refuses, MLflow's
server with users, Prefect's server and worker; there a collection fills the store, a training is tracked, and a flow
run collects.

- One sees: the last line of the disturbed command, with the number of moments that showed it.
- Finished: shards and checkpoints (of `dvc push`: objects) that were there when the command had ended; lost: those of
  them made again.
- `dvc push`: when DVC was killed while it listed what to send, it takes the part for the whole the next time. Without
  the repair one of five such moments left 59 of 165 objects behind, and DVC said that all was well.
- A flow run whose worker ended stays Running; the wait for it was ended with Ctrl-C after 90 seconds. The next run
  began when Prefect had given it the place of the lost one, after five minutes.
- Bytes equal: moments after which weights, shards and tables had the bytes of the undisturbed run.

The whole graph under 200 random kills, and 26 kills at exact files: [training](training.md#killed-and-started-again).

| fault | moments | one sees | finished | lost | brings it back | commands at most | bytes equal | tracebacks |
| --- | ---: | --- | ---: | ---: | --- | ---: | ---: | ---: |
"""


def recorded(folder: Path, fault: Fault, seed: int) -> dict[int, Moment]:
    """Return the moments of a fault that runs with this seed have made in `folder`, by their numbers."""
    record = folder / RECORD
    known = [json.loads(line) for line in record.read_text().splitlines()] if record.exists() else []
    ours = [one for one in known if (one["fault"], one["seed"]) == (fault.name, seed)]
    return {one["number"]: Moment(**one["moment"]) for one in ours}


def run(bench: Bench, fault: Fault, share: float, seed: int) -> None:
    """Make so large a share of the moments of a fault, but for those that are recorded."""
    found = recorded(bench.folder, fault, seed)
    for number in range(max(1, round(fault.moments * share))):
        if number not in found:
            bench.choose.seed(f"{seed} {fault.name} {number}")
            while (one := fault.strike()) is None:
                continue
            line = {"fault": fault.name, "seed": seed, "number": number, "moment": asdict(one)}
            with open(bench.folder / RECORD, "a") as kept:
                kept.write(json.dumps(line) + "\n")


def row(fault: Fault, moments: Collection[Moment]) -> str:
    """Return the row of a fault as Markdown."""
    lines = Counter(one.line.replace("|", "\\|") for one in moments)
    cells = [
        fault.name,
        len(moments),
        "<br>".join(f"{line} ({count})" for line, count in lines.most_common(3)),
        sum(one.finished for one in moments),
        sum(one.lost for one in moments),
        fault.back,
        "NEVER" if any(one.starts == 0 for one in moments) else max(one.starts for one in moments),
        sum(one.equal for one in moments),
        sum(one.traceback for one in moments),
    ]
    return f"| {' | '.join(map(str, cells))} |"


def page(path: Path, found: Mapping[Fault, Collection[Moment]], seed: int) -> None:
    """Write the page of measurements."""
    count = sum(map(len, found.values()))
    head = HEAD.format(date=datetime.date.today(), seed=seed, moments=count, faults=len(found))
    path.write_text(head + "".join(f"{row(fault, moments)}\n" for fault, moments in found.items()))
