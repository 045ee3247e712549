"""Keys as people write them, turned into the keys of the model; unknown ones are refused with the nearest name."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, NamedTuple, get_args, get_origin

from pydantic import BaseModel

from apportion.core.tres import shorten
from apportion.policy.fields import nearest
from apportion.policy.model import Policy
from apportion.policy.sections import (
    AccountEntry,
    AssignRule,
    Association,
    CohortEntry,
    GroupLimits,
    JobLimits,
    NodeEntry,
    PartitionEntry,
    PreemptOptions,
    QosEntry,
    ReservationEntry,
    SchedulerOptions,
    UserEntry,
)

Place = tuple[str | int, ...]

# Other spellings that Slurm itself uses, by model; keys in lower case.
ALIASES: dict[type[BaseModel], dict[str, str]] = {
    GroupLimits: {"grpsubmit": "GrpSubmitJobs", "grptresmin": "GrpTRESMins", "grptresrunmin": "GrpTRESRunMins"},
    JobLimits: {
        "maxtres": "MaxTRESPerJob",
        "maxtrespj": "MaxTRESPerJob",
        "maxtrespn": "MaxTRESPerNode",
        "maxtresmins": "MaxTRESMinsPerJob",
        "maxtresminspj": "MaxTRESMinsPerJob",
        "maxwalldurationperjob": "MaxWall",
        "maxwallpj": "MaxWall",
        "minpriothresh": "MinPrioThreshold",
    },
    Association: {"share": "Fairshare", "shares": "Fairshare", "rawshares": "Fairshare", "maxsubmit": "MaxSubmitJobs"},
    AccountEntry: {"name": "Account", "parentname": "Parent"},
    CohortEntry: {"name": "Cohort"},
    UserEntry: {"name": "User"},
    QosEntry: {
        "maxtresperuser": "MaxTRESPU",
        "maxtresperaccount": "MaxTRESPA",
        "maxjobsperuser": "MaxJobsPU",
        "maxjobsperaccount": "MaxJobsPA",
        "maxjobsaccrueperuser": "MaxJobsAccruePU",
        "maxjobsaccrueperaccount": "MaxJobsAccruePA",
        "maxsubmitjobsperuser": "MaxSubmitJobsPU",
        "maxsubmitpu": "MaxSubmitJobsPU",
        "maxsubmitjobsperaccount": "MaxSubmitJobsPA",
        "maxsubmitpa": "MaxSubmitJobsPA",
        "mintres": "MinTRESPerJob",
    },
    NodeEntry: {"name": "NodeName"},
    PartitionEntry: {"name": "PartitionName"},
    ReservationEntry: {"name": "ReservationName", "account": "Accounts", "user": "Users"},
    AssignRule: {},
    Policy: {
        "account": "accounts",
        "user": "users",
        "cohort": "cohorts",
        "node": "nodes",
        "partition": "partitions",
        "reservation": "reservations",
        "assignment": "assign",
    },
}

# What Slurm knows and this release does not act on, with what to say about it; keys in lower case.
NOT_SIMULATED: dict[type[BaseModel], dict[str, str]] = {
    Policy: {
        "prioritytype": "Order says how the queue is sorted",
        "prioritysitefactorplugin": "",
        "schedulertype": "Backfill says who may pass",
        "clustername": "",
        "overtimelimit": "",
        "defmempercpu": "",
        "defmempernode": "",
        "maxjobcount": "",
        "maxarraysize": "",
        "enforcepartlimits": "",
        "accountingstoragetres": "",
        "grestypes": "",
    },
    Association: {"qos": "", "organization": "", "description": "", "maxtresrunmins": "", "partition": ""},
    QosEntry: {
        "description": "",
        "maxtresrunminspu": "",
        "maxtresrunminspa": "",
        "maxtresrunminsperuser": "",
        "maxtresrunminsperaccount": "",
    },
    NodeEntry: {
        "arch": "",
        "boards": "",
        "corespeccount": "",
        "corespersocket": "write CPUs",
        "cpuspeclist": "",
        "memspeclimit": "",
        "nodeaddr": "",
        "nodehostname": "",
        "port": "",
        "procs": "write CPUs",
        "reason": "",
        "sockets": "write CPUs",
        "socketsperboard": "write CPUs",
        "threadspercore": "write CPUs",
        "tmpdisk": "",
    },
    PartitionEntry: {
        "allowaccounts": "",
        "allowgroups": "",
        "allowqos": "",
        "denyaccounts": "",
        "denyqos": "",
        "allocnodes": "",
        "alternate": "",
        "cpubind": "",
        "defmempercpu": "",
        "defmempernode": "",
        "disablerootjobs": "",
        "exclusiveuser": "",
        "hidden": "",
        "lln": "",
        "maxcpuspernode": "",
        "maxmempercpu": "",
        "maxmempernode": "",
        "overtimelimit": "",
        "priority": "write PriorityTier and PriorityJobFactor",
        "reqresv": "",
        "resumetimeout": "",
        "rootonly": "",
        "selecttypeparameters": "",
    },
    ReservationEntry: {
        "features": "",
        "licenses": "",
        "burstbuffer": "",
        "partitions": "",
        "nodes": "write NodeCnt",
        "groups": "",
    },
    PreemptOptions: dict.fromkeys(
        (
            "min_exempt_priority",
            "reclaim_licenses",
            "reorder_count",
            "send_user_signal",
            "strict_order",
            "suspend_grace_time",
        ),
        "",
    ),
    SchedulerOptions: dict.fromkeys(
        (
            "batch_sched_delay",
            "bf_busy_nodes",
            "bf_continue",
            "bf_hetjob_prio",
            "bf_job_part_count_reserve",
            "bf_licenses",
            "bf_max_job_array_resv",
            "bf_max_job_assoc",
            "bf_max_job_part",
            "bf_max_job_start",
            "bf_max_job_user_part",
            "bf_max_time",
            "bf_min_age_reserve",
            "bf_one_resv_per_job",
            "bf_running_job_reserve",
            "bf_topopt_enable",
            "bf_window_linear",
            "bf_yield_interval",
            "bf_yield_sleep",
            "build_queue_timeout",
            "defer",
            "defer_batch",
            "enable_user_top",
            "max_rpc_cnt",
            "max_sched_time",
            "max_switch_wait",
            "nohold_on_prolog_fail",
            "pack_serial_at_end",
            "partition_job_depth",
            "permit_job_expansion",
            "preempt_reorder_count",
            "preempt_strict_order",
            "preempt_youngest_first",
            "reduce_completing_frag",
            "requeue_delay",
            "sched_max_job_start",
            "sched_min_interval",
            "spec_cores_first",
        ),
        "",
    ),
}


class UnusableKeyError(Exception):
    """A key that cannot be used, and where it stands."""

    def __init__(self, problem: str, remedy: str, at: Place) -> None:
        self.problem, self.remedy, self.at = problem, remedy, at
        super().__init__(problem)


class Ignored(NamedTuple):
    """A key that Slurm knows and that is not simulated yet."""

    key: str
    hint: str
    at: Place


class _Words(NamedTuple):
    """What may be written in a section: keys, other spellings, keys that are not simulated; in lower case."""

    known: dict[str, str]
    aliases: dict[str, str]
    later: dict[str, str]


@cache
def _words(model: type[BaseModel]) -> _Words:
    words = _Words({name.lower(): name for name in model.model_fields}, {}, {})
    for base in reversed(model.__mro__):
        words.aliases.update(ALIASES.get(base, {}))
        words.later.update(NOT_SIMULATED.get(base, {}))
    return words


def _section(annotation: Any) -> type[BaseModel] | None:
    """Find the model of a nested section or of a list of them, if the annotation is one."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for part in get_args(annotation):
        if isinstance(part, type) and issubclass(part, BaseModel):
            return part
    return None


