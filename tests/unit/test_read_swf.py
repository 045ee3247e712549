"""Reading and writing SWF: header dialects, exact values, further columns, bad input, round trips."""

from __future__ import annotations

import bz2
import dataclasses
import gzip
import hashlib
import lzma
import os
from itertools import islice

import numpy as np
import pandas as pd
import pytest
import zstandard

from apportion.core.errors import TraceError
from apportion.traces import Trace, TraceMeta, detect, read, swf_header, write_swf
from apportion.traces.schema import Status
from frames import assert_same_jobs
from real_traces import find, manifest

LINE = "7 10 5 552.21 4 1.5 100 4 600 -1 1 3 2 9 1 2 -1 -1"


def write(path, *lines, end="\n"):
    path.write_bytes(end.join([*lines, ""]).encode("latin-1"))
    return path


def error_of(path, **options):
    with pytest.raises(TraceError) as caught:
        read(path, **options)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    assert caught.value.remedy
    return caught.value


def test_fields_become_columns_in_exact_units(tmp_path):
    trace = read(write(tmp_path / "t.swf", "; MaxProcs: 64", LINE))
    assert trace.jobs.iloc[0].to_dict() == {
        "job_id": 7,
        "submit_ms": 10_000,
        "wait_ms": 5_000,
        "run_ms": 552_210,
        "procs_used": 4,
        "cpu_ms": 1_500,
        "mem_used_kib": 100,
        "procs_req": 4,
        "limit_ms": 600_000,
        "status": 1,
        "user": "3",
        "group": "2",
        "account": "2",
        "app": "9",
        "queue": "1",
        "partition": "2",
    }
    assert trace.meta.max_procs == 64
    assert trace.meta.origin_ms is None
    assert trace.meta.sha256 == hashlib.sha256((tmp_path / "t.swf").read_bytes()).hexdigest()
    assert (trace.meta.name, trace.meta.format) == ("t", "swf")


@pytest.mark.parametrize(
    ("seconds", "ms"),
    [("0.0005", 0), ("0.0015", 2), ("0.00051", 1), ("1e3", 1_000_000), ("-1", -1), ("-1.0", -1), (".5", 500)],
)
def test_times_are_rounded_half_to_even_and_unknown_stays_unknown(tmp_path, seconds, ms):
    trace = read(write(tmp_path / "t.swf", LINE.replace("552.21", seconds)))
    assert trace.jobs["run_ms"].tolist() == [ms]


def test_columns_of_which_nothing_is_known_are_left_out_but_read_as_unknown(tmp_path):
    trace = read(write(tmp_path / "t.swf", "1 -1 -1 -1" + " -1" * 14))
    assert list(trace.jobs.columns) == ["job_id", "submit_ms", "run_ms"]
    assert trace.column("limit_ms").tolist() == [-1]
    assert trace.labels("user") == (pytest.approx(np.array([-1])), [])


def test_ids_are_labels_in_the_order_of_numbers_and_minus_one_is_missing(tmp_path):
    words = [LINE.replace(" 1 3 2 9", f" 1 {user} 2 9") for user in (12, 3, -1, 100000, 3)]
    trace = read(write(tmp_path / "t.swf", *words))
    codes, labels = trace.labels("user")
    assert labels == ["3", "12", "100000"]
    assert codes.tolist() == [1, 0, -1, 2, 0]


def test_exit_codes_in_the_status_field_are_kept_beside_an_unknown_status(tmp_path):
    words = [LINE.replace(" -1 1 3 2", f" -1 {status} 3 2") for status in (0, 5, 265, -4, -1)]
    trace = read(write(tmp_path / "t.swf", *words))
    assert trace.jobs["status"].tolist() == [Status.FAILED, Status.CANCELLED, -1, -1, -1]
    assert trace.jobs["status_raw"].tolist()[:4] == ["0", "5", "265", "-4"]
    assert trace.jobs["status_raw"].isna().tolist() == [False] * 4 + [True]


