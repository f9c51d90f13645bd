"""Commands: what `tandem` can be told, each imported when it is called."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

import click

#: Command -> where it is, and its line in `tandem --help`. Nothing is imported for a command that is not called.
COMMANDS: Mapping[str, tuple[str, str]] = {
    "run": ("batch.cli.run:run", "Run a job, or what is left of it."),
    "plan": ("batch.cli.run:plan", "Say what a run would do and what it would take; nothing is written."),
    "submit": ("batch.cli.submit:submit", "Run a job on AWS Batch, AWS Lambda or Kubernetes."),
    "status": ("batch.cli.look:status", "Say how far an output, or a submitted job, has come."),
    "errors": ("batch.cli.errors:errors", "Group an output's error rows by class, with examples."),
    "retry": ("batch.cli.errors:retry", "Run an output's error rows again."),
    "head": ("batch.cli.look:head", "Show the first predicted rows as a table."),
    "promote": ("batch.cli.table:promote", "Let readers of a Delta table see a finished job."),
    "rollback": ("batch.cli.table:rollback", "Let readers of a Delta table see an earlier version again."),
    "report": ("batch.cli.report:report", "Write what a job did as one page with pictures."),
    "schema": ("batch.cli.look:schema", "Print the JSON schema of a job file or of a manifest."),
    "model": ("batch.cli.model:model", "Add, optimize, list, show, verify, check, remove and push models."),
    "zoo": ("batch.cli.zoo:zoo", "Models that come along, pretrained ones, and data to try them on."),
    "serve": ("service.cli.serve:serve", "Answer over HTTP with the same models."),
    "key": ("service.cli.key:key", "Add, list and remove the keys that let callers of the endpoint in."),
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
    """Run one packaged model over Parquet in S3 or a folder; the same model answers over HTTP (tandem serve).

    \b
    Exit codes: 0 done (error rows allowed); 2 usage, job file or schema; 3 model, fingerprint or changed
    input; 4 too many error rows; 75 try the same command again; 77 no access, or credentials expired.
    """
