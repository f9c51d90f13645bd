"""Which keys an --input means: Parquet by name, hidden keys left out, globs."""

import re
from pathlib import PurePosixPath

PARQUET_SUFFIXES = (".parquet", ".parq")
WILDCARD = re.compile(r"[*?\[]")


def is_named(key: str, pattern: str | None) -> bool:
    """Whether the key, unless it is hidden, is input: Parquet by its suffix, and of the glob where there is one.

    In a glob, `*` and `?` stay within a folder and `**` crosses folders; a suffix of its own (`*.pq`) stands for
    Parquet.
    """
    if key.endswith("/") or (pattern is not None and not _glob_regex(pattern).fullmatch(key)):
        return False
    names_its_suffix = pattern is not None and PurePosixPath(pattern).suffix != ""
    return names_its_suffix or key.lower().endswith(PARQUET_SUFFIXES)


def is_hidden(key: str) -> bool:
    """Whether a segment of the key begins with "." or "_", as `..` does; `_name=value` is a partition, as in Spark."""
    return any(name.startswith(".") or (name.startswith("_") and "=" not in name) for name in key.split("/"))


def _glob_regex(pattern: str) -> re.Pattern[str]:
    tokens = re.findall(r"\*\*/|\*\*|\*|\?|\[!?[^\]]+\]|.", pattern, flags=re.DOTALL)
    return re.compile("".join(map(_token_regex, tokens)), flags=re.DOTALL)


def _token_regex(token: str) -> str:
    if token == "**/":
        return "(?:.*/)?"
    if token == "**":
        return ".*"
    if token == "*":
        return "[^/]*"
    if token == "?":
        return "[^/]"
    if len(token) > 1:
        inner = re.sub(r"([\\\[\]^])", r"\\\1", token[1:-1].removeprefix("!"))
        return f"[{'^' if token[1] == '!' else ''}{inner}]"
    return re.escape(token)