HEADER = """\
;            Note: text before the version
;
;Version: 2.2
;  UnixStartTime: 1091615532
;        TimeZone: 3600\t # DEPRECATED; use TimeZoneString + tzset()
;  TimeZoneString: Europe/Paris
;MaxQueues: 4
; MaxQueues: 3
;        MaxNodes: 70  (dual)
; MaxProcs: 1664 (72, 1368, 224)
; Acknowledge: Some One
; Information: http://first
;              http://second
;      Partition: 2   clrce01.in2p3.fr
; Queue:  1  express          (p655 /  2hr /   8nodes / weekdays)
; Queue:  2
; Note: The 'mem_used' column relates to: quantity=per_job     type=virtual
; Note: The 'mem_req'  column relates to: quantity=per_job     type=physical
;    j|       s|      w|""".splitlines()


def test_a_header_of_many_dialects_is_understood_and_kept(tmp_path):
    trace = read(write(tmp_path / "t.swf", *HEADER, LINE))
    meta = trace.meta
    assert meta.header == tuple(HEADER)
    assert (meta.max_procs, meta.max_nodes) == (1664, 70)
    assert meta.origin_ms == 1091615532000
    assert meta.timezone == "Europe/Paris"
    assert meta.mem_basis == "job"
    assert meta.partitions == {"2": "clrce01.in2p3.fr"}
    assert meta.queues == {"1": "express (p655 / 2hr / 8nodes / weekdays)"}
    assert swf_header.parse(HEADER).acknowledge == "Some One"
    assert any("MaxQueues" in note and "4" in note and "3" in note for note in meta.notes)
    assert swf_header.keys(HEADER)["information"] == ["http://first"]


@pytest.mark.parametrize(
    ("value", "procs"),
    [
        ("5,120", 5120),
        ("1,146,880 (in 2,048 racks)", 1_146_880),
        ("6,171,7", 6),  # a list: of three pools, not of thousands
        ("72, 1368", 72),
        ("5,1200", 5),
        ("5120,", 5120),
    ],
)
def test_commas_between_thousands_belong_to_the_number(value, procs):
    assert swf_header.parse([f"; MaxProcs: {value}"]).max_procs == procs


@pytest.mark.parametrize(("nodes", "procs"), [(8, 8), (7, -1)])
def test_nodes_are_processors_unless_a_job_is_larger(nodes, procs, tmp_path):
    line = " ".join("8" if k in (4, 7) else word for k, word in enumerate(LINE.split()))
    meta = read(write(tmp_path / "t.swf", f"; MaxNodes: {nodes}", line)).meta
    assert (meta.max_nodes, meta.max_procs) == (nodes, procs)
    assert any("no MaxProcs" in note for note in meta.notes)


def test_bytes_of_any_encoding_in_a_header_survive(tmp_path):
    source = tmp_path / "t.swf"
    source.write_bytes(b"; Acknowledge: \xc5ke\r\n;\xff\xfe\r\n" + LINE.encode() + b"\r\n")
    trace = read(source)
    write_swf(trace, tmp_path / "copy.swf")
    assert (tmp_path / "copy.swf").read_bytes().startswith(b"; Acknowledge: \xc5ke\n;\xff\xfe\n")
    swf_header.parse(trace.meta.header).acknowledge.encode()


def test_without_a_start_time_large_submit_times_are_unix_times(tmp_path):
    trace = read(write(tmp_path / "t.swf", LINE.replace("7 10 ", "7 1356996147 ")))
    assert trace.meta.origin_ms == 0
    assert trace.jobs["submit_ms"].tolist() == [1356996147000]
    assert read(write(tmp_path / "t.swf", "; UnixStartTime: 0", LINE)).meta.origin_ms is None


def test_unix_times_do_not_count_from_a_start_time_as_well(tmp_path):
    trace = read(write(tmp_path / "t.swf", "; UnixStartTime: 1356994800", LINE.replace("7 10 ", "7 1356996147 ")))
    assert trace.meta.origin_ms == 0
    assert any("Unix times" in note for note in trace.meta.notes)
    write_swf(trace, tmp_path / "copy.swf")
    again = read(tmp_path / "copy.swf")
    assert (again.meta.origin_ms, again.jobs["submit_ms"].tolist()) == (0, [1356996147000])


def test_three_numeric_columns_more_are_kept_with_a_note(tmp_path):
    trace = read(write(tmp_path / "t.swf", "; MaxNodes: 9600", f"{LINE} 12 3.5 -1", f"{LINE} 13 4 7"))
    assert trace.meta.extra_columns == ("x_19", "x_20", "x_21")
    assert trace.jobs["x_19"].tolist() == [12, 13]
    assert trace.jobs["x_20"].tolist() == [3.5, 4.0]
    assert any("nodes" in note for note in trace.meta.notes)
    assert trace.meta.max_procs == 9600
    write_swf(trace, tmp_path / "copy.swf")
    assert_same_jobs(read(tmp_path / "copy.swf").jobs, trace.jobs)


