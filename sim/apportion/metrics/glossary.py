"""What every key of ``metrics.json`` means, in plain words: read by the report, the documentation and the tests."""

from __future__ import annotations

from typing import Any, Final, NamedTuple


class Meaning(NamedTuple):
    """One key: a sentence for a newcomer, the unit ("" for a pure number), and where the formula is from."""

    text: str
    unit: str
    source: str = ""


FR98: Final = "Feitelson & Rudolph 1998, doi:10.1007/BFb0053978"
F97: Final = "Feitelson et al. 1997, doi:10.1007/3-540-63574-2_14"
ZK99: Final = "Zotkin & Keleher 1999, doi:10.1109/HPDC.1999.805303"
F01: Final = "Feitelson 2001, doi:10.1007/3-540-45540-X_11"
SS05: Final = "Sabin & Sadayappan 2005, doi:10.1007/11605300_12"
LSS10: Final = "Leung, Sabin & Sadayappan 2010, doi:10.1109/ICPPW.2010.48"
KR12: Final = "Klusacek & Rudova 2012, doi:10.1007/978-3-642-35867-8_13"
JAIN84: Final = "Jain, Chiu & Hawe 1984, DEC-TR-301"
GINI12: Final = "Gini 1912"

_WAITS: Final = {
    "wait_s": ("wait from submit to start", "s", FR98),
    "response_s": ("time from submit to end", "s", FR98),
    "slowdown": ("slowdown, how many times longer than its run a job was in the system", "", FR98),
    "bounded_slowdown": ("slowdown with runs under 10 s counted as 10 s, at least 1", "", F97),
    "per_processor_slowdown": ("slowdown divided by the job's processors", "", ZK99),
    "per_processor_bounded_slowdown": (
        "slowdown per processor with runs under 10 s counted as 10 s, at least 1",
        "",
        F01,
    ),
}
_STATISTICS: Final = {
    "mean": "Mean {}.",
    "area_weighted_mean": "Mean {}, each job weighted by its processors times run time: what the work saw.",
    "std": "Standard deviation over jobs of the {}.",
    "min": "Smallest {}.",
    "p50": "Median {}: half of the jobs had less.",
    "p90": "90th percentile of the {}: nine jobs of ten had less.",
    "p95": "95th percentile of the {}: 19 jobs of 20 had less.",
    "p99": "99th percentile of the {}: 99 jobs of 100 had less.",
    "max": "Largest {}.",
}
_GROUPS: Final = {"user": "users", "account": "accounts", "qos": "QOS", "size_class": "classes of job size"}
_PLANS: Final = {
    "arrival_order": "planned strictly in order of arrival",
    "conservative": "planned in order of arrival with perfect backfilling",
}


def _service() -> dict[str, Meaning]:
    table = {
        f"service.{family}.{name}": Meaning(sentence.format(words), unit, source)
        for family, (words, unit, source) in _WAITS.items()
        for name, sentence in _STATISTICS.items()
    }
    for what, unit in (("jobs", "jobs"), ("procs", "processors")):
        table[f"service.queue_{what}.mean"] = Meaning(f"Mean over time of the {unit} in the queue.", unit, FR98)
        table[f"service.queue_{what}.max"] = Meaning(f"Most {unit} that were ever in the queue at once.", unit, FR98)
    return table | {
        "service.throughput_jobs_per_h": Meaning("Jobs that ended in the window, per hour.", "jobs/h", FR98),
        "service.makespan_s": Meaning("Time from the first submit to the last end of the whole run.", "s", FR98),
        "service.backfilled_fraction": Meaning("Part of the started jobs that backfilling let pass others.", ""),
    }


