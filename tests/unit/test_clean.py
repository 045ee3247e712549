"""Each cleaning rule on a trace made for it: what it finds, what it does, what it says."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest

from apportion.core.errors import TraceError, UserError
from apportion.traces.clean import clean, rules_table
from apportion.traces.rules import RULES
from apportion.traces.schema import Status
from trace_cases import make_trace

ONE = {"procs_used": [1, 1, 1], "run_ms": [1000, 1000, 1000]}


def found(trace, rule, **switch):
    cleaned, report = clean(trace, switch={name.replace("_", "-"): on for name, on in switch.items()})
    return cleaned, report[rule]


def test_unsorted_rows_are_sorted_and_ties_keep_the_order_of_the_file():
    trace = make_trace({"job_id": [10, 11, 12, 13], "submit_ms": [5000, 0, 5000, 0], "procs_used": [1] * 4})
    cleaned, outcome = found(trace, "unsorted-submit")
    assert cleaned.jobs["job_id"].tolist() == [11, 13, 10, 12]
    assert outcome.jobs == 2
    assert [(e.job_id, e.before, e.after) for e in outcome.examples] == [
        (11, {"row": 2}, {"row": 1}),
        (13, {"row": 4}, {"row": 2}),
    ]


def test_a_job_without_submit_time_is_dropped_and_said():
    cleaned, outcome = found(make_trace({**ONE, "submit_ms": [0, -1, -5000]}), "no-submit")
    assert cleaned.jobs["job_id"].tolist() == [1]
    assert outcome.jobs == 2
    assert outcome.examples[0].before == {"submit_ms": -1}
    century_ms = 100 * 365 * 86_400_000
    cleaned, _ = found(make_trace({**ONE, "submit_ms": [0, century_ms, 3 * century_ms]}), "no-submit")
    assert cleaned.jobs["job_id"].tolist() == [1, 2]


def test_lengths_of_centuries_become_unknown():
    long_ms = 300 * 365 * 86_400_000
    trace = make_trace({"run_ms": [1000, long_ms], "limit_ms": [long_ms, 9000], "procs_used": [1, 1]})
    cleaned, outcome = found(trace, "endless-time")
    assert outcome.jobs == 2
    assert cleaned.jobs["run_ms"].tolist() == [1000, -1]
    assert cleaned.jobs["limit_ms"].tolist() == [-1, 9000]


def test_a_rule_that_is_off_counts_but_does_not_act():
    trace = make_trace({"procs_used": [1, -1, 0], "procs_req": [1, -1, -1]})
    cleaned, outcome = found(trace, "no-size", no_size=False)
    assert len(cleaned) == 3
    assert (outcome.jobs, outcome.on) == (2, False)


def test_a_job_that_never_ran_needs_no_size_to_stay():
    trace = make_trace(
        {"procs_used": [0, 0, 4], "run_ms": [-1, 5000, 5000], "status": [Status.CANCELLED, Status.FAILED, 1]}
    )
    cleaned, outcome = found(trace, "no-size")
    assert cleaned.jobs["job_id"].tolist() == [1, 3]
    assert [e.job_id for e in outcome.examples] == [2]


def test_nodes_or_gpus_are_a_size_too():
    trace = make_trace({"procs_used": [-1, -1, -1], "nodes_used": [2, -1, -1], "gpus_req": [-1, 3, -1]})
    cleaned, _ = found(trace, "no-size")
    assert cleaned.jobs["job_id"].tolist() == [1, 2]


def test_negative_run_becomes_unknown_and_is_not_taken_for_a_cancelled_job():
    trace = make_trace({"run_ms": [-7000, -1, -1], "status": [1, 5, -1], "procs_used": [1, 1, 1]})
    cleaned, outcome = found(trace, "negative-run")
    assert cleaned.jobs["run_ms"].tolist() == [-1, -1, -1]
    assert outcome.examples[0].after == {"run_ms": -1}
    _, report = clean(trace)
    assert report.jobs("never-started") == 2
    assert report.jobs("no-run-time") == 1
    assert report["never-started"].detail == "1 cancelled, 1 of unknown status"


def test_negative_wait_zero_limit_and_missing_limit():
    trace = make_trace({**ONE, "wait_ms": [-3000, -1, 0], "limit_ms": [0, -1, 60_000]})
    cleaned, report = clean(trace)
    assert cleaned.jobs["wait_ms"].tolist() == [-1, -1, 0]
    assert cleaned.jobs["limit_ms"].tolist() == [-1, -1, 60_000]
    assert [report.jobs(r) for r in ("negative-wait", "zero-limit", "no-limit", "no-wait")] == [1, 1, 2, 2]


def test_over_limit_zero_run_other_size_and_cancelled_after_start_stay_as_they_are():
    columns = {
        "run_ms": [0, 7_200_000, 10_000],
        "limit_ms": [1000, 3_600_000, 10_000],
        "procs_used": [2, 4, 4],
        "procs_req": [2, 3, 4],
        "status": [5, 5, 1],
    }
    trace = make_trace(columns)
    cleaned, report = clean(trace)
    assert cleaned.jobs.equals(trace.jobs)
    counts = {r: report.jobs(r) for r in ("over-limit", "zero-run", "size-differs", "cancelled-after-start")}
    assert counts == {"over-limit": 1, "zero-run": 1, "size-differs": 1, "cancelled-after-start": 2}
    assert report["over-limit"].detail == "worst by 01:00:00"


def test_exit_codes_are_told_from_status_codes_by_one_that_cannot_be_a_status():
    codes = {"status": [0, 1, 5, -1, -1], "status_raw": ["0", "1", "5", None, "137"], "procs_used": [1] * 5}
    cleaned, outcome = found(make_trace(codes), "exit-codes-as-status")
    assert cleaned.jobs["status"].tolist() == [Status.COMPLETED, Status.FAILED, Status.FAILED, -1, Status.FAILED]
    assert outcome.jobs == 4
    assert outcome.examples[0].before == {"status": 0, "status_raw": "0"}
    assert outcome.examples[0].after == {"status": 1, "status_raw": "0"}
    plain = {"status": [0, 1, 5], "status_raw": ["0", "1", "5"], "procs_used": [1] * 3}
    assert found(make_trace(plain), "exit-codes-as-status")[1].jobs == 0


def test_a_single_odd_status_does_not_turn_the_others_round():
    codes = {"status": [1, 1, 0, 5, -1], "status_raw": ["1", "1", "0", "5", "9"], "procs_used": [1] * 5}
    cleaned, outcome = found(make_trace(codes), "exit-codes-as-status")
    assert outcome.jobs == 0
    assert cleaned.jobs["status"].tolist() == [1, 1, 0, 5, -1]


def test_stretches_of_a_job_go_where_a_line_tells_the_whole():
    columns = {
        "job_id": [1, 1, 1, 2, 2, 3, 4],
        "submit_ms": [0, 0, -1, 10_000, -1, 20_000, 30_000],
        "run_ms": [100_000, 40_000, 60_000, 40_000, 60_000, 5000, 5000],
        "status": [1, 2, 3, 2, 4, 4, 1],
        "procs_used": [1] * 7,
    }
    trace = make_trace(columns)
    cleaned, report = clean(trace)
    assert cleaned.jobs["job_id"].tolist() == [1, 2, 3, 4]
    assert cleaned.jobs["run_ms"].tolist() == [100_000, 40_000, 5000, 5000]
    assert (report.jobs("partial-execution"), report.jobs("no-submit")) == (2, 1)
    exit_codes = make_trace(columns | {"status_raw": ["0", "2", "3", "2", "4", "4", "137"]})
    assert clean(exit_codes)[1].jobs("partial-execution") == 0


def test_exit_codes_of_one_center_leave_the_statuses_of_another_alone():
    columns = {"status": [0, 1, -1], "status_raw": [None, None, "265"], "procs_used": [1] * 3}
    cleaned, _ = clean(make_trace(columns))
    assert cleaned.jobs["status"].tolist() == [Status.FAILED, Status.COMPLETED, Status.FAILED]


def test_a_row_written_twice_goes_and_a_repeated_id_stays():
    columns = {
        "job_id": [7, 8, 7, 8],
        "submit_ms": [0, 1000, 0, 2000],
        "procs_used": [1, 1, 1, 1],
        "user": ["a", None, "a", None],
    }
    cleaned, report = clean(make_trace(columns))
    assert cleaned.jobs["submit_ms"].tolist() == [0, 1000, 2000]
    assert (report.jobs("repeated-row"), report.jobs("repeated-id")) == (1, 1)


def test_a_cancelled_job_of_no_length_without_processors_never_started():
    columns = {
        "run_ms": [0, 0, 0, 0, 9],
        "status": [5, 5, 5, 1, 5],
        "procs_used": [0, -1, 4, 0, 0],
        "procs_req": [4] * 5,
    }
    cleaned, outcome = found(make_trace(columns), "zero-run-unallocated")
    assert cleaned.jobs["run_ms"].tolist() == [-1, -1, 0, 0, 9]
    assert outcome.jobs == 2
    columns["procs_used"] = [-1] * 5  # a trace that does not know allocations at all
    assert found(make_trace(columns), "zero-run-unallocated")[1].jobs == 0


def test_of_a_job_told_by_several_dumps_the_last_line_counts():
    columns = {  # job 7: waiting, running, running, done; 8: started twice; 9: runs on; 10: submitted anew
        "job_id": [7, 7, 7, 7, 8, 8, 9, 9, 10, 10],
        "submit_ms": [0] * 9 + [5000],
        "wait_ms": [-1, 10, 10, 10, 0, 900, 5, 5, -1, -1],
        "run_ms": [-1, 50, 80, 90, 700, 100, 40, 60, -1, -1],
        "status": [11, 10, 10, 1, 10, 1, 10, 10, 11, 11],
        "procs_used": [1] * 10,
    }
    cleaned, outcome = found(make_trace(columns), "outdated-row")
    assert cleaned.jobs["job_id"].tolist() == [7, 8, 8, 9, 10, 10]
    assert cleaned.jobs["run_ms"].tolist() == [90, 700, 100, 60, -1, -1]
    assert outcome.jobs == 4


def test_equal_rows_without_ids_are_kept_unless_asked():
    columns = {"submit_ms": [0, 0, 0], "run_ms": [5000, 5000, 6000], "gpus_used": [1, 1, 1]}
    trace = make_trace(columns, format="philly")
    assert len(found(trace, "repeated-row-without-id")[0]) == 3
    assert found(trace, "repeated-row-without-id")[1].jobs == 1
    cleaned, _ = found(trace, "repeated-row-without-id", repeated_row_without_id=True)
    assert cleaned.jobs["job_id"].tolist() == [1, 3]


def test_dependencies_that_make_no_sense_are_forgotten():
    trace = make_trace({"after_job": [-1, 1, 99, 4], "think_ms": [-1, 5, 5, 5], "procs_used": [1] * 4})
    cleaned, outcome = found(trace, "false-dependency")
    assert cleaned.jobs["after_job"].tolist() == [-1, 1, -1, -1]
    assert cleaned.jobs["think_ms"].tolist() == [-1, 5, -1, -1]
    assert outcome.jobs == 2
    constant = make_trace({"after_job": [1, 1, 1], "procs_used": [1] * 3})
    assert found(constant, "false-dependency")[0].jobs["after_job"].tolist() == [-1, -1, -1]


def test_capacity_rules_report_only():
    columns = {
        "submit_ms": [0, 0, 10_000],
        "wait_ms": [0, 5_000, 0],
        "run_ms": [10_000, 10_000, 10_000],
        "procs_used": [6, 5, 5],
    }
    trace = make_trace(columns, max_procs=10)
    cleaned, report = clean(trace)
    assert cleaned.jobs.equals(trace.jobs)
    # 6 from 0 to 10, 5 from 5 to 15, 5 from 10 to 20: above 10 from 5 to 10, a quarter of the time.
    assert report.jobs("logged-above-capacity") == 1
    assert report["logged-above-capacity"].examples[0].job_id == 2
    assert report["logged-above-capacity"].detail == (
        "peak 11 of 10 processors; above the machine's size 25.00 % of the time"
    )
    assert report.jobs("wider-than-machine") == 0
    _, wide = clean(make_trace({"procs_used": [11, 10, -1], "procs_req": [1, 1, 12]}, max_procs=10))
    assert wide.jobs("wider-than-machine") == 2


def test_fractions_are_kept_unless_asked_and_then_rounded():
    trace = make_trace({"submit_ms": [1500, 2000], "run_ms": [1001, 2000], "limit_ms": [-1, -1], "procs_used": [1, 1]})
    assert found(trace, "fractions-of-seconds")[0].jobs.equals(trace.jobs)
    cleaned, outcome = found(trace, "fractions-of-seconds", fractions_of_seconds=True)
    assert outcome.jobs == 1
    assert cleaned.jobs["submit_ms"].tolist() == [1000, 2000]
    assert cleaned.jobs["run_ms"].tolist() == [2000, 2000]
    assert cleaned.jobs["limit_ms"].tolist() == [-1, -1]


def test_text_ids_and_a_trace_with_only_the_required_columns():
    cleaned, report = clean(make_trace({"job_id": ["12.a", "12.b", "12.a"], "nodes_req": [1, 1, 1]}))
    assert cleaned.jobs["job_id"].tolist() == ["12.a", "12.b"]
    assert report.jobs("repeated-row") == 1
    bare = make_trace({"submit_ms": [0]})
    with pytest.raises(TraceError, match="no job is left"):
        clean(bare)


def test_an_empty_trace_stays_empty():
    cleaned, report = clean(make_trace({"submit_ms": []}))
    assert len(cleaned) == 0
    assert all(outcome.jobs == 0 for outcome in report.outcomes)


def test_unknown_rule_names_are_refused_with_the_nearest():
    with pytest.raises(UserError, match="did you mean 'no-size'"):
        clean(make_trace(ONE), switch={"no-siz": True})


def test_the_report_is_plain_data_with_examples():
    _, report = clean(make_trace({**ONE, "submit_ms": [-1] + [0] * 2}))
    data = json.loads(report.dumps())
    assert (data["jobs_before"], data["jobs_after"]) == (3, 2)
    first = next(rule for rule in data["rules"] if rule["rule"] == "no-submit")
    assert first["examples"] == [{"job_id": 1, "before": {"submit_ms": -1}, "after": {}}]
    assert report.to_json() == data["rules"]


def test_at_most_five_examples():
    _, report = clean(make_trace({"procs_used": [1] * 40, "run_ms": [0] * 40}))
    assert report.jobs("zero-run") == 40
    assert [e.job_id for e in report["zero-run"].examples] == [1, 2, 3, 4, 5]


def test_the_table_of_rules_is_complete_and_says_why():
    table = rules_table()
    assert [row["rule"] for row in table] == [rule.name for rule in RULES]
    assert len({row["rule"] for row in table}) == len(table)
    assert all(len(row["why"]) > 20 and row["finds"] for row in table)
    assert {row["rule"] for row in table if not row["default"]} == {"repeated-row-without-id", "fractions-of-seconds"}
    drops = {row["rule"] for row in table if row["action"] == "drop" and row["default"]}
    assert drops == {"partial-execution", "no-submit", "repeated-row", "outdated-row", "no-size"}


def test_two_hundred_thousand_jobs_are_cleaned_quickly():
    rng = np.random.default_rng(1)
    count = 200_000
    columns = {
        "submit_ms": np.sort(rng.integers(0, 10**7, count)) * 1000,
        "wait_ms": rng.integers(0, 10**4, count) * 1000,
        "run_ms": rng.integers(0, 10**5, count) * 1000,
        "limit_ms": rng.integers(0, 10**5, count) * 1000,
        "procs_used": rng.integers(0, 64, count),
        "procs_req": rng.integers(0, 64, count),
    }
    trace = make_trace(columns, max_procs=1000)
    clean(trace)
    best = 9.0
    for _ in range(5):
        begun = time.perf_counter()
        clean(trace)
        best = min(best, time.perf_counter() - begun)
    assert best < 0.6, f"{best:.3f} s; 0.15 s on a quiet machine"
