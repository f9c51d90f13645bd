"""`tandem report`: what a job did, as one page."""

from __future__ import annotations

from pathlib import Path

import click

from batch.cli.look import store_options


@click.command()
@click.argument("output")
@click.option(
    "-o",
    "--to",
    "path",
    default="report.html",
    show_default=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file to write; one that is there is replaced.",
)
@store_options
def report(output: str, path: Path, **where: str | None) -> None:
    """Write what a job did as one page with pictures.

    Progress, rate, lengths and padding, labels and scores, the confusion matrix, errors with examples, where the time
    went, and which model read which version of which input. From the store alone, also while the job runs. The page
    holds everything, loads nothing and runs no script: it may be mailed, and opens from a folder.
    """
    from batch.errors import UsageError
    from batch.page.gather import gather
    from batch.page.page import draw_page, headline

    found = gather(output, **where)
    try:
        path.write_text(draw_page(found), encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{path}: cannot be written ({error.strerror}); name another file with -o.") from None
    click.echo(f"{headline(found)}\nlook at it: {path}")
