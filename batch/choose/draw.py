"""Draw: a few rows of a job, of every length and from many places, to try something on before it begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from batch.columns import OWN_ROW, OWN_SOURCE, JobColumns
from batch.read import read_rows
from batch.shard import Piece, Plan, Shard
from batch.stores.storage import Store

#: Row groups that are read from, spread over the input's objects.
GROUPS = 8
#: Row groups that are looked at where a filter leaves too few rows in those.
MOST_GROUPS = 32
#: Rows of a row group that are looked at.
LOOKED_AT = 2048

Group = tuple[Plan, Shard, Piece]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """Rows of a job, and how they stand among those that were looked at.

    Attributes:
        rows: the encoded column, OWN_SOURCE and OWN_ROW.
        sizes: characters, bytes or elements of each; shape (rows,).
        looked_at: the same of more rows, as many of each row group that was read and evenly drawn in it; these among
            them.
    """

    rows: pa.RecordBatch
    sizes: NDArray[np.int64]
    looked_at: NDArray[np.int64]


def draw_rows(store: Store, plans: Sequence[Plan], columns: JobColumns, *, rows: int) -> Drawn | None:
    """Draw rows of a job's input, with the shortest and the longest of those looked at, and a null.

    Half of them are evenly spread by size, the others by size among the shorter half: a fault that does not come of
    length shows in a short row as well as in a long one, for less.

    Costs the encoded column and the filter's of a few row groups, and holds one batch of one of them at a time. The
    same input gives the same rows.

    Args:
        store: the input's.
        plans: what the job reads.
        columns: the encoded column, and the filter.
        rows: how many to draw; fewer where there are no more.

    Returns:
        None where no row passes the filter.
    """
    groups = spread_groups(plans)
    taken = 2 * -(-rows // max(min(len(groups), GROUPS), 1))  # small row groups leave room to others
    drawn: list[pa.RecordBatch] = []
    for looked_at, group in enumerate(groups[:MOST_GROUPS]):
        if looked_at >= GROUPS and sum(batch.num_rows for batch in drawn) >= rows:
            break
        batch = first_rows(store, group, columns)
        if batch is not None:
            drawn.append(batch.take(pa.array(spread_sizes(batch.column(columns.encoded), taken))))
    if not drawn:
        return None
    # One type for all: a column that only some objects have dictionaries of, or another nullability.
    pool = pa.Table.from_batches(drawn).combine_chunks().to_batches()[0]
    chosen = spread_sizes(pool.column(columns.encoded), rows, shorter=True)
    sizes = sizes_of(pool.column(columns.encoded))
    return Drawn(rows=pool.take(pa.array(chosen)), sizes=sizes[chosen], looked_at=sizes)


def spread_groups(plans: Sequence[Plan]) -> list[Group]:
    """Every row group of the plans as a piece of its own, in such an order that the first few are spread over all."""
    objects: dict[tuple[int, str], list[Group]] = {}
    for plan in plans:
        for shard in plan.shards:
            for piece in shard.pieces:
                found = objects.setdefault((plan.number, piece.key), [])
                found += [(plan, shard, replace(piece, row_groups=(group,))) for group in piece.row_groups]
    queues = [[groups[place] for place in spread_order(len(groups))] for groups in objects.values() if groups]
    queues = [queues[place] for place in spread_order(len(queues))]
    longest = max(map(len, queues), default=0)
    return [queue[turn] for turn in range(longest) for queue in queues if turn < len(queue)]


def spread_order(count: int) -> list[int]:
    """The numbers below `count`, so ordered that the first few of them are spread over all: 0, 4, 2, 6, 1, 5, 3, 7."""
    bits = max(count - 1, 1).bit_length()
    reversed_bits = (int(f"{number:0{bits}b}"[::-1], 2) for number in range(1 << bits))
    return [number for number in reversed_bits if number < count]


def first_rows(store: Store, group: Group, columns: JobColumns) -> pa.RecordBatch | None:
    """The first rows of a row group that pass the filter; None where no row does."""
    plan, shard, piece = group
    bare = replace(columns, keep=(), label=None)
    alone = replace(shard, pieces=(piece,))
    rows = read_rows(store, alone, bare, plan.schema, window_rows=LOOKED_AT, first_rows=LOOKED_AT)
    batch = next(rows, None)
    return None if batch is None else batch.select([columns.encoded, OWN_SOURCE, OWN_ROW])


def spread_sizes(column: pa.Array, count: int, *, shorter: bool = False) -> NDArray[np.int64]:
    """Rows spread by size, the smallest and the largest among them, and one null if there is one.

    Args:
        column: whose rows.
        count: how many of them.
        shorter: half of them are of the shorter half; else all are evenly spread.
    """
    nulls = column.is_null().to_numpy(zero_copy_only=False)
    order = np.argsort(sizes_of(column), kind="stable")
    order = order[~nulls[order]]
    null = np.flatnonzero(nulls)[:1]
    if len(order) > count - len(null):
        order = order[spread_ranks(len(order), max(count - len(null), 1), shorter=shorter)]
    return np.sort(np.concatenate([order, null]).astype(np.int64))


def spread_ranks(ranks: int, count: int, *, shorter: bool) -> NDArray[np.int64]:
    """So many different numbers below `ranks`, the first and the last among them, ascending."""
    if not shorter or count < 4:
        return np.linspace(0, ranks - 1, count).astype(np.int64)
    even = np.linspace(0, ranks - 1, count // 2).astype(np.int64)
    left = np.setdiff1d(np.arange(ranks), even)
    left = left[: max(count - len(even), (ranks - len(even)) // 2)]
    return np.union1d(even, left[np.linspace(0, len(left) - 1, count - len(even)).astype(np.int64)])


def sizes_of(column: pa.Array) -> NDArray[np.int64]:
    """Characters, bytes or elements of each value; 0 where a value has no size, or is null."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        column = column.dictionary_decode()
        kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        sizes = pc.utf8_length(column)
    elif pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        sizes = pc.binary_length(column)
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        sizes = pc.list_value_length(column)
    else:
        return np.zeros(len(column), dtype=np.int64)
    return np.asarray(pc.fill_null(sizes, 0).to_numpy(zero_copy_only=False), dtype=np.int64)
