"""`tandem model optimize`: make a variant of a model, measure it beside the reference, and register it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import click

from batch.cli.look import store_options
from batch.errors import UsageError

if TYPE_CHECKING:
    from models.side_by_side import SideBySide


@click.command()
@click.argument("name")
@click.option("--runtime", type=click.Choice(["openvino", "onnx"]), required=True, help="What does the arithmetic.")
@click.option("--precision", type=click.Choice(["fp32", "bf16", "int8"]), required=True, help="What it is done in.")
@click.option(
    "--calibration",
    metavar="URI",
    help="Parquet with rows like yours: a folder, s3:// prefix, file or glob. By default data of the zoo.",
)
@click.option("--column", multiple=True, metavar="MODEL=SOURCE", help="The model's input column = the source's column.")
@click.option(
    "--rows",
    type=click.IntRange(2, 100_000),
    default=1000,
    show_default=True,
    help="Rows drawn: three fifths to calibrate, the others to measure with.",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(0, min_open=True),
    help="fp32: largest difference of an answer, by default the model's own. Lower precisions: what is lost on average "
    "in cosine, labels or scores, by default 0.01.",
)
@click.option("--threads", type=click.IntRange(1), help="Threads of the arithmetic; by default every core.")
@store_options
def optimize(
    name: str,
    runtime: str,
    precision: str,
    calibration: str | None,
    column: tuple[str, ...],
    rows: int,
    tolerance: float | None,
    threads: int | None,
    **where: str | None,
) -> None:
    """Make a variant of a model: a runtime at a precision, measured beside the reference before it is registered.

    A variant whose answers are outside the tolerance is not registered. `tandem run` and the server take the fastest
    variant that is within the job's tolerance.
    """
    from batch.choose.sample import sample_source, sample_zoo
    from models.load import describe_model
    from models.optimize import optimize_model

    if (runtime, precision) == ("onnx", "fp32"):
        raise UsageError("onnx-fp32 is the reference, which every model has; there is nothing to make.")
    if tolerance is not None and not math.isfinite(tolerance):
        raise UsageError(f"--tolerance: expected a number above 0, found {tolerance}.")
    spec = describe_model(name, **where).spec
    takes = source_column(spec.column, column)
    if calibration is None:
        sample = sample_zoo(spec.inputs[0].kind, rows=rows)
    else:
        sample = sample_source(calibration, takes, rows=rows, **where)
    click.echo(f"  {len(sample.calibration)} rows to calibrate, {len(sample.held_out)} to measure: {sample.rows_from}")
    done = optimize_model(
        name,
        runtime=runtime,
        precision=precision,
        calibration=sample.calibration,
        held_out=sample.held_out,
        rows_from=sample.rows_from,
        tolerance=tolerance,
        threads=threads,
        on_step=lambda step: click.echo(f"  {step} ..."),
        on_measured=lambda measured: click.echo(table(measured, f"{runtime}-{precision}")),
    )
    click.echo(f"registered {done.variant.name} of {name}; digest {done.variant.digest[:12]}")
    if done.variant.speedup < 1:
        click.echo("it is slower than the reference here: --runtime auto will not take it")
    else:
        closely = "" if precision == "fp32" else f" --precision {precision}"
        click.echo(f"use it: tandem run --model {name} --runtime {runtime}{closely} ...")


def source_column(column: str, pairs: tuple[str, ...]) -> str:
    """The source's column that the model's one column is read from.

    Raises:
        UsageError: the option names another column of the model, or is no pair.
    """
    if not pairs:
        return column
    left, equals, right = pairs[0].partition("=")
    if len(pairs) > 1 or not right or not equals or left != column:
        raise UsageError(f"--column: expected {column}=SOURCE_COLUMN, found {', '.join(pairs)}.")
    return right


def table(measured: SideBySide, name: str) -> str:
    """The reference and the variant beside each other."""
    ratio = measured.rows_per_s / measured.reference_rows_per_s
    rows: list[tuple[str, Any]] = [
        *measured.agreement.lines(),
        ("rows/s of the reference", f"{measured.reference_rows_per_s:,.1f}"),
        (f"rows/s of {name}", f"{measured.rows_per_s:,.1f} ({ratio:.2f}x)"),
    ]
    widest = max(len(label) for label, _ in rows)
    return "\n".join(f"  {label:<{widest}}  {value}" for label, value in rows)
