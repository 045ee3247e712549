"""The documentation is right: its links lead somewhere, its commands run, what it names exists, and nothing is left out."""

from __future__ import annotations

import contextlib
import dataclasses
import gzip
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import numpy as np
import pandas as pd
import pytest

import pages
from apportion.cli.main import cli as main_group
from apportion.cli.main import main
from apportion.core import reasons
from apportion.core.scoring import JOB_COLUMNS
from apportion.metrics.glossary import GLOSSARY, flatten, meaning
from apportion.policy import keys, model, sections
from apportion.policy.fields import OneOf
from apportion.policy.load import load_file, preset_names
from apportion.sim.conventions import CHOICES, Conventions
from apportion.sim.replay import replay
from apportion.sim.scenario import load_scenario
from apportion.sim.scenario import model as scenario
from apportion.sim.scenario import preset_names as scenario_presets
from apportion.sim.workload import from_trace
from apportion.traces import catalog, write_swf
from apportion.traces.rules import BY_RULE
from apportion.traces.schema import BY_NAME
from apportion.traces.synth import lublin
from commands import ALL, parse
from driving import by_submit
from oracles.jobs import Job
from oracles.schedule import simulate

sys.path.insert(0, str(pages.ROOT / "docs"))
import build
from tables import expand

PAGES = sorted(path.name for path in (pages.ROOT / "docs").glob("*.md"))
FRONT = ("README.md", "CONTRIBUTING.md")
SECTIONS = [
    kind
    for kind in (*vars(sections).values(), model.Policy)
    if isinstance(kind, type) and issubclass(kind, sections.Section)
]
STANDING_IN = ("KTH-SP2-1996", "SDSC-SP2-1998")  # public traces that the pages name


def text_of(name: str) -> str:
    return expand((pages.ROOT / name if name in FRONT else pages.ROOT / "docs" / name).read_text(encoding="utf-8"))


def spans(text: str) -> set[str]:
    """What stands between backquotes, outside of blocks of code."""
    return set(re.findall(r"`([^`\n]+)`", pages.FENCE.sub("", text)))


EVERYTHING = {name: text_of(name) for name in PAGES}
ALL_SPANS = set().union(*(spans(text) for text in EVERYTHING.values()))


# Links


def test_every_link_leads_somewhere(tmp_path):
    build.write_pages(tmp_path)
    assert {path.name for path in tmp_path.glob("docs/*.html")} == {name.replace(".md", ".html") for name in PAGES}
    assert "<!-- table" not in "".join(path.read_text() for path in tmp_path.glob("docs/*.html"))


@pytest.mark.parametrize("link", ["nowhere.md", "traces.md#no-such-heading", "../sim/apportion/metrics/nothing.py"])
def test_a_link_that_leads_nowhere_is_an_error(link, tmp_path, monkeypatch):
    source = pages.ROOT / "docs" / "speed.md"
    bad = build.Page(source, build.Path("docs/speed.html"), "bad")
    every = [page for page in build.pages() if page.source != source]
    monkeypatch.setattr(build, "pages", lambda: [*every, bad])
    monkeypatch.setattr(build, "expand", lambda text: text + (f"\n[x]({link})" if "# How fast" in text else ""))
    with pytest.raises(SystemExit, match="lead nowhere"):
        build.write_pages(tmp_path)


# Commands


@pytest.fixture
def sandbox(tmp_path, monkeypatch):
    """A folder where the public traces that pages name are small synthetic ones."""
    traces, work = tmp_path / "traces", tmp_path / "work"
    traces.mkdir()
    work.mkdir()
    real = {entry.name: entry for entry in catalog.entries()}
    for seed, name in enumerate(STANDING_IN):
        made = tmp_path / "made.swf"
        write_swf(lublin(300, seed, procs=64, load=1.0, users=12, accounts=3), made)
        path = traces / real[name].file
        path.write_bytes(gzip.compress(made.read_bytes(), mtime=0))
        real[name] = dataclasses.replace(real[name], sha256=catalog.sha256_of(path), procs=64)
    monkeypatch.setattr(catalog, "entries", lambda: tuple(real.values()))
    monkeypatch.setenv("APPORTION_TRACES", str(traces))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(work)
    write_swf(lublin(200, 9, procs=128, load=1.0, users=10, accounts=3), "made.swf")
    return work


def run(line: str) -> None:
    """Do what a line of a page says; a check may find something (3)."""
    words = shlex.split(line, comments=True)
    if words[0] != "apportion":
        assert words[0] == "sed", line
        subprocess.run(words, check=True)
        return
    into = words.pop() if words[-2] == ">" else None
    words = words[:-1] if into else words
    with (
        Path(into or os.devnull).open("w") as file,
        contextlib.redirect_stdout(file),
        pytest.raises(SystemExit) as stopped,
    ):
        main(words[1:])
    checks = words[1] == "diff" or words[1:3] == ["policy", "check"]
    assert stopped.value.code in ({0, 3} if checks else {0, None}), line


