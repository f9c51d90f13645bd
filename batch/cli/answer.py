"""Answer: a command is run, and whatever goes wrong with it ends in one line and an exit code."""

from __future__ import annotations

import importlib.util
import signal
import sys
from pathlib import Path
from typing import NoReturn

import click

from batch.cli.commands import tandem
from batch.lean import choose_memory_pool
from batch.observe.log_lines import error_line
from batch.stop import ASKING


def answer() -> None:
    """Run the command in this process; a user's mistake ends in one line, never in a traceback."""
    try:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ASKING)
        refuse_strangers()
        choose_memory_pool()
        tandem.main(prog_name="tandem", standalone_mode=False)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except (click.Abort, KeyboardInterrupt):
        fail("interrupted; run the same command again", 75)
    except click.ClickException as error:
        usage = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else ""
        fail(error.format_message() + (f" See: {usage} --help" if usage else ""), error.exit_code)
    except SystemExit as error:
        if error.code in (None, 0):
            fail("the model's own code asked the process to end (SystemExit); it may only raise for a row", 3)
        raise
    except Exception as error:
        code = getattr(error, "exit_code", None)
        if not isinstance(code, int):
            raise
        fail(str(error), code)


def refuse_strangers() -> None:
    """Tandem's rooms have ordinary names: another `models` in front of them on the path is no room of ours."""
    for room in ("models", "batch"):
        found = importlib.util.find_spec(room)
        place = Path(found.origin).parent if found and found.origin else None
        if place is None or not place.samefile(Path(__file__).parents[2] / room):
            fail(
                f"another package named {room} ({place or 'a folder without __init__.py'}) hides Tandem's own. "
                "Leave its folder, take it off PYTHONPATH, or rename it.",
                2,
            )


def fail(message: str, code: int) -> NoReturn:
    """One line to stderr, and the exit code that says whether trying again helps."""
    click.echo(error_line(message, exit_code=code), err=True)
    sys.exit(code)
