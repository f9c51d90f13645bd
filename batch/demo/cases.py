"""The demo's three cases: one model of each family, with real data whose labels are known."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from batch.account.manifest import Manifest
from batch.commit import MANIFEST
from batch.parquet_source import PinnedFile
from batch.stores.storage import Store, open_store


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One family: its model of the zoo, its data, and the columns.

    Attributes:
        takes: the model's input column.
        column: the source's column that goes there.
        label: the source's column of true labels.
    """

    family: str
    model: str
    data: str
    takes: str
    column: str
    label: str

    @property
    def input(self) -> str:
        return f"s3://demo/in/{self.data}/"

    @property
    def output(self) -> str:
        return f"s3://demo/out/{self.data}/"

    def flags(self, output: str | None = None) -> list[str]:
        """The job as flags of `tandem run`."""
        return [
            *("--model", self.model, "--input", self.input, "--output", output or self.output, "--label", self.label),
            *("--column", f"{self.takes}={self.column}"),
        ]


CASES = (
    Case(family="transformer", model="bbc-bert", data="news", takes="text", column="text", label="label"),
    Case(family="cnn", model="fashion-resnet", data="fashion", takes="image", column="image", label="label"),
    Case(family="rnn", model="vowels-bilstm", data="vowels", takes="sequence", column="steps", label="speaker"),
)


def read_manifest(output: str) -> Manifest:
    manifest: Manifest = json.loads(open_store(output).read(MANIFEST))
    return manifest


def read_predictions(output: str) -> pa.Table:
    """All rows of all committed parts."""
    store = open_store(output)
    keys = [info for info in store.list() if info.key.rpartition("/")[2].startswith("part-")]
    return pa.concat_tables([read_table(store, info) for info in keys])


def read_table(store: Store, info: Any) -> pa.Table:
    with PinnedFile(store, info) as file:
        return pq.ParquetFile(file).read()


def read_source(case: Case) -> dict[tuple[str, int], Any]:
    """(object, row) -> the value that goes through the model."""
    store = open_store(case.input)
    return {
        (store.url_of(info.key), row): value
        for info in store.list()
        for row, value in enumerate(read_table(store, info).column(case.column).to_pylist())
    }


def as_json(value: Any) -> Any:
    """A value as it travels in a request: bytes as base64."""
    return base64.b64encode(value).decode() if isinstance(value, bytes) else value


def largest_difference(batch: Mapping[str, Any], online: Mapping[str, Any]) -> float:
    """Between the scores of one row, by label."""
    there = online["scores"]
    return float(max(abs(score - there[label]) for label, score in batch["scores"]))
