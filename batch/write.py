"""Write: predicted rows -> one Parquet file on this machine's disk, with what it holds in its footer."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from batch.account.tally import Tally
from batch.columns import OWN_ROW, OWN_SOURCE, ROW, SOURCE, JobColumns
from batch.errors import StoreUnavailable
from batch.predict import PredictedRows, Spent
from batch.read import first_line
from batch.shard import Shard
from models.window import WindowStats

#: The key of the part's own account in the Parquet footer.
FOOTER_KEY = b"tandem"
#: Pages, and the dictionaries of a column's values, end at so many bytes. Until it is found that its values hardly ever
#: repeat, a column is held as a dictionary: at Parquet's usual megabyte that takes as much as the row group itself.
PAGE_BYTES = 128 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """The output file of one shard, written but not yet committed.

    Attributes:
        key: where it goes, relative to the output.
        path: where it lies now.
        rows: rows in it, errors included.
        errors: error class -> rows.
        truncated: rows of which something was left out.
        confusion: [true label, predicted label, rows], where the job has labels.
        first_error: one error's message, for the one who has to mend it.
        committed: these answers are the ones that count; False before the commit, or where another attempt was first.
    """

    key: str
    path: Path
    rows: int
    errors: Mapping[str, int]
    truncated: int
    confusion: tuple[tuple[str, str, int], ...]
    first_error: str = ""
    spent: Spent = field(default_factory=Spent)
    stats: WindowStats = field(default_factory=WindowStats)
    committed: bool = False


def repeating_columns(schema: pa.Schema, columns: JobColumns) -> list[str]:
    """The paths of the columns that a dictionary may make smaller: not row numbers, scores and vectors of ours."""
    sink = pa.BufferOutputStream()
    pq.write_metadata(schema, sink)
    leaves = pq.read_metadata(pa.BufferReader(sink.getvalue())).schema
    ours = {field.name for field in columns.predictions}
    paths = []
    for leaf in map(leaves.column, range(len(leaves))):
        is_number = leaf.path.partition(".")[0] in ours and leaf.physical_type in ("FLOAT", "DOUBLE")
        if not is_number and leaf.path != ROW:
            paths.append(leaf.path)
    return paths


def name_sources(gathered: Sequence[pa.RecordBatch], written: pa.Schema) -> pa.Table:
    """The rows of a row group, each with the name of its source, which on the way is held once for many rows."""
    columns = dict(zip(written.names, pa.Table.from_batches(gathered).columns, strict=True))
    columns[SOURCE] = columns[SOURCE].cast(pa.string())
    return pa.Table.from_arrays(list(columns.values()), schema=written)


def open_writer(path: Path, written: pa.Schema, columns: JobColumns, *, microseconds: bool = False) -> pq.ParquetWriter:
    """A file for the rows of a part; see write_part."""
    return pq.ParquetWriter(
        path,
        written,
        compression="zstd",
        use_dictionary=repeating_columns(written, columns),
        data_page_size=PAGE_BYTES,
        dictionary_pagesize_limit=PAGE_BYTES,
        coerce_timestamps="us" if microseconds else None,
        allow_truncated_timestamps=microseconds,
        write_page_index=True,
        sorting_columns=pq.SortingColumn.from_ordering(written, [(SOURCE, "ascending"), (ROW, "ascending")]),
    )


def write_part(
    windows: Iterable[PredictedRows],
    shard: Shard,
    columns: JobColumns,
    schema: pa.Schema,
    *,
    key: str,
    path: Path,
    lineage: Mapping[str, str],
    group_bytes: int,
    microseconds: bool = False,
    isolate_s: float = 0.0,
) -> Part:
    """Write all rows of a shard into one file, zstd, in the order of the input.

    The file says that it is sorted by `_source` and `_row`, and has the least and greatest value of every row group and
    page, so that readers skip what they do not look for.

    Args:
        windows: the rows and their predictions.
        shard: whose rows they are.
        columns: which source columns are kept.
        schema: the plan's.
        key: where the part will go.
        path: the file to write; on failure the caller removes it.
        lineage: what the footer says of the job: fingerprint, model, digest, variant.
        group_bytes: rows are gathered to row groups of about so many bytes.
        microseconds: times are cut to them, as a Delta table has no finer ones.
        isolate_s: what went before: attempts that a row ended, and the search for it.

    Raises:
        StoreUnavailable: this machine's disk is full or fails.
    """
    kept = columns.kept(schema, shard.values)
    written = columns.written_schema(schema, shard.values)
    tally = Tally(isolate_s=isolate_s)
    gathered: list[pa.RecordBatch] = []
    size = 0
    try:
        with open_writer(path, written, columns, microseconds=microseconds) as writer:
            for window in windows:
                started = time.perf_counter()
                tally.count(window, columns.label)
                source = [window.rows.column(name) for name in [*kept, OWN_SOURCE, OWN_ROW]]
                gathered.append(pa.RecordBatch.from_arrays([*source, *window.predictions.columns], names=written.names))
                size += gathered[-1].nbytes
                if size > group_bytes:
                    writer.write_table(name_sources(gathered, written))
                    gathered, size = [], 0
                tally.write_s += time.perf_counter() - started
            if gathered:
                writer.write_table(name_sources(gathered, written))
            account = tally.footer() | {"shard": shard.id} | dict(lineage)
            writer.add_key_value_metadata({FOOTER_KEY.decode(): json.dumps(account, sort_keys=True)})
    except OSError as error:  # reading and the model raise errors of their own
        reason = f"{error.strerror or first_line(error)}; free some space, or name a roomier folder as TMPDIR"
        raise StoreUnavailable("write", f"a part in {tempfile.gettempdir()}", reason) from error
    return Part(
        key=key,
        path=path,
        rows=tally.rows,
        errors=dict(tally.errors),
        truncated=tally.truncated,
        confusion=tuple((*pair, rows) for pair, rows in sorted(tally.confusion.items())),
        first_error=tally.first_error,
        spent=tally.spent,
        stats=tally.stats,
    )
