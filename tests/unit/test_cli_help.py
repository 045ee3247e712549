"""Help that teaches: every command says what it is for and shows an example, and the examples are commands."""

from __future__ import annotations

import re

import click
import pytest

from apportion.cli.main import COMMANDS, cli
from commands import ALL, parse


@pytest.fixture(autouse=True)
def key(tmp_path, monkeypatch):
    """The one file that an example needs before it can even be read."""
    (tmp_path / "key").write_bytes(b"secret")
    monkeypatch.chdir(tmp_path)


def help_of(command: click.Command) -> str:
    return command.get_help(click.Context(command, info_name=command.name, max_content_width=110))


def examples(text: str) -> list[str]:
    """Lines that are commands; what stands two blanks behind one is a remark."""
    return [
        re.split(r"\s{2,}", line.strip())[0].split(" > ")[0]
        for line in text.splitlines()
        if line.startswith("    apportion ")
    ]


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_every_command_shows_an_example_of_itself(words):
    text = help_of(ALL[words])
    shown = examples(text)
    assert any(line.split()[1 : 1 + len(words)] == list(words) for line in shown), text
    for line in shown:
        parse(line)
    assert "\\b" not in text


@pytest.mark.parametrize("words", ALL, ids=" ".join)
def test_every_option_is_explained_and_every_summary_is_whole(words):
    command = ALL[words]
    assert [
        p.name for p in command.params if isinstance(p, click.Option) and not (p.help or "").endswith((".", "]."))
    ] == []
    summary = COMMANDS[words[0]][1] if len(words) == 1 else command.get_short_help_str(limit=200)
    assert summary.endswith(".")
    assert not summary.endswith("...")
    assert len(summary) < 80


def test_the_first_session_of_the_front_page_is_one():
    shown = examples(help_of(cli))
    assert len(shown) >= 3
    for line in shown:
        parse(line)


def test_a_command_that_is_none_is_seen():
    with pytest.raises(click.UsageError):
        parse("apportion replay KTH --polcy easy")
    with pytest.raises(click.UsageError):
        parse("apportion policy shwo easy")
