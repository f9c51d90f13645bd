"""`tandem errors` and `tandem retry`: what went wrong with single rows, and once more."""

from __future__ import annotations

import json
from typing import Any

import click

from batch.amounts import counted
from batch.cli.look import store_options
from batch.cli.run import print_manifest, setting_option
from batch.retry.settings import SETTINGS
from models.say import one_line

#: Characters of a message that a line shows; `--json` shows all.
SHOWN = 160


def retry_options(command: Any) -> Any:
    """A flag for each setting that a retry may be told."""
    for name in reversed(SETTINGS):
        command = setting_option(name)(command)
    return command


class_option = click.option(
    "--class", "classes", multiple=True, metavar="NAME", help="Only error rows of this class; may be repeated."
)


@click.command()
@click.argument("output")
@class_option
@click.option("--limit", default=3, show_default=True, type=click.IntRange(0), help="Examples of each class.")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object, with whole messages.")
@store_options
def errors(output: str, classes: tuple[str, ...], limit: int, as_json: bool, **where: str | None) -> None:
    """Group an output's error rows by class, with examples and where they are: object, row group, row.

    Read from the store alone, also while the job runs. All of them, in SQL, of plain output (of a table ask its log):
    SELECT _source, _row, error FROM 'OUTPUT/**/part-*.parquet' WHERE error IS NOT NULL.
    """
    from batch.retry.group_errors import group_errors

    found = group_errors(output, classes=classes, limit=limit, **where)
    if as_json:
        click.echo(json.dumps(found, indent=1))
        return
    done = "" if found["shards_done"] == found["shards"] else f" of {found['shards_done']} of {found['shards']} shards"
    click.echo(f"{counted(found['error_rows'], 'error row')} among {counted(found['rows'], 'row')}{done}")
    for group in found["classes"]:
        click.echo(f"  {one_line(group['class'])}: {counted(group['rows'], 'row')}")
        for example in group["examples"]:
            group_of = "" if example["row_group"] is None else f" row group {example['row_group']}"
            tries = "" if example["attempts"] == 1 else f", tried {example['attempts']} times"
            click.echo(f"    {one_line(example['source'])}{group_of} row {example['row']}{tries}")
            click.echo(f"      {shortened(example['message'])}")
            click.echo(f"      in {one_line(example['part'])}")
    for name in classes:
        if name not in {group["class"] for group in found["classes"]}:
            click.echo(f"  {one_line(name)}: no error rows")
    if found["classes"]:
        click.echo(f"run them again, when what was wrong is mended: tandem retry {output}")


@click.command()
@click.argument("output")
@class_option
@retry_options
def retry(output: str, classes: tuple[str, ...], **flags: Any) -> None:
    """Run the error rows of an output again, and put the answers into its parts.

    Rows that fail again stay error rows, with their attempts counted up; nothing else changes. Model, input and
    settings are the job's own, as its record keeps them; a class of yours is named again with --model, as no code is
    run because an output names it. Safe beside a run, and beside another retry. Where parts are
    missing, the rest is for the job's own `tandem run` (exit code 2).
    """
    from batch.progress import BarProgress, LogProgress, on_terminal
    from batch.retry.retry import retry_job
    from batch.supervise.guardian import guarded

    settings = {name: value for name, value in flags.items() if value is not None}
    if on_terminal() and settings.get("log") != "json":
        with BarProgress() as bar, guarded(bar):
            manifest = retry_job(output, classes=classes, progress=bar, **settings)
    else:
        log = LogProgress()
        with guarded(log):
            manifest = retry_job(output, classes=classes, progress=log, **settings)
    print_manifest(manifest, output, done=manifest["retried"])


def shortened(text: str) -> str:
    words = one_line(text)
    return words if len(words) <= SHOWN else words[: SHOWN - 3] + "..."
