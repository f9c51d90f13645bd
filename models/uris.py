"""What a column's URIs mean where they are no objects in S3: paths, and places that are not read."""

from __future__ import annotations

from urllib.parse import unquote


class UriRefused(OSError):
    """What a reader of URIs raises for a place that rows may not name."""


def path_of(uri: str) -> str:
    """`file:///folder/a%20b` -> `/folder/a b`; a `?` or `#` is part of a file's name, as it is in a folder.

    Raises:
        ValueError: it names another machine.
    """
    host, slash, path = uri.removeprefix("file://").partition("/")
    if host not in ("", "localhost"):
        raise ValueError(f"it names a host, {host}; a local file is file:///folder/file")
    return unquote(slash + path)