def normalise(
    data: Mapping[Any, Any],
    model: type[BaseModel] = Policy,
    at: Place = (),
    faults: list[UnusableKeyError] | None = None,
) -> tuple[dict[str, Any], list[Ignored]]:
    """Rename the keys of ``data`` to those of ``model``, whatever the case, in all its sections.

    Parameters
    ----------
    data : mapping
        As parsed from a file.
    model : type
        The model that ``data`` is meant for.
    at : tuple
        Path of ``data`` in the whole, for errors.
    faults : list, optional
        Takes up the keys that cannot be used, which are then left out, instead of an error for the first.

    Returns
    -------
    tuple
        The renamed data, and the keys that were left out because they are not simulated yet.

    Raises
    ------
    UnusableKeyError
        For an unknown key, or one that is written twice.
    """
    known, aliases, later = _words(model)
    result: dict[str, Any] = {}
    ignored: list[Ignored] = []
    for key, value in data.items():
        folded = str(key).strip().lower() if not isinstance(key, int) or abs(key) < 10**30 else "?"
        name = known.get(folded) or aliases.get(folded)
        place = (*at, str(key) if len(str(folded)) < 200 else "?")
        if not name:
            if folded in later:
                ignored.append(Ignored(str(key).strip(), later[folded], place))
                continue
            near = nearest(folded, tuple(model.model_fields))
            where = f" in {_where(at)}" if at else ""
            _refuse(
                faults,
                f"unknown key '{shorten(key if not isinstance(key, int) else folded)}'{where}",
                f"did you mean '{near}'?" if near else f"keys are {', '.join(model.model_fields)}",
                place,
            )
            continue
        if name in result:
            _refuse(faults, f"{name} is written twice", "keep one", place)
            continue
        section = _section(model.model_fields[name].annotation)
        if name in ("SchedulerParameters", "PreemptParameters") and isinstance(value, str):
            value = _parameters(value, name, place)  # noqa: PLW2901
        if section is None or value is None:
            result[name] = value
        elif isinstance(value, Mapping) and get_origin(model.model_fields[name].annotation) is not tuple:
            result[name], more = normalise(value, section, (*at, name), faults)
            ignored += more
        else:
            if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
                _refuse(faults, f"{name} is not a list of tables", f"write each entry under [[{name}]]", place)
                continue
            result[name] = []
            for i, item in enumerate(value):
                entry, more = normalise(item, section, (*at, name, i), faults)
                result[name].append(entry)
                ignored += more
    return result, ignored


def _where(at: Place) -> str:
    return " ".join(f"{part}" if isinstance(part, str) else f"number {part + 1}" for part in at)


def _refuse(faults: list[UnusableKeyError] | None, problem: str, remedy: str, place: Place) -> None:
    fault = UnusableKeyError(problem, remedy, place)
    if faults is None:
        raise fault
    faults.append(fault)


def _parameters(text: str, key: str, place: Place) -> dict[str, Any]:
    """Slurm's ``name=value,flag,...`` as a table."""
    options: dict[str, Any] = {}
    for part in (part.strip() for part in text.split(",")):
        if not part:
            continue
        name, equals, value = part.partition("=")
        if name.strip().lower() in (key.lower() for key in options):
            raise UnusableKeyError(f"{shorten(name)} is written twice in {key}", "keep one", place)
        options[name.strip()] = value.strip() if equals else True
    return options
