"""Mutated traces of every format either read or raise a TraceError of one line; nothing else, and in bounded time."""

from __future__ import annotations

import gzip
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from apportion.core.errors import TraceError
from apportion.traces import detect, read
from apportion.traces.readers.gwf import COLUMNS

SEEDS = {
    "swf": (
        "; UnixStartTime: 1091615532\n;MaxProcs: 140 (70, 70)\n; Queue: 1 test\n; Note: 'mem_req' quantity=per_job\n"
        "  9933  3585977       4      16.5 1      2       0 1   7200     -1 1  1  1 -1 2 1 -1 -1\n"
        "  9934  3585997       5       8 1      2       0 1   7200     -1 265  1  1 -1 2 1 -1 -1\n"
    ),
    "swf wagap": "0 1356996147 0 56011 64 1 1024 64 86400 68719476736 1 62 1 1 -1 1 1 1 {1,1} q_1d 1:ppn=64#excl\n" * 2,
    "swf frontier": "1 0 0 10 9 1 1 9 10 -1 1 6 1 1 -1 1 1 1 5 6.5 7\n" * 2,
    "gwf": "# a comment\n" + "\t".join([str(k) for k in range(1, 12)] + ["U1", "G1"] + ["-1"] * (len(COLUMNS) - 13)) + "\n",
    "gwf comma": "WorkflowID, JobID, SubmitTime, RunTime, NProcs, ReqNProcs, Dependencies\n0, 1, 16, 11, 1, 1,  \n0, 2, 40, 11, 1, 1, 1\n",
    "sacct": (
        "JobID|User|Submit|Start|End|Elapsed|State|NCPUS|ReqMem|ReqTRES|Timelimit|TotalCPU|NodeList\n"
        "10|ann|2024-03-01T10:00:00|2024-03-01T10:01:00|2024-03-01T11:01:00|01:00:00|COMPLETED|8|2147486448Mn|"
        "cpu=8,gres/gpu:a=2,mem=32000M|1-00:00:00|08:00:00.125|n1\n10.0||2024-03-01T10:00:00|||00:00:01||8|||||n1\n"
        "11_3|bob|2024-03-01T10:00:05+0100|Unknown|1711846802|00:00:00|CANCELLED by 7|0|16Gc||UNLIMITED||None assigned\n"
    ),
    "sacct headerless": (
        "7|7|c|p|q|a|g|1|u|2|2016-12-21T21:43:34|2016-12-21T21:43:34|2016-12-22T07:03:30|2016-12-30T03:43:09|7-20:39:39|0:0|"
        "COMPLETED|1|12|12|48000Mn|cpu=12,mem=48000M,node=1|cpu=12,mem=48000M|125-00:00:00|n1|j\n"
    ),
    "sacct-json": json.dumps(
        {
            "jobs": [
                {
                    "job_id": 7,
                    "array": {"job_id": 0, "task_id": {"set": False, "number": 0}},
                    "association": {"account": "a", "user": "u"},
                    "state": {"current": ["COMPLETED"]},
                    "required": {"CPUs": 4, "memory_per_cpu": {"set": True, "infinite": False, "number": 10}},
                    "time": {"submission": 17, "start": 18, "end": 19, "elapsed": 1, "limit": {"set": True, "number": 10}},
                    "tres": {"allocated": [{"type": "cpu", "count": 4}, {"type": "gres", "name": "gpu:a", "count": 2}]},
                }
            ]
        },
        indent=1,
    ),
    "pbs": (
        "01/26/2016 00:00:02;Q;2.srv;queue=batch ctime=1453766402\n"
        "01/26/2016 00:05:00;D;2.srv;requestor=ann@srv\n"
        '01/26/2016 00:06:43;E;1.srv;user=ann group="the users" queue=batch ctime=1453766401 start=1453766403'
        " exec_host=n1/0+n1/1*3 Resource_List.nodes=2:ppn=2:gpus=1 Resource_List.walltime=00:10:00 Resource_List.mem=4gb"
        " end=1453766803 Exit_status=271 resources_used.cput=00:26:40\n"
    ),
    "alcf": (
        ",job,user,project,state,gpu_num,cpu_num,node_num,submit_time,wait_time,run_time,wall_time,node_hour,new_status\n"
        "0,639487,0.0,7.0,0,0,512.0,8.0,1672529301,71,3632.92,3600.0,8.07,Killed\n"
        "1,639448,5.0,0.0,0,0,16384.0,256.0,1672507846,7772,21654.66,21600.0,1539.8,Pass\n"
    ),
    "philly": "timestamp,duration,num_gpus,gpu_time,cluster\n2017-10-09 07:01:55,66.0,1,66.0,11cb48\n2017-10-09 06:13:03,2951.0,1,2951.0,6214e9\n",
}  # fmt: skip