def _fairness() -> dict[str, Meaning]:
    table: dict[str, Meaning] = {}
    for by, words in _GROUPS.items():
        key = f"fairness.{by}."
        table[key + "groups"] = Meaning(f"Number of {words} with jobs that ran.", "")
        table[key + "jain_service"] = Meaning(
            f"Evenness of service between {words} (time served per time present): 1 is equal, near 0 is one-sided.",
            "",
            JAIN84,
        )
        table[key + "gini_service"] = Meaning(
            f"Inequality of service between {words} (time served per time present): 0 is equal, near 1 is one-sided.",
            "",
            GINI12,
        )
        if by not in {"user", "account"}:
            continue
        table[key + "jain_usage_per_share"] = Meaning(
            f"Evenness between {words} of use per promised share: 1 means all got the same multiple of their share.",
            "",
            JAIN84,
        )
        table[key + "gini_usage_per_share"] = Meaning(
            f"Inequality between {words} of use per promised share: 0 means all got the same multiple of it.",
            "",
            GINI12,
        )
        table[key + "share_error_mean"] = Meaning(
            f"Part of each day's work that went to other {words} than it was promised to, on average over days.", ""
        )
        table[key + "share_error_demand_mean"] = Meaning(
            f"The same, with each day's promises shared out among the {words} that had work to run.", ""
        )
        table[key + "share_error_final"] = Meaning(
            f"Part of the whole window's work that went to other {words} than it was promised to.", ""
        )
    wait = "wait per core-second used"
    table |= {
        "fairness.nuwt.users": Meaning("Users that used anything, over whom the next five are taken.", ""),
        "fairness.nuwt.mean": Meaning(f"Mean over users of their {wait}.", "s/core-s", KR12),
        "fairness.nuwt.std": Meaning(f"Spread between users of their {wait}: small is fair.", "s/core-s", KR12),
        "fairness.nuwt.p50": Meaning(f"Median over users of their {wait}.", "s/core-s", KR12),
        "fairness.nuwt.max": Meaning(f"The worst-off user's {wait}.", "s/core-s", KR12),
        "fairness.nuwt.sum_of_squares": Meaning(
            f"Sum over users of squared distance from the mean {wait}, the authors' measure F: small is fair.", "", KR12
        ),
        "fairness.fair_start_sample.sample_seed": Meaning("Seed with which jobs were drawn for fair start times.", ""),
    }
    for plan, words in _PLANS.items():
        key = f"fairness.fair_start_sample.{plan}."
        late = f"later than if all before them were {words} and nobody who came later were served first"
        table[key + "sampled_jobs"] = Meaning(
            "Jobs drawn to work out their fair start; 0 where queues were too deep for it.", "jobs"
        )
        table[key + "sampled_fraction"] = Meaning(
            "Part of the started jobs that were drawn: 1 means all, so no sampling error.", ""
        )
        table[key + "unfair_fraction"] = Meaning(
            f"Part of the sampled jobs that started {late}.", "", f"{SS05}; {LSS10}"
        )
        delay = f"delay behind the fair start ({words})"
        table[key + "mean_unfairness_s"] = Meaning(f"Mean {delay} over all sampled jobs.", "s", SS05)
        table[key + "mean_of_unfair_s"] = Meaning(f"Mean {delay} over the sampled jobs that were late.", "s", SS05)
        table[key + "p95_unfairness_s"] = Meaning(f"95th percentile of the {delay}.", "s", SS05)
        table[key + "max_unfairness_s"] = Meaning(f"Largest {delay}.", "s", SS05)
    return table


def _starvation() -> dict[str, Meaning]:
    table = {
        "starvation.longest_wait_s": Meaning("The longest wait of any job, those still waiting included.", "s"),
        "starvation.longest_wait_job": Meaning("The job that waited longest.", "job id"),
        "starvation.over_1_day_jobs": Meaning("Jobs that waited for more than a day.", "jobs"),
        "starvation.over_7_days_jobs": Meaning("Jobs that waited for more than a week.", "jobs"),
        "starvation.still_waiting_jobs": Meaning("Jobs that were still waiting when the run ended.", "jobs"),
        "starvation.over_wait_bound_jobs": Meaning(
            "Jobs that waited longer than the bound of their QOS allows.", "jobs"
        ),
    }
    for by, words in (("qos", "QOS"), ("size_class", "class of job size")):
        table[f"starvation.{by}.*.jobs"] = Meaning(f"Jobs of this {words}.", "jobs")
        table[f"starvation.{by}.*.longest_wait_s"] = Meaning(f"The longest wait in this {words}.", "s")
        table[f"starvation.{by}.*.wait_p99_s"] = Meaning(f"99th percentile of waits in this {words}.", "s")
    return table


GLOSSARY: Final[dict[str, Meaning]] = {
    "window.from_s": Meaning("Start of the measured time, after warm-up, from the trace's origin.", "s"),
    "window.to_s": Meaning("End of the measured time, before cool-down, from the trace's origin.", "s"),
    "window.days": Meaning("Length of the measured time.", "d"),
    "jobs.total": Meaning("Jobs of the whole run.", "jobs"),
    "jobs.measured": Meaning("Jobs submitted in the measured time; the counts below are of these.", "jobs"),
    "jobs.started": Meaning("Jobs that started to run.", "jobs"),
    "jobs.completed": Meaning("Jobs that ran to their end.", "jobs"),
    "jobs.timed_out": Meaning("Jobs killed at their time limit.", "jobs"),
    "jobs.failed": Meaning("Jobs that failed, as the trace has it.", "jobs"),
    "jobs.cancelled": Meaning("Jobs cancelled, before or after their start.", "jobs"),
    "jobs.rejected": Meaning("Jobs turned away at submit, such as ones wider than the machine.", "jobs"),
    "jobs.other": Meaning("Jobs in any other state, such as still waiting.", "jobs"),
    **_service(),
    "utilization.capacity_core_h": Meaning(
        "What the machine could have given in the window, outages taken off.", "core-h", FR98
    ),
    "utilization.used_core_h": Meaning("What jobs occupied in the window.", "core-h", FR98),
    "utilization.used_fraction": Meaning("Part of what was there that jobs occupied.", "", FR98),
    "utilization.loss_of_capacity_fraction": Meaning(
        "Part of what was there that stood idle while jobs waited that could have used it.",
        "",
        f"Zhang et al. 2003; {LSS10}",
    ),
    "utilization.useful_core_h": Meaning("Spent on jobs that ran to their end.", "core-h"),
    "utilization.killed_core_h": Meaning("Spent on jobs that were killed at their time limit.", "core-h"),
    "utilization.lost_core_h": Meaning("Spent on jobs that failed, were cancelled or lost their node.", "core-h"),
    "utilization.unfinished_core_h": Meaning("Spent on jobs that were still running when the run ended.", "core-h"),
    **_fairness(),
    **_starvation(),
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
