"""Public traces by name: which file a name means, where it is looked for, and what is said when it is not there."""

from __future__ import annotations

import hashlib

import pytest

from apportion.core.errors import TraceError
from apportion.traces import catalog
from trace_cases import make_trace


@pytest.fixture
def no_net(monkeypatch, tmp_path):
    """No trace on the path list, an empty cache, and no network."""
    import pooch

    def refuse(*_args, **_kwargs):
        raise ConnectionError("no network")

    monkeypatch.delenv("APPORTION_TRACES", raising=False)
    monkeypatch.setattr(catalog, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(pooch, "retrieve", refuse)
    return tmp_path


@pytest.fixture
def entry(monkeypatch):
    """One made-up entry whose file is 'jobs'."""
    made = catalog.Entry(
        name="Made-1999",
        file="made.swf.gz",
        format="swf",
        machine="none",
        page="https://example.org/page",
        acknowledge="nobody",
        licence="none",
        url="https://example.org/made.swf.gz",
        sha256=hashlib.sha256(b"jobs").hexdigest(),
    )
    monkeypatch.setattr(catalog, "entries", lambda: (made,))
    return made


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("KTH", "KTH-SP2-1996"),
        ("kth-sp2-1996", "KTH-SP2-1996"),
        ("KTH-SP2-1996-2.1-cln.swf.gz", "KTH-SP2-1996"),
        ("HPC2N-2002", "HPC2N-2002"),
        ("SDSC-DS", "SDSC-DS-2004"),
        ("ALCF-Theta", "ALCF-Theta-2023"),
        ("ALCF-ThetaG", "ALCF-ThetaGPU-2023"),
        ("GWA-T-1", "GWA-T-1"),
        ("pozidriv", "xdmod-pozidriv-2016"),
    ],
)
def test_names_and_their_beginnings(name, meant):
    assert catalog.find(name).name == meant


def test_a_beginning_that_fits_several_is_refused_with_their_names():
    with pytest.raises(TraceError, match=r"fits several traces: SDSC-Par-1995.*SDSC-DS-2004"):
        catalog.find("SDSC")


@pytest.mark.parametrize(("name", "near"), [("KTH-SP2-1997", "KTH-SP2-1996"), ("HPCN", "HPC2N-2002")])
def test_an_unknown_name_gets_the_nearest(name, near):
    with pytest.raises(TraceError, match=f"did you mean .*{near}"):
        catalog.find(name)


def test_entries_are_well_formed():
    names = [e.name for e in catalog.entries()]
    assert len(set(names)) == len(names)
    assert len({e.file for e in catalog.entries()}) == len(names)
    for e in catalog.entries():
        assert e.page.startswith("http")
        assert e.acknowledge
        assert e.licence
        assert not e.sha256 or len(bytes.fromhex(e.sha256)) == 32
        assert not e.url or e.url.endswith(e.file)


def test_a_path_that_exists_wins(no_net, monkeypatch):
    monkeypatch.chdir(no_net)
    (no_net / "KTH").write_text("mine")
    assert catalog.locate("KTH").read_text() == "mine"


def test_the_path_list_goes_before_the_cache(no_net, entry, monkeypatch):
    for place in ("one", "two", "cache"):
        (no_net / place).mkdir()
    (no_net / "two" / entry.file).write_bytes(b"jobs")
    (no_net / "cache" / entry.file).write_bytes(b"jobs")
    assert catalog.locate("made") == no_net / "cache" / entry.file
    monkeypatch.setenv("APPORTION_TRACES", f"{no_net / 'one'}:{no_net / 'two'}")
    assert catalog.locate("made") == no_net / "two" / entry.file
    assert catalog.whereabouts(entry) == str(no_net / "two")


def test_another_file_under_a_published_name_is_refused_but_its_path_is_taken(no_net, entry, monkeypatch):
    (no_net / entry.file).write_bytes(b"other")
    monkeypatch.setenv("APPORTION_TRACES", str(no_net))
    with pytest.raises(TraceError, match=r"made\.swf\.gz: is not the published Made-1999.*give its path"):
        catalog.locate("made")
    assert catalog.locate(no_net / entry.file) == no_net / entry.file


def test_a_file_of_the_path_list_that_is_in_no_catalog(no_net, monkeypatch):
    (no_net / "ours.swf").write_text("1")
    monkeypatch.setenv("APPORTION_TRACES", str(no_net))
    assert catalog.locate("ours.swf") == no_net / "ours.swf"


def test_offline_one_line_says_what_was_tried_and_what_to_do(no_net, entry):
    with pytest.raises(TraceError) as error:
        catalog.locate("made")
    line = str(error.value)
    assert "\n" not in line
    for words in ("cannot download Made-1999", "APPORTION_TRACES (not set)", str(no_net / "cache"), entry.url):
        assert words in line
    with pytest.raises(TraceError, match="is not on this machine"):
        catalog.locate("made", download=False)


def test_what_cannot_be_downloaded_names_its_page(no_net):
    with pytest.raises(TraceError, match=r"has no direct download.*get it from https://github.com/msr-fiddle"):
        catalog.locate("Philly")


def test_a_download_is_checked_and_one_without_a_known_sha256_is_told(no_net, entry, monkeypatch):
    import pooch

    def deliver(content):
        def retrieve(_url, known_hash, fname, path, **_):
            if known_hash and known_hash != "sha256:" + hashlib.sha256(content).hexdigest():
                raise ValueError("hash differs")
            path.mkdir(parents=True, exist_ok=True)
            (path / fname).write_bytes(content)

        return retrieve

    said = []
    monkeypatch.setattr(pooch, "retrieve", deliver(b"else"))
    with pytest.raises(TraceError, match="no longer the published Made-1999"):
        catalog.locate("made")
    monkeypatch.setattr(pooch, "retrieve", deliver(b"jobs"))
    assert catalog.locate("made", say=said.append).read_bytes() == b"jobs"
    assert said == [f"downloading {entry.url}"]

    unchecked = catalog.Entry(**{**entry.to_json(), "name": "Free", "file": "free.swf.gz", "sha256": ""})
    monkeypatch.setattr(catalog, "entries", lambda: (unchecked,))
    catalog.locate("free", say=said.append)
    assert hashlib.sha256(b"jobs").hexdigest() in said[-1]


def test_no_such_path_is_not_taken_for_a_name():
    with pytest.raises(TraceError, match="there is no such file"):
        catalog.locate("nowhere/KTH")


def test_the_size_of_a_machine_that_its_trace_does_not_tell():
    wagap = catalog.find("wagap")
    silent = make_trace({"procs_used": [1]}, sha256=wagap.sha256)
    told = catalog.with_machine(silent)
    assert told.meta.max_procs == wagap.procs > 0
    assert "catalog" in told.meta.notes[-1]
    for trace in (make_trace({"procs_used": [1]}), make_trace({"procs_used": [1]}, sha256=wagap.sha256, max_procs=7)):
        assert catalog.with_machine(trace).meta == trace.meta
