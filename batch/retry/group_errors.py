"""Group: an output's error rows by class, with examples and where each of them is from."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import cache
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from batch.columns import ROW, SOURCE
from batch.commit import look_again, read_plans, read_record
from batch.errors import JobError
from batch.parquet_source import read_footer
from batch.retry.again import groups_of
from batch.retry.find_errors import FaultyPart, Survey, read_error_rows, survey_parts
from batch.shard import Piece
from batch.status import open_output
from batch.stores.storage import ObjectInfo, Store, open_store

#: Error rows of a class that are looked at in a part for messages that differ.
LOOKED_AT = 1000


def group_errors(output: str, *, classes: Collection[str] = (), limit: int = 3, **where: str | None) -> dict[str, Any]:
    """Group the error rows of an output, from the store alone, also while its job runs.

    The counts come from footers; parts are opened only until every class has its examples.

    Args:
        output: of a job.
        classes: to show; all where none is named.
        limit: examples of a class.
        where: endpoint_url, region and profile.

    Returns:
        `rows`, `error_rows`, `shards`, `shards_done`, and `classes`, the most frequent first: `class`, `rows` and
        `examples` of message, attempts, source, row_group (None where the source cannot be read), row and part.

    Raises:
        InputNotFound: no job has begun there.
    """
    store = open_output(output, **where)
    record = read_record(store)
    assert record is not None
    plans = read_plans(store)

    def look() -> tuple[Survey, dict[str, list[dict[str, Any]]]]:
        survey = survey_parts(store, record, plans)
        wanted = [kind for kind in survey.errors if not classes or kind in classes]
        return survey, find_examples(store, survey, dict.fromkeys(wanted, limit))

    survey, examples = look_again(look, url=store.url)
    if source := record.begun.get("source"):
        add_row_groups(open_store(str(source), **where), survey, examples)
    return {
        "output": store.url,
        "shards": survey.shards,
        "shards_done": survey.shards_done,
        "rows": survey.rows,
        "error_rows": sum(survey.errors.values()),
        "classes": [
            {"class": kind, "rows": rows, "examples": examples[kind]}
            for kind, rows in survey.errors.items()
            if kind in examples
        ],
    }


def find_examples(store: Store, survey: Survey, wanted: Mapping[str, int]) -> dict[str, list[dict[str, Any]]]:
    """The first error rows of each class, so many of each; of a part, those that say something new come first.

    Raises:
        InputChanged: a part was replaced since it was listed.
    """
    found: dict[str, list[dict[str, Any]]] = {kind: [] for kind in wanted}
    for part in survey.faulty:
        lacking = {kind for kind in part.errors if kind in found and len(found[kind]) < wanted[kind]}
        if not lacking:
            continue
        rows = read_error_rows(store, part.info, classes=lacking, messages=True)
        for kind in lacking:
            mine = rows.filter(pc.equal(rows.column("class"), kind)).slice(0, LOOKED_AT).to_pylist()
            first = {row["message"]: number for number, row in reversed(list(enumerate(mine)))}
            fresh = sorted(range(len(mine)), key=lambda number: (first[mine[number]["message"]] != number, number))
            chosen = sorted(fresh[: wanted[kind] - len(found[kind])])
            found[kind] += [describe_row(mine[number], part) for number in chosen]
    return found


def describe_row(row: Mapping[str, Any], part: FaultyPart) -> dict[str, Any]:
    """One error row, for people and programs."""
    return {
        "message": row["message"],
        "attempts": row["attempts"],
        "source": row[SOURCE],
        "row_group": None,
        "row": row[ROW],
        "part": part.info.key,
    }


def add_row_groups(source: Store, survey: Survey, examples: Mapping[str, list[dict[str, Any]]]) -> None:
    """Say in which row group of its object each example lies; its footer tells, where it can be read."""
    pieces: dict[str, list[Piece]] = {}
    for part in survey.faulty:
        for piece in part.shard.pieces:
            pieces.setdefault(source.url_of(piece.key), []).append(piece)

    @cache
    def footer_of(url: str) -> pq.FileMetaData | None:
        piece = pieces[url][0]
        try:
            return read_footer(source, ObjectInfo(key=piece.key, size_bytes=piece.size_bytes, etag=piece.etag))
        except JobError:  # gone, changed, or not for us to read: the row is named all the same
            return None

    for example in (example for found in examples.values() for example in found):
        there = pieces.get(example["source"], [])
        if len(there) == 1 and len(there[0].row_groups) == 1:
            example["row_group"] = there[0].row_groups[0]
        elif there and (footer := footer_of(example["source"])) is not None:
            example["row_group"] = int(groups_of(footer, np.array([example["row"]]))[0])
