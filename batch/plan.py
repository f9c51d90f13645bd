"""Plan: footers -> shards. Nothing but footers is read, unless a limit has to find its last row behind a filter."""

from __future__ import annotations

import logging
import math
import re
from array import array
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import islice

import pyarrow as pa
import pyarrow.parquet as pq

from batch.columns import JobColumns
from batch.errors import SchemaMismatch, UnreadableParquet, UsageError
from batch.parquet_source import read_footer, wanted_leaves
from batch.read import first_line, matching_rows
from batch.shard import Piece, Plan, Shard, make_shard, partition_of, partition_values
from batch.shard_columns import hold
from batch.stores.storage import ObjectInfo, Store
from batch.where import check_where
from models.claims.footer import FalseClaim, check_types

log = logging.getLogger("tandem")

MB = 1_000_000
#: What a partition's value may look like to be read as a 64-bit integer.
WHOLE = re.compile(r"-?[0-9]{1,18}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Footer:
    """What planning takes from a footer: each row group's rows, compressed bytes, and those of kept columns."""

    info: ObjectInfo
    partition: str
    rows: Sequence[int]
    sizes: Sequence[int]
    kept_sizes: Sequence[int]
    schema: pa.Schema
    stop_row: int | None = None


def make_plan(
    store: Store,
    infos: Sequence[ObjectInfo],
    columns: JobColumns,
    *,
    before: Sequence[Plan] = (),
    shard_mb: float,
    part_bytes: float = math.inf,
    limit: int | None = None,
) -> Plan:
    """Cut the objects into shards.

    Where there are plans `before`, their schema is this one's too, so that every part of an output has one schema.

    The same objects give the same shards on any host. A shard holds row groups of one partition, at most `shard_mb` of
    compressed input and what makes a part of `part_bytes` by estimate, or one row group. An object without rows is part
    of a shard as well, so that it counts as read.
    Objects behind the limit are no part of the plan: what becomes of them changes nothing.

    Raises:
        SchemaMismatch: an object lacks a column or has it with a type that does not fit.
        WhereError: the filter compares a column with what its type is not.
        UnreadableParquet: an object is none.
        UsageError: objects lie in folders of different partition columns, or a kept column finds no free name.
    """
    footers = list(read_footers(store, infos, columns))
    check_layout(store, infos, before)
    schema = with_partitions(unify(store, footers), footers)
    if before:
        schema = hold_to(before[0], schema, columns, source=store.url_of(infos[0].key))
    columns.written_schema(schema, ())
    if columns.where is not None and infos:
        check_where(columns.where, schema, store.url_of(infos[0].key))
    admitted = None
    if limit is not None:
        footers, admitted = cut_to_limit(store, footers, columns, schema, limit=limit)
    shards = (
        shard
        for group in by_partition(footers)
        for shard in cut(
            group,
            folder=columns.folder(group[0].partition),
            shard_bytes=int(shard_mb * MB),
            part_bytes=part_bytes,
            answer_bytes=columns.answer_bytes,
        )
    )
    objects = {footer.info.key: footer.info.etag for footer in footers}
    return Plan(number=len(before), objects=objects, shards=hold(shards), schema=schema, admitted=admitted)


def read_footers(store: Store, infos: Iterable[ObjectInfo], columns: JobColumns) -> Iterator[Footer]:
    """Read and check the footers, many at once, in order."""

    def read(info: ObjectInfo) -> Footer:
        metadata = read_footer(store, info)
        partition = partition_of(info.key)
        schema = source_schema(store.url_of(info.key), metadata)
        columns.check(store.url_of(info.key), schema, partition_values(partition))
        groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
        kept = wanted_leaves(metadata, columns.kept(schema, partition_values(partition)))
        return Footer(
            info=info,
            partition=partition,
            rows=array("q", (group.num_rows for group in groups)),
            sizes=array("q", (compressed_bytes(group, range(group.num_columns)) for group in groups)),
            kept_sizes=array("q", (compressed_bytes(group, kept) for group in groups)),
            schema=schema,
        )

    known: pa.Schema | None = None
    with ThreadPoolExecutor(16, thread_name_prefix="footer") as pool:
        for footer in pool.map(read, infos):
            # One schema for all objects that are alike: of ten thousand, each its own would be most of the memory.
            known = known if known is not None and footer.schema.equals(known) else footer.schema
            yield replace(footer, schema=known)


def compressed_bytes(group: pq.RowGroupMetaData, leaves: Iterable[int]) -> int:
    return sum(group.column(leaf).total_compressed_size for leaf in leaves)


def source_schema(url: str, metadata: pq.FileMetaData) -> pa.Schema:
    """The columns of one object, without what differs between writers: metadata, and that nulls are ruled out.

    Raises:
        UnreadableParquet: Arrow has no such types.
        UsageError: two columns have one name, so no name says which is meant.
    """
    try:
        schema = metadata.schema.to_arrow_schema()
        check_types(schema)
    except FalseClaim as error:
        raise UnreadableParquet(url, str(error)) from None
    except (pa.ArrowException, ValueError) as error:  # a type that Arrow does not have, a name that is no UTF-8
        raise UnreadableParquet(url, f"its schema is not understood ({first_line(error)})") from None
    if twice := sorted({name for name in schema.names if schema.names.count(name) > 1}):
        raise UsageError(f"{url} has more than one column named {twice[0]!r}; write it with names that differ.")
    return pa.schema([pa.field(field.name, field.type) for field in schema])


def check_layout(store: Store, infos: Sequence[ObjectInfo], before: Sequence[Plan]) -> None:
    """Objects of one input lie in folders of the same partition columns, else parts would differ in their columns.

    Raises:
        UsageError: names two objects that do not.
    """
    first = next((key for plan in before for key in plan.objects), infos[0].key)
    expected = list(partition_values(partition_of(first)))
    for info in infos:
        names = list(partition_values(partition_of(info.key)))
        if names != expected:
            raise UsageError(
                f"{store.url_of(info.key)} lies in folders of the partition columns {names}, "
                f"{store.url_of(first)} in those of {expected}. "
                "Name inputs of one layout only, with a folder or a glob."
            )


def hold_to(before: Plan, schema: pa.Schema, columns: JobColumns, *, source: str) -> pa.Schema:
    """The schema of the plan before, if input that was added since can be read by it; columns it lacks are left out.

    Raises:
        SchemaMismatch: a column has a type that does not fit into the one it had.
    """
    folders = partition_values(partition_of(next(iter(before.objects), "")))
    used = {columns.label, *(columns.where.columns if columns.where else ())}
    for field in schema:
        if field.name not in before.schema.names or (field.name in folders and field.name not in used):
            continue
        was = before.schema.field(field.name)
        if not (can_unify(field, was) and join(pa.schema([was]), pa.schema([field])).field(0).type.equals(was.type)):
            raise SchemaMismatch(
                source,
                expected={field.name: f"{was.type} as when the job was planned"},
                found={one.name: str(one.type) for one in schema},
                advice="Input that is added has the types of what was there; or run with --replace to begin anew.",
            )
    if left_out := [name for name in schema.names if name not in before.schema.names]:
        log.info("left out columns=%s which the job's first plan did not have", ",".join(left_out))
    return before.schema


def unify(store: Store, footers: Sequence[Footer]) -> pa.Schema:
    """One schema for all objects: a column that one object lacks is null there, an int next to a float is a float.

    Raises:
        SchemaMismatch: two objects have one column with types that do not go together.
    """
    unified = footers[0].schema if footers else pa.schema([])
    for footer in footers[1:]:
        if footer.schema.equals(unified):
            continue
        try:
            unified = join(unified, footer.schema)
        except (pa.ArrowTypeError, pa.ArrowInvalid):
            clash = next(
                field
                for field in footer.schema
                if field.name in unified.names and not can_unify(field, unified.field(field.name))
            )
            raise SchemaMismatch(
                store.url_of(footer.info.key),
                expected={clash.name: f"{unified.field(clash.name).type} as in the objects before"},
                found={field.name: str(field.type) for field in footer.schema},
                advice="One column has one type; write the objects alike, or read them in jobs of their own.",
            ) from None
    return unified


def join(one: pa.Schema, other: pa.Schema) -> pa.Schema:
    """Columns of both; where they differ in no more than an encoding as a dictionary, the plain type."""
    try:
        return pa.unify_schemas([one, other], promote_options="permissive")
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        return pa.unify_schemas([plain(one), plain(other)], promote_options="permissive")


def plain(schema: pa.Schema) -> pa.Schema:
    kinds = [field.type.value_type if pa.types.is_dictionary(field.type) else field.type for field in schema]
    return pa.schema(list(zip(schema.names, kinds, strict=True)))


def can_unify(one: pa.Field, other: pa.Field) -> bool:
    try:
        join(pa.schema([one]), pa.schema([other]))
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        return False
    return True


def with_partitions(schema: pa.Schema, footers: Sequence[Footer]) -> pa.Schema:
    """Add the partition columns: integers where every value is one, else text. A column of the file itself wins."""
    values: dict[str, set[str | None]] = {}
    for partition in {footer.partition for footer in footers}:
        for name, value in partition_values(partition).items():
            values.setdefault(name, set()).add(value)
    for name, found in sorted(values.items()):
        if name not in schema.names:
            known = found - {None}
            whole = bool(known) and all(WHOLE.fullmatch(value or "") for value in known)
            schema = schema.append(pa.field(name, pa.int64() if whole else pa.string()))
    return schema


def by_partition(footers: Sequence[Footer]) -> Iterator[list[Footer]]:
    """Objects of one partition, in their order; partitions in the order of their first object."""
    groups: dict[str, list[Footer]] = {}
    for footer in footers:
        groups.setdefault(footer.partition, []).append(footer)
    yield from groups.values()


def cut(
    footers: Sequence[Footer], *, folder: str, shard_bytes: int, part_bytes: float, answer_bytes: float
) -> Iterator[Shard]:
    """Fill shards with row groups in order; the next begins where one more is too much for a shard or for its part.

    What a part will hold is the kept columns as their source has them compressed, and `answer_bytes` a row.
    """
    pieces: list[Piece] = []
    rows = size = 0
    part = 0.0
    for footer in footers:
        first = 0
        for group, (group_rows, group_size, kept) in enumerate(
            zip(footer.rows, footer.sizes, footer.kept_sizes, strict=True)
        ):
            group_part = kept + answer_bytes * group_rows
            if size and (size + group_size > shard_bytes or part + group_part > part_bytes):
                if first < group:
                    pieces.append(piece_of(footer, range(first, group)))
                yield make_shard(footer.partition, pieces, rows, folder=folder)
                pieces, rows, size, part, first = [], 0, 0, 0.0, group
            rows, size, part = rows + group_rows, size + group_size, part + group_part
        pieces.append(piece_of(footer, range(first, len(footer.rows))))
    if pieces:
        yield make_shard(footers[0].partition, pieces, rows, folder=folder)


def piece_of(footer: Footer, row_groups: range) -> Piece:
    """These row groups of an object; none of one that has no rows."""
    info = footer.info
    return Piece(
        key=info.key,
        etag=info.etag,
        size_bytes=info.size_bytes,
        row_groups=tuple(row_groups),
        stop_row=footer.stop_row,
    )


def cut_to_limit(
    store: Store, footers: Iterable[Footer], columns: JobColumns, schema: pa.Schema, *, limit: int
) -> tuple[list[Footer], int]:
    """Let objects in until `limit` rows are, counting behind the filter; the last one is cut at that row.

    Returns:
        The objects let in, and how many rows they let in.
    """
    chosen: list[Footer] = []
    admitted = 0
    for footer in footers:
        if admitted == limit:
            break
        if columns.where is None:
            found = min(sum(footer.rows), limit - admitted)
            stop = found
        else:
            piece = piece_of(footer, range(len(footer.rows)))
            shard = make_shard(footer.partition, [piece], sum(footer.rows))
            rows = list(islice(matching_rows(store, shard, columns, schema), limit - admitted))
            found = len(rows)
            stop = rows[-1] + 1 if rows and admitted + found == limit else sum(footer.rows)
        admitted += found
        chosen.append(cut_footer(footer, stop) if stop < sum(footer.rows) else footer)
    return chosen, admitted


def cut_footer(footer: Footer, stop: int) -> Footer:
    """The object's row groups up to the one that holds row `stop - 1`, whose rows behind it do not count."""
    rows: list[int] = []
    left = stop
    for group_rows in footer.rows:
        if left <= 0:
            break
        rows.append(min(group_rows, left))
        left -= group_rows
    return replace(
        footer,
        rows=tuple(rows),
        sizes=footer.sizes[: len(rows)],
        kept_sizes=footer.kept_sizes[: len(rows)],
        stop_row=stop,
    )
