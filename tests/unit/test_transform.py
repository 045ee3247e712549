"""Parts of traces, other loads, merged calendars, hidden names."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from apportion.core.errors import TraceError, UserError
from apportion.traces import merge, transform
from apportion.traces.anonymize import anonymize
from trace_cases import make_trace

DAY_MS = 86_400_000
WEEK_MS = 7 * DAY_MS


def five(**meta):
    return make_trace(
        {
            "job_id": [11, 12, 13, 14, 15],
            "submit_ms": [1000, 2000, 2000, 5000, 9000],
            "wait_ms": [0, 1000, 0, 0, 0],
            "procs_used": [1, 2, 3, 4, 5],
            "user": ["7", "8", "7", None, "9"],
            "group": ["g", "h", "g", "g", "h"],
            "after_job": [-1, 11, -1, 12, -1],
            "queue": ["1", "2", "1", "2", "1"],
        },
        **meta,
    )


def test_window_is_half_open_and_keeps_the_calendar():
    part = transform.window(five(origin_ms=42), 2000, 9000)
    assert part.jobs["job_id"].tolist() == [12, 13, 14]
    assert part.jobs["submit_ms"].tolist() == [2000, 2000, 5000]
    assert part.meta.origin_ms == 42


def test_a_part_forgets_names_and_jobs_that_are_gone():
    part = transform.window(five(), 2000, 9000)
    assert part.jobs["after_job"].tolist() == [-1, -1, 12]
    assert list(part.jobs["user"].cat.categories) == ["7", "8"]


def test_choice_by_several_columns_and_by_the_header_s_names():
    trace = five(queues={"1": "short", "2": "long"})
    assert transform.having(trace, {"user": ["7", "8"], "queue": ["short"]}).jobs["job_id"].tolist() == [11, 13]
    assert transform.having(trace, {"user": [], "group": ["h"]}).jobs["job_id"].tolist() == [12, 15]
    with pytest.raises(TraceError, match=r"no job of made has user '99' \(it has 7, 8, 9\)"):
        transform.having(trace, {"user": ["99"]})
    with pytest.raises(TraceError, match="it knows no partitions"):
        transform.having(trace, {"partition": ["x"]})


def test_first_jobs():
    assert transform.first(five(), 2).jobs["job_id"].tolist() == [11, 12]
    assert len(transform.first(five(), 99)) == 5


def test_moments_are_dates_in_the_trace_s_zone_or_times_after_the_first_submit():
    trace = five(origin_ms=1_095_000_000_000, timezone="Europe/Paris")  # 2004-09-12 14:40:00 UTC
    assert transform.instant_ms(trace, "2004-09-12T16:40:00") == 0
    assert transform.instant_ms(trace, "2004-09-12T14:40:00+00:00") == 0
    assert transform.instant_ms(trace, "2004-09-13") == (7 * 60 + 20) * 60_000
    assert transform.instant_ms(trace, "1-00") == 1000 + DAY_MS
    assert transform.instant_ms(trace, "00:00:04") == 5000
    for text in ("2004-13-45", "soon"):
        with pytest.raises(UserError):
            transform.instant_ms(trace, text)
    with pytest.raises(TraceError, match="only relative times"):
        transform.instant_ms(five(), "2004-09-13")


@pytest.mark.parametrize(
    ("factor", "submits"), [(0.5, [1000, 1000, 1000, 3000, 5000]), (2, [1000, 3000, 3000, 9000, 17000])]
)
def test_scaling_moves_submits_on_whole_seconds_and_forgets_waits(factor, submits):
    trace = five()
    scaled = transform.scale(trace, factor)
    assert scaled.jobs["submit_ms"].tolist() == submits
    assert set(scaled.jobs["wait_ms"]) == {-1}
    assert trace.jobs["wait_ms"].tolist() == [0, 1000, 0, 0, 0]


@pytest.mark.parametrize("factor", [0, -1, float("nan"), float("inf")])
def test_scaling_by_nonsense(factor):
    with pytest.raises(TraceError, match="give a number above 0"):
        transform.scale(five(), factor)


@given(st.lists(st.integers(-1, 10**6), min_size=1, max_size=30), st.floats(0.01, 20))
def test_scaling_keeps_the_order_and_unknown_submits(submits, factor):
    submits = sorted(submits)
    scaled = transform.scale(make_trace({"submit_ms": submits}), factor).column("submit_ms")
    assert ((scaled < 0) == (np.array(submits) < 0)).all()
    known = scaled[scaled >= 0]
    assert (np.diff(known) >= 0).all()


def test_merging_on_the_calendar():
    here = five(
        name="here", origin_ms=1_000_000, max_procs=10, timezone="UTC", header=("; Acknowledge: A", "; MaxProcs: 10")
    )
    there = make_trace(
        {
            "job_id": [11, 12],
            "submit_ms": [0, 3000],
            "user": ["7", "x"],
            "partition": ["p", None],
            "after_job": [-1, 11],
        },
        name="there",
        origin_ms=1_001_500,
        max_procs=5,
        timezone="Europe/Paris",
    )
    both = merge.merge([here, there])
    assert both.meta.origin_ms == 1_000_000
    assert both.meta.max_procs == 15
    assert both.meta.timezone == ""
    assert both.jobs["submit_ms"].tolist() == [1000, 1500, 2000, 2000, 4500, 5000, 9000]
    assert both.jobs["job_id"].tolist() == [1, 2, 3, 4, 5, 6, 7]
    assert both.jobs["x_center"].tolist() == ["here", "there", "here", "here", "there", "here", "here"]
    assert both.jobs["x_own_id"].tolist() == ["11", "11", "12", "13", "12", "14", "15"]
    assert both.jobs["after_job"].tolist() == [-1, -1, 1, -1, 2, 3, -1]
    assert both.jobs["user"].tolist()[:2] == ["here/7", "there/7"]
    assert both.jobs["partition"].tolist()[:5] == ["here", "there/p", "here", "here", "there"]
    assert both.jobs["procs_used"].tolist() == [1, -1, 2, 3, -1, 4, 5]
    assert both.meta.header == ("; [here] Acknowledge: A", "; [here] MaxProcs: 10")


def test_shared_names_stay_as_they_are():
    a = five(name="a", origin_ms=0)
    b = five(name="b", origin_ms=0)
    both = merge.merge([a, b], shared=["user"])
    assert list(both.jobs["user"].cat.categories) == ["7", "8", "9"]
    assert "a/g" in list(both.jobs["group"].cat.categories)


def test_files_of_one_machine_are_not_taken_for_centers_without_a_word():
    days = [five(name=name, origin_ms=0) for name in ("20240301", "20240302")]
    said = "5 jobs have the id and submit time of one of another center"
    assert any(note.startswith(said) for note in merge.merge(days).meta.notes)
    later = five(name="other", origin_ms=DAY_MS)
    requeued = make_trace({"job_id": [1, 1], "submit_ms": [0, 0], "procs_used": [1, 1]}, name="again", origin_ms=0)
    assert merge.merge([days[0], later, requeued]).meta.notes == ()


def test_ties_of_one_instant_keep_the_order_of_the_traces():
    both = merge.merge([five(name="a", origin_ms=0), five(name="b", origin_ms=0)])
    assert both.jobs["x_center"].tolist()[:6] == ["a", "b", "a", "a", "b", "b"]


def test_merging_from_the_same_start_or_by_whole_weeks():
    early = make_trace({"submit_ms": [5000, 6000]}, name="early", origin_ms=3 * WEEK_MS)
    late = make_trace({"submit_ms": [1000, 2 * DAY_MS]}, name="late", origin_ms=9 * WEEK_MS + DAY_MS)
    start = merge.merge([early, late], align="start")
    assert start.jobs["submit_ms"].tolist() == [5000, 5000, 6000, 2 * DAY_MS + 4000]
    weeks = merge.merge([early, late], align="weeks")
    assert weeks.meta.origin_ms == 3 * WEEK_MS
    assert weeks.jobs["submit_ms"].tolist() == [5000, 6000, DAY_MS + 1000, 3 * DAY_MS]
    assert "late by -42.00 days" in weeks.meta.notes[-1]


def test_merging_relative_times_needs_no_calendar_only_from_the_same_start():
    a, b = five(name="a"), five(name="b")
    with pytest.raises(TraceError, match="only relative times"):
        merge.merge([a, b])
    assert len(merge.merge([a, b], align="start")) == 10


def test_centers_need_names_of_their_own():
    with pytest.raises(TraceError, match="need a name each"):
        merge.merge([five(origin_ms=0), five(origin_ms=0)])
    assert len(merge.merge([five(origin_ms=0), five(origin_ms=0)], ["a", "b"])) == 10


def test_memory_is_put_on_one_basis():
    per_processor = make_trace({"procs_used": [4], "mem_req_kib": [10]}, name="a", origin_ms=0)
    per_job = make_trace({"procs_used": [4], "mem_req_kib": [10]}, name="b", origin_ms=0, mem_basis="job")
    both = merge.merge([per_processor, per_job])
    assert both.meta.mem_basis == "job"
    assert both.jobs["mem_req_kib"].tolist() == [40, 10]


SECRET = b"not for the public"


def test_names_become_numbers_and_everything_else_stays():
    trace = five(header=("; Acknowledge: A. Person", "; Copyright: keep this notice", "; User: 7 ann", "; MaxProcs: 9"))
    hidden = anonymize(trace, SECRET)
    assert sorted(hidden.jobs["user"].dropna().unique()) == ["1", "2", "3"]
    assert hidden.jobs["user"].isna().tolist() == [False, False, False, True, False]
    same = hidden.jobs["user"].astype("str")
    assert same[0] == same[2] != same[1]
    assert hidden.meta.header == ("; Acknowledge: A. Person", "; Copyright: keep this notice", "; MaxProcs: 9")
    assert hidden.jobs["queue"].tolist() == trace.jobs["queue"].tolist()
    assert hidden.jobs.drop(columns=["user", "group"]).equals(trace.jobs.drop(columns=["user", "group"]))
    assert trace.jobs["user"].tolist()[0] == "7"


def test_the_same_secret_gives_the_same_numbers_another_one_others():
    names = [f"user{i}" for i in range(50)]
    trace = make_trace({"user": names})
    numbers = anonymize(trace, SECRET).jobs["user"].tolist()
    assert numbers == anonymize(trace, SECRET).jobs["user"].tolist()
    assert numbers != anonymize(trace, SECRET + b"!").jobs["user"].tolist()
    assert sorted(map(int, numbers)) == list(range(1, 51))


def test_groups_and_accounts_of_one_name_stay_one():
    trace = make_trace({"group": ["physics", "bio"], "account": ["bio", "maths"]})
    hidden = anonymize(trace, SECRET)
    assert hidden.jobs["group"][1] == hidden.jobs["account"][0]


def test_text_that_may_hold_names_is_left_out():
    columns = {
        "status_raw": ["CANCELLED by 1001", "TIMEOUT"],
        "request": ["-l x", "-l y"],
        "x_nodes": ["n1", "n2"],
        "x_ok": [1, 2],
    }
    hidden = anonymize(make_trace(columns, extra_columns=("nodes", "ok")), SECRET, keep_extra=["x_ok"])
    assert hidden.jobs["status_raw"].tolist() == ["CANCELLED", "TIMEOUT"]
    assert "request" not in hidden.jobs
    assert "x_nodes" not in hidden.jobs
    assert hidden.meta.extra_columns == ("ok",)


def test_a_secret_must_be_one():
    with pytest.raises(TraceError, match="too short"):
        anonymize(five(), b"abc")
    with pytest.raises(TraceError, match="no column of names"):
        anonymize(five(), SECRET, ["run_ms"])


def test_scaling_beyond_the_calendar_is_refused():
    with pytest.raises(TraceError, match="centuries"):
        transform.scale(five(), 1e300)


def test_a_moment_that_is_neither_date_nor_time():
    with pytest.raises(TraceError, match="neither a date nor a time"):
        transform.instant_ms(five(), "yesterday")


def test_an_extra_column_to_keep_must_be_there():
    with pytest.raises(TraceError, match="no extra column 'x_nope'"):
        anonymize(five(), b"12345678", keep_extra=("x_nope",))
