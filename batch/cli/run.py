"""`tandem run` and `tandem plan`."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import click

from batch.account.manifest import Manifest, Quality, Run
from batch.amounts import counted
from batch.errors import UsageError
from batch.observe.log_lines import set_up_logging
from batch.spec import JobSpec, read_job

#: Settings that are given once for each of their values, and what such a value is called.
REPEATED = {"column": "MODEL=SOURCE", "allow_uri": "PREFIX"}
#: In a job file that may be no YAML at all.
ASKS_FOR_JSON = re.compile(rb"^[ \t{,]*log[ \t]*:[ \t]*[\"']?json\b", re.MULTILINE)


def job_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """A flag for each setting of JobSpec, with its description; flags win over the file."""
    for name in reversed(JobSpec.model_fields):
        command = setting_option(name)(command)
    return click.argument("file", required=False, type=click.Path(path_type=Path), metavar="[JOB.yaml]")(command)


def setting_option(name: str) -> Callable[[Any], Any]:
    """The flag of one setting of JobSpec."""
    field = JobSpec.model_fields[name]
    if name in REPEATED:
        flag = "--" + name.replace("_", "-")
        return click.option(flag, name, multiple=True, metavar=REPEATED[name], help=field.description)
    if field.annotation is bool:
        return click.option(f"--{name}/--no-{name}", name, default=None, help=field.description)
    kinds = list(simple_kinds(field.annotation))
    choices = [kind for kind in kinds if isinstance(kind, str)]
    number: Any = next((kind for kind in kinds if kind in (int, float)), None)
    named = {int: "N", float: "NUMBER"}.get(number, "TEXT")
    default = "" if field.default is None or field.is_required() else f" [{field.default}]"
    return click.option(
        "--" + name.replace("_", "-"),
        name,
        type=str if choices and number else click.Choice(choices) if choices else number,
        metavar="|".join([named, *choices]) if choices and number else None if choices else named,
        help=f"{field.description}{default}",
    )


def simple_kinds(annotation: Any) -> Iterator[Any]:
    """The types and the words that a setting takes, without None and without their bounds."""
    if annotation is type(None):
        return
    inside = get_args(annotation)
    if not inside:
        yield annotation
    for kind in inside[:1] if get_origin(annotation) is Annotated else inside:
        yield from simple_kinds(kind)


def job_from(file: Path | None, flags: dict[str, Any]) -> JobSpec:
    """The job; where its file has a mistake and asks for JSON lines, the mistake is one too."""
    try:
        return read_job(file, {name: value for name, value in flags.items() if value not in (None, ())})
    except UsageError:
        if file is not None and flags.get("log") is None and file.is_file():
            with file.open("rb") as content:
                if ASKS_FOR_JSON.search(content.read(1 << 20)):
                    set_up_logging("json")
        raise


@click.command()
@job_options
@click.option(
    "--replace",
    is_flag=True,
    help="Begin anew: first remove what the last job wrote and is no longer true. Not beside another run.",
)
@click.option("--profile", is_flag=True, help="Say where the time went, how fast the arithmetic was, and what to do.")
def run(file: Path | None, replace: bool, profile: bool, **flags: Any) -> None:
    """Run a job, or what is left of it.

    Every row ends as one row of the output, a prediction or an error with its reason, whatever dies and however often
    this is called. The settings come from JOB.yaml, from flags, or both; flags win.

    A request that the store fails is tried again for a minute; a store that fails them all ends the job within three,
    with exit code 75: the same command again goes on.
    """
    from batch.profile import profile_lines
    from batch.progress import BarProgress, LogProgress, Progress, on_terminal
    from batch.run import run_job
    from batch.supervise.guardian import GUARDED, guarded
    from batch.table.describe import table_lines

    job = job_from(file, flags)
    GUARDED.write_as(job.log)

    def start(progress: Progress) -> Manifest:
        is_second = GUARDED.before is not None
        with guarded(progress):
            return run_job(job, replace=replace, profile=profile, progress=progress, supervised=is_second)

    if on_terminal() and job.log == "text":
        with BarProgress() as bar:
            manifest = start(bar)
    else:
        manifest = start(LogProgress())
    print_manifest(manifest, job.output, done=manifest["run"])
    for line in table_lines(job.output, **job.where_from) if job.table == "delta" else ():
        click.echo(line)
    if profile and manifest["run"]["rows"]:
        for line in profile_lines(manifest["run"]):
            click.echo(line)


def print_manifest(manifest: Manifest, output: str, *, done: Run) -> None:
    """The last lines of a run, or of a retry: what was `done`, how well, and what to look at next."""
    click.echo(
        f"{counted(manifest['rows'], 'row')} in {counted(manifest['shards'], 'part')}, "
        f"{counted(manifest['error_rows'], 'error row')}, "
        f"{manifest['truncated']} truncated; model {manifest['model']['tag']} ({manifest['model']['variant']})"
    )
    if not done["rows"]:
        click.echo("this run: nothing was left to do")
    else:
        speed = f", {done['rows_per_s']:,.0f} rows/s" if done["rows_per_s"] else ""
        vain = f", {done['rows_in_vain']:,} of them in vain: another run was first" if done.get("rows_in_vain") else ""
        click.echo(
            f"this run: {counted(done['rows'], 'row')} in {done['seconds']:.1f} s{speed}{vain}; "
            f"{done['micro_batches']} micro-batches of {done['mean_micro_batch'] or 0:.1f} rows, "
            f"{100 * (done['padding_share'] or 0):.0f} % padding"
        )
    if (parity := manifest.get("parity") or {}).get("agreement"):
        click.echo(compared(parity))
    for kind, rows in manifest["errors"].items():
        click.echo(f"  {kind}: {counted(rows, 'row')}")
    if manifest["quality"]:
        print_quality(manifest["quality"])
        if other_vocabulary(manifest["quality"]):
            click.echo(f"no true label is one that the model predicts: {', '.join(manifest['quality']['labels'][:8])}")
    click.echo(f"look at it: tandem head {output}")


def compared(parity: dict[str, Any]) -> str:
    """What the gate found, in one line."""
    found = parity["agreement"]
    measures = [f"largest difference {found['largest']:.2g}"]
    if found.get("cosine_mean") is not None:
        measures.append(f"cosine {found['cosine_mean']:.4f} on average, {found['cosine_least']:.4f} at least")
    if found.get("labels_agree") is not None:
        measures.append(f"labels agree {100 * found['labels_agree']:.1f} %")
    said, rows = ", ".join(measures), parity["rows"]
    return f"compared with {parity['reference']} on {rows} rows: {said} ({parity['seconds']:.1f} s)"


def other_vocabulary(quality: Quality) -> bool:
    """Whether no true label is ever a predicted one: then the labels are compared in two vocabularies."""
    rows = quality["confusion"]
    truth = {label for label, row in zip(quality["labels"], rows, strict=True) if any(row)}
    found = {label for label, column in zip(quality["labels"], zip(*rows, strict=True), strict=True) if any(column)}
    return not truth & found


def print_quality(quality: Quality) -> None:
    """Accuracy, and a table of the classes beside the confusion matrix, where that fits a screen."""
    labels = quality["labels"]
    shown = labels if len(labels) <= 12 else []
    widest = max(10, *(len(label) for label in labels))
    numbers = "".join(f"{number:>6}" for number, _ in enumerate(shown, 1))
    click.echo(f"accuracy {quality['accuracy']:.4f} on {quality['rows']:,} labelled rows")
    click.echo(
        f"  {'':>3}{'true label':<{widest}}  precision  recall     f1   rows{'  predicted' if shown else ''}{numbers}"
    )
    for number, (label, row) in enumerate(zip(labels, quality["confusion"], strict=True), 1):
        facts = quality["classes"][label]
        cells = " " * 11 + "".join(f"{cell:>6}" for cell in row) if shown else ""
        click.echo(
            f"  {number:>2} {label:<{widest}}      {facts['precision']:.3f}   {facts['recall']:.3f}  {facts['f1']:.3f} "
            f"{facts['rows']:>6}{cells}"
        )


@click.command()
@job_options
@click.option("--replace", is_flag=True, help="Plan as a run with --replace would.")
@click.option("--no-measure", is_flag=True, help="No estimate: footers only, and no model is loaded.")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def plan(file: Path | None, replace: bool, no_measure: bool, as_json: bool, **flags: Any) -> None:
    """Say what a run would do, what it would skip, and what it would take on this host. Nothing is written.

    Rows, tokens, time, memory, output and, with --price, cost are estimated from footers and a sample that goes through
    the model for some seconds: one number, and the interval that is to hold it in nine of ten cases.
    """
    import json

    from batch.estimate.describe import plan_lines
    from batch.estimate.plan_job import plan_job
    from batch.supervise.guardian import GUARDED

    job = job_from(file, flags)
    GUARDED.write_as(job.log)
    planned = plan_job(job, replace=replace, measure=not no_measure)
    if as_json:
        click.echo(json.dumps(planned.to_json(), indent=1))
        return
    for line in plan_lines(planned):
        click.echo(line)
