"""Survey: the row groups that a job has still to do, with what their footers say of them. No row is read."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from batch.choose.draw import spread_order
from batch.columns import JobColumns
from batch.parquet_source import PinnedFile, read_footer, wanted_leaves
from batch.read import matching_groups
from batch.shard import Piece, Plan, Shard
from batch.stores.storage import ObjectInfo, Store

#: Objects whose footers are read, spread over the input; beyond them the others are taken to be alike.
MOST_OBJECTS = 2000

Place = tuple[Plan, Shard, Piece]


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One row group.

    Attributes:
        plan, shard, piece: where it is; the piece names this row group alone.
        first_row: the number of its first row in its object.
        rows: that the plan lets in, before the filter.
        encoded_bytes: of the column that is encoded, unpacked.
        kept_bytes: of the columns that are kept, as they lie there.
        fetched_bytes: of the columns that are read, as they lie there.
        ruled_out: its statistics, or its partition, say that no row passes the filter.
    """

    plan: Plan
    shard: Shard
    piece: Piece
    first_row: int
    rows: int
    encoded_bytes: int
    kept_bytes: int
    fetched_bytes: int
    ruled_out: bool = False

    @property
    def bytes_per_row(self) -> float:
        return self.encoded_bytes / max(self.rows, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class InputSurvey:
    """The row groups that were looked at, and how many rows there are in all.

    Attributes:
        groups: those that may have rows for the job, in the order of the input.
        rows: of all shards in question, before the filter.
        scale: all rows over those of the footers that were read: 1 up to MOST_OBJECTS objects.
        admitted: rows that pass, where planning has counted them (`--limit`); None where nobody has.
    """

    groups: Sequence[Group]
    rows: int
    scale: float = 1.0
    admitted: int | None = None

    @property
    def weights(self) -> NDArray[np.float64]:
        """Rows of each group, before the filter."""
        return np.asarray([group.rows for group in self.groups], np.float64) * self.scale


def survey_input(store: Store, todo: Sequence[tuple[Plan, Shard]], columns: JobColumns) -> InputSurvey:
    """Read the footers of what is to be done, 16 at once.

    Args:
        store: the input's.
        todo: the shards in question.
        columns: of the job.

    Raises:
        InputChanged, UnreadableParquet: an object is not what was planned.
    """
    by_object: dict[str, list[Place]] = {}
    for plan, shard in todo:
        for piece in shard.pieces:
            if piece.row_groups:
                by_object.setdefault(piece.key, []).append((plan, shard, piece))
    objects = list(by_object.values())
    chosen = sorted(spread_order(len(objects))[:MOST_OBJECTS])
    with ThreadPoolExecutor(16, thread_name_prefix="footer") as pool:
        found = list(pool.map(lambda place: read_groups(store, objects[place], columns), chosen))
    groups = [group for several in found for group in several]
    rows = sum(shard.rows for _, shard in todo)
    seen = sum(group.rows for group in groups)
    return InputSurvey(
        groups=[group for group in groups if not group.ruled_out and group.rows],
        rows=rows,
        scale=rows / seen if seen else 1.0,
        admitted=count_admitted(todo, columns),
    )


def count_admitted(todo: Sequence[tuple[Plan, Shard]], columns: JobColumns) -> int | None:
    """Rows that pass, where that is known without a look: no filter, or whole plans that a limit was counted for."""
    if columns.where is None:
        return sum(shard.rows for _, shard in todo)
    plans = {plan.number: plan for plan, _ in todo}
    counted = [plan.admitted for plan in plans.values()]
    is_whole = len(todo) == sum(len(plan.shards) for plan in plans.values())
    return sum(found for found in counted if found is not None) if is_whole and None not in counted else None


def read_groups(store: Store, places: Sequence[Place], columns: JobColumns) -> list[Group]:
    """The row groups of one object's pieces, by one look at its footer."""
    first = places[0][2]
    info = ObjectInfo(key=first.key, size_bytes=first.size_bytes, etag=first.etag)
    footer = read_footer(store, info)
    starts = np.cumsum([0, *(footer.row_group(number).num_rows for number in range(footer.num_row_groups))])
    found = []
    for plan, shard, piece in places:
        open_to = possible_groups(store, info, footer, (plan, shard, piece), columns)
        names = [columns.encoded], columns.kept(plan.schema, shard.values), columns.read_from(plan.schema, shard.values)
        encoded, kept, read = (wanted_leaves(footer, wanted) for wanted in names)
        for number in piece.row_groups:
            group, rows = footer.row_group(number), footer.row_group(number).num_rows
            let_in = rows if piece.stop_row is None else max(min(rows, piece.stop_row - int(starts[number])), 0)
            share = let_in / max(rows, 1)
            found.append(
                Group(
                    plan=plan,
                    shard=shard,
                    piece=replace(piece, row_groups=(number,)),
                    first_row=int(starts[number]),
                    rows=let_in,
                    encoded_bytes=int(share * sum(group.column(leaf).total_uncompressed_size for leaf in encoded)),
                    kept_bytes=int(share * sum(group.column(leaf).total_compressed_size for leaf in kept)),
                    fetched_bytes=int(share * sum(group.column(leaf).total_compressed_size for leaf in read)),
                    ruled_out=number not in open_to,
                )
            )
    return found


def possible_groups(
    store: Store, info: ObjectInfo, footer: pq.FileMetaData, place: Place, columns: JobColumns
) -> frozenset[int]:
    """The row groups of a piece in which a row can pass the filter, as a run finds them."""
    plan, shard, piece = place
    if columns.where is None:
        return frozenset(piece.row_groups)
    wanted = pa.schema([plan.schema.field(name) for name in columns.read_from(plan.schema, shard.values)])
    with PinnedFile(store, info) as file:
        parquet = pq.ParquetFile(file, metadata=footer)
        return frozenset(matching_groups(file, parquet, piece, shard.values, columns, wanted))
