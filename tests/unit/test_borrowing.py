"""Quota in use, borrowed and lent over time: by hand, and against a twin that looks at every stretch between two events."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apportion.metrics.borrowing import quota_table, quota_use
from apportion.metrics.federation import received
from apportion.metrics.report import write_report
from apportion.metrics.run import load_run
from runs import make_run, write_run

HOUR = 3600.0


def entry(name, nominal="", cohort="", lending="", parent=""):
    keys = {"Account": name, "NominalQuota": nominal, "Cohort": cohort, "LendingLimit": lending, "Parent": parent}
    return {key: value for key, value in keys.items() if value} | {"FairWeight": 1.0}


def jobs(*rows):
    """Account, processors, start and run time in hours, and the center."""
    table = pd.DataFrame([(*row, "c1")[:5] for row in rows], columns=["account", "procs", "start_s", "run_s", "center"])
    table[["start_s", "run_s"]] *= HOUR
    return table.assign(submit_s=0.0, partition="")


def run_of(accounts, *rows, until=10, **manifest):
    policy = {"accounts": accounts, "cohorts": manifest.pop("cohorts", [])}
    return make_run(jobs(*rows), policy=policy, measure_window_s=[0.0, until * HOUR], **manifest)


def of_federation(run, **columns):
    return replace(run, jobs=run.jobs.assign(**columns))


def hours(run):
    use = quota_use(run, 7)
    assert use is not None
    return quota_table(run, use).set_index("node")


def test_one_borrows_what_two_leave_idle_in_proportion():
    """a uses 10 of its 4 from hour 0 to 5, while b leaves 6 and c 3 of their 6: what is borrowed, 6, comes as 4 and 2."""
    accounts = [entry(name, f"cpu={n}", "all") for name, n in (("a", 4), ("b", 6), ("c", 6))]
    table = hours(run_of(accounts, ("a", 10, 0, 5), ("c", 3, 0, 10)))
    assert table["borrowed_core_h"].to_dict() == pytest.approx({"a": 30, "b": 0, "c": 0})
    assert table["lent_core_h"].to_dict() == pytest.approx({"a": 0, "b": 20, "c": 10})
    assert table["used_core_h"].to_dict() == pytest.approx({"a": 50, "b": 0, "c": 30})
    assert table["used_procs"].to_dict() == pytest.approx({"a": 5, "b": 0, "c": 3})


def test_no_more_is_lent_than_the_lending_limit_says():
    accounts = [entry("a", "cpu=4", "all"), entry("b", "cpu=6", "all", "cpu=1"), entry("c", "cpu=6", "all")]
    table = hours(run_of(accounts, ("a", 11, 0, 1)))
    assert table["lent_core_h"].to_dict() == pytest.approx({"a": 0, "b": 1, "c": 6})


def test_an_account_below_uses_the_quota_above_and_others_are_in_no_tree():
    accounts = [entry("a", "cpu=4"), {"Account": "below", "Parent": "a"}, {"Account": "other"}]
    table = hours(run_of(accounts, ("below", 3, 0, 2), ("other", 50, 0, 2), ("stranger", 9, 0, 2)))
    assert table["used_core_h"].to_dict() == pytest.approx({"a": 6})


def test_trees_do_not_lend_to_each_other_and_cohorts_do():
    accounts = [entry("a", "cpu=4", "one"), entry("b", "cpu=6", "two")]
    table = hours(run_of(accounts, ("a", 8, 0, 1), cohorts=[{"Cohort": "one", "NominalQuota": "cpu=20"}]))
    assert table["lent_core_h"].to_dict() == pytest.approx({"a": 0, "b": 0, "one (cohort)": 4})


def test_quotas_of_single_centers_are_added_up():
    accounts = [entry("a", {"X": "cpu=2", "Y": "cpu=3"}, "all"), entry("b", {"X": "cpu=5"}, "all")]
    federation = {"centers": [{"name": name, "mode": "managed"} for name in "XY"]}
    rows = jobs(("a", 4, 0, 1, "X"), ("a", 1, 0, 1, "Y"))
    run = make_run(rows, policy={"accounts": accounts}, measure_window_s=[0.0, HOUR], federation=federation)
    table = hours(of_federation(run, bound_s=np.nan))
    assert table["nominal_procs"].to_dict() == {"a": 5, "b": 5}
    assert table["borrowed_core_h"].to_dict() == pytest.approx({"a": 2, "b": 0})
    assert table["lent_core_h"].to_dict() == pytest.approx({"a": 0, "b": 2})


def test_own_jobs_of_an_autonomous_center_are_not_under_the_brokers_quotas():
    federation = {"centers": [{"name": "X", "mode": "managed"}, {"name": "Y", "mode": "autonomous"}]}
    rows = jobs(("X/a", 1, 0, 1, "Y"), ("X/a", 2, 0, 1, "X"), ("X/a", 4, 0, 1, "Y"))
    policy = {"accounts": [entry("X", "cpu=9")]}
    run = make_run(rows, policy=policy, measure_window_s=[0.0, HOUR], federation=federation)
    run = of_federation(run, bound_s=[np.nan, np.nan, 0])
    assert hours(run)["used_core_h"].to_dict() == {"X": 6.0}


def test_what_a_stopped_job_used_before_counts(tmp_path):
    accounts = [entry("a", "cpu=4")]
    folder = write_run(tmp_path / "run", jobs(("a", 2, 5, 1)), policy={"accounts": accounts})
    stops = pd.DataFrame({"job_id": [1, 1], "start_s": [HOUR, 3 * HOUR], "time_s": [2 * HOUR, 4.5 * HOUR]})
    stops.to_parquet(folder / "preemptions.parquet")
    assert hours(load_run(folder))["used_core_h"].to_dict() == pytest.approx({"a": 2 * (1 + 1 + 1.5)})


def test_no_quotas_no_picture():
    assert quota_use(run_of([{"Account": "a"}], ("a", 1, 0, 1))) is None
    assert quota_use(run_of([entry("a", "gres/gpu=1")], ("a", 1, 0, 1))) is None


def test_the_report_of_a_run_has_a_section_where_there_are_quotas(tmp_path):
    accounts = [entry("a", "cpu=4", "all"), entry("b", "cpu=4", "all")]
    many = [("a", 6, k, 1) for k in range(8)]
    for name, policy in (("with", {"accounts": accounts}), ("without", {})):
        folder = write_run(tmp_path / name, jobs(*many), policy=policy)
        html = Path(write_report(folder)).read_text(encoding="utf-8")
        assert ('id="quotas"' in html) == (name == "with")
        assert ("Borrowed of it" in html) == (name == "with")


def test_who_received_how_much_and_where():
    federation = {"centers": [{"name": name, "mode": "managed"} for name in "XY"]}
    rows = jobs(("X/a", 3, 0, 1, "X"), ("X/a", 1, 0, 1, "Y"), ("Y/b", 4, 0, 1, "Y"))
    run = make_run(rows, federation=federation, measure_window_s=[0.0, HOUR], shares={"X/a": 1, "X": 1, "Y/b": 2})
    table = received(of_federation(run, home=["X", "X", "Y"])).set_index("home")
    assert table["target"].to_dict() == {"X": 0.5, "Y": 0.5}
    assert table["all"].to_dict() == {"X": 0.5, "Y": 0.5}
    assert table.loc["X", ["X", "Y"]].tolist() == pytest.approx([1, 0.2])


ROW = st.tuples(st.sampled_from("abcd"), st.integers(1, 5), st.integers(0, 12), st.integers(0, 6))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(ROW, min_size=1, max_size=12),
    st.tuples(*[st.tuples(st.integers(0, 6), st.none() | st.integers(0, 4), st.sampled_from(["m", "n"]))] * 3),
)
def test_as_worked_out_stretch_by_stretch(rows, quotas):
    accounts = [
        entry(name, f"cpu={nominal}", cohort, "" if lending is None else f"cpu={lending}")
        for name, (nominal, lending, cohort) in zip("abc", quotas, strict=True)
    ]
    use = quota_use(run_of(accounts, *rows), 5)
    edges = [2 * k for k in range(6)]
    moments = sorted({*edges, *(t for _, _, start, length in rows for t in (start, start + length) if t <= 10)})
    wanted = {(name, kind): [0.0] * 5 for name in "abc" for kind in ("used", "borrowed", "lent")}
    for begin, end in pairwise(moments):
        used = {n: sum(p for a, p, s, length in rows if a == n and s <= begin < s + length) for n in "abc"}
        of = dict(zip("abc", quotas, strict=True))
        borrowed = {n: max(used[n] - of[n][0], 0) for n in "abc"}
        idle = {n: min(max(of[n][0] - used[n], 0), 99 if of[n][1] is None else of[n][1]) for n in "abc"}
        for n in "abc":
            mates = [m for m in "abc" if of[m][2] == of[n][2]]
            there, asked = sum(idle[m] for m in mates), sum(borrowed[m] for m in mates)
            lent = idle[n] * min(asked / there, 1) if there else 0
            for kind, amount in (("used", used[n]), ("borrowed", borrowed[n]), ("lent", lent)):
                wanted[n, kind][begin // 2] += amount * (end - begin) / 2
    assert use is not None
    for kind in ("used", "borrowed", "lent"):
        for k, name in enumerate(use.names):
            assert getattr(use, kind)[k].tolist() == pytest.approx(wanted[name, kind])
    for name in set("abc") - set(use.names):
        assert not any(wanted[name, "used"] + wanted[name, "borrowed"] + wanted[name, "lent"])
