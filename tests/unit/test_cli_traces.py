"""The ``apportion traces`` commands, from the command line in."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys

import pytest

from apportion.cli.main import main
from apportion.cli.traces import traces
from apportion.traces import read

LINES = """; Version: 2.2
; Computer: Made
; Acknowledge: Nobody in particular
; UnixStartTime: 1000000000
; TimeZoneString: Europe/Paris
; MaxProcs: 8
; MaxNodes: 8
1 0 0 100 2 -1 -1 2 200 -1 1 7 1 -1 1 -1 -1 -1
2 10 5 300 4 -1 -1 4 200 -1 1 8 1 -1 2 -1 -1 -1
3 86400 0 0 -1 -1 -1 -1 200 -1 0 7 2 -1 1 -1 -1 -1
4 86410 60 -1 1 -1 -1 1 200 -1 5 9 2 -1 2 -1 -1 -1
5 172800 0 50 8 -1 -1 8 60 -1 1 7 1 -1 1 -1 -1 -1
"""


@pytest.fixture
def run(monkeypatch, tmp_path, capsys):
    """Run the command in a folder that holds the trace; gives exit code, stdout and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("APPORTION_TRACES", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "made.swf").write_text(LINES)

    def call(*words):
        with pytest.raises(SystemExit) as left:
            main(["traces", *words])
        said = capsys.readouterr()
        return left.value.code or 0, said.out, said.err

    return call


def test_clean_says_per_rule_what_it_found(run, tmp_path):
    code, out, err = run("clean", "made.swf", "--report", "report.json", "-o", "clean.parquet", "-P")
    assert code == 0
    rows = {line.split("|")[0]: line.split("|")[1:3] for line in out.splitlines()}
    assert rows["no-size"] == ["drop", "1"]
    assert rows["over-limit"] == ["flag", "1"]
    assert rows["never-started"] == ["flag", "1"]
    report = json.loads((tmp_path / "report.json").read_text())
    assert (report["jobs_before"], report["jobs_after"]) == (5, 4)
    assert len(read("clean.parquet")) == 4
    assert "clean.parquet: 4 jobs" in err


def test_rules_can_be_listed_and_switched(run):
    assert "no-size" in run("clean", "--rules")[1]
    assert {"rule", "finds", "action", "default", "why"} == set(json.loads(run("clean", "--rules", "--json")[1])[0])
    found = json.loads(run("clean", "made.swf", "--no-rule", "no-size", "--json")[1])
    assert found["jobs_after"] == 5
    code, _, err = run("clean", "made.swf", "--no-rule", "no-siz")
    assert code == 1
    assert err.strip() == "apportion: there is no cleaning rule 'no-siz' (did you mean 'no-size'?)"


def test_info_list_and_stats_as_json(run):
    about = json.loads(run("info", "made.swf", "--json")[1])
    assert (about["jobs"], about["users"], about["machine"]["procs"]) == (5, 3, 8)
    assert about["period"]["first_submit"] == "2001-09-09T03:46:40+02:00"
    listed = json.loads(run("list", "kth", "--json")[1])
    assert [entry["name"] for entry in listed] == ["KTH-SP2-1996"]
    assert listed[0]["where"] == "download"
    assert json.loads(run("stats", "made.swf", "--json")[1])["jobs"] == 4
    assert json.loads(run("stats", "made.swf", "--raw", "--json")[1])["jobs"] == 5


def test_listings_for_people_hold_what_they_should(run):
    assert "Nobody" not in run("info", "made.swf")[1]  # not a trace of the catalog
    assert "Europe/Paris" in run("info", "made.swf")[1]
    assert run("list", "kth", "-P")[1].splitlines()[1].startswith("KTH-SP2-1996|KTH Stockholm, IBM SP2|28,476|100|")
    assert "processor" in run("stats", "made.swf")[1]


def test_stats_page(run, tmp_path):
    code, out, _ = run("stats", "made.swf", "--html", "page.html")
    assert (code, out) == (0, "")
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(
    ("words", "ids"),
    [
        (("--to", "1-00"), [1, 2]),
        (("--from", "2001-09-10"), [3, 4, 5]),
        (("--from", "2001-09-10", "--to", "2001-09-10T12:00"), [3, 4]),
        (("-u", "8,9"), [2, 4]),
        (("-u", "7", "-g", "1", "--first", "1"), [1]),
        (("--queue", "2"), [2, 4]),
    ],
)
def test_slices(run, words, ids):
    assert run("slice", "made.swf", *words, "-o", "part.swf")[0] == 0
    assert read("part.swf").jobs["job_id"].tolist() == ids


def test_scale_convert_and_merge_round_trip(run, tmp_path):
    assert run("scale", "made.swf", "--load", "2", "-o", "dense.swf")[0] == 0
    assert read("dense.swf").jobs["submit_ms"].tolist() == [0, 5000, 43_200_000, 43_205_000, 86_400_000]
    assert run("convert", "made.swf", "-o", "made.swf.gz")[0] == 0
    assert gzip.decompress((tmp_path / "made.swf.gz").read_bytes()).decode() == LINES
    assert read("made.swf.gz").jobs.equals(read("made.swf").jobs)
    assert run("merge", "made.swf", "made.swf.gz", "--label", "a,b", "-o", "both.swf")[0] == 0
    both = read("both.swf")
    assert len(both) == 10
    assert (both.meta.max_procs, both.meta.origin_ms) == (16, 1_000_000_000_000)
    assert both.meta.header[2] == "; [a] Acknowledge: Nobody in particular"
    assert json.loads(run("info", "both.swf", "--json")[1])["users"] == 6


