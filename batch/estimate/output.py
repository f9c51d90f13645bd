"""Output: what a job's parts will take, from what its source takes and from answers that were written."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from batch.columns import OWN_ROW, ROW, JobColumns
from batch.estimate.look import windows_of
from batch.estimate.survey import Group
from batch.parquet_source import read_footer
from batch.stores.storage import ObjectInfo, Store

#: Footer, page index and headers of a part.
PART_BYTES = 6000


def written_again(store: Store, group: Group, columns: JobColumns) -> tuple[float, float]:
    """How the first rows of a row group are written by a job, beside how they lie there.

    Returns:
        Bytes of the kept columns over those in the source, and bytes of the row's number, a row.
    """
    window = next(windows_of(store, group, columns), None)
    if window is None:
        return 1.0, 0.0
    kept = list(columns.kept(group.plan.schema, group.shard.values))
    names = [name for name in kept if name in window.schema.names]
    ours = compressed_bytes(window.select(names), "zstd") if names else 0
    theirs = compressed_bytes(window.select(names), codec_of(store, group)) if names else 0
    numbers = window.select([OWN_ROW]).rename_columns([ROW])
    return ours / theirs if theirs else 1.0, row_bytes([numbers])


def row_bytes(batches: Sequence[pa.RecordBatch]) -> float:
    """What one row more takes in a part: what all of these take over half of them, as every column costs something.

    Without dictionaries, as numbers are written; the few labels that there are take next to nothing either way.
    """
    rows = pa.Table.from_batches(batches).combine_chunks().to_batches()[:1] if batches else []
    if not rows or rows[0].num_rows < 2:
        return 0.0
    half = rows[0].num_rows // 2
    parts = rows[0], rows[0].slice(0, half)
    whole_bytes, half_bytes = (compressed_bytes(part, "zstd", use_dictionary=False) for part in parts)
    return float(max(whole_bytes - half_bytes, 0) / (rows[0].num_rows - half))


def compressed_bytes(rows: pa.RecordBatch, codec: str, *, use_dictionary: bool = True) -> int:
    """What these rows take in a file, without its footer."""
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_batches([rows]), sink, compression=codec, use_dictionary=use_dictionary)
    group = pq.read_metadata(pa.BufferReader(sink.getvalue())).row_group(0)
    return sum(group.column(leaf).total_compressed_size for leaf in range(group.num_columns))


def codec_of(store: Store, group: Group) -> str:
    """How the source is compressed; none where that is not a codec that is written here."""
    piece = group.piece
    footer = read_footer(store, ObjectInfo(key=piece.key, size_bytes=piece.size_bytes, etag=piece.etag))
    name = str(footer.row_group(piece.row_groups[0]).column(0).compression).lower()
    return name if name in ("zstd", "snappy", "gzip", "brotli", "lz4") else "none"
