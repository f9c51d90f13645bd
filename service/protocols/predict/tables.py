"""Tables: bytes of Parquet or Arrow -> rows for a model, and its answers -> bytes of one of them.

They come from strangers: what they claim is looked at before pyarrow follows it, and what they unpack to is bounded.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from models.claims.footer import FalseClaim, check_chunks, check_kinds, check_schema, check_types
from models.claims.pages import PageWatch, TooWide
from models.spec import ModelSpec
from service.errors import TooManyRows
from service.protocols.predict.arrow_claims import unpacked_bytes
from service.protocols.predict.errors import ColumnMissing, ColumnTwice, TableTooLarge, TableUnreadable, TableUnwritable
from service.protocols.predict.media import ARROW_FILE, ARROW_STREAM, PARQUET
from service.protocols.predict.weigh import spelled_bytes
from service.schemas import Answer

#: So many times a body's limit its rows may unpack to: text packs to a fifth or so, columns of one value to nothing.
UNPACKED_TIMES = 8
#: Rows of Parquet that are unpacked at once.
READ_ROWS = 1024


def read_table(body: bytes, media: str, *, max_rows: int, max_bytes: int) -> pa.Table:
    """The rows of a body.

    Args:
        max_rows: more are refused before they are read, as far as the body says how many it has.
        max_bytes: that they may unpack to.

    Raises:
        TableUnreadable: damaged, of no such kind, or claiming what cannot be.
        TableTooLarge, TooManyRows: more than may be.
    """
    try:
        if media == PARQUET:
            table = read_parquet(body, max_rows=max_rows, max_bytes=max_bytes)
        else:
            table = read_arrow(body, media, max_rows=max_rows, max_bytes=max_bytes)
        if (spelled := spelled_bytes(table)) > max_bytes:
            raise TableTooLarge(size_bytes=spelled, limit_bytes=max_bytes)
        return table
    except FalseClaim as error:
        raise TableUnreadable(media, why=str(error)) from None
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        said = (str(error).strip().splitlines() or ["it is damaged"])[0]
        raise TableUnreadable(media, why=said) from None


class WatchedBytes(io.BytesIO):
    """A body as a file, whose watch sees everything before pyarrow gets it."""

    watch: PageWatch | None = None

    def read(self, size: int | None = -1) -> bytes:
        start = self.tell()
        data = super().read(size)
        if self.watch is not None and data:
            self.watch.see(start, data)
        return data


def read_parquet(body: bytes, *, max_rows: int, max_bytes: int) -> pa.Table:
    if body[:4] != b"PAR1" or body[-4:] != b"PAR1" or len(body) < 12:
        raise FalseClaim("it does not begin and end as Parquet does: cut off, encrypted, or something else")
    footer_bytes = int.from_bytes(body[-8:-4], "little")
    if footer_bytes + 12 > len(body):
        raise FalseClaim(f"its footer claims {footer_bytes:,} bytes and the body has {len(body):,}")
    raw = body[-8 - footer_bytes : -8]
    check_schema(raw)
    footer = pq.read_metadata(pa.BufferReader(body))
    check_kinds(raw, footer.schema)
    check_chunks(footer, end=len(body) - 8 - footer_bytes)
    check_types(footer.schema.to_arrow_schema())
    if footer.num_rows > max_rows:
        raise TooManyRows(rows=footer.num_rows, limit=max_rows)
    rows = READ_ROWS
    while True:
        try:
            return unpack(body, footer, rows=rows, max_bytes=max_bytes)
        except TooWide as error:  # its rows repeat long values: fewer of them at once
            rows = max(min(error.rows, rows // 2), 1)


def unpack(body: bytes, footer: pq.FileMetaData, *, rows: int, max_bytes: int) -> pa.Table:
    """All rows of a body whose footer was looked at, so many of them at once."""
    file = WatchedBytes(body)
    leaves, batches, held = list(range(footer.num_columns)), [], 0
    with pq.ParquetFile(file, metadata=footer, pre_buffer=False) as parquet:
        file.watch = PageWatch(most_bytes=max_bytes, expanded_bytes=max_bytes, rows=rows)
        for number in range(footer.num_row_groups):
            file.watch.follow(footer.row_group(number), footer, leaves)
            for batch in parquet.iter_batches(rows, row_groups=[number], use_threads=False):
                held += batch.nbytes
                if held > max_bytes:
                    raise TableTooLarge(size_bytes=held, limit_bytes=max_bytes)
                batches.append(batch)
        schema = parquet.schema_arrow
    return pa.Table.from_batches(batches, schema=schema)


def read_arrow(body: bytes, media: str, *, max_rows: int, max_bytes: int) -> pa.Table:
    """Whole messages, each weighed before it is read; the file's form is the stream's with a magic before it."""
    if media == ARROW_FILE:
        if body[:6] != b"ARROW1" or body[-6:] != b"ARROW1":
            raise FalseClaim("it does not begin and end as an Arrow file does")
        stream = body[8:]
    else:
        stream = body
    held = 0
    for message in pa.ipc.MessageReader.open_stream(pa.BufferReader(stream)):
        held += unpacked_bytes(message)
        if held > max_bytes:
            raise TableTooLarge(size_bytes=held, limit_bytes=max_bytes)
    batches, rows = [], 0
    with pa.ipc.open_stream(pa.BufferReader(stream)) as reader:
        check_types(reader.schema)
        for batch in reader:
            rows += batch.num_rows
            if rows > max_rows:
                raise TooManyRows(rows=rows, limit=max_rows)
            batches.append(batch)
        table = pa.Table.from_batches(batches, schema=reader.schema)
    table.validate(full=True)
    return table


def take_values(table: pa.Table, spec: ModelSpec, column: str | None) -> list[Any]:
    """The values of the column that the model takes.

    Args:
        column: what the table calls it; None: what the model does.

    Raises:
        ColumnMissing: there is none of that name, or there are several.
        ColumnTwice: the answer would have two columns of one name.
    """
    name = column or spec.column
    if table.schema.names.count(name) != 1:
        raise ColumnMissing(name, found=table.schema.names, asked=column is not None)
    written = [written_name(found, spec) for found in table.schema.names if found != name]
    if twice := [found for found in written if written.count(found) > 1]:
        raise ColumnTwice(twice[0])
    values: list[Any] = table.column(name).to_pylist()
    # Pictures as Hugging Face datasets keep them; a path that stands beside the bytes is not followed.
    return [value["bytes"] if isinstance(value, dict) and value.get("bytes") else value for value in values]


def join_answers(table: pa.Table | None, encoded: str, answers: Sequence[Answer], spec: ModelSpec) -> pa.Table:
    """The columns of the input but the encoded one, then the predictions' columns, as a job writes them.

    A column that is called as one of the predictions' has `input_` in front.
    """
    fields = spec.output_fields
    predictions = pa.Table.from_pylist([spell_out(answer, fields) for answer in answers], schema=pa.schema(fields))
    if table is None:
        return predictions
    for place in range(table.num_columns - 1, -1, -1):
        field = table.schema.field(place)
        if field.name == encoded:
            continue
        predictions = predictions.add_column(0, field.with_name(written_name(field.name, spec)), table.column(place))
    return predictions


def written_name(name: str, spec: ModelSpec) -> str:
    """What a column of the input is called in the answer."""
    return f"input_{name}" if name in {field.name for field in spec.output_fields} else name


def spell_out(answer: Answer, fields: Sequence[pa.Field]) -> Mapping[str, Any]:
    """An answer as Arrow takes it: scores by label as pairs, and an error row without anything cut off."""
    row = {"truncated": False, **answer}
    for field in fields:
        if pa.types.is_map(field.type) and isinstance(row.get(field.name), dict):
            row[field.name] = list(row[field.name].items())
    return row


def write_table(table: pa.Table, media: str) -> bytes:
    """A table as the bytes of one of the media types.

    Raises:
        TableUnwritable: a column of the input has a type that it does not hold.
    """
    sink = pa.BufferOutputStream()
    try:
        if media == PARQUET:
            pq.write_table(table, sink, compression="zstd")
        else:
            open_writer = pa.ipc.new_stream if media == ARROW_STREAM else pa.ipc.new_file
            with open_writer(sink, table.schema) as writer:
                writer.write_table(table)
    except (pa.ArrowException, OSError, ValueError, KeyError) as error:
        raise TableUnwritable(media, why=(str(error).strip().splitlines() or ["no reason"])[0]) from None
    return bytes(sink.getvalue())