def test_what_swf_has_no_place_for_is_named(run, tmp_path):
    assert run("convert", "made.swf", "-o", "again.swf")[2] == "again.swf: 5 jobs\n"
    (tmp_path / "dump.txt").write_text(
        "JobID|User|Account|Group|QOS|Submit|Elapsed|NCPUS|NNodes\n1_2|ann|phys|100|high|2024-03-01T10:00:00|00:10:00|4|1\n"
    )
    said = run("convert", "dump.txt", "-o", "dump.swf.gz")[2].splitlines()
    assert said == [
        "dump.swf.gz: 1 job",
        "SWF has no place for nodes_used, account, qos, names of user, names of job_id; write .parquet to keep all",
    ]
    assert run("convert", "dump.txt", "-o", "dump.parquet")[2] == "dump.parquet: 1 job\n"


def test_anonymize_keeps_the_acknowledgement(run, tmp_path):
    (tmp_path / "key").write_bytes(b"a secret of some length")
    for name in ("one.swf", "two.swf"):
        assert run("anonymize", "made.swf", "--secret-file", "key", "-o", name)[0] == 0
    assert (tmp_path / "one.swf").read_text() == (tmp_path / "two.swf").read_text()
    assert "; Acknowledge: Nobody in particular" in (tmp_path / "one.swf").read_text()
    assert set(read("one.swf").jobs["user"]) == {"1", "2", "3"}


def test_synth_is_the_same_for_the_same_seed(run, tmp_path):
    for name in ("a.swf", "b.swf"):
        assert run("synth", "--jobs", "50", "--seed", "3", "--procs", "16", "--load", "0.5", "-o", name)[0] == 0
    assert (tmp_path / "a.swf").read_bytes() == (tmp_path / "b.swf").read_bytes()
    assert len(read("a.swf")) == 50
    assert run("synth", "--like", "a.swf", "--procs", "3", "-o", "c.swf")[0] == 2


def test_no_command_writes_over_what_it_reads(run, tmp_path):
    (tmp_path / "same.swf").symlink_to(tmp_path / "made.swf")
    for words in (
        ("convert", "made.swf", "-o", "made.swf"),
        ("slice", "made.swf", "--first", "1", "-o", "same.swf"),
        ("scale", "same.swf", "--load", "2", "-o", "made.swf"),
        ("merge", "made.swf", "-o", "made.swf"),
        ("anonymize", "made.swf", "-o", "made.swf"),
        ("synth", "--like", "made.swf", "-o", "made.swf"),
        ("clean", "made.swf", "-o", "made.swf"),
        ("clean", "made.swf", "--report", "made.swf"),
        ("stats", "made.swf", "--html", "made.swf"),
    ):
        code, _, err = run(*words)
        assert (code, words[-1] in err and "stays as it is" in err) == (1, True), words
        assert (tmp_path / "made.swf").read_text() == LINES


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        (("info", "made.sfw"), 1, "'made.sfw' is neither a file nor a trace"),
        (("info", "nowhere/x.swf"), 1, "nowhere/x.swf: there is no such file"),
        (("convert", "made.swf", "-o", "made.txt"), 1, "made.txt: has no format that can be written"),
        (("convert", "made.swf", "-o", "nowhere/x.swf"), 1, "nowhere: there is no such folder"),
        (("slice", "made.swf", "--from", "noon", "-o", "x.swf"), 1, "'noon' is neither a date nor a time"),
        (("slice", "made.swf", "--from", "2020-01-01", "-o", "x.swf"), 1, "no job of made is left"),
        (("scale", "made.swf", "-o", "x.swf"), 2, "Give either --load or --interarrival"),
        (("merge", "made.swf", "made.swf", "-o", "x.swf"), 1, "the centers need a name each"),
        (("merge", "made.swf", "--shared", "run_ms", "-o", "x.swf"), 2, "no column of names"),
        (("clean",), 2, "Missing argument"),
        (("stats", "made.swf", "--html", "nowhere/page.html"), 1, "nowhere/page.html: cannot be written"),
        (("fetch", "KTJ"), 1, "did you mean KTH-SP2-1996"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(run, tmp_path, words, code, line):
    got, _, err = run(*words)
    assert got == code
    assert line in err
    assert "Traceback" not in err
    if code == 1:
        assert len(err.strip().splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["made.swf"]


@pytest.mark.parametrize("name", sorted(traces.commands))
def test_every_command_has_help_with_an_example(run, name):
    code, out, _ = run(name, "--help")
    assert code == 0
    assert "Example" in out
    assert f"apportion traces {name}" in out
    assert "\\b" not in out


def test_help_imports_nothing_heavy():
    script = (
        "import sys\n"
        "from apportion.cli.main import cli\n"
        "cli(['traces', 'clean', '--help'], standalone_mode=False)\n"
        "sys.exit(','.join({'numpy', 'pandas', 'numba', 'simpy', 'pyarrow', 'rich'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == ""