@pytest.mark.parametrize("name", [*(name for name in PAGES if name != "speed.md"), "README.md"])
def test_every_command_of_a_page_runs(name, sandbox):
    text = text_of(name)
    for _, file, code in pages.blocks(text):
        if file:
            path = sandbox / file
            path.parent.mkdir(exist_ok=True)
            path.write_text(code)
    lines = [line for line in pages.commands(text) if not line.startswith("make ")]
    assert lines
    for line in lines:
        run(line)
    for language, file, code in pages.blocks(text):
        if language == "python" and not file:
            exec(code, {"__name__": "__main__"})


def examples() -> list[str]:
    """Command lines in the help of all commands, without the words beside them."""
    helps = [command.help or "" for command in (main_group, *ALL.values())]
    lines = [line.strip() for text in helps for line in text.splitlines() if re.match(r"\s+apportion [a-z]", line)]
    return [re.split(r" {2,}", line)[0] for line in lines]


@pytest.mark.parametrize("line", examples())
def test_every_example_in_a_help_can_be_typed(line, tmp_path, monkeypatch):
    """Its options exist, and a run that it names is one that `apportion replay` leaves by itself, of a trace, policy or scenario that there is."""
    monkeypatch.chdir(tmp_path)
    words = shlex.split(line.partition(" > ")[0])
    runs = [word for word in words if word.startswith("runs/") and words[words.index(word) - 1] not in ("--out", "-o")]
    known = {f"runs/{entry.name}-{policy}" for entry in catalog.entries() for policy in preset_names()}
    known |= {f"runs/{name}-{load_scenario(name).broker.Placement}" for name in scenario_presets()}
    assert set(runs) <= known
    for word in words[1:]:
        if word in runs:
            Path(word).mkdir(parents=True, exist_ok=True)
        elif re.fullmatch(r"[\w-]+\.(toml|swf|swf\.gz|sacct|parquet)|key", word):
            Path(word).touch()
    parse(shlex.join(words))


