"""Shard and Plan: how a job's input is cut, as data that every worker reads alike."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """Row groups of one object.

    Attributes:
        key: the object, relative to the input's root.
        etag: the version that was planned; another one is an error, not a mixture.
        size_bytes: of the whole object.
        row_groups: which of them; none where the object has no rows.
        stop_row: rows of the object from this number on are not let in (`--limit`); None lets all in.
    """

    key: str
    etag: str
    size_bytes: int
    row_groups: tuple[int, ...]
    stop_row: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """The unit that is retried: row groups of one or several objects of one partition.

    Attributes:
        id: a digest of keys, ETags and row groups: the same input gives the same shard, whoever plans it.
        partition: hive folders that its objects lie in, such as `lang=en/year=2024/`, or "".
        folder: where its part goes under the output: the same, but for names that the output has for itself.
        rows: rows of its row groups, before the filter.
    """

    id: str
    partition: str
    folder: str
    pieces: tuple[Piece, ...]
    rows: int

    @property
    def values(self) -> dict[str, str | None]:
        """The partition's columns and their values."""
        return partition_values(self.partition)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a job reads, agreed once: whoever is first writes it, everybody follows it.

    Attributes:
        number: 0 for the first; input that has grown adds 1, 2, ...
        objects: key -> ETag of every object that this plan covers.
        shards: in the order of the input; of many, each is made when it is asked for.
        schema: of the source's columns, those of the partition included.
        admitted: under `--limit`, how many rows this plan lets in.
    """

    number: int
    objects: dict[str, str]
    shards: Sequence[Shard]
    schema: pa.Schema
    admitted: int | None = None

    @property
    def rows(self) -> int:
        from batch.shard_columns import Columns

        return self.shards.rows if isinstance(self.shards, Columns) else sum(shard.rows for shard in self.shards)

    def to_bytes(self) -> bytes:
        """What is stored: JSON, or for more shards than people read an Arrow file under the same key."""
        from batch.shard_columns import Columns

        content = {
            "plan": self.number,
            "rows": self.rows,
            "admitted": self.admitted,
            "objects": self.objects,
            "schema": base64.b64encode(self.schema.serialize().to_pybytes()).decode(),
        }
        if isinstance(self.shards, Columns):
            return self.shards.to_arrow(json.dumps(content, sort_keys=True).encode())
        return json.dumps(content | {"shards": [asdict(shard) for shard in self.shards]}, sort_keys=True).encode()

    @classmethod
    def from_bytes(cls, body: bytes) -> Plan:
        """Raises ValueError, KeyError or TypeError where it is no plan."""
        from batch.shard_columns import Columns

        columns: Sequence[Shard] | None = None
        if body.startswith(b"ARROW1"):
            body, columns = Columns.from_arrow(body)
        content: dict[str, Any] = json.loads(body)
        return cls(
            number=content["plan"],
            admitted=content["admitted"],
            objects=content["objects"],
            schema=pa.ipc.read_schema(pa.py_buffer(base64.b64decode(content["schema"]))),
            shards=tuple(map(shard_of, content["shards"])) if columns is None else columns,
        )


def shard_of(content: Mapping[str, Any]) -> Shard:
    """A shard from its JSON."""
    pieces = (Piece(**(piece | {"row_groups": tuple(piece["row_groups"])})) for piece in content["pieces"])
    return Shard(
        id=content["id"],
        partition=content["partition"],
        folder=content["folder"],
        rows=content["rows"],
        pieces=tuple(pieces),
    )


def make_shard(partition: str, pieces: Sequence[Piece], rows: int, *, folder: str = "") -> Shard:
    """Name a shard after what it reads."""
    content = [[piece.key, piece.etag, list(piece.row_groups), piece.stop_row] for piece in pieces]
    identity = hashlib.sha256(json.dumps([partition, content]).encode()).hexdigest()[:20]
    return Shard(id=identity, partition=partition, folder=folder, pieces=tuple(pieces), rows=rows)


def partition_of(key: str) -> str:
    """The hive folders in a key, `a/lang=en/x.parquet` -> `lang=en/`; a folder without `=` is no partition."""
    return "".join(f"{part}/" for part in key.split("/")[:-1] if "=" in part.strip("="))


def partition_values(partition: str) -> dict[str, str | None]:
    """Column -> value as text; hive's name for null is None."""
    from urllib.parse import unquote

    pairs = [part.partition("=") for part in partition.strip("/").split("/") if part]
    return {
        unquote(name): None if value == "__HIVE_DEFAULT_PARTITION__" else unquote(value) for name, _, value in pairs
    }
