"""Which columns a job reads, encodes and keeps, checked against a source's schema before anything is paid for."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.types as pt

from batch.errors import SchemaMismatch, UsageError
from batch.spec import JobSpec
from batch.where import Where, parse_where
from models.decode import scores_kept
from models.spec import ModelSpec

SOURCE, ROW = "_source", "_row"
#: Their names on the way, beside the source's own columns: the output of one job may be the input of another.
OWN_SOURCE, OWN_ROW = "tandem:_source", "tandem:_row"

#: What numbers take in a part: random ones of 32 bits, and a row's number beside columns that never change.
FLOAT_BYTES, ROW_BYTES = 3.7, 2.0

#: What a model's input takes, in words.
TAKES: Mapping[str, str] = {
    "text": "string",
    "image": "binary (PNG, JPEG), string (URI), or a list of numbers",
    "sequence": "list<number> or list<list<number>>",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class JobColumns:
    """The columns of one job.

    Attributes:
        encoded: the source's column that goes through the model.
        kind: what the model takes there.
        keep: source columns to write; None keeps every one but the encoded.
        label: the source's column of true labels.
        where: the condition on rows.
        predictions: the model's output columns, `truncated` and `error` included.
        answer_bytes: what a row's answer, `_source` and `_row` take in a part, by estimate.
    """

    encoded: str
    kind: str
    keep: tuple[str, ...] | None
    label: str | None
    where: Where | None
    predictions: tuple[pa.Field, ...]
    answer_bytes: float = 0.0

    def kept(self, schema: pa.Schema, partition: Iterable[str]) -> dict[str, pa.Field]:
        """Source column -> the field that is written. A name that a prediction has gets `input_` in front.

        Partition columns stay in the folder's name, where every reader of hive partitions finds them.
        """
        taken = {SOURCE, ROW, *(field.name for field in self.predictions)}
        folders = set(partition)
        names = self.keep if self.keep is not None else [name for name in schema.names if name != self.encoded]
        fields = {}
        for name in names:
            if name in folders:
                continue
            written = f"input_{name}" if name in taken else name
            if written in taken:
                raise UsageError(
                    f"the source's column {name!r} has no free name in the output; leave it out with --keep."
                )
            taken.add(written)
            fields[name] = schema.field(name).with_name(written)
        return fields

    def folder(self, partition: str) -> str:
        """The hive folders of the output for those of the input, `label=x/` as `input_label=x/` like a column."""
        taken = {SOURCE, ROW, *(field.name for field in self.predictions)}
        folders = [part.partition("=") for part in partition.split("/") if part]
        return "".join(f"{'input_' if unquote(name) in taken else ''}{name}={value}/" for name, _, value in folders)

    def written_schema(self, schema: pa.Schema, partition: Iterable[str]) -> pa.Schema:
        """The schema of a part: kept columns, `_source`, `_row`, predictions, `truncated`, `error`."""
        own = [pa.field(SOURCE, pa.string(), nullable=False), pa.field(ROW, pa.int64(), nullable=False)]
        return pa.schema([*self.kept(schema, partition).values(), *own, *self.predictions])

    def read_from(self, schema: pa.Schema, partition: Iterable[str]) -> list[str]:
        """The columns that are read from a source of this schema; nothing else of it is fetched."""
        names = {self.encoded, *self.kept(schema, partition), *(self.where.columns if self.where else ())}
        names |= {self.label} if self.label else set()
        return [name for name in schema.names if name in names]

    def check(self, source: str, schema: pa.Schema, partition: Iterable[str]) -> None:
        """Compare a source with what the job asks of it.

        Raises:
            SchemaMismatch: a column is missing or has a type that the model does not take.
        """
        found = {field.name: str(field.type) for field in schema} | dict.fromkeys(partition, "partition")
        asked = dict.fromkeys(self.keep or (), "--keep")
        asked |= dict.fromkeys(self.where.columns if self.where else (), "--where")
        asked |= {self.label: "--label"} if self.label else {}
        expected = {name: f"asked for by {flag}" for name, flag in asked.items() if name not in found}
        if self.label is not None and self.label in schema.names and not is_label(schema.field(self.label).type):
            expected[self.label] = "text, a number or a boolean for --label"
        if self.encoded not in schema.names or not takes(self.kind, schema.field(self.encoded).type):
            expected[self.encoded] = TAKES[self.kind]
        if self.encoded in expected:
            raise SchemaMismatch(source, expected=expected, found=found)
        if expected:
            raise SchemaMismatch(source, expected=expected, found=found, advice="Name columns that every object has.")


def job_columns(job: JobSpec, spec: ModelSpec) -> JobColumns:
    """Read the job's columns off its settings and the model's spec.

    Raises:
        UsageError: --column names an input that the model does not have, or --label on a model without labels.
        WhereError: the condition is not understood.
    """
    unknown = sorted(job.column.keys() - {spec.column})
    if unknown:
        raise UsageError(
            f"--column {unknown[0]}={job.column[unknown[0]]}: the model {spec.name} has no input {unknown[0]!r}; "
            f"it takes {spec.column!r}. Write --column {spec.column}={job.column[unknown[0]]}."
        )
    if job.label and "label" not in {field.name for field in spec.output_fields}:
        raise UsageError(
            f"--label {job.label}: the task of {spec.name}, {spec.task}, gives no single label to compare."
        )
    return JobColumns(
        encoded=job.column.get(spec.column, spec.column),
        kind=spec.inputs[0].kind,
        keep=tuple(dict.fromkeys(job.keep)) if job.keep is not None else None,
        label=job.label,
        where=parse_where(job.where) if job.where else None,
        predictions=spec.output_fields,
        answer_bytes=answer_bytes(spec, top_k=job.top_k),
    )


def answer_bytes(spec: ModelSpec, *, top_k: int | None) -> float:
    """What a row's answer takes in a part, compressed: numbers hardly shrink, names of labels are a dictionary's."""
    if spec.dimension:
        return ROW_BYTES + FLOAT_BYTES * spec.dimension
    return ROW_BYTES + FLOAT_BYTES + (FLOAT_BYTES + 1) * scores_kept(spec, top_k)


def takes(kind: str, found: pa.DataType) -> bool:
    """Whether a column of this type can hold the model's input. One of nulls can: its rows become error rows."""
    if pt.is_dictionary(found):
        return takes(kind, found.value_type)
    if pt.is_null(found):
        return True
    text = pt.is_string(found) or pt.is_large_string(found) or pt.is_string_view(found)
    if kind == "text":
        return bool(text)
    nested = is_list(found)
    innermost = found
    while is_list(innermost):
        innermost = innermost.value_type
    numbers = nested and (pt.is_integer(innermost) or pt.is_floating(innermost) or pt.is_null(innermost))
    if kind == "sequence":
        return bool(numbers)
    octets = pt.is_binary(found) or pt.is_large_binary(found) or pt.is_fixed_size_binary(found)
    packed = pt.is_struct(found) and found.get_field_index("bytes") >= 0
    return bool(text or octets or packed or numbers)


def is_label(found: pa.DataType) -> bool:
    """Whether values of this type can be compared with the names of labels."""
    if pt.is_dictionary(found):
        return is_label(found.value_type)
    text = pt.is_string(found) or pt.is_large_string(found) or pt.is_string_view(found)
    return bool(text or pt.is_integer(found) or pt.is_floating(found) or pt.is_boolean(found) or pt.is_null(found))


def is_list(found: pa.DataType) -> bool:
    return bool(pt.is_list(found) or pt.is_large_list(found) or pt.is_fixed_size_list(found))
