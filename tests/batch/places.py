"""Where a test keeps a job's input and output: a folder, or a bucket of a real S3 API."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

WORD_COUNT = "tests.batch.own_models:WordCount"


class Place(Protocol):
    """A root url, and what a test does to the objects under it."""

    url: str

    def put(self, key: str, body: bytes) -> None: ...

    def get(self, key: str) -> bytes: ...

    def delete(self, key: str) -> None: ...

    def etags(self, prefix: str = "") -> dict[str, str]:
        """Key -> what changes whenever the object is written again."""


class Folder:
    """A local folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = f"{folder.as_posix()}/"

    def put(self, key: str, body: bytes) -> None:
        path = self.folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)

    def get(self, key: str) -> bytes:
        return (self.folder / key).read_bytes()

    def delete(self, key: str) -> None:
        (self.folder / key).unlink()

    def etags(self, prefix: str = "") -> dict[str, str]:
        paths = (path for path in self.folder.rglob("*") if path.is_file() and "/.tmp/" not in path.as_posix())
        keys = {path.relative_to(self.folder).as_posix(): path.stat() for path in paths}
        return {key: f"{stat.st_ino}-{stat.st_mtime_ns}" for key, stat in keys.items() if key.startswith(prefix)}


class Bucket:
    """A bucket of the tests' S3 server."""

    def __init__(self, bucket: str, client: S3Client) -> None:
        self.bucket = bucket
        self.url = f"s3://{bucket}/"
        self.client = client

    def put(self, key: str, body: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=key, Body=body)

    def get(self, key: str) -> bytes:
        return self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()

    def delete(self, key: str) -> None:
        self.client.delete_object(Bucket=self.bucket, Key=key)

    def etags(self, prefix: str = "") -> dict[str, str]:
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=prefix)
        found = (entry for page in pages for entry in page.get("Contents", []))
        return {entry["Key"]: f"{entry['ETag']} {entry['LastModified']}" for entry in found}


def parquet_bytes(table: pa.Table, **options: Any) -> bytes:
    sink = io.BytesIO()
    pq.write_table(table, sink, **options)
    return sink.getvalue()


def texts(count: int, *, first: int = 0, **columns: Any) -> pa.Table:
    """Rows `id, text`, of one to seven words each, and what else is given."""
    ids = range(first, first + count)
    return pa.table({"id": list(ids), "text": [" ".join(["word"] * (1 + i % 7)) for i in ids], **columns})


def put_table(place: Place, key: str, table: pa.Table, **options: Any) -> None:
    place.put(key, parquet_bytes(table, **options))


def part_keys(place: Place, output: str = "out/") -> list[str]:
    return sorted(key for key in place.etags(output) if "/part-" in f"/{key}")


def read_parts(place: Place, output: str = "out/") -> dict[str, pa.Table]:
    return {key: pq.read_table(io.BytesIO(place.get(key)), partitioning=None) for key in part_keys(place, output)}


def read_output(place: Place, output: str = "out/") -> pa.Table:
    """Every row of every part, in the order of `_source` and `_row`."""
    table = pa.concat_tables(read_parts(place, output).values())
    return table.sort_by([("_source", "ascending"), ("_row", "ascending")])


def read_json(place: Place, key: str) -> Any:
    return json.loads(place.get(key))
