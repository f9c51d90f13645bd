"""What can go wrong with the body of a prediction, and its HTTP status.

ServiceError
├── MediaTypeUnknown    415         a body of a kind that is not read here
├── NotAcceptable       406         Accept names nothing that can be answered with
├── TableUnreadable     400         Parquet or Arrow that is damaged, or claims what cannot be
├── TableTooLarge       413         one that unpacks to more than a body may be
├── ModelsDiffer        409         a body that names another model than the address
├── ColumnMissing       400         a table without the model's input column
├── ColumnTwice         400         a table whose answer would have two columns of one name
├── TableUnwritable     400         columns to be given back that the answer's kind does not hold
├── LineTooLong         413         a line of a stream of lines that does not end
├── StreamsFull         503         as many streams of lines as the server takes are open
└── StreamEnded         408         a stream that was ended: silent for too long, or the slowest of too many
    └── StreamStopped   503         one that was ended because the server ends
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from service.errors import ServiceError

MIB = 1024 * 1024


class MediaTypeUnknown(ServiceError):
    """A Content-Type that is not read here."""

    status = 415

    def __init__(self, found: str, *, taken: Sequence[str]) -> None:
        super().__init__(f"Content-Type: found {found[:100]!r}, expected one of {', '.join(taken)}.")
        self.found, self.taken = found, tuple(taken)


class NotAcceptable(ServiceError):
    """An Accept that names nothing that can be given."""

    status = 406

    def __init__(self, accept: str, *, given: Sequence[str]) -> None:
        super().__init__(f"Accept: found {accept[:100]!r}, and the answer can be {', '.join(given)}.")
        self.accept, self.given = accept, tuple(given)


class TableUnreadable(ServiceError):
    """A table that cannot be read."""

    status = 400

    def __init__(self, media: str, *, why: str) -> None:
        super().__init__(f"body: no readable {media}: {why[:300]}")
        self.media, self.why = media, why


class TableTooLarge(ServiceError):
    """A table that unpacks to more than a body may be."""

    status = 413

    def __init__(self, *, size_bytes: int, limit_bytes: int) -> None:
        super().__init__(
            f"body: its rows unpack to {size_bytes / MIB:,.0f} MiB or more, at most {limit_bytes / MIB:,.0f} are read. "
            "Send fewer rows; for whole files there is: tandem run."
        )
        self.size_bytes, self.limit_bytes = size_bytes, limit_bytes


class ModelsDiffer(ServiceError):
    """Address and body name different models."""

    status = 409

    def __init__(self, *, address: str, body: str) -> None:
        super().__init__(f"model: the address says {address[:100]!r}, the body {body}. Say it once.")
        self.address, self.body = address, body


class ColumnMissing(ServiceError):
    """A table without the column that the model takes, or with several."""

    status = 400

    def __init__(self, column: str, *, found: Sequence[str], asked: bool) -> None:
        many = found.count(column)
        lacks = f"has {many} columns {column!r}" if many else f"lacks the column {column!r}"
        advice = "" if asked else f" Name it with ?column=: what the model calls {column!r} is then read from there."
        super().__init__(f"body: {lacks}; it has {', '.join(found[:20]) or 'none'}.{advice}")
        self.column, self.found = column, tuple(found)


class ColumnTwice(ServiceError):
    """A table with a column whose name the answer needs, or uses already."""

    status = 400

    def __init__(self, column: str) -> None:
        super().__init__(f"body: the answer would have two columns {column[:100]!r}; rename or leave out one of them.")
        self.column = column


class TableUnwritable(ServiceError):
    """A table with columns that cannot be given back."""

    status = 400

    def __init__(self, media: str, *, why: str) -> None:
        super().__init__(f"Accept: {media} cannot hold the columns that were sent along: {why[:300]}")
        self.media, self.why = media, why


class LineTooLong(ServiceError):
    """A line without an end."""

    status = 413

    def __init__(self, limit_bytes: int) -> None:
        super().__init__(f"body: a line is longer than {limit_bytes // MIB} MiB (TANDEM_MAX_BODY_MB).")
        self.limit_bytes = limit_bytes


class StreamsFull(ServiceError):
    """As many streams as there may be are open, and none of them dawdles."""

    status = 503

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"{limit} streams of lines are open, and no more are taken (TANDEM_MAX_STREAMS). Try again in 5 s."
        )
        self.limit = limit

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": "5"}


class StreamEnded(ServiceError):
    """A stream of lines that the server ended."""

    status = 408

    def __init__(self, why: str) -> None:
        super().__init__(f"The stream was ended: {why} Send what was not answered in another one.")
        self.why = why


class StreamStopped(StreamEnded):
    """A stream that ends with its server."""

    status = 503

    def __init__(self) -> None:
        super().__init__("the server ends.")

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": "1"}
