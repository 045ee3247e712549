"""How near one trace comes to another: distances of distributions, autocorrelation, load, users."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from apportion.core.units import counted
from apportion.traces.synth.assemble import HOUR_MS
from apportion.traces.synth.population import zipf_exponent

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from apportion.traces.schema import Trace
    from apportion.traces.synth.assemble import Floats, Ints

WEEK_MS: Final = 7 * 24 * HOUR_MS
LAGS_H: Final = {"1h": 1, "6h": 6, "1d": 24, "1w": 168}


class Jobs(NamedTuple):
    """What of a trace is compared: the jobs that ran on some processors, in submit order (int64, times in ms)."""

    submit: Ints
    run: Ints
    procs: Ints
    limit: Ints
    user: Ints


class Pair(NamedTuple):
    """One figure of both traces; NaN where it cannot be said."""

    source: float
    synthetic: float


def comparable(trace: Trace) -> tuple[Jobs, Ints]:
    """Give the columns to compare and their rows in the trace: jobs with a known run time and a size, by submit time.

    The size is what was asked for, and what was given where that is unknown.
    """
    asked, given = trace.column("procs_req"), trace.column("procs_used")
    procs = np.where(asked > 0, asked, given)
    submit, run = trace.column("submit_ms"), trace.column("run_ms")
    rows = np.flatnonzero((run >= 0) & (procs > 0))
    rows = rows[np.argsort(submit[rows], kind="stable")]
    user, _ = trace.labels("user")
    return Jobs(submit[rows], run[rows], procs[rows], trace.column("limit_ms")[rows], user[rows]), rows


def ks_distance(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Kolmogorov-Smirnov distance: the largest gap of two empirical distribution functions (NaN if one is empty)."""
    if not len(one) or not len(other):
        return math.nan
    one, other = np.sort(one), np.sort(other)
    points = np.concatenate([one, other])
    below_one = np.searchsorted(one, points, side="right") / len(one)
    below_other = np.searchsorted(other, points, side="right") / len(other)
    return float(np.abs(below_one - below_other).max())


