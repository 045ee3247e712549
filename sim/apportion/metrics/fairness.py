"""Who got what: evenness of service, shares received against shares promised, and waits against use.

References
----------
Jain, Chiu & Hawe, "A quantitative measure of fairness and discrimination for resource allocation in shared computer
systems", DEC Research Report TR-301, 1984. Gini, "Variabilita e mutabilita", 1912 (the coefficient, here of the
population). Klusacek & Rudova, "Performance and fairness for users in parallel job scheduling", JSSPP 2012,
doi:10.1007/978-3-642-35867-8_13.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy import float64, int64
from numpy.typing import NDArray

from apportion.metrics.occupancy import binned, present

if TYPE_CHECKING:
    from apportion.metrics.run import Run

Ints = NDArray[int64]
Floats = NDArray[float64]

DAY_S: Final = 86400.0
GROUPINGS: Final = ("user", "account", "qos", "size_class")
SHARED: Final = ("user", "account")  # groupings that can have target shares


def jain(values: Floats) -> float:
    """Jain's index (sum x)^2 / (n sum x^2): 1 when all are equal, 1/n when one has everything.

    NaN without values or when all are 0. Source: Jain, Chiu & Hawe 1984.
    """
    squares = float((values * values).sum())
    return float(values.sum()) ** 2 / (len(values) * squares) if squares > 0 else float("nan")


def gini(values: Floats) -> float:
    """Gini coefficient sum_ij |x_i - x_j| / (2 n^2 mean): 0 when all are equal, 1 - 1/n when one has everything.

    NaN without values or when all are 0. Computed from the sorted values in O(n log n).
    """
    n, total = len(values), float(values.sum())
    if n == 0 or total <= 0:
        return float("nan")
    ranked = np.sort(values)
    return float(((2 * np.arange(1, n + 1) - n - 1) * ranked).sum()) / (n * total)


def service_rate(run: Run, by: str) -> tuple[Floats, list[str]]:
    """Normalised service of each group: processor-time served / processor-time present.

    x_g = sum of procs * run / sum of procs * (wait + run) over the group's measured jobs that ended: 1 when the group
    never waited, near 0 when it mostly waited. It is the inverse of the area-weighted slowdown, and so is comparable
    between groups of any size.

    Returns
    -------
    float64 array, list of str
        Groups that had any such time; in the order of their names.
    """
    codes, names = run.codes(by)
    mine = run.is_measured & run.started & ~np.isnan(run.response_s)
    served = np.bincount(codes[mine], weights=run.core_s[mine], minlength=len(names))
    stay = np.bincount(codes[mine], weights=(run.procs * run.response_s)[mine], minlength=len(names))
    known = stay > 0
    return served[known] / stay[known], [name for name, ok in zip(names, known, strict=True) if ok]


def targets(run: Run, by: str) -> dict[str, float] | None:
    """Target share of each account or user, summing to 1; None where the manifest has none for this grouping.

    A user's target is the sum of its ``user_shares`` over the accounts it belongs to.
    """
    table: dict[str, float] = {}
    if by == "account":
        for name, share in (run.manifest.get("shares") or {}).items():
            table[str(name)] = float(share)
    elif by == "user":
        accounts = {str(name) for name in run.manifest.get("shares") or {}}
        for name, share in (run.manifest.get("user_shares") or {}).items():
            user = _user_of(str(name), accounts)
            table[user] = table.get(user, 0.0) + float(share)
    total = sum(table.values())
    return {name: share / total for name, share in table.items()} if total > 0 else None


def _user_of(name: str, accounts: set[str]) -> str:
    """Part of ``ACCOUNT/USER`` that is the user; both may hold slashes themselves (``CENTER/NAME``)."""
    parts = name.split("/")
    for k in range(len(parts) - 1, 0, -1):
        if "/".join(parts[:k]) in accounts:
            return "/".join(parts[k:])
    return parts[-1]


class Shares:
    """Shares received and promised over time, for one grouping.

    Attributes
    ----------
    names : list of str
        Groups of the jobs, and those that only have a target.
    target : float64 array or None
        Promised share of each group.
    used : float64 array of (groups, bins)
        Core-seconds used in each bin of time.
    wanted : bool array of (groups, bins)
        Whether the group had a job waiting or running in the bin.
    """

    def __init__(self, run: Run, by: str, edges_s: Floats) -> None:
        codes, names = run.codes(by)
        promised = targets(run, by)
        self.names = names + sorted(set(promised or ()) - set(names))
        n = len(self.names)
        self.target = None if promised is None else np.array([promised.get(name, 0.0) for name in self.names])
        self.used = binned(codes, n, run.start_s, run.stop_s, run.procs, edges_s)
        gone = np.where(run.started, run.stop_s, run.leave_s)
        self.wanted = present(codes, n, run.submit_s, gone, edges_s)

    def received(self) -> Floats:
        """Share of what was used in each bin that each group got; 0 in a bin in which nothing was used."""
        total = self.used.sum(axis=0)
        share = np.zeros_like(self.used)
        np.divide(self.used, total, out=share, where=total > 0)
        return share

    def entitled(self) -> Floats:
        """Targets of each bin over those groups alone that had demand in it (as parts of 1); 0 without any targets."""
        target = np.zeros(len(self.names)) if self.target is None else self.target
        live = target[:, None] * self.wanted
        total = live.sum(axis=0)
        share = np.zeros_like(live)
        np.divide(live, total, out=share, where=total > 0)
        return share


def share_error(run: Run, by: str) -> dict[str, float]:
    """Share error over time: target minus received share, in days of 24 h from the start of the measure window.

    - ``share_error_mean``: mean over days, weighted by the core-hours used in each, of half the sum over groups of
      |target - received|: the part of the delivered work that went to others than it was promised to (0 to 1);
    - ``share_error_demand_mean``: the same against targets shared out among the groups that had a job waiting or
      running that day, since nobody can be given what they do not ask for. Days on which no group with a target had
      demand are left out;
    - ``share_error_final``: the same as the first over the window as one piece.
    """
    begin, end = run.window_s
    edges = np.append(np.arange(begin, end, DAY_S), end) if end > begin else np.array([begin, end])
    shares = Shares(run, by, edges)
    nothing = {
        "share_error_mean": float("nan"),
        "share_error_demand_mean": float("nan"),
        "share_error_final": float("nan"),
    }
    total = shares.used.sum(axis=0)
    if shares.target is None or total.sum() <= 0:
        return nothing
    received, entitled = shares.received(), shares.entitled()
    plain = np.abs(shares.target[:, None] - received).sum(axis=0) / 2
    aware = np.abs(entitled - received).sum(axis=0) / 2
    owed = total * (entitled.sum(axis=0) > 0)
    whole = shares.used.sum(axis=1) / total.sum()
    return {
        "share_error_mean": float((plain * total).sum() / total.sum()),
        "share_error_demand_mean": float((aware * owed).sum() / owed.sum()) if owed.sum() > 0 else float("nan"),
        "share_error_final": float(np.abs(shares.target - whole).sum() / 2),
    }


def usage_per_share(run: Run, by: str) -> Floats | None:
    """Core-seconds used in the measure window per unit of target share, of each group with a target and any demand."""
    shares = Shares(run, by, np.array(run.window_s))
    if shares.target is None:
        return None
    asked = (shares.target > 0) & shares.wanted[:, 0]
    values: Floats = shares.used[asked, 0] / shares.target[asked]
    return values


def nuwt(run: Run) -> Floats:
    """Normalised user wait time of each user, in seconds of waiting per core-second used.

    Sum of waits / sum of procs * run (the user's squashed area), over its measured jobs that started; users that used
    nothing are left out. Below 1 a user computed for longer than it waited; the nearer the users' values to each
    other, the fairer. Source: Klusacek & Rudova 2012, formulas 1 to 3.
    """
    codes, names = run.codes("user")
    mine = run.is_measured & run.started
    waits = np.bincount(codes[mine], weights=run.wait_s[mine], minlength=len(names))
    area = np.bincount(codes[mine], weights=run.core_s[mine], minlength=len(names))
    return waits[area > 0] / area[area > 0]


def fairness(run: Run) -> dict[str, Any]:
    """Fairness metrics of a run, without the fair start times (`fair_start`).

    Per user, account, QOS and size class: Jain and Gini of the normalised service (`service_rate`), and where the
    groups have target shares, of the usage per share, with the share errors. ``nuwt``: users, mean, standard
    deviation, median and maximum of `nuwt`, and Klusacek & Rudova's F = sum of squared deviations from the mean
    (formula 5).
    """
    result: dict[str, Any] = {}
    for by in GROUPINGS:
        rate, _ = service_rate(run, by)
        result[by] = {"groups": len(rate), "jain_service": jain(rate), "gini_service": gini(rate)}
        if by in SHARED:
            usage = usage_per_share(run, by)
            even = np.zeros(0) if usage is None else usage
            result[by] |= {
                "jain_usage_per_share": jain(even),
                "gini_usage_per_share": gini(even),
                **share_error(run, by),
            }
    values = nuwt(run)
    some = values.size > 0
    result["nuwt"] = {
        "users": len(values),
        "mean": float(values.mean()) if some else float("nan"),
        "std": float(values.std()) if some else float("nan"),
        "p50": float(np.median(values)) if some else float("nan"),
        "max": float(values.max()) if some else float("nan"),
        "sum_of_squares": float(((values - values.mean()) ** 2).sum()) if some else float("nan"),
    }
    return result