HUGE = st.sampled_from(
    [b"9" * 5_000, b"-" + b"9" * 19, b"1e308", b"4" * 19, b"-1", b"0", b"nan", b"1.5", b"0" * 300 + b".5"]
)
CUT = st.integers(0, 2_000)


@st.composite
def mutated(draw, seed: bytes) -> bytes:
    """A seed after a few changes: bytes flipped, stretches cut, copied or replaced, numbers made huge, the end cut off."""
    text = bytearray(seed)
    for _ in range(draw(st.integers(0, 4))):
        at = draw(CUT) % (len(text) + 1)
        stop = min(len(text), at + draw(st.integers(1, 30)))
        match draw(st.sampled_from(["flip", "cut", "copy", "word", "end", "bytes", "line"])):
            case "flip" if at < len(text):
                text[at] ^= draw(st.integers(1, 255))
            case "cut":
                del text[at:stop]
            case "copy":
                text[at:at] = text[at:stop]
            case "word":
                words = bytes(text).split(b" ") if draw(st.booleans()) else bytes(text).split(b"|")
                words[at % len(words)] = draw(HUGE)
                text = bytearray(b" ".join(words) if b"|" not in text else b"|".join(words))
            case "end":
                del text[at:]
            case "bytes":
                text[at:stop] = draw(st.binary(max_size=12))
            case "line":
                lines = bytes(text).split(b"\n")
                lines[at % len(lines)] = draw(
                    st.sampled_from([b"", b"letters", b";", b"#", b"|" * 25, b";" * 3, b"," * 13, b"\x00"])
                )
                text = bytearray(b"\n".join(lines))
    return bytes(text)


def reads_or_says_why(path, form):
    try:
        trace = read(path, form)
    except TraceError as error:
        fault = error
    else:
        assert len(trace) > 0
        assert {"job_id", "submit_ms", "run_ms"} <= set(trace.jobs.columns)
        return
    assert "\n" not in str(fault)
    assert len(str(fault)) < 2_000
    assert fault.remedy


@pytest.mark.parametrize("kind", SEEDS)
def test_the_seeds_themselves_are_read(tmp_path, kind):
    path = tmp_path / "trace"
    path.write_text(SEEDS[kind])
    assert detect(path) == kind.split(maxsplit=1)[0]
    assert len(read(path)) >= 1


@pytest.mark.parametrize("kind", SEEDS)
def test_mutated_text_reads_or_says_why(tmp_path_factory, kind):
    path = tmp_path_factory.mktemp("mutated") / "trace"

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(mutated(SEEDS[kind].encode()), st.booleans())
    def check(text, forced):
        path.write_bytes(text)
        reads_or_says_why(path, kind.split(maxsplit=1)[0] if forced else None)

    check()


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(mutated(gzip.compress((SEEDS["swf"] * 20).encode())))
def test_mutated_gzip_reads_or_says_why(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "trace.gz"
    path.write_bytes(data)
    reads_or_says_why(path, "swf")


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data())
def test_mutated_parquet_reads_or_says_why(tmp_path_factory, data):
    from apportion.traces import write_parquet

    folder = tmp_path_factory.getbasetemp()
    seed = folder / "seed.parquet"
    if not seed.exists():
        (folder / "seed.swf").write_text(SEEDS["swf"])
        write_parquet(read(folder / "seed.swf"), seed)
    path = folder / "trace.parquet"
    path.write_bytes(data.draw(mutated(seed.read_bytes())))
    reads_or_says_why(path, "parquet")
