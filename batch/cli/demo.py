"""`tandem demo`."""

from __future__ import annotations

import importlib.util

import click

from models.errors import MissingExtra


@click.command()
@click.option("--keep", is_flag=True, help="Leave the S3 server and its data up until Ctrl-C.")
def demo(keep: bool) -> None:
    """Run three models over real data in an embedded S3, then the same rows over HTTP, then a job that is killed.

    Prints each job's rows/s and accuracy, the largest difference between batch and online, and that no row of the
    killed job is missing or double. Exits with 1 where one of these does not hold.
    """
    for package in ("moto", "bentoml"):
        if importlib.util.find_spec(package) is None:
            raise MissingExtra("tandem demo", package=package, extra="demo")
    from batch.demo.demo import run_demo

    run_demo(keep=keep)
