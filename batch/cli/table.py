"""`tandem promote` and `tandem rollback`: moving the readers of a Delta table."""

from __future__ import annotations

import click

from batch.cli.look import store_options


@click.command()
@click.argument("output")
@click.option("--fingerprint", help="The job, or how its fingerprint begins; needed where several come into question.")
@store_options
def promote(output: str, fingerprint: str | None, **where: str | None) -> None:
    """Let readers of a Delta table see a finished job, all of it at once.

    A finished run does this by itself, unless it was held back with --no-promote. Readers that are at work go on with
    the version they have begun with.
    """
    from batch.stores.storage import open_store
    from batch.table.publish import promote_job

    root = open_store(output, **where)
    version, made, folder = promote_job(root, fingerprint, where=where)
    click.echo(f"version {version}: {root.url_of(folder)}{'' if made else ', as before'}")


@click.command()
@click.argument("output")
@click.option("--version", type=click.IntRange(min=0), help="Which version; by default the one before what they see.")
@store_options
def rollback(output: str, version: int | None, **where: str | None) -> None:
    """Let readers of a Delta table see an earlier version again, all of it at once.

    This adds a version with the files of the earlier one; nothing is removed, and a rollback can be rolled back by
    naming its version. Once more without --version goes one further back. A job that readers were taken away from is
    not shown again by running it again, only by `tandem promote`, or by input that was added since.
    """
    from batch.stores.storage import open_store
    from batch.table.publish import roll_back

    made, seen = roll_back(open_store(output, **where), version)
    click.echo(f"version {made}: the files of version {seen}")
