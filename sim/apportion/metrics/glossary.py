"""What every key of ``metrics.json`` means, in plain words: read by the report, the documentation and the tests."""

from __future__ import annotations

from typing import Any, Final, NamedTuple


class Meaning(NamedTuple):
    """One key: a sentence for a newcomer, the unit ("" for a pure number), the formula, and where it is from.

    Formulas are in the signs of `NOTATION`.
    """

    text: str
    unit: str
    formula: str
    source: str = ""


NOTATION: Final = (
    "s, b, e: submit, begin and end of a job; w = b - s its wait; r = e - b its run time; p its processors; J: the jobs "
    "submitted in the measure window that began; [A, B]: the window; at a moment, U: processors in use, C: processors there "
    "are, Q: jobs that wait and P: the processors they ask for; I(x): integral of x over the window; for a group g, x_g: its "
    "normalised service, u_g: its part of the processor time used, t_g: its target share."
)


FR98: Final = "Feitelson & Rudolph 1998, doi:10.1007/BFb0053978"
F97: Final = "Feitelson et al. 1997, doi:10.1007/3-540-63574-2_14"
ZK99: Final = "Zotkin & Keleher 1999, doi:10.1109/HPDC.1999.805303"
F01: Final = "Feitelson 2001, doi:10.1007/3-540-45540-X_11"
SS05: Final = "Sabin & Sadayappan 2005, doi:10.1007/11605300_12"
LSS10: Final = "Leung, Sabin & Sadayappan 2010, doi:10.1109/ICPPW.2010.48"
KR12: Final = "Klusacek & Rudova 2012, doi:10.1007/978-3-642-35867-8_13"
JAIN84: Final = "Jain, Chiu & Hawe 1984, DEC-TR-301"
GINI12: Final = "Gini 1912"

# Why a job waits: words of squeue and of quotas, in plain ones.
WHY: Final = {
    "Resources": "not enough processors were free",
    "Priority": "jobs that ranked before it waited too",
    "Dependency": "jobs that it follows had not ended",
    "Reservation": "a reservation kept the processors",
    "PartitionDown": "the partition was down",
    "PartitionInactive": "the partition was inactive",
    "JobHeldAdmin": "an administrator held it",
    "QuotaNominal": "the quota of its account was used up",
    "QuotaBorrowingLimit": "its account had borrowed as much as it may",
    "QuotaCohort": "the quota of all accounts that lend to it was used up",
    "QuotaOrder": "an older job of its account waited for quota",
    "QuotaBudget": "the core-hour budget of the period could not hold it",
}

# What is described over jobs: words, unit, value of one job, source.
_WAITS: Final = {
    "wait_s": ("wait from submit to start", "s", "w", FR98),
    "response_s": ("time from submit to end", "s", "w + r", FR98),
    "slowdown": (
        "slowdown, how many times longer than its run a job was in the system",
        "",
        "(w + r) / r, left out where r = 0",
        FR98,
    ),
    "bounded_slowdown": (
        "slowdown (how many times longer than its run a job was in the system; runs under 10 s count as 10 s)",
        "",
        "max(1, (w + r) / max(r, 10 s))",
        F97,
    ),
    "per_processor_slowdown": (
        "slowdown divided by the job's processors",
        "",
        "(w + r) / (p r), left out where r = 0",
        ZK99,
    ),
    "per_processor_bounded_slowdown": (
        "slowdown per processor (runs under 10 s count as 10 s, and the least is 1)",
        "",
        "max(1, (w + r) / (p max(r, 10 s)))",
        F01,
    ),
}
_STATISTICS: Final = {
    "mean": ("Mean {}.", "sum(x) / n over J"),
    "area_weighted_mean": (
        "Mean {}, each job weighted by its processors times run time: what the work saw.",
        "sum(p r x) / sum(p r) over J",
    ),
    "std": ("Standard deviation over jobs of the {}.", "sqrt(sum((x - mean)^2) / n) over J"),
    "min": ("Smallest {}.", "min(x) over J"),
    "p50": ("Median {}: half of the jobs had less.", "x at rank 0.50 (n - 1) of J, linear between ranks"),
    "p90": (
        "90th percentile of the {}: nine jobs of ten had less.",
        "x at rank 0.90 (n - 1) of J, linear between ranks",
    ),
    "p95": ("95th percentile of the {}: 19 jobs of 20 had less.", "x at rank 0.95 (n - 1) of J, linear between ranks"),
    "p99": ("99th percentile of the {}: 99 jobs of 100 had less.", "x at rank 0.99 (n - 1) of J, linear between ranks"),
    "max": ("Largest {}.", "max(x) over J"),
}
_GROUPS: Final = {"user": "users", "account": "accounts", "qos": "QOS", "size_class": "classes of job size"}
_PLANS: Final = {
    "arrival_order": "planned strictly in order of arrival",
    "conservative": "planned in order of arrival with perfect backfilling",
}


