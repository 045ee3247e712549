"""Cleaning the real traces: counts published with them (found there by other means) are what the rules find."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

import pytest

from apportion.traces import read
from apportion.traces.catalog import entries, locate
from apportion.traces.clean import clean
from apportion.traces.stats import describe
from apportion.traces.transform import instant_ms, window

FOLDERS = [Path(part) for part in os.environ.get("APPORTION_TRACES", "").split(os.pathsep) if part]

GOLDEN = {
    "KTH-SP2-1996-2.1-cln.swf.gz": {
        "over-limit": 475, "zero-run": 8, "no-size": 1, "size-differs": 219,
        "over-limit worst": "08:55:22", "peak": "peak 104 of 100 processors; above the machine's size 0.07 %",
    },
    "HPC2N-2002-2.2-cln.swf.gz": {
        "over-limit": 14_817, "unknown-status": 878, "no-wait": 1, "no-size": 0,
        "over-limit worst": "3-15:37:55", "peak": "peak 248 of 240",
    },
    "SDSC-DS-2004-2.1-cln.swf.gz": {
        "never-started": 11_024, "no-wait": 149, "over-limit": 10_658,
        "over-limit worst": "76-06:10:08", "peak": "peak 2552 of 1664 processors; above the machine's size 3.17 %",
    },
    "LPC-EGEE-2004-1.2-cln.swf.gz": {
        "never-started": 14_194, "no-user": 14_194, "zero-run": 6_373, "over-limit": 755, "no-size": 0,
        "over-limit worst": "10-11:13:07",
    },
    "Sandia-Ross-2001-1.1-cln.swf.gz": {
        "zero-run": 2_277, "no-size": 15, "no-limit": 339, "unknown-status": 59,
    },
    "LCG-2005-1.swf.gz": {"no-wait": 188_041, "unknown-status": 188_041, "zero-run": 521, "no-size": 0},
    "wagap-2013.swf.gz": {"negative-run": 2, "zero-limit": 2, "over-limit": 702, "false-dependency": 17_900},
    "ALCF-Theta-2023.csv.gz": {"unsorted-submit": 8_056, "over-limit": 4_652, "no-user": 10_203},
    "ALCF-ThetaGPU-2023.csv.gz": {"unsorted-submit": 6_607, "over-limit": 5_593, "no-user": 19_206},
    "Philly-2017-vc.csv.gz": {"unsorted-submit": 44_878, "repeated-row-without-id": 65, "zero-run": 0},
    "xdmod-pozidriv-2016.sacct.txt.gz": {"never-started": 419, "unsorted-submit": 17, "no-limit": 58},
    "opendc-workflows.gwf.gz": {"zero-run": 643},
}  # fmt: skip
KEPT = {"KTH-SP2-1996-2.1-cln.swf.gz": 28_475, "Sandia-Ross-2001-1.1-cln.swf.gz": 57_867}
SAME_SECOND = {
    "LPC-EGEE-2004-1.2-cln.swf.gz": 54_048,
    "wagap-2013.swf.gz": 7_091,
}


@cache
def cleaned(name):
    for folder in FOLDERS:
        if (folder / name).is_file():
            trace = read(folder / name)
            return trace, *clean(trace)
    return pytest.skip(f"{name} is not in APPORTION_TRACES")


@pytest.mark.parametrize("name", GOLDEN)
def test_published_counts(name):
    _, _, report = cleaned(name)
    wanted = {rule: count for rule, count in GOLDEN[name].items() if isinstance(count, int)}
    assert {rule: report.jobs(rule) for rule in wanted} == wanted
    if worst := GOLDEN[name].get("over-limit worst"):
        assert report["over-limit"].detail == f"worst by {worst}"
    if peak := GOLDEN[name].get("peak"):
        assert report["logged-above-capacity"].detail.startswith(peak)


@pytest.mark.parametrize("name", GOLDEN)
def test_only_jobs_without_a_size_are_dropped(name):
    trace, result, report = cleaned(name)
    assert len(result) == KEPT.get(name, len(trace)) == report.jobs_after
    assert (result.jobs["submit_ms"].diff().dropna() >= 0).all()


@pytest.mark.parametrize("name", SAME_SECOND)
def test_jobs_that_share_a_second(name):
    trace, _, _ = cleaned(name)
    assert describe(trace)["arrivals"]["in_the_second_of_the_one_before"] == SAME_SECOND[name]


def test_users_in_several_groups_and_the_most_active_one():
    trace, _, _ = cleaned("KTH-SP2-1996-2.1-cln.swf.gz")
    assert describe(trace)["concentration"]["users_in_several_groups"] == 77
    trace, _, _ = cleaned("HPC2N-2002-2.2-cln.swf.gz")
    figures = describe(trace)
    assert figures["users"] == 257
    assert figures["concentration"]["top_users"][0]["job_share"] == pytest.approx(0.19, abs=0.005)


def test_sandia_exit_code_nought_is_success():
    _, result, _ = cleaned("Sandia-Ross-2001-1.1-cln.swf.gz")
    assert (result.column("status") == 1).sum() > 0.7 * len(result)


@pytest.mark.parametrize(
    ("name", "jobs"),
    [
        ("HPC2N-2002-2.2-cln.swf.gz", 36_742),
        ("LPC-EGEE-2004-1.2-cln.swf.gz", 186_947),
        ("SDSC-DS-2004-2.1-cln.swf.gz", 50_518),
        ("Sandia-Ross-2001-1.1-cln.swf.gz", 4_526),
    ],
)
def test_submissions_of_the_winter_that_four_centers_share(name, jobs):
    trace, _, _ = cleaned(name)
    begin, end = (instant_ms(trace, day) for day in ("2004-09-15T00:00Z", "2005-04-01T00:00Z"))
    assert len(window(trace, begin, end)) == jobs


@pytest.mark.parametrize("entry", [e for e in entries() if e.sha256], ids=lambda e: e.name)
def test_the_catalog_knows_the_published_file_and_its_jobs(entry):
    if not any((folder / entry.file).is_file() for folder in FOLDERS):
        pytest.skip(f"{entry.file} is not in APPORTION_TRACES")
    trace = read(locate(entry.name, download=False))
    assert trace.meta.format == entry.format
    assert len(trace) == entry.jobs
    assert trace.meta.max_procs in (-1, entry.procs)
