"""`tandem key`: the keys that let callers of the endpoint in."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import click

from service.door.errors import KeyFileInvalid
from service.door.key import read_rate
from service.door.key_file import (
    KeyFile,
    StoredKey,
    change_key_file,
    hash_key,
    make_key,
    now,
    read_key_file,
)
from service.door.scope import GRAMMAR, read_scope

UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}

keys_option = click.option(
    "--keys", "path", envvar="TANDEM_KEYS", required=True, metavar="FILE",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The file of keys that the server is given, too (TANDEM_KEYS).",
)  # fmt: skip


class Checked(click.ParamType[str]):
    """A word that `read` takes, kept as it was written."""

    def __init__(self, name: str, read: Callable[[str], object]) -> None:
        self.name, self._read = name, read

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            self._read(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return value


def read_span(text: str) -> timedelta:
    """`12h`, `30d` or `8w`.

    Raises:
        ValueError: it is something else.
    """
    found = re.fullmatch(r"([1-9][0-9]{0,4})([hdw])", text, re.ASCII)
    if found is None:
        raise ValueError(f"{text!r} is no span of time; expected a number and h, d or w, such as 30d")
    return int(found[1]) * UNITS[found[2]]


def read_name(text: str) -> str:
    """A key's name.

    Raises:
        ValueError: it has letters that a name may not have.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}", text, re.ASCII):
        raise ValueError(f"{text!r} is no name; expected up to 64 letters, digits, and . _ @ -")
    return text


@click.group()
def key() -> None:
    """Add, list and remove the keys that let callers of the endpoint in.

    A server that runs with the file takes changes within a second.
    """


@key.command()
@click.argument("name", type=Checked("NAME", read_name))
@click.option("--scope", "scopes", multiple=True, type=Checked("SCOPE", read_scope), metavar="SCOPE",
              help=f"What it may do; several times for several. {GRAMMAR}. Default: predict.")  # fmt: skip
@click.option(
    "--rate", type=Checked("RATE", read_rate), metavar="N/s", help="Requests, such as 100/s, 600/m or 1000/h."
)
@click.option("--max-body-mb", type=click.IntRange(1, 1024), metavar="MIB",
              help="Largest body of one request, instead of the server's own limit.")  # fmt: skip
@click.option("--max-rows", type=click.IntRange(1), metavar="N", help="Most rows of one request.")
@click.option("--expires", type=Checked("SPAN", read_span), metavar="30d", help="It is no key any more after so long.")
@keys_option
def add(
    name: str,
    scopes: tuple[str, ...],
    rate: str | None,
    max_body_mb: int | None,
    max_rows: int | None,
    expires: str | None,
    path: Path,
) -> None:
    """Make a key and print it: it is shown this once, for the file holds its SHA-256 alone."""
    made, begun = make_key(), now().replace(microsecond=0)
    stored = StoredKey(
        name=name,
        sha256=hash_key(made),
        scopes=list(scopes) or ["predict"],
        rate=rate,
        max_body_mb=max_body_mb,
        max_rows=max_rows,
        created=begun,
        expires=begun + read_span(expires) if expires else None,
    )

    def add_it(file: KeyFile) -> KeyFile:
        if any(other.name == name for other in file.keys):
            raise click.ClickException(f"{path} has a key called {name}; remove it first, or choose another name")
        return KeyFile(keys=[*file.keys, stored])

    change(path, add_it)
    click.echo(made)


@key.command(name="list")
@keys_option
def list_keys(path: Path) -> None:
    """List the keys: what each may do, never the keys themselves."""
    try:
        found = read_key_file(path).keys
    except KeyFileInvalid as error:
        raise click.ClickException(str(error)) from None
    for one in found:
        limits = {"rate": one.rate, "max-body-mb": one.max_body_mb, "max-rows": one.max_rows, "expires": one.expires}
        said = [f"{name} {value}" for name, value in limits.items() if value is not None]
        over = ["EXPIRED"] if one.expires is not None and one.expires <= now() else []
        click.echo("  ".join([one.name, " ".join(one.scopes), *said, *over]))


@key.command()
@click.argument("name")
@keys_option
def remove(name: str, path: Path) -> None:
    """Remove a key: within a second it lets nobody in."""

    def remove_it(file: KeyFile) -> KeyFile:
        left = [other for other in file.keys if other.name != name]
        if len(left) == len(file.keys):
            raise click.ClickException(f"there is no key called {name} in {path}")
        return KeyFile(keys=left)

    if not path.exists():
        raise click.ClickException(f"there is no file {path}")
    change(path, remove_it)


def change(path: Path, how: Callable[[KeyFile], KeyFile]) -> None:
    try:
        change_key_file(path, how)
    except KeyFileInvalid as error:
        raise click.ClickException(str(error)) from None
    except OSError as error:
        raise click.ClickException(f"{path}: {(error.strerror or 'cannot be written').lower()}") from None