def test_the_columns_of_wagap_are_named_and_its_bytes_become_kib(tmp_path):
    line = LINE.replace("600 -1 1", "600 68719476736 1") + " {12,12} q_1d 1:ppn=2:cl_zegox#excl"
    trace = read(write(tmp_path / "t.swf", line))
    job = trace.jobs.iloc[0]
    assert (job["queue"], job["request"], job["x_nodes"]) == ("q_1d", "1:ppn=2:cl_zegox#excl", "{12,12}")
    assert job["mem_req_kib"] == 64 * 1024 * 1024
    headed = read(write(tmp_path / "t.swf", "; Version: 2.2", line))
    assert headed.jobs["mem_req_kib"].tolist() == [68719476736]


@pytest.mark.parametrize(
    ("lines", "at", "words"),
    [
        ([LINE.rsplit(" ", 1)[0]], 1, "17 fields"),
        ([LINE, LINE + " 4"], 2, "19 fields"),
        (["; x", "", LINE, "several letters in a line"], 4, "job number"),
        ([LINE.replace("552.21", "5x2")], 1, "run time"),
        ([LINE.replace(" 4 1.5", " 4.5 1.5")], 1, "whole"),
        ([LINE.replace("552.21", "9" * 1_000_000)], 1, "too large"),
        ([LINE.replace("552.21", "1e99")], 1, "too large"),
        ([LINE.replace("552.21", "nan")], 1, "not a number"),
        (["; nothing", ";"], None, "no jobs"),
    ],
)
def test_bad_lines_are_named_with_a_remedy(tmp_path, lines, at, words):
    error = error_of(write(tmp_path / "t.swf", *lines), format="swf")
    assert error.line == at
    assert words in str(error)
    assert len(str(error)) < 1000


def test_a_bad_line_far_down_is_counted_right(tmp_path):
    path = write(tmp_path / "t.swf", "; head", *[LINE] * 150_000, "oops", *[LINE] * 9)
    assert error_of(path).line == 150_002


PACKERS = {
    "gz": gzip.compress,
    "two-gz": lambda data: gzip.compress(data[:99]) + gzip.compress(data[99:]),
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstandard.compress,
    "two-zst": lambda data: zstandard.compress(data[:99]) + zstandard.compress(data[99:]),
}
SAMPLE = "\n".join(["; MaxProcs: 9", *[LINE] * 2000]).encode()


@pytest.mark.parametrize("kind", PACKERS)
def test_compression_is_told_by_content_not_by_name(tmp_path, kind):
    plain, packed = tmp_path / "plain", tmp_path / "packed.txt"
    plain.write_bytes(SAMPLE)
    packed.write_bytes(PACKERS[kind](SAMPLE))
    trace = read(packed)
    assert_same_jobs(trace.jobs, read(plain).jobs)
    assert trace.meta.sha256 == hashlib.sha256(packed.read_bytes()).hexdigest()


@pytest.mark.parametrize("kind", PACKERS)
@pytest.mark.parametrize("keep", [0.3, 0.99])
def test_a_cut_off_file_is_an_error_whatever_its_compression(tmp_path, kind, keep):
    packed = PACKERS[kind](SAMPLE)
    path = tmp_path / "packed"
    path.write_bytes(packed[: int(len(packed) * keep)])
    assert "cut off" in str(error_of(path, format="swf"))


def test_damaged_empty_missing_and_other_files_are_one_clear_line(tmp_path):
    packed = bytearray(gzip.compress(SAMPLE))
    packed[-6] ^= 0xFF  # the checksum
    (tmp_path / "damaged").write_bytes(packed)
    assert "damaged" in str(error_of(tmp_path / "damaged", format="swf"))
    (tmp_path / "empty").write_bytes(b"")
    assert "empty" in str(error_of(tmp_path / "empty"))
    (tmp_path / "emptygz").write_bytes(gzip.compress(b""))
    assert "empty" in str(error_of(tmp_path / "emptygz"))
    assert "no such file" in str(error_of(tmp_path / "missing"))
    assert "folder" in str(error_of(tmp_path))
    (tmp_path / "junk").write_bytes(bytes(range(256)) * 9)
    assert "not text" in str(error_of(tmp_path / "junk"))
    (tmp_path / "prose").write_text("Once upon a time\n")
    assert "sacct-json" in error_of(tmp_path / "prose").remedy
    assert "no known format" in str(error_of(tmp_path / "junk", format="word"))
    assert error_of(tmp_path / "junk", format="swf").line == 2  # the first has blanks only