def test_make_has_the_targets_that_are_named():
    targets = set(re.findall(r"^([a-z]+):", (pages.ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        word for name in (*PAGES, *FRONT) for word in re.findall(r"(?:^|`)make ([a-z]+)", text_of(name), re.MULTILINE)
    }
    assert named
    assert named <= targets


# What is named exists


def test_commands_and_options_within_the_text_exist(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = {o for command in ALL.values() for p in command.params for o in (*p.opts, *p.secondary_opts)}
    names = {" ".join(words) for words in ALL}
    wrong = []
    for span in ALL_SPANS | spans(text_of("README.md")):
        if span.startswith("--") and span.split()[0] not in options:
            wrong.append(span)
        if span.startswith("apportion "):
            words = re.split(r"[|]", span.removeprefix("apportion "))[0]
            while words and words not in names and " " in words:
                words = words.rpartition(" ")[0]
            wrong += [span] if words not in names else []
            if span.split()[-1].isupper() and "|" not in span:  # with all its arguments
                try:
                    parse(span)
                except click.ClickException:
                    wrong.append(span)
    assert wrong == []


def test_metrics_that_are_named_exist():
    begins = {key.split(".")[0] for key in GLOSSARY}
    named = {
        span for span in ALL_SPANS if re.fullmatch(r"[a-z_]+(\.[\w*]+)+", span) and span.split(".")[0] in begins
    } - {"jobs.parquet"}
    whole = {".".join(key.split(".")[:k]) for key in GLOSSARY for k in range(1, 5)}
    assert len(named) > 100
    assert named <= whole


def vocabulary() -> set[str]:
    words = {name for kind in SECTIONS for name in kind.model_fields}
    for kind in SECTIONS:
        for field in kind.model_fields.values():
            words |= {word for part in field.metadata if isinstance(part, OneOf) for word in part.choices}
    return words | set(reasons.WORDS)


def test_policy_keys_that_are_named_exist():
    text = text_of("policies.md")
    text = text[: text.index("## Known, but not simulated")] + text_of("orders.md")
    like_keys = {span.split(" = ")[0] for span in spans(text)}
    like_keys = {word for word in like_keys if re.fullmatch(r"(bf_\w+|[A-Z][a-z]+[A-Z]\w*|[A-Z]+_[A-Z_]+)", word)}
    assert len(like_keys) > 80
    assert like_keys <= vocabulary()


# Nothing is left out


def test_every_command_and_convention_is_explained():
    everything = "\n".join(EVERYTHING.values())
    assert [" ".join(w) for w in ALL if f"apportion {' '.join(w)}" not in everything] == []
    replayed = text_of("replay.md")
    assert [n for n in CHOICES if f"`--{n.replace('_', '-')}`" not in replayed] == []
    options = {o.opts[0] for o in ALL["replay",].params if isinstance(o, click.Option)}
    assert [o for o in options if o not in everything + text_of("README.md")] == ["--demo"]


def test_every_policy_key_rule_column_and_metric_is_explained():
    policies = spans(text_of("policies.md"))
    assert [n for kind in SECTIONS for n in kind.model_fields if n not in policies] == []
    assert [n for n in (*preset_names(), *model.BACKFILLS) if n not in policies] == []
    orders = spans(text_of("orders.md"))
    assert [n for n in (*JOB_COLUMNS, *model.ORDERS) if n not in orders | policies] == []
    traces = spans(text_of("traces.md"))
    assert [n for n in (*BY_NAME, *BY_RULE, *(e.name for e in catalog.entries())) if n not in traces] == []
    assert [n for n in GLOSSARY if n not in spans(text_of("metrics.md"))] == []
    federations = spans(text_of("federations.md"))
    sections = [kind for kind in vars(scenario).values() if getattr(kind, "__module__", "") == scenario.__name__]
    fields = [name for kind in sections for name in getattr(kind, "model_fields", ())]
    assert len(fields) > 60
    assert [n for n in fields if n not in federations] == []
    assert [n for n in (*scenario.PLACEMENTS, *scenario_presets()) if n not in federations] == []
    later = {n for table in keys.NOT_SIMULATED.values() for n in table}
    assert later <= policies


def test_a_run_holds_what_the_pages_say_and_no_more(sandbox):
    with pytest.raises(SystemExit):
        main(["replay", "made.swf", "--policy", "multifactor", "--out", "run"])
    named = spans(text_of("runs.md"))
    assert {path.name for path in (sandbox / "run").iterdir()} <= named
    manifest = json.loads((sandbox / "run" / "manifest.json").read_text())
    manifest_table = text_of("runs.md").split("## Manifest")[1].split("## ")[0]
    first_cells = {n for row in re.findall(r"^\| (`.+?) \|", manifest_table, re.MULTILINE) for n in spans(row)}
    assert set(manifest) == first_cells
    metrics = flatten(json.loads((sandbox / "run" / "metrics.json").read_text()))
    assert all(meaning(key) for key in metrics)
    columns = spans((pages.ROOT / "ARCHITECTURE.md").read_text())
    assert set(pd.read_parquet(sandbox / "run" / "jobs.parquet")) <= columns


def test_the_scenario_of_the_page_is_one(sandbox):
    """What the text says of it holds: two centers, of which one has a policy of its own, and half of the users' jobs may move."""
    for file, code in pages.files("federations.md").items():
        (sandbox / file).write_text(code)
    loaded = load_scenario("mine.toml")
    assert [(entry.Center, entry.Mode) for entry in loaded.centers] == [
        ("University", "managed"),
        ("Laboratory", "autonomous"),
    ]
    assert loaded.policy_of("Laboratory").Backfill == "conservative"
    assert (loaded.broker.weights.affinity, loaded.broker.LookAhead) == (900, 16)
    assert (loaded.moves[0].Fraction, loaded.datasets[0].Size) == (0.5, 200 * 10**9)


# The worked example


def test_the_order_of_the_page_gives_the_schedule_that_plain_python_gives(tmp_path):
    """Expression and function, as the page has them, against a naive simulator with a score written down by hand."""
    for file, code in pages.files("orders.md").items():
        (tmp_path / file).write_text(code)
    trace = lublin(400, 3, procs=64, load=1.2, users=10, accounts=3)
    workload = from_trace(trace, Conventions())
    told = workload.jobs
    jobs = [
        Job(id=i, submit=int(told.submit_ms[i] - told.origin_ms), run=int(workload.run_ms[i]), limit=int(told.limit_ms[i]), procs=int(told.procs[i]))
        for i in range(len(workload))
    ]  # fmt: skip

    def score(job, _now):
        return np.log2(job.procs + 1.0) if job.procs < 8 else job.procs * (job.limit / 1000)

    want = simulate(by_submit(jobs), 64, order=score, backfill="easy")
    starts = {
        (file, engine): (replay(workload, load_file(tmp_path / file), engine).start_ms - told.origin_ms).tolist()
        for file in ("narrow.toml", "narrow-plugin.toml")
        for engine in ("compiled", "simpy")
    }
    assert {case for case, got in starts.items() if got != want} == set()
    fcfs = simulate(by_submit(jobs), 64, backfill="easy")
    assert want != fcfs  # the order matters here
