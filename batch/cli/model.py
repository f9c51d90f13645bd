"""`tandem model`: add, list, show, verify, check, optimize, remove and push."""

from __future__ import annotations

from typing import Any

import click
import yaml

from batch.cli.look import store_options
from batch.cli.optimize import optimize
from batch.errors import UsageError
from models.errors import ContractBroken
from models.variants import PRECISIONS, RUNTIMES


@click.group()
def model() -> None:
    """Add, list, show, verify, check, optimize, remove and push models.

    A model is named everywhere by a store tag (name or name:version), an artifact folder, or an s3:// prefix.
    """


model.add_command(optimize)


@model.command()
@click.argument("source", metavar="FOLDER_OR_HUB_ID")
@click.option("--name", required=True, help="Its name in the store: lower-case letters, digits, '.', '-', '_'.")
@click.option("--revision", help="Branch, tag or commit of a hub id.")
def add(source: str, name: str, revision: str | None) -> None:
    """Read a Hugging Face folder (or a tandem.yaml with an ONNX file), export it, check the export, and store it."""
    from models.add import add_model

    added = add_model(source, name=name, revision=revision, on_step=lambda step: click.echo(f"  {step} ..."))
    spec = added.spec
    checked = f"; the export differs by at most {added.difference:.1e}" if added.difference is not None else ""
    click.echo(f"{added.tag}: {spec.family}, {spec.task}, takes {spec.column!r}; digest {added.digest[:12]}{checked}")
    for line in added.lines():
        click.echo(line)
    click.echo(f"try it: tandem run --model {name} --input FOLDER --output FOLDER --column {spec.column}=YOUR_COLUMN")


@model.command("list")
def list_() -> None:
    """List the models of the store, newest last, and the zoo's."""
    from models.locate import known_tags, locate_model, zoo_folders
    from models.spec import read_spec

    rows = [(tag, locate_model(tag).folder) for tag in known_tags()]
    rows += [(f"{folder.name} (zoo)", folder) for folder in zoo_folders()]
    for tag, folder in rows:
        spec = read_spec(folder)
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        made = ", ".join(path.parent.name for path in sorted(folder.glob("variants/[!.]*/variant.json")))
        click.echo(f"{tag:<40} {spec.family:<12} {spec.task:<26} {size / 1e6:>8.1f} MB  {made}".rstrip())


@model.command()
@click.argument("name")
def show(name: str) -> None:
    """Show a model's spec and digest."""
    from models.load import describe_model

    found = describe_model(name)
    facts: dict[str, Any] = {"model": found.tag, "digest": found.digest}
    facts |= {"folder": str(found.folder)} if found.folder else {}
    variants = {
        name: {
            "digest": variant.digest,
            "tolerance": variant.tolerance,
            "largest_difference": variant.largest,
            "speed": f"{variant.speedup:.2f}x the reference",
        }
        for name, variant in found.variants.items()
        if variant.folder is not None
    }
    facts |= {"variants": variants} if variants else {}
    settings = found.spec.model_dump(mode="json", exclude_defaults=True)
    if len(found.spec.labels) > 20:
        settings["labels"] = [*found.spec.labels[:20], f"... {len(found.spec.labels)} in all"]
    click.echo(yaml.safe_dump(facts | settings, sort_keys=False, allow_unicode=True, width=110), nl=False)


@model.command()
@click.argument("name")
def verify(name: str) -> None:
    """Hash every file of a model again and compare with what was recorded."""
    from models.store import verify_model

    digest = verify_model(name)
    click.echo(f"{name}: every file is as it was recorded; digest {digest}")


@model.command()
@click.argument("name")
@click.option(
    "--rows", "rows", help="Parquet with sample rows, as an --input; by default they are made for the kind of input."
)
@click.option(
    "--column", help="The column of --rows that goes through the model; by default the model's own name for it."
)
@click.option("--runtime", type=click.Choice(["auto", *RUNTIMES]), default="auto", show_default=True)
@click.option("--precision", type=click.Choice(["auto", *PRECISIONS]), default="auto", show_default=True)
def check(name: str, rows: str | None, column: str | None, runtime: str, precision: str) -> None:
    """Try every promise of the Model contract on a model, and say which is broken.

    The way to find out whether a class of your own (package.module:Class) keeps the contract.
    """
    from models.contract import check_contract
    from models.load import load_model

    found = load_model(name, runtime=runtime, precision=precision)
    samples = read_samples(rows, column or found.spec.column) if rows else None
    promises = check_contract(found, samples)
    for promise in promises:
        click.echo(
            f"{'kept  ' if promise.kept else 'BROKEN'}  {promise.name}{'' if promise.kept else ': ' + promise.found}"
        )
    for promise in promises:
        if not promise.kept:
            raise ContractBroken(found.tag, promise=promise.name, found=promise.found)


def read_samples(url: str, column: str) -> list[Any]:
    """The first hundred values of a column that are not null.

    Raises:
        JobError: they cannot be found or read.
    """
    from batch.read_column import ObjectColumn
    from batch.stores.storage import list_sources

    found = list_sources(url)
    values: list[Any] = []
    for info in found.objects:
        for array in ObjectColumn(found.store, info, column, flag="--rows").read():
            values += array.slice(0, 100 - len(values)).to_pylist()
            if len(values) == 100:
                return values
    if not values:
        raise UsageError(f"--rows {url}: its column {column!r} has no value; name rows to try the model with.")
    return values


@model.command()
@click.argument("tag")
def remove(tag: str) -> None:
    """Remove one version of a model from the store: name:version."""
    from models.store import remove_model

    click.echo(f"removed {remove_model(tag)}")


@model.command()
@click.argument("name")
@click.argument("prefix", metavar="S3_PREFIX")
@store_options
def push(name: str, prefix: str, **where: str | None) -> None:
    """Copy a model under an s3:// prefix, from where --model s3://... takes it on any machine."""
    from models.store import push_model

    url = push_model(name, prefix, **where)
    click.echo(f"pushed; use it on any machine with: tandem run --model {url} ...")