def _service() -> dict[str, Meaning]:
    table = {
        f"service.{family}.{name}": Meaning(sentence.format(words), unit, f"x = {value}; {statistic}", source)
        for family, (words, unit, value, source) in _WAITS.items()
        for name, (sentence, statistic) in _STATISTICS.items()
    }
    for what, unit, sign in (("jobs", "jobs", "Q"), ("procs", "processors", "P")):
        key = f"service.queue_{what}."
        table[key + "mean"] = Meaning(f"Mean over time of the {unit} in the queue.", unit, f"I({sign}) / (B - A)", FR98)
        table[key + "max"] = Meaning(f"Most {unit} that were ever in the queue at once.", unit, f"max({sign})", FR98)
    return table | {
        "service.throughput_jobs_per_h": Meaning(
            "Jobs that ended in the window, per hour.", "jobs/h", "number of jobs with A <= e <= B, / (B - A)", FR98
        ),
        "service.makespan_s": Meaning(
            "Time from the first submit to the last end of the whole run.", "s", "max(e) - min(s) over all jobs", FR98
        ),
        "service.backfilled_fraction": Meaning(
            "Part of the started jobs that passed one submitted earlier, by backfilling or by priority.",
            "",
            "number of J with b < max(b) over the jobs submitted earlier, / n",
        ),
    }


def _fairness() -> dict[str, Meaning]:
    table: dict[str, Meaning] = {}
    served = "x_g = sum(p r) / sum(p (w + r)) over the group's J"
    for by, words in _GROUPS.items():
        key = f"fairness.{by}."
        table[key + "groups"] = Meaning(
            f"Number of {words} with jobs that ran.", "", "number of groups with sum(p (w + r)) > 0"
        )
        table[key + "jain_service"] = Meaning(
            f"Evenness of service between {words} (time served per time present): 1 is equal, near 0 is one-sided.",
            "",
            f"sum(x_g)^2 / (n sum(x_g^2)); {served}",
            JAIN84,
        )
        table[key + "gini_service"] = Meaning(
            f"Inequality of service between {words} (time served per time present): 0 is equal, near 1 is one-sided.",
            "",
            f"sum over pairs |x_g - x_h| / (2 n^2 mean(x)); {served}",
            GINI12,
        )
        if by not in {"user", "account"}:
            continue
        table[key + "jain_usage_per_share"] = Meaning(
            f"Evenness between {words} of use per promised share: 1 means all got the same multiple of their share.",
            "",
            "as jain_service, of x_g = u_g / t_g over the groups with t_g > 0 and a job in the window",
            JAIN84,
        )
        table[key + "gini_usage_per_share"] = Meaning(
            f"Inequality between {words} of use per promised share: 0 means all got the same multiple of it.",
            "",
            "as gini_service, of x_g = u_g / t_g over the groups with t_g > 0 and a job in the window",
            GINI12,
        )
        table[key + "share_error_mean"] = Meaning(
            f"Part of each day's work that went to other {words} than it was promised to, on average over days.",
            "",
            "mean over 24 h pieces of the window of sum(|t_g - u_g|) / 2, weighted by the processor time used in each",
        )
        table[key + "share_error_demand_mean"] = Meaning(
            f"The same, with each day's promises shared out among the {words} that had work to run.",
            "",
            "as share_error_mean, t_g being 0 for groups with no job that waited or ran in the piece, and scaled to sum to 1",
        )
        table[key + "share_error_final"] = Meaning(
            f"Part of the whole window's work that went to other {words} than it was promised to.",
            "",
            "sum(|t_g - u_g|) / 2 over the window as one piece",
        )
    wait = "wait per core-second used"
    value = "x = sum(w) / sum(p r) over a user's J, of users with sum(p r) > 0"
    table |= {
        "fairness.nuwt.users": Meaning(
            "Users that used anything, over whom the next five are taken.",
            "",
            "number of users with sum(p r) > 0",
            KR12,
        ),
        "fairness.nuwt.mean": Meaning(f"Mean over users of their {wait}.", "s/core-s", f"mean(x); {value}", KR12),
        "fairness.nuwt.std": Meaning(
            f"Spread between users of their {wait}: small is fair.", "s/core-s", f"sqrt(F / n); {value}", KR12
        ),
        "fairness.nuwt.p50": Meaning(f"Median over users of their {wait}.", "s/core-s", f"median(x); {value}", KR12),
        "fairness.nuwt.max": Meaning(f"The worst-off user's {wait}.", "s/core-s", f"max(x); {value}", KR12),
        "fairness.nuwt.sum_of_squares": Meaning(
            f"Sum over users of squared distance from the mean {wait}, the authors' measure F: small is fair.",
            "",
            f"F = sum((mean(x) - x)^2); {value}",
            KR12,
        ),
        "fairness.fair_start_sample.sample_seed": Meaning(
            "Seed with which jobs were drawn for fair start times.", "", "given"
        ),
    }
    for plan, words in _PLANS.items():
        key = f"fairness.fair_start_sample.{plan}."
        late = f"later than if all before them were {words} and nobody who came later were served first"
        table[key + "sampled_jobs"] = Meaning(
            "Jobs drawn to work out their fair start; 0 where queues were too deep for it.", "jobs", "n, drawn from J"
        )
        table[key + "sampled_fraction"] = Meaning(
            "Part of the started jobs that were drawn: 1 means all, so no sampling error.", "", "n / number of J"
        )
        fair = f"u = max(0, b - f), f: start by a plan of the jobs ahead and the job itself, {words}"
        table[key + "unfair_fraction"] = Meaning(
            f"Part of the sampled jobs that started {late}.", "", f"number of u > 0, / n; {fair}", f"{SS05}; {LSS10}"
        )
        delay = f"delay behind the fair start ({words})"
        for name, text, formula in (
            ("mean_unfairness_s", f"Mean {delay} over all sampled jobs.", "sum(u) / n"),
            ("mean_of_unfair_s", f"Mean {delay} over the sampled jobs that were late.", "sum(u) / number of u > 0"),
            ("p95_unfairness_s", f"95th percentile of the {delay}.", "u at rank 0.95 (n - 1)"),
            ("max_unfairness_s", f"Largest {delay}.", "max(u)"),
        ):
            table[key + name] = Meaning(text, "s", f"{formula}; {fair}", SS05)
    return table


