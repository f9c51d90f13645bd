"""A plain pyarrow read and write of the columns that the null model's job writes: the floor for bytes in and out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.peers.protocol import Job, Settings, serve


def load(settings: Settings) -> Job:
    """There is no model."""

    def job(source: str, target: str) -> Mapping[str, Any]:
        """Row group by row group, so that memory is bounded as in the job."""
        Path(target).mkdir(parents=True, exist_ok=True)
        file = pq.ParquetFile(source)
        rows, writer = 0, None
        for number in range(file.num_row_groups):
            table = answered(file.read_row_group(number), source, rows)
            writer = writer or pq.ParquetWriter(Path(target) / "copy.parquet", table.schema, compression="zstd")
            writer.write_table(table)
            rows += table.num_rows
        if writer is not None:
            writer.close()
        return {"rows": rows}

    return job


def answered(table: pa.Table, source: str, first: int) -> pa.Table:
    """The columns of the input and those that a job adds, of the same types."""
    rows = table.num_rows
    error = pa.struct([("class", pa.string()), ("message", pa.string()), ("attempts", pa.int32())])
    scores = pa.MapArray.from_arrays(
        pa.array(np.arange(0, 2 * rows + 1, 2, dtype=np.int32)),
        pa.array(["constant", "other"]).take(pa.array(np.tile([0, 1], rows))),
        pa.array(np.tile(np.array([0.75, 0.25], np.float32), rows)),
    )
    return pa.table(
        {
            **{name: table.column(name) for name in table.column_names},
            "_source": pa.repeat(pa.scalar(source), rows),
            "_row": pa.array(np.arange(first, first + rows)),
            "label": pa.repeat(pa.scalar("constant"), rows),
            "score": pa.repeat(pa.scalar(0.75, pa.float32()), rows),
            "scores": scores,
            "truncated": pa.repeat(pa.scalar(False), rows),
            "error": pa.nulls(rows, error),
        }
    )


if __name__ == "__main__":
    serve(load, packages=["pyarrow"])