def hourly_arrivals(jobs: Jobs) -> Floats:
    """Jobs submitted in each hour since the first submit."""
    return np.bincount((jobs.submit - jobs.submit[0]) // HOUR_MS).astype(np.float64)


def hourly_load(jobs: Jobs) -> Floats:
    """Mean processors in use in each whole hour from the first submit to the last, had every job started at once."""
    start = jobs.submit - jobs.submit[0]
    edges = np.arange(start[-1] // HOUR_MS + 1, dtype=np.int64) * HOUR_MS
    worked = np.zeros(len(edges), dtype=np.float64)
    for moments, sign in ((start, 1.0), (start + jobs.run, -1.0)):
        order = np.argsort(moments, kind="stable")
        procs = jobs.procs[order].astype(np.float64)
        before = np.searchsorted(moments[order], edges)
        count = np.concatenate([[0.0], np.cumsum(procs)])[before]
        weighted = np.concatenate([[0.0], np.cumsum(procs * moments[order])])[before]
        worked += sign * (count * edges - weighted)
    return np.diff(worked) / HOUR_MS


def autocorrelation(series: Floats, lag: int) -> float:
    """Sample autocorrelation at ``lag`` steps; NaN for a series of fewer than two lags or without variance."""
    if len(series) < 2 * lag or lag < 1:
        return math.nan
    centred = series - series.mean()
    power = float(centred @ centred)
    return float(centred[:-lag] @ centred[lag:]) / power if power > 0 else math.nan


def offered_load(jobs: Jobs, max_procs: int) -> float:
    """Processor time of all jobs per processor time of the machine between the first submit and the last."""
    span = int(jobs.submit[-1] - jobs.submit[0])
    return (
        float(jobs.procs.astype(np.float64) @ jobs.run) / (max_procs * span) if max_procs > 0 and span > 0 else math.nan
    )


def repeats(jobs: Jobs) -> float:
    """Chance that a user's next job has the size and the limit of the one before."""
    order = np.argsort(jobs.user, kind="stable")
    user, procs, limit = jobs.user[order], jobs.procs[order], jobs.limit[order]
    same_user = user[1:] == user[:-1]
    same = same_user & (procs[1:] == procs[:-1]) & (limit[1:] == limit[:-1])
    return float(same.sum() / same_user.sum()) if same_user.any() else math.nan


def rank_correlation(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Spearman's rank correlation, with mean ranks for ties."""
    if len(one) < 2:
        return math.nan
    ranks = []
    for values in (one, other):
        _, where, counts = np.unique(values, return_inverse=True, return_counts=True)
        ranks.append((np.cumsum(counts) - (counts - 1) / 2.0)[where])
    first, second = (rank - rank.mean() for rank in ranks)
    power = math.sqrt(float(first @ first) * float(second @ second))
    return float(first @ second) / power if power > 0 else math.nan


def _shares(jobs: Jobs) -> Floats:
    known = jobs.user[jobs.user >= 0]
    return np.sort(np.bincount(known))[::-1] / max(len(known), 1)


def _slots(jobs: Jobs) -> Ints:
    return jobs.submit % WEEK_MS // HOUR_MS


@dataclass(frozen=True)
class LikenessReport:
    """How near a synthetic trace comes to its source.

    Attributes
    ----------
    source : str
        Name of the source trace.
    jobs : Pair
        Jobs in each.
    left_out : int
        Jobs of the source without a run time or a size, which are not imitated.
    ks : dict of str to float
        Kolmogorov-Smirnov distances: ``size``, ``run``, ``limit``, ``gap`` (between submits), ``accuracy`` (run over
        limit) and ``hour_of_week``.
    load_autocorrelation, arrivals_autocorrelation : dict of str to Pair
        At lags of 1 h, 6 h, 1 d and 1 w, of the hourly load (every job started at once) and of the submits per hour.
    offered_load : Pair
        Processor time of the jobs per processor time of the machine, first to last submit.
    users, top_user_share, top_10_share, zipf_exponent : Pair
        How many users, the most active one's share of the jobs, that of the first ten, and the fitted exponent of
        Zipf's law.
    repeat : Pair
        Chance that a user's next job has the size and the limit of the one before.
    size_run_correlation : Pair
        Rank correlation of size and run time.
    """

    source: str
    jobs: Pair
    left_out: int
    ks: dict[str, float]
    load_autocorrelation: dict[str, Pair]
    arrivals_autocorrelation: dict[str, Pair]
    offered_load: Pair
    users: Pair
    top_user_share: Pair
    top_10_share: Pair
    zipf_exponent: Pair
    repeat: Pair
    size_run_correlation: Pair

    def to_json(self) -> dict[str, Any]:
        """Plain data for `json.dumps`; what cannot be said is None."""
        return {key: _plain(value) for key, value in asdict(self).items()}

    def table(self) -> str:
        """Text to read: one line a figure."""
        lines = [
            f"likeness of a synthetic trace to {self.source or 'its source'}",
            f"{counted(int(self.jobs.synthetic), 'job')} for {self.jobs.source}; left out, without run time or size: {self.left_out}",
            "",
            f"{'distance of distributions (KS, 0 = equal)':<44}{'':>10}{'distance':>11}",
        ]
        lines += [f"  {name.replace('_', ' '):<42}{'':>10}{_said(value):>11}" for name, value in self.ks.items()]
        lines += ["", f"{'':<44}{'source':>10}{'synthetic':>11}"]
        pairs = {
            "offered load": self.offered_load,
            **{f"load autocorrelation {lag}": pair for lag, pair in self.load_autocorrelation.items()},
            **{f"submits autocorrelation {lag}": pair for lag, pair in self.arrivals_autocorrelation.items()},
            "most active user's share of jobs": self.top_user_share,
            "first ten users' share": self.top_10_share,
            "exponent of Zipf's law over users": self.zipf_exponent,
            "same request as the user's last job": self.repeat,
            "rank correlation of size and run time": self.size_run_correlation,
        }
        lines.append(f"  {'users':<42}{self.users.source:>10}{self.users.synthetic:>11}")
        lines += [f"  {name:<42}{_said(pair.source):>10}{_said(pair.synthetic):>11}" for name, pair in pairs.items()]
        return "\n".join(lines)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, Pair):
        return {"source": _plain(value.source), "synthetic": _plain(value.synthetic)}
    if isinstance(value, float) and math.isnan(value):
        return None
    return value


def _said(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.3f}"


def measure(source: Trace, synthetic: Trace) -> LikenessReport:
    """Compare a synthetic trace with its source.

    Both must have at least one job that ran. Loads are of the source's machine.
    """
    (one, rows), (other, _) = comparable(source), comparable(synthetic)
    both = (one, other)

    def pair(figure: Any) -> Pair:
        return Pair(*(figure(jobs) for jobs in both))

    limited = [jobs.limit > 0 for jobs in both]
    series = {"load": [hourly_load(jobs) for jobs in both], "arrivals": [hourly_arrivals(jobs) for jobs in both]}
    correlation = {
        what: {lag: Pair(*(autocorrelation(each, steps) for each in pairs)) for lag, steps in LAGS_H.items()}
        for what, pairs in series.items()
    }
    known = bool((one.user >= 0).any())
    return LikenessReport(
        source=source.meta.name,
        jobs=pair(lambda jobs: len(jobs.submit)),
        left_out=len(source) - len(rows),
        ks={
            "size": ks_distance(one.procs, other.procs),
            "run": ks_distance(one.run, other.run),
            "limit": ks_distance(*(jobs.limit[has] for jobs, has in zip(both, limited, strict=True))),
            "gap": ks_distance(*(np.diff(jobs.submit) for jobs in both)),
            "accuracy": ks_distance(
                *(jobs.run[has] / jobs.limit[has] for jobs, has in zip(both, limited, strict=True))
            ),
            "hour_of_week": ks_distance(*(_slots(jobs) for jobs in both)),
        },
        load_autocorrelation=correlation["load"],
        arrivals_autocorrelation=correlation["arrivals"],
        offered_load=pair(lambda jobs: offered_load(jobs, source.meta.max_procs)),
        users=pair(lambda jobs: len(np.unique(jobs.user[jobs.user >= 0]))),
        top_user_share=pair(lambda jobs: float(_shares(jobs)[0]) if known else math.nan),
        top_10_share=pair(lambda jobs: float(_shares(jobs)[:10].sum()) if known else math.nan),
        zipf_exponent=pair(lambda jobs: zipf_exponent(np.bincount(jobs.user[jobs.user >= 0]))),
        repeat=pair(repeats),
        size_run_correlation=pair(lambda jobs: rank_correlation(jobs.procs, jobs.run)),
    )