def _starvation() -> dict[str, Meaning]:
    so_far = "w of the jobs submitted in the window; of one that still waits, the end of the run - s"
    table = {
        "starvation.longest_wait_s": Meaning(
            "The longest wait of any job, those still waiting included.", "s", f"max(w); {so_far}"
        ),
        "starvation.longest_wait_job": Meaning("The job that waited longest.", "job id", f"argmax(w); {so_far}"),
        "starvation.over_1_day_jobs": Meaning(
            "Jobs that waited for more than a day.", "jobs", f"number of w > 86400 s; {so_far}"
        ),
        "starvation.over_7_days_jobs": Meaning(
            "Jobs that waited for more than a week.", "jobs", f"number of w > 604800 s; {so_far}"
        ),
        "starvation.still_waiting_jobs": Meaning(
            "Jobs that were still waiting when the run ended.", "jobs", "number of jobs that neither began nor left"
        ),
        "starvation.over_wait_bound_jobs": Meaning(
            "Jobs that waited longer than the bound of their QOS allows.", "jobs", f"number of w > MaxWait; {so_far}"
        ),
    }
    for by, words in (("qos", "QOS"), ("size_class", "class of job size")):
        key = f"starvation.{by}.*."
        table[key + "jobs"] = Meaning(f"Jobs of this {words}.", "jobs", f"number of jobs with a wait; {so_far}")
        table[key + "longest_wait_s"] = Meaning(f"The longest wait in this {words}.", "s", f"max(w); {so_far}")
        table[key + "wait_p99_s"] = Meaning(
            f"99th percentile of waits in this {words}.", "s", f"w at rank 0.99 (n - 1); {so_far}"
        )
    return table


def _jobs() -> dict[str, Meaning]:
    texts = {
        "total": ("Jobs of the whole run.", "number of jobs"),
        "measured": (
            "Jobs submitted in the measured time; the counts below are of these.",
            "number of jobs with A <= s <= B",
        ),
        "started": ("Jobs that started to run.", "number of J"),
        "completed": ("Jobs that ran to their end.", "state COMPLETED"),
        "timed_out": ("Jobs killed at their time limit.", "state TIMEOUT"),
        "failed": ("Jobs that failed, as the trace has it.", "state FAILED"),
        "cancelled": ("Jobs cancelled, before or after their start.", "state CANCELLED"),
        "rejected": ("Jobs turned away at submit, such as ones wider than the machine.", "state REJECTED"),
        "other": ("Jobs in any other state, such as still waiting.", "any other state"),
    }
    return {f"jobs.{name}": Meaning(text, "jobs", formula) for name, (text, formula) in texts.items()}


