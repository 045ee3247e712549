"""Slurm's notations of times and sizes, against its manual pages."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from apportion.core.errors import UserError
from apportion.core.units import UNLIMITED, counted, format_duration, parse_duration_ms, parse_mem_kib, parse_mem_mib


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 5400),  # sbatch(1): a bare number is minutes
        ("90:30", 5430),
        ("01:02:03", 3723),
        ("2-3", 2 * 86_400 + 3 * 3600),
        ("2-03:04", 2 * 86_400 + 3 * 3600 + 4 * 60),
        ("125-00:00:00", 125 * 86_400),
        ("00:00:01.500", 1.5),
        ("0", 0),
    ],
)
def test_times(text, seconds):
    assert parse_duration_ms(text) == seconds * 1000


@pytest.mark.parametrize("text", ["UNLIMITED", "infinite", "-1"])
def test_no_limit(text):
    assert parse_duration_ms(text) == UNLIMITED


@pytest.mark.parametrize("text", ["", "x", "1:2:3:4", "1-", "-5", "1-2-3", "1:", "9" * 40, "1h"])
def test_what_is_no_time(text):
    with pytest.raises(UserError, match="is not a time"):
        parse_duration_ms(text)


@given(st.integers(0, 10**13))
def test_what_is_written_reads_back(ms):
    assert parse_duration_ms(format_duration(ms)) == ms


@pytest.mark.parametrize(
    ("text", "kib"),
    [("4G", 4 * 1024**2), ("100", 102_400), ("1K", 1), ("1.5M", 1536), ("2TB", 2 * 1024**3), ("3 GiB", 3 * 1024**2)],
)
def test_sizes(text, kib):
    assert parse_mem_kib(text) == kib
    assert parse_mem_mib(text) == -(-kib // 1024)


@pytest.mark.parametrize("text", ["", "G", "-4G", "4X", "1B", "9" * 40])
def test_what_is_no_size(text):
    with pytest.raises(UserError, match="is not a memory size"):
        parse_mem_mib(text)


def test_numbers_with_their_nouns():
    said = [counted(n, "job") for n in (0, 1, 2, 12_345)]
    assert said == ["0 jobs", "1 job", "2 jobs", "12,345 jobs"]
    assert [counted(n, "job has", "jobs have") for n in (1, 2)] == ["1 job has", "2 jobs have"]
