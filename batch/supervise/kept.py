"""Kept: answers of a shard that a worker died over, on this machine's disk, so that the next attempt goes on there."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from batch.errors import StoreUnavailable
from batch.predict import PredictedRows, Spent
from models.window import WindowStats

#: In front of the names of a window's own columns and of its answers', so that none meet.
ROWS, ANSWERS = "rows:", "answers:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """Where the answers of one shard are kept, window by window.

    Attributes:
        before: what the last attempt left, cut off wherever it died; None where there was none.
        now: where this attempt keeps its own, those of the last one among them.
    """

    before: Path | None
    now: Path

    @property
    def rows(self) -> int:
        """How many rows the last attempt has answered."""
        return sum(window.rows.num_rows for window in self.recall())

    def recall(self) -> Iterator[PredictedRows]:
        """The windows that the last attempt has answered, from the shard's first row on."""
        if self.before is None or not self.before.exists():
            return
        with pa.OSFile(str(self.before)) as file:
            try:
                reader = pa.ipc.open_stream(file)
                while True:
                    batch, about = reader.read_next_batch_with_custom_metadata()
                    yield PredictedRows(
                        rows=part_of(batch, ROWS),
                        predictions=part_of(batch, ANSWERS),
                        stats=WindowStats(**json.loads(about[b"stats"])),
                        spent=Spent(),
                        lengths=np.asarray(json.loads(about[b"lengths"]), dtype=np.int64),
                    )
            except (StopIteration, pa.ArrowInvalid, OSError):
                return  # its writer was killed here

    def keep(self, windows: Iterable[PredictedRows]) -> Iterator[PredictedRows]:
        """Pass windows on, each once it is kept.

        Raises:
            StoreUnavailable: this machine's disk is full or fails.
        """
        writer: Any = None
        try:
            with pa.OSFile(str(self.now), "wb") as file:
                for window in windows:
                    names = [f"{ROWS}{name}" for name in window.rows.schema.names]
                    names += [f"{ANSWERS}{name}" for name in window.predictions.schema.names]
                    batch = pa.RecordBatch.from_arrays([*window.rows.columns, *window.predictions.columns], names)
                    if writer is None:
                        writer = pa.ipc.new_stream(file, batch.schema)
                    about = {
                        "stats": json.dumps(asdict(window.stats)),
                        "lengths": json.dumps(window.lengths.tolist()),
                    }
                    writer.write_batch(batch, custom_metadata=about)
                    yield window
        except OSError as error:
            raise no_room(str(self.now), error) from error


def no_room(place: str, error: OSError) -> StoreUnavailable:
    """What is said where answers cannot be kept."""
    return StoreUnavailable(
        "write", place, f"{error.strerror or error}; free some space, or name a roomier folder as TMPDIR"
    )


def part_of(batch: pa.RecordBatch, prefix: str) -> pa.RecordBatch:
    """The columns that have the prefix, without it."""
    names = [name for name in batch.schema.names if name.startswith(prefix)]
    return pa.RecordBatch.from_arrays(
        [batch.column(name) for name in names], [name.removeprefix(prefix) for name in names]
    )


def skip_rows(windows: Iterable[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    """Leave out the first rows of a shard: they are answered."""
    for window in windows:
        if rows < window.num_rows:
            yield window.slice(rows)
        rows = max(rows - window.num_rows, 0)