def _utilization() -> dict[str, Meaning]:
    spent = "sum(p r) over the J that ended so"
    return {
        "utilization.capacity_core_h": Meaning(
            "What the machine could have given in the window, outages taken off.", "core-h", "I(C) / 3600 s", FR98
        ),
        "utilization.used_core_h": Meaning("What jobs occupied in the window.", "core-h", "I(U) / 3600 s", FR98),
        "utilization.used_fraction": Meaning(
            "Part of the processors, over time, that jobs occupied.", "", "I(U) / I(C)", FR98
        ),
        "utilization.loss_of_capacity_fraction": Meaning(
            "Part of the processors, over time, that stood idle while jobs waited that asked for them.",
            "",
            "I(min(max(C - U, 0), P)) / I(C), each pool by itself",
            f"Zhang et al. 2003; {LSS10}",
        ),
        "utilization.useful_core_h": Meaning("Spent on jobs that ran to their end.", "core-h", f"{spent}: COMPLETED"),
        "utilization.killed_core_h": Meaning(
            "Spent on jobs that were killed at their time limit.", "core-h", f"{spent}: TIMEOUT"
        ),
        "utilization.lost_core_h": Meaning(
            "Spent on jobs that failed, were cancelled or lost their node.", "core-h", f"{spent}: in any other state"
        ),
        "utilization.unfinished_core_h": Meaning(
            "Spent on jobs that were still running when the run ended.",
            "core-h",
            "sum(p (end of the run - b)) over the J without an end",
        ),
    }


def _nodes() -> dict[str, Meaning]:
    return {
        "nodes.held_core_h": Meaning(
            "What jobs held of nodes, in the whole run: of whole nodes all processors.",
            "core-h",
            "sum(h r) / 3600 s, h processors held",
        ),
        "nodes.unasked_core_h": Meaning(
            "Of that, processors that jobs held and had not asked for.", "core-h", "sum(max(h - p, 0) r) / 3600 s"
        ),
        "nodes.unasked_fraction": Meaning(
            "Part of what was held that nobody had asked for.", "", "sum(max(h - p, 0) r) / sum(h r)"
        ),
        "nodes.fragmented_core_h": Meaning(
            "Processors that stood idle while the first job in line asked for no more than was idle in sum, but not where it could use it.",
            "core-h",
            "integral over the run of C - U while p <= C - U for the first job in line that waits, each pool by itself",
        ),
    }


def _stops() -> dict[str, Meaning]:
    of = "over the stops x in the window, p: processors of the job"
    return {
        "stops.failed_jobs": Meaning("How often a failure stopped a job.", "jobs", "number of stops by failures"),
        "stops.preempted_jobs": Meaning("How often a job was preempted.", "jobs", "number of stops by other jobs"),
        "stops.occupied_core_h": Meaning(
            "What stopped jobs had occupied since they last started; not part of the utilization.",
            "core-h",
            f"sum(p (time of x - start)) {of}",
        ),
        "stops.lost_core_h": Meaning(
            "The part of it that no checkpoint holds, or that was for nothing.",
            "core-h",
            f"sum(p (time of x - last checkpoint)) {of}",
        ),
        "stops.refunded_core_h": Meaning(
            "What of it was given back to the accounts (refund).", "core-h", f"sum(p (refunded time)) {of}"
        ),
    }


GLOSSARY: Final[dict[str, Meaning]] = {
    "window.from_s": Meaning("Start of the measured time, after warm-up, from the trace's origin.", "s", "A"),
    "window.to_s": Meaning("End of the measured time, before cool-down, from the trace's origin.", "s", "B"),
    "window.days": Meaning("Length of the measured time.", "d", "(B - A) / 86400 s"),
    **_jobs(),
    **_service(),
    **_utilization(),
    **_fairness(),
    **_starvation(),
    **_nodes(),
    **_stops(),
}


def meaning(key: str) -> Meaning:
    """Meaning of one dotted key of ``metrics.json``; a group's own name matches ``*``.

    Raises
    ------
    KeyError
        The key is not one of ``metrics.json``.
    """
    if key in GLOSSARY:
        return GLOSSARY[key]
    head, _, rest = key.partition(".")
    by, _, rest = rest.partition(".")
    return GLOSSARY[f"{head}.{by}.*.{rest.rpartition('.')[2]}"]


def flatten(metrics: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested metrics as one table of dotted keys, in order."""
    flat: dict[str, Any] = {}
    for key, value in metrics.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
