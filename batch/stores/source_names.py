"""Which keys an --input means: Parquet by name, hidden keys left out, globs."""

import re
from pathlib import PurePosixPath

PARQUET_SUFFIXES = (".parquet", ".parq")
WILDCARD = re.compile(r"[*?\[]")


def is_named(key: str, pattern: str | None) -> bool:
    """Whether the key is input under its root: Parquet by its suffix, not hidden, and of the glob where there is one.

    In a glob, `*` and `?` stay within a folder and `**` crosses folders; a suffix of its own (`*.pq`) stands for
    Parquet. Hidden are segments that begin with "." or "_"; `_name=value` is a partition, not hidden, as in Spark.
    """
    if key.endswith("/") or any(_is_hidden(segment) for segment in key.split("/")):
        return False
    if pattern is not None and not _glob_regex(pattern).fullmatch(key):
        return False
    names_its_suffix = pattern is not None and PurePosixPath(pattern).suffix != ""
    return names_its_suffix or key.lower().endswith(PARQUET_SUFFIXES)


def _is_hidden(segment: str) -> bool:
    return segment.startswith(".") or (segment.startswith("_") and "=" not in segment)


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
