"""`tandem status`, `tandem head` and `tandem schema`: looking, without changing anything."""

from __future__ import annotations

import json
from typing import Any

import click

from batch.errors import InputNotFound


def store_options(command: Any) -> Any:
    for flag, name, text in (
        ("--aws-profile", "profile", "AWS profile."),
        ("--region", "region", "AWS region."),
        ("--endpoint-url", "endpoint_url", "S3 endpoint."),
    ):
        command = click.option(flag, name, help=text)(command)
    return command


@click.command()
@click.argument("output", metavar="OUTPUT|ID")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object; with --watch one a line.")
@click.option("--watch", "--follow", "watch", is_flag=True, help="Look again until the job is over; Ctrl-C ends it.")
@click.option(
    "--every", default=5.0, show_default=True, type=click.FloatRange(0.1), metavar="SECONDS", help="How often to look."
)
@store_options
def status(output: str, as_json: bool, watch: bool, every: float, **where: str | None) -> None:
    """Say how far an output has come: shards, rows, errors, rate, time left, and whether it is finished.

    Read from the store alone: from anywhere, also while the job runs elsewhere. The rate is that of the last commits.
    Of an ID that `tandem submit` printed also the machines, by state, with the exit codes and reasons of those that
    failed; when the job is over, the exit code is the job's.
    """
    from batch.cli.submit import IDS, follow_id, show_id

    if output.startswith(IDS):
        if watch:
            follow_id(output, every_s=every, as_json=as_json, **where)
        else:
            show_id(output, as_json=as_json, **where)
        return
    from batch.table.describe import table_lines
    from batch.watch.show import status_lines, watch_output
    from batch.watch.watched import Watched

    watched = Watched(output, **where)
    if watch:
        watch_output(watched, every_s=every, as_json=as_json)
        return
    found = watched.look()
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    for line in [*status_lines(found), *table_lines(output, **where)]:
        click.echo(line)


@click.command()
@click.argument("output")
@click.option("-n", "--rows", default=10, show_default=True, type=click.IntRange(1, 1000), help="How many rows.")
@click.option("--columns", help="Which columns, with commas; by default all that fit.")
@store_options
def head(output: str, rows: int, columns: str | None, **where: str | None) -> None:
    """Show the first predicted rows as a table."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from batch.status import read_head
    from models.say import printable

    table = read_head(output, rows, **where)
    names = [name.strip() for name in columns.split(",") if name.strip()] if columns else fitting(table.column_names)
    if unknown := [name for name in names if name not in table.column_names]:
        raise InputNotFound(
            output, f"it has no column {unknown[0]!r}", advice=f"There are: {', '.join(table.column_names)}."
        )
    # As Text: what stands in the data, [brackets] too, is shown and not obeyed.
    shown = Table(show_lines=False)
    for name in names:
        shown.add_column(Text(printable(name)))
    for row in table.select(names).to_pylist():
        shown.add_row(*(Text(printable(cell(row[name]))) for name in names))
    Console().print(shown)


def fitting(names: list[str]) -> list[str]:
    """The row number, the first kept columns, then the predictions: what fits a screen and is looked for."""
    own = [name for name in names[names.index("_source") + 2 :] if name != "truncated"]
    return ["_row", *names[: names.index("_source")][: max(1, 8 - len(own))], *own]


def cell(value: Any) -> str:
    """A value as it fits a table."""
    if value is None:
        return ""
    if isinstance(value, dict) and "class" in value:
        return f"{value['class']}: {value['message']}"[:60]
    if isinstance(value, float):
        return f"{value:.4f}"
    if isinstance(value, bytes):
        return f"<{len(value)} bytes>"
    if isinstance(value, list) and value and isinstance(value[0], tuple):
        return ", ".join(f"{name} {score:.3f}" for name, score in value[:3])
    if isinstance(value, list) and len(value) > 4:
        return f"[{', '.join(cell(item) for item in value[:3])}, ... {len(value)}]"
    return " ".join(str(value).split())[:60]


@click.command()
@click.argument("of", type=click.Choice(["job", "manifest"]), default="job")
def schema(of: str) -> None:
    """Print the JSON schema of a job file (job), or of what a finished job says of itself (manifest)."""
    from batch.account.manifest import manifest_schema
    from batch.spec import JobSpec

    click.echo(json.dumps(JobSpec.model_json_schema() if of == "job" else manifest_schema(), indent=1))
