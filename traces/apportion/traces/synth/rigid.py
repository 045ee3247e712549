"""The workload model of Lublin and Feitelson for rigid jobs.

Sizes are log-uniform in two stages, with many serial jobs and powers of two; the logarithm of the run time is
hyper-gamma, and larger jobs run longer; gaps between arrivals are gamma in the logarithm and follow a daily cycle.

References
----------
U. Lublin, D. G. Feitelson, "The workload on parallel supercomputers: modeling the characteristics of rigid jobs",
JPDC 63(11), 2003, doi:10.1016/S0743-7315(03)00108-4. Parameters as in the authors' program (m_lublin99).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import pandas as pd

from apportion.traces.synth.arrivals import DayCurve, to_load
from apportion.traces.synth.assemble import (
    DAY_MS,
    SECOND_MS,
    Floats,
    Ints,
    assemble,
    generators,
    labels,
    origin_of,
    require,
)
from apportion.traces.synth.estimates import EstimateModel, estimate
from apportion.traces.synth.population import draw_accounts, draw_sessions, draw_users

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from apportion.traces.schema import Trace

SOURCE: Final = "Lublin and Feitelson 2003, doi:10.1016/S0743-7315(03)00108-4"
ESTIMATES_SOURCE: Final = "estimates Tsafrir, Etsion and Feitelson 2005, doi:10.1007/11605300_1"
LONGEST_LOG: Final = 12.0  # run times stop at exp(12) s, 45 hours, as in the authors' program
LONGEST_GAP_LOG: Final = 13.0  # and gaps between arrivals at exp(13) s, 5 days
REPEAT_SPREAD: Final = 0.1  # standard deviation of the logarithm of run times within a session


@dataclass(frozen=True)
class RigidModel:
    """Parameters of the model; the defaults are those for all jobs together.

    Attributes
    ----------
    serial, power_of_two : float
        Share of the jobs that are serial, and that are made a power of two.
    low, mid_below, high_below, first_stage : float
        Two-stage uniform of log2(size): from ``low`` to m with chance ``first_stage``, else from m to h, where
        h = log2(procs) - ``high_below`` and m = h - ``mid_below``.
    a1, b1, a2, b2 : float
        Shapes and scales of the two gammas of the logarithm of the run time in seconds.
    pa, pb : float
        Chance of the first gamma: ``pa * size + pb``, kept within 0 and 1.
    gap_shape, gap_scale : float
        Gamma of the logarithm of the gap between arrivals in seconds, at the mean rate of the day (aArr * ARAR, bArr).
    day_shape, day_scale : float
        Gamma of the arrivals over the half hours of a day (aNum, bNum).
    """

    serial: float = 0.244
    power_of_two: float = 0.576
    low: float = 0.8
    mid_below: float = 2.5
    high_below: float = 0.0
    first_stage: float = 0.86
    a1: float = 4.2
    b1: float = 0.94
    a2: float = 312.0
    b2: float = 0.03
    pa: float = -0.0054
    pb: float = 0.78
    gap_shape: float = 10.2303 * 1.0225
    gap_scale: float = 0.4871
    day_shape: float = 8.1737
    day_scale: float = 3.9631


ALL: Final = RigidModel()
BATCH: Final = RigidModel(
    serial=0.2927, power_of_two=0.6686, low=1.2, mid_below=2.0, high_below=0.0, first_stage=0.875,
    a1=6.57, b1=0.823, a2=639.1, b2=0.0156, pa=-0.003, pb=0.6986,
    gap_shape=6.0415 * 1.0519, gap_scale=0.8531, day_shape=6.1271, day_scale=5.2740,
)  # fmt: skip
INTERACTIVE: Final = RigidModel(
    serial=0.1541, power_of_two=0.625, low=1.0, mid_below=2.5, high_below=1.5, first_stage=0.705,
    a1=3.8351, b1=0.6605, a2=7.073, b2=0.6856, pa=-0.0118, pb=0.9156,
    gap_shape=6.5510 * 0.9797, gap_scale=0.6621, day_shape=8.9186, day_scale=3.6680,
)  # fmt: skip
KINDS: Final[dict[str, dict[str, RigidModel]]] = {
    "all": {"": ALL},
    "batch": {"": BATCH},
    "interactive": {"": INTERACTIVE},
    "mix": {"batch": BATCH, "interactive": INTERACTIVE},
}


class _Stream(NamedTuple):
    """Jobs of one model in submit order; seconds."""

    submit: Floats
    procs: Ints
    run: Ints
    limit: Ints | None
    user: NDArray[np.int32]


def _gamma_below(rng: np.random.Generator, shape: float, scale: float, ceiling: float, size: int) -> Floats:
    """Gamma variates; those above ``ceiling`` are drawn again."""
    values = rng.gamma(shape, scale, size=size)
    while len(above := np.flatnonzero(values > ceiling)):
        values[above] = rng.gamma(shape, scale, size=len(above))
    return values


def sizes(rng: np.random.Generator, count: int, procs: int, model: RigidModel = ALL) -> Ints:
    """Processors of ``count`` jobs, from 1 to ``procs`` (int64)."""
    kind = rng.random(count)
    high = max(np.log2(procs) - model.high_below, 0.0)
    low = min(model.low, high)
    mid = max(high - model.mid_below, low)
    first = rng.random(count) < model.first_stage
    spread = rng.random(count)
    log_size = np.where(first, low + spread * (mid - low), mid + spread * (high - mid))
    rounded = np.minimum(np.rint(log_size), np.floor(np.log2(procs)))
    log_size = np.where(kind < model.serial + model.power_of_two, rounded, log_size)
    result: Ints = np.clip(np.rint(np.exp2(log_size)), 1, procs).astype(np.int64)
    result[kind < model.serial] = 1
    return result


def run_times(rng: np.random.Generator, procs: Ints, model: RigidModel = ALL) -> Ints:
    """Run times in whole seconds, 1 at least, of jobs of the sizes ``procs`` (int64)."""
    first = rng.random(len(procs)) < np.clip(model.pa * procs + model.pb, 0.0, 1.0)
    result = np.empty(len(procs), dtype=np.int64)
    for chosen, shape, scale in ((first, model.a1, model.b1), (~first, model.a2, model.b2)):
        logs = _gamma_below(rng, shape, scale, LONGEST_LOG, int(chosen.sum()))
        result[chosen] = np.maximum(np.exp(logs), 1.0).astype(np.int64)
    return result


def _stream(
    model: RigidModel,
    n_jobs: int,
    rngs: list[np.random.Generator],
    *,
    procs: int,
    first_s: float,
    users: int,
    zipf: float,
    estimates: EstimateModel | None,
    session_jobs: float,
    think_s: float,
) -> _Stream:
    arrival_rng, size_rng, run_rng, limit_rng, user_rng, session_rng = rngs
    gaps = np.exp(_gamma_below(arrival_rng, model.gap_shape, model.gap_scale, LONGEST_GAP_LOG, n_jobs))
    curve = DayCurve.from_gamma(model.day_shape, model.day_scale)
    points = np.cumsum(gaps, out=gaps)
    points += curve.points(np.array([first_s]))[0]
    submit = curve.times(points)
    submit -= first_s

    count, session = n_jobs, None
    if session_jobs > 1:
        session, count = draw_sessions(session_rng, n_jobs, session_jobs, think_s * n_jobs / max(submit[-1], 1.0))
    size = sizes(size_rng, count, procs, model)
    run = run_times(run_rng, size, model)
    if estimates is not None and estimates.max_estimate_s is not None:
        run = np.minimum(run, estimates.max_estimate_s)
    limit = None if estimates is None else estimate(run, limit_rng, estimates)
    user = draw_users(user_rng, count, users, zipf)
    if session is not None:
        size, run, user = size[session], run[session], user[session]
        limit = None if limit is None else limit[session]
        varied = run * np.exp(session_rng.normal(0.0, REPEAT_SPREAD, size=n_jobs))
        run = np.clip(varied, 1, np.exp(LONGEST_LOG) if limit is None else limit).astype(np.int64)
    return _Stream(submit, size, run, limit, user)


def _merge(streams: list[_Stream], n_jobs: int) -> tuple[_Stream, NDArray[np.int8]]:
    """Weave the first ``n_jobs`` of several streams into one by submit time (ties: the earlier stream)."""
    order = np.argsort(np.concatenate([stream.submit for stream in streams]), kind="stable")[:n_jobs]
    source = np.repeat(np.arange(len(streams), dtype=np.int8), [len(stream.submit) for stream in streams])
    columns = (None if column[0] is None else np.concatenate(column)[order] for column in zip(*streams, strict=True))
    return _Stream(*columns), source[order]  # type: ignore[arg-type]


def lublin(
    n_jobs: int,
    seed: int,
    *,
    procs: int = 128,
    load: float | None = None,
    users: int = 100,
    accounts: int = 10,
    zipf: float = 1.0,
    start: str = "2024-01-01",
    estimates: bool | EstimateModel = True,
    kind: str = "all",
    model: RigidModel | None = None,
    session_jobs: float = 1.0,
    think_s: float = 600.0,
) -> Trace:
    """Draw a workload from the model of Lublin and Feitelson.

    Parameters
    ----------
    n_jobs : int
        Number of jobs.
    seed : int
        Not negative; the same seed gives the same trace.
    procs : int
        Processors of the machine. With the published parameters every job of more than 144 processors comes from the
        long gamma (see `RigidModel`): give a model of your own for a machine much larger than that.
    load : float, optional
        Offered load: processor seconds of all jobs per processor second between the first and the last submit.
        Arrivals are stretched or pressed along the daily cycle, so that a day stays a day. None keeps the arrivals of
        the model.
    users, accounts : int
        How many there are; a user belongs to one account.
    zipf : float
        Exponent of Zipf's law for the activity of users, and for how many users join an account.
    start : str
        ISO date or date-time (UTC) at which the trace begins.
    estimates : bool or EstimateModel
        Time limits by Tsafrir, Etsion and Feitelson; jobs that run longer than the largest one are cut there (18 h: two
        in a thousand). False leaves limits out and run times as the model gives them.
    kind : str
        ``all`` (the parameters of the whole sample), ``batch``, ``interactive``, or ``mix``: both, in two queues.
    model : RigidModel, optional
        Parameters of one's own in place of ``kind``.
    session_jobs : float
        Mean number of similar jobs a user submits in a row. 1 is the published model, in which jobs are independent.
    think_s : float
        Mean pause in seconds between the jobs of a session.

    Returns
    -------
    Trace
        Whole seconds; requested processors, users and accounts, limits, and queues for a mix.

    Raises
    ------
    TraceError
        For an argument that makes no sense.

    Notes
    -----
    ``session_jobs`` follows the idea of Feitelson 2007 (see `apportion.traces.synth.population`): a session repeats the
    size and the limit of its first job, and nearly its run time.
    """
    require(n_jobs >= 1, f"a workload needs at least one job, not {n_jobs}")
    require(procs >= 1, f"a machine needs at least one processor, not {procs}")
    require(load is None or load > 0, f"the load must be above 0, not {load}")
    require(
        1 <= accounts <= users, f"there must be from 1 to {users} accounts (one user each at least), not {accounts}"
    )
    require(session_jobs >= 1, f"a session has at least one job, not {session_jobs}")
    require(think_s >= 0, f"the think time cannot be negative, not {think_s}")
    require(kind in KINDS, f"no kind of workload is called {kind!r}; there are {', '.join(KINDS)}")
    chosen = KINDS[kind] if model is None else {"": model}
    origin_ms = origin_of(start)
    first_s = origin_ms % DAY_MS / SECOND_MS
    limits = EstimateModel() if estimates is True else (estimates or None)

    account_rng, *rngs = generators(seed, 1 + 6 * len(chosen))
    streams = [
        _stream(
            parameters,
            n_jobs,
            rngs[6 * at : 6 * at + 6],
            procs=procs,
            first_s=first_s,
            users=users,
            zipf=zipf,
            estimates=limits,
            session_jobs=session_jobs,
            think_s=think_s,
        )
        for at, parameters in enumerate(chosen.values())
    ]
    jobs, queue = (streams[0], None) if len(streams) == 1 else _merge(streams, n_jobs)
    del streams
    submit = jobs.submit
    if load is not None and n_jobs > 1:
        work_s = int(jobs.procs @ jobs.run)
        curves = [DayCurve.from_gamma(each.day_shape, each.day_scale) for each in chosen.values()]
        submit = to_load(submit, first_s, work_s / (procs * load), DayCurve.mean(curves))

    columns: dict[str, Any] = {
        "submit_ms": submit.astype(np.int64) * SECOND_MS,
        "run_ms": jobs.run * SECOND_MS,
        "procs_req": jobs.procs,
    }
    if jobs.limit is not None:
        columns["limit_ms"] = jobs.limit * SECOND_MS
    member = draw_accounts(account_rng, users, accounts, zipf)
    columns["user"] = labels(jobs.user, "u", users)
    columns["account"] = labels(member[jobs.user], "a", accounts)
    if queue is not None:
        columns["queue"] = pd.Categorical.from_codes(queue, categories=pd.Index(list(chosen), dtype=object))
    parameters_said: dict[str, Any] = {
        "generator": "lublin", "n_jobs": n_jobs, "seed": int(seed), "procs": procs, "load": load,
        "users": users, "accounts": accounts, "zipf": zipf, "start": start,
        "kind": kind if model is None else asdict(model),
        "estimates": None if limits is None else asdict(limits), "session_jobs": session_jobs, "think_s": think_s,
    }  # fmt: skip
    source = SOURCE if limits is None else f"{SOURCE}; {ESTIMATES_SOURCE}"
    return assemble("lublin", columns, procs=procs, origin_ms=origin_ms, source=source, parameters=parameters_said)