def test_a_failed_write_is_an_error_and_leaves_nothing(tmp_path):
    trace = read(write(tmp_path / "t.swf", LINE))
    with pytest.raises(TraceError, match="cannot be written"):
        write_swf(trace, tmp_path / "nowhere" / "copy.swf")
    assert [path.name for path in tmp_path.iterdir()] == ["t.swf"]


def same(trace, copy):
    assert_same_jobs(copy.jobs, trace.jobs)
    ignored = {"path": "", "sha256": "", "name": ""}
    assert dataclasses.replace(copy.meta, **ignored) == dataclasses.replace(trace.meta, **ignored)


def test_what_changed_since_the_header_was_written_is_appended(tmp_path):
    trace = read(write(tmp_path / "t.swf", *HEADER, LINE))
    moved = dataclasses.replace(trace.meta, origin_ms=1_500, max_procs=12, timezone="Asia/Tokyo")
    write_swf(Trace(trace.jobs, moved), tmp_path / "copy.swf")
    copy = read(tmp_path / "copy.swf")
    assert copy.meta.header[: len(HEADER)] == tuple(HEADER)
    assert (copy.meta.origin_ms, copy.meta.max_procs, copy.meta.timezone) == (1_500, 12, "Asia/Tokyo")


def test_a_trace_of_another_kind_gets_numbers_for_its_labels(tmp_path):
    jobs = pd.DataFrame(
        {
            "job_id": ["a", "b_1", "b_2"],
            "submit_ms": [0, 1_500, 2_000],
            "run_ms": [10, -1, 60_000],
            "status": np.array([Status.TIMEOUT, Status.RUNNING, Status.COMPLETED], dtype=np.int8),
            "account": pd.Categorical(["x", None, "y"]),
            "partition": pd.Categorical(["gpu", "cpu", "gpu"]),
        }
    )
    write_swf(Trace(jobs, TraceMeta(name="mine", format="sacct", origin_ms=2_000, max_procs=8)), tmp_path / "t.swf")
    copy = read(tmp_path / "t.swf")
    assert copy.jobs["job_id"].tolist() == [1, 2, 3]
    assert copy.jobs["submit_ms"].tolist() == [0, 1_500, 2_000]
    assert copy.jobs["run_ms"].tolist() == [10, -1, 60_000]
    assert copy.jobs["status"].tolist() == [Status.FAILED, Status.UNKNOWN, Status.COMPLETED]
    assert copy.meta.partitions == {"1": "cpu", "2": "gpu"}
    assert copy.jobs["partition"].tolist() == ["2", "1", "2"]
    assert copy.jobs["group"].isna().tolist() == [False, True, False]
    assert (copy.meta.origin_ms, copy.meta.max_procs) == (2_000, 8)


SWF_FILES = [name for name, _ in manifest() if ".swf" in name]


@pytest.mark.skipif(not SWF_FILES, reason="APPORTION_TRACES is not set")
@pytest.mark.parametrize("name", SWF_FILES)
def test_every_real_swf_survives_writing_and_reading(tmp_path, name):
    trace = read(find(name))
    write_swf(trace, tmp_path / "copy.swf")
    copy = read(tmp_path / "copy.swf")
    if trace.meta.header:
        same(trace, copy)
        source = gzip.decompress(find(name).read_bytes()).splitlines()
        comments = [line for line in source if line.lstrip().startswith(b";")]
        assert (tmp_path / "copy.swf").read_bytes().startswith(b"\n".join(comments) + b"\n")
    else:
        assert_same_jobs(copy.jobs, trace.jobs)
        assert copy.meta.origin_ms == trace.meta.origin_ms


