"""The ``apportion`` command: a table of subcommands, each imported only when it is called.

``apportion --help`` must answer at once, so nothing heavy (numpy, numba, pandas, simpy) is imported here.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, NoReturn

import click

from apportion.cli.startup import collect_seldom
from apportion.cli.version import __version__
from apportion.core.errors import UserError

if TYPE_CHECKING:
    from types import FrameType

COMMANDS = {
    "replay": ("apportion.cli.replay:replay", "Replay a job trace under a policy; leave a run folder with a report."),
    "traces": ("apportion.cli.traces:traces", "Read, clean, convert, describe and make job traces."),
    "policy": ("apportion.cli.policy:policy", "Show, check and compare scheduling policies."),
    "scenario": ("apportion.cli.scenario:scenario", "Show and check federations: several centers and a broker."),
    "jobs": ("apportion.cli.jobs:jobs", "List the jobs of a run, as sacct does."),
    "why": ("apportion.cli.why:why", "Tell why a job waited, and what would have helped."),
    "bound": ("apportion.cli.bound:bound", "Compare placements with the best that could be, for few jobs."),
    "compare": ("apportion.cli.compare:compare", "Set runs side by side, with confidence intervals."),
    "report": ("apportion.cli.report:report", "Write a run's report anew."),
    "diff": ("apportion.cli.diff:diff", "Find the first decision in which two runs part."),
    "conformance": ("apportion.cli.conformance:conformance", "Check the schedules against ones known to be right."),
}


INTERRUPTED = 128 + signal.SIGINT  # as shells count
CLOSED = 128 + signal.SIGPIPE


class LazyGroup(click.Group):
    """A group that knows its subcommands' names and short helps, and imports one when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Names in the order of a first session."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Import the module of one subcommand."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name][0].split(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run a subcommand; one that is interrupted says so in one line, after it has cleaned up behind itself.

        One whose reader has closed the pipe (``| head``) ends without a word.
        """
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            _leave_quietly()
        except SystemExit as leaving:
            if isinstance(leaving.__context__, BrokenPipeError):  # so rich takes it
                _leave_quietly()
            raise
        except KeyboardInterrupt:
            over = "\r" if sys.stderr.isatty() else ""  # over the terminal's own ^C
            click.echo(f"{over}apportion: interrupted; nothing half-written is left", err=True)
            ctx.exit(INTERRUPTED)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Suggest the nearest name for a mistyped one."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, n=1) if args else []
            if near:
                message = f"{error.message} Did you mean '{near[0]}'?"
                raise click.UsageError(message, ctx) from None
            raise

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """List subcommands from the table, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="apportion")
def cli() -> None:
    """Fair-share scheduling on evidence: replay real job traces through the decision core that goes live.

    \b
    A first session:
      apportion traces list                                      public traces by name
      apportion replay KTH-SP2-1996 --policy easy                a run folder with report.html
      apportion replay KTH-SP2-1996 --policy multifactor         another policy, the same jobs
      apportion compare runs/KTH-SP2-1996-easy runs/KTH-SP2-1996-multifactor

    `apportion COMMAND --help` has examples of each.

    \b
    Exit codes: 0 done, 1 failed, 2 usage, 3 a check found problems, 4 center unreachable, 5 parity broken,
    130 interrupted, 141 its reader closed the pipe, 143 terminated (129 by a hang-up).
    """


class _SayThatItCompiles(logging.Handler):
    """Say once why a first run takes a while."""

    def emit(self, record: logging.LogRecord) -> None:
        """Take note of the first kernel that is compiled."""
        logging.getLogger(record.name).removeHandler(self)
        click.echo(
            "apportion: first run of this kind: compiling the decision core (up to a minute; kept for later runs)",
            err=True,
        )


def main(args: list[str] | None = None) -> NoReturn:
    """Run the command line; a user's mistake becomes one line on stderr, never a traceback."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _stop)
    collect_seldom()
    compiler = logging.getLogger("apportion.core.jit")
    compiler.setLevel(logging.INFO)
    compiler.handlers = [_SayThatItCompiles()]
    for name in ("stdout", "stderr"):  # closed by the caller (>&-)
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
    try:
        sys.exit(cli.main(args=args, prog_name="apportion", standalone_mode=False) or 0)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        sys.exit(error.exit_code)
    except click.ClickException as error:
        _say_and_exit(_in_one_line(error), error.exit_code)
    except UserError as error:
        _say_and_exit(str(error), error.exit_code)
    except MemoryError:
        _say_and_exit("there is not enough memory for this (take a part of the trace, or a larger machine)", 1)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        _say_and_exit(f"{where}{(error.strerror or str(error)).lower()}", 1)


def _stop(number: int, _frame: FrameType | None) -> NoReturn:
    """End by an exception, so that what is half-written is removed on the way out."""
    sys.exit(128 + number)


def _leave_quietly() -> NoReturn:
    """End after a closed pipe; what is still to be written goes nowhere."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):  # a stream without a file
            os.dup2(nowhere, stream.fileno())
    sys.exit(CLOSED)


def _say_and_exit(line: str, code: int) -> NoReturn:
    click.echo(f"apportion: {line}", err=True)
    sys.exit(code)


def _in_one_line(error: click.ClickException) -> str:
    """Say a usage error in one line, with the command whose help explains it."""
    said = " ".join(error.format_message().split())
    context = error.ctx if isinstance(error, click.UsageError) else None
    return f"{said} (see '{context.command_path} --help')" if context is not None else said


if __name__ == "__main__":
    main()
