"""The entry point: finds the command, and turns errors into one line and an exit code."""

from __future__ import annotations

import importlib
import importlib.util
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import NoReturn

import click

from batch.lean import choose_memory_pool
from batch.observe.log_lines import asks_for_json, error_line, set_up_logging

#: Command -> where it is, and its line in `tandem --help`. Nothing is imported for a command that is not called.
COMMANDS: Mapping[str, tuple[str, str]] = {
    "run": ("batch.cli.run:run", "Run a job, or what is left of it."),
    "plan": ("batch.cli.run:plan", "Say what a run would do and what it would take; nothing is written."),
    "status": ("batch.cli.look:status", "Say how far an output has come, from the store alone."),
    "errors": ("batch.cli.errors:errors", "Group an output's error rows by class, with examples."),
    "retry": ("batch.cli.errors:retry", "Run an output's error rows again."),
    "head": ("batch.cli.look:head", "Show the first predicted rows as a table."),
    "promote": ("batch.cli.table:promote", "Let readers of a Delta table see a finished job."),
    "rollback": ("batch.cli.table:rollback", "Let readers of a Delta table see an earlier version again."),
    "report": ("batch.cli.report:report", "Write what a job did as one page with pictures."),
    "schema": ("batch.cli.look:schema", "Print the JSON schema of a job file or of a manifest."),
    "model": ("batch.cli.model:model", "Add, optimize, list, show, verify, check, remove and push models."),
    "zoo": ("batch.cli.zoo:zoo", "Models that come along, pretrained ones, and data to try them on."),
    "demo": ("batch.cli.demo:demo", "Three models, batch and online, on real data, on this machine."),
}


class LazyGroup(click.Group):
    """Imports a command's module when the command is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(package_name="tandem-inference", prog_name="tandem")
def tandem() -> None:
    """Run one packaged model over Parquet in S3 or a folder; the same model answers over HTTP (bentoml serve).

    \b
    Exit codes: 0 done (error rows allowed); 2 usage, job file or schema; 3 model, fingerprint or changed
    input; 4 too many error rows; 75 try the same command again; 77 no access, or credentials expired.
    """


def main() -> None:
    """Run the command, behind a guardian where rows go through a model; see `supervise.guardian`."""
    set_up_logging("json" if asks_for_json(sys.argv[1:]) else "text")
    if sys.argv[1:2] in (["run"], ["retry"], ["plan"]) and not {"-h", "--help", "--no-measure"} & set(sys.argv):
        from batch.supervise.guardian import GUARDED, guard

        guard(is_plan=sys.argv[1] == "plan")
        if GUARDED.journal is not None:
            code = 1
            try:
                answer()
                code = 0
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
                raise
            finally:
                GUARDED.journal.end(code)
            return
    answer()


def answer() -> None:
    """Run the command in this process; a user's mistake ends in one line, never in a traceback."""
    signal.signal(signal.SIGTERM, end_early)
    refuse_strangers()
    choose_memory_pool()
    try:
        tandem.main(prog_name="tandem", standalone_mode=False)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.Abort:
        fail("interrupted; run the same command again", 75)
    except click.ClickException as error:
        usage = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else ""
        fail(error.format_message() + (f" See: {usage} --help" if usage else ""), error.exit_code)
    except SystemExit as error:
        if error.code in (None, 0):
            fail("the model's own code asked the process to end (SystemExit); it may only raise for a row", 3)
        raise
    except BrokenPipeError:
        sys.stderr.close()
    except Exception as error:
        code = getattr(error, "exit_code", None)
        if not isinstance(code, int):
            raise
        fail(str(error), code)


def end_early(number: int, frame: FrameType | None) -> None:
    """Nothing is begun that would have to be finished first."""
    signal.signal(number, signal.SIG_IGN)  # whoever asks a group of processes asks some of them twice
    fail("asked to end by SIGTERM; run the same command again", 75)


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


if __name__ == "__main__":
    main()