@pytest.mark.skipif(not SWF_FILES, reason="APPORTION_TRACES is not set")
@pytest.mark.parametrize("name", SWF_FILES)
def test_the_numbers_of_real_jobs_are_those_of_a_naive_reader(name):
    trace = read(find(name))
    columns = {3: "run_ms", 4: "procs_used", 5: "cpu_ms", 6: "mem_used_kib", 8: "limit_ms"}
    with gzip.open(find(name)) as file:
        lines = (line.split() for line in file if not line.lstrip().startswith(b";") and line.strip())
        for row, words in enumerate(islice(lines, 3000)):
            for k, column in columns.items():
                scale = 1000 if column.endswith("_ms") else 1
                expected = -1 if float(words[k]) == -1 else round(float(words[k]) * scale)
                assert trace.column(column)[row] == expected
            assert trace.jobs["job_id"].iloc[row] == int(words[0])
            assert trace.jobs["user"].iloc[row] == words[11].decode() or words[11] == b"-1"


@pytest.mark.skipif(not manifest(), reason="APPORTION_TRACES is not set")
@pytest.mark.parametrize(("name", "jobs"), manifest())
def test_every_trace_is_detected_and_has_all_its_jobs(name, jobs):
    kinds = {"swf": "swf", "gwf": "gwf", "ALCF": "alcf", "Philly": "philly", "sacct": "sacct"}
    path = find(name)
    expected = next(kind for mark, kind in kinds.items() if mark in name)
    assert detect(path) == expected
    trace = read(path)
    assert len(trace) == jobs
    assert trace.meta.format == expected


def test_oddities_that_the_readme_counts(tmp_path):
    kth = read(find("KTH-SP2-1996-2.1-cln.swf.gz"))
    assert int((kth.column("run_ms") == 0).sum()) == 8
    over = kth.column("run_ms") > kth.column("limit_ms")
    assert int((over & (kth.column("limit_ms") != -1)).sum()) == 475
    lpc = read(find("LPC-EGEE-2004-1.2-cln.swf.gz"))
    never = (lpc.column("procs_used") == 0) & (lpc.column("run_ms") == -1)
    assert int((never & lpc.jobs["user"].isna() & lpc.jobs["group"].isna()).sum()) == 14_194
    assert lpc.meta.mem_basis == "job"
    ross = read(find("Sandia-Ross-2001-1.1-cln.swf.gz"))
    assert int((ross.column("run_ms") == 0).sum()) == 2_277
    assert {"126", "127", "265"} <= set(ross.jobs["status_raw"].cat.categories)
    wagap = read(find("wagap-2013.swf.gz"))
    assert int((wagap.column("run_ms") < -1).sum()) == 2
    assert int((wagap.column("limit_ms") == 0).sum()) == 2


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path):
    mark = b"\xef\xbb\xbf"
    for name, text in (("with-header", f"; UnixStartTime: 5\n{LINE}\n"), ("without", f"{LINE}\n")):
        (tmp_path / "plain.swf").write_text(text)
        (tmp_path / name).write_bytes(mark + text.encode())
        (tmp_path / f"{name}.gz").write_bytes(gzip.compress(mark + text.encode()))
        wanted = read(tmp_path / "plain.swf")
        for path in (tmp_path / name, tmp_path / f"{name}.gz"):
            assert_same_jobs(read(path).jobs, wanted.jobs)
            assert read(path).meta.header == wanted.meta.header


def test_header_keys_need_no_blank_behind_the_colon_and_addresses_are_no_keys():
    said = swf_header.parse([";UnixStartTime:1000000000", "; MaxProcs:8", ";MaxNodes:2 (dual)", "; see http://x.org/"])
    assert (said.unix_start_ms, said.max_procs, said.max_nodes) == (10**12, 8, 2)
    assert swf_header.keys(["; http://x.org/"]) == {}


@pytest.mark.parametrize("start", ["253402300700", "9999999999999", "-62135596800"])
def test_a_start_that_is_no_date_of_a_machine_makes_times_relative(tmp_path, start):
    trace = read(write(tmp_path / "t.swf", f"; UnixStartTime: {start}", LINE))
    assert trace.meta.origin_ms is None


@pytest.mark.parametrize("text", [b"PK\x03\x04\x14\0\0\0", LINE.encode("utf-16"), bytes(4000)])
def test_archives_and_other_binary_files_are_told_as_such(tmp_path, text):
    (tmp_path / "t.swf").write_bytes(text)
    assert "not text" in str(error_of(tmp_path / "t.swf"))


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "pipe" in str(error_of(tmp_path / "pipe"))
