"""Schedules known to be right, made by other people's implementations; they lie beside the traces, not in the project.

The folder is the sibling `oracles` of the first entry of APPORTION_TRACES.
"""

from __future__ import annotations

import csv
import gzip
import os
from pathlib import Path

from oracles.jobs import Job

PROCS = 100

SCHEDULES = {
    # schedule: (trace, order, backfill)
    "kth.fcfs": ("kth", "fcfs", "none"),
    "kth.easy-batch": ("kth", "fcfs", "easy"),
    "kth.sjbf-batch": ("kth", "fcfs", "easy-sjbf"),
    "kth.cons-batch": ("kth", "fcfs", "conservative"),
    "kth.sjf-batch": ("kth", "sjf", "none"),
    "kth-tiefree.fcfs": ("kth-tiefree", "fcfs", "none"),
    "kth-tiefree.easy": ("kth-tiefree", "fcfs", "easy"),
    "kth-tiefree.sjbf": ("kth-tiefree", "fcfs", "easy-sjbf"),
    "kth-tiefree.cons": ("kth-tiefree", "fcfs", "conservative"),
}


def known_folder() -> Path | None:
    """Return the folder of known schedules, or None."""
    first = os.environ.get("APPORTION_TRACES", "").split(os.pathsep)[0]
    folder = Path(first).parent / "oracles"
    return folder if first and folder.is_dir() else None


def known_jobs(folder: Path, trace: str) -> list[Job]:
    """Return the jobs of a trace in order of id; times are in the unit of the file."""
    jobs = []
    with gzip.open(folder / f"{trace}.swf.gz", "rt", encoding="ascii") as lines:
        for line in lines:
            if not line.startswith(";"):
                row = [int(word) for word in line.split()]
                jobs.append(Job(id=row[0], submit=row[1], run=row[3], limit=row[8], procs=row[4], user=row[11]))
    return sorted(jobs, key=lambda job: job.id)


def known_starts(folder: Path, schedule: str) -> list[int]:
    """Return the starts in order of id."""
    with gzip.open(folder / f"{schedule}.csv.gz", "rt", encoding="ascii", newline="") as lines:
        return [start for _, start in sorted((int(row["job_id"]), int(row["start"])) for row in csv.DictReader(lines))]
