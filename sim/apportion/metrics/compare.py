"""Runs side by side: what changed, how sure that is, and who gained or lost by it.

Runs of one trace are compared job by job: the same jobs were submitted at the same moments, so the difference of each
job between two runs is what the policy did, and most of the noise of the workload cancels. Intervals come from a
block bootstrap over days (`apportion.metrics.bootstrap`), with the same days drawn for both runs.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy import float64
from numpy.typing import NDArray

from apportion.core.errors import RunError
from apportion.core.units import counted
from apportion.metrics.blocksums import LOWER_IS_BETTER, BlockSums
from apportion.metrics.bootstrap import Bootstrap, block_edges, block_of, draws, interval
from apportion.metrics.glossary import GLOSSARY
from apportion.metrics.pairing import pair_jobs, trace_of
from apportion.metrics.winners import changes

if TYPE_CHECKING:
    import pandas as pd

    from apportion.metrics.run import Run

Floats = NDArray[float64]

FEW_BLOCKS: Final = 10
GROUPINGS: Final = ("account", "user")


@dataclass(frozen=True)
class Difference:
    """One metric of one run against the baseline.

    ``difference`` = ``value`` - ``baseline``; ``low`` and ``high`` bound it with the comparison's confidence.
    ``clear`` says that the interval leaves out 0, ``better`` whether the change is for the better.
    """

    key: str
    unit: str
    lower_is_better: bool
    baseline: float
    value: float
    difference: float
    low: float
    high: float

    @property
    def clear(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.low > 0 or self.high < 0

    @property
    def better(self) -> bool:
        """Whether the difference goes the right way."""
        return (self.difference < 0) == self.lower_is_better and self.difference != 0


@dataclass(frozen=True)
class Pair:
    """One run against the baseline.

    Attributes
    ----------
    run : str
        Label of the run.
    jobs : int
        Jobs compared: measured and started in both (paired), else those of this run.
    jobs_left_out : int
        Measured jobs that started in one of the runs only.
    differences : list of Difference
    groups : dict of str to DataFrame
        For "account" and "user": who gained and who lost (`winners.changes`); empty when unpaired.
    """

    run: str
    jobs: int
    jobs_left_out: int
    differences: list[Difference]
    groups: dict[str, pd.DataFrame]


@dataclass(frozen=True)
class Comparison:
    """Runs side by side.

    Attributes
    ----------
    runs : list of Run
    labels : list of str
        Distinct short names of the runs: policy names where these differ, else folders.
    baseline : int
        Index of the run that the others are compared with.
    paired : bool
    pairs : list of Pair
        One for every run but the baseline, in order.
    bootstrap : Bootstrap
        How the intervals were made.
    notes : list of str
        What a reader should know of them.
    """

    runs: list[Run]
    labels: list[str]
    baseline: int
    paired: bool
    pairs: list[Pair]
    bootstrap: Bootstrap
    notes: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """Plain data, with None for undefined numbers."""
        return {
            "baseline": self.labels[self.baseline],
            "paired": self.paired,
            "bootstrap": asdict(self.bootstrap),
            "notes": self.notes,
            "runs": [
                {
                    "label": label,
                    "folder": str(run.folder),
                    "policy_name": run.manifest.get("policy_name"),
                    "policy_hash": run.manifest.get("policy_hash"),
                    "trace": trace_of(run).get("name"),
                    "jobs_measured": int(run.is_measured.sum()),
                }
                for label, run in zip(self.labels, self.runs, strict=True)
            ],
            "comparisons": [
                {
                    "run": pair.run,
                    "jobs": pair.jobs,
                    "jobs_left_out": pair.jobs_left_out,
                    "differences": [
                        _plain(asdict(item)) | {"clear": item.clear, "better": item.better} for item in pair.differences
                    ],
                    "groups": {
                        by: [_plain({str(k): v for k, v in row.items()}) for row in table.to_dict("records")]
                        for by, table in pair.groups.items()
                    },
                }
                for pair in self.pairs
            ],
        }


def compare(
    runs: list[Run],
    *,
    baseline: int = 0,
    paired: bool = True,
    bootstrap: Bootstrap | None = None,
    labels: list[str] | None = None,
) -> Comparison:
    """Compare runs with one of them.

    Job metrics are of the compared jobs: paired, those measured and started in both runs of a pair, so that a value
    can differ a little from the run's own ``metrics.json``. Machine metrics of a pair are over the baseline's measure
    window.

    Parameters
    ----------
    runs : list of Run
        At least two.
    baseline : int
        Index of the run the others are compared with.
    paired : bool
        Pair jobs by id; the runs must replay the same trace. Otherwise each run keeps its own window, and days are
        drawn for each by itself.
    bootstrap : Bootstrap, optional
        How to make the intervals; 2000 replicates of days at 95 % by default.
    labels : list of str, optional
        What to call the runs; by default the names of their folders.

    Raises
    ------
    RunError
        Fewer than two runs, a run without measured jobs, or paired runs of different traces.
    """
    how = bootstrap or Bootstrap()
    if len(runs) < 2:
        raise RunError("a comparison needs at least two runs", "name another run folder")
    for run in runs:
        if not (run.is_measured & run.started).any():
            raise RunError("no job started in the measure window", "there is nothing to compare", path=run.folder)
    labels = labels or _labels(runs)
    base = runs[baseline]
    others = [(label, run) for i, (label, run) in enumerate(zip(labels, runs, strict=True)) if i != baseline]
    pairs = [_paired(base, run, label, how) if paired else _unpaired(base, run, label, how) for label, run in others]
    return Comparison(runs, labels, baseline, paired, pairs, how, _notes(base, pairs, how))


def _notes(base: Run, pairs: list[Pair], how: Bootstrap) -> list[str]:
    notes = []
    n = len(block_edges(base.window_s, how.block_days)) - 1
    if n < FEW_BLOCKS:
        notes.append(f"intervals rest on {counted(n, 'block')} of {how.block_days:g} d only, and are too narrow")
    for pair in pairs:
        if pair.jobs_left_out:
            notes.append(
                f"{pair.run}: {pair.jobs_left_out:,} measured jobs started in one of the runs only and are left out"
            )
    return notes


def _paired(base: Run, other: Run, label: str, how: Bootstrap) -> Pair:
    pair, left_out = pair_jobs(base, other, how.block_days)
    weight = draws(len(pair.edges_s) - 1, how)
    sums = (
        BlockSums(base, pair.base_rows, pair.block, pair.edges_s),
        BlockSums(other, pair.other_rows, pair.block, pair.edges_s),
    )
    groups = {by: changes(pair, by, weight, how.confidence) for by in GROUPINGS}
    return Pair(label, len(pair.block), left_out, _differences(sums, (weight, weight), how), groups)


def _unpaired(base: Run, other: Run, label: str, how: Bootstrap) -> Pair:
    sums, weights = [], []
    for stream, run in enumerate((base, other)):
        rows = np.flatnonzero(run.is_measured & run.started)
        edges = block_edges(run.window_s, how.block_days)
        sums.append(BlockSums(run, rows, block_of(run.submit_s[rows], edges), edges))
        weights.append(draws(len(edges) - 1, how, stream))
    jobs = int((other.is_measured & other.started).sum())
    return Pair(label, jobs, 0, _differences((sums[0], sums[1]), (weights[0], weights[1]), how), {})


def _differences(sums: tuple[BlockSums, BlockSums], weight: tuple[Floats, Floats], how: Bootstrap) -> list[Difference]:
    point = [part.statistics(np.ones((1, part.n_blocks))) for part in sums]
    drawn = [part.statistics(w) for part, w in zip(sums, weight, strict=True)]
    result = []
    for key, lower_is_better in LOWER_IS_BETTER.items():
        if key in point[0] and key in point[1]:
            was, now = float(point[0][key][0]), float(point[1][key][0])
            low, high = interval(drawn[1][key] - drawn[0][key], how.confidence)
            result.append(Difference(key, GLOSSARY[key].unit, lower_is_better, was, now, now - was, low, high))
    return result


def _labels(runs: list[Run]) -> list[str]:
    for names in (
        [str(run.manifest.get("policy_name") or run.name) for run in runs],
        [run.name for run in runs],
        [str(run.folder) for run in runs],
    ):
        if len(set(names)) == len(names):
            return names
    return [f"{run.folder} #{i + 1}" for i, run in enumerate(runs)]


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    return {key: None if isinstance(value, float) and not np.isfinite(value) else value for key, value in row.items()}
