"""What a file's footer says of its values, as the log has it, so that readers skip files without opening them."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pyarrow.parquet as pq

#: Longer texts say nothing: a cut one would be no greatest value any more.
MAX_TEXT = 64


def file_statistics(footer: pq.FileMetaData) -> str:
    """Rows, and for each plain column the nulls and the least and greatest value: whole numbers, texts, dates, times.

    Numbers with a fraction are left out: Parquet's statistics pass over NaN, which Delta takes for the greatest.
    """
    least: dict[str, Any] = {}
    greatest: dict[str, Any] = {}
    nulls: dict[str, int] = {}
    for leaf in range(footer.num_columns):
        column = footer.schema.column(leaf)
        if column.max_repetition_level or column.max_definition_level > 1 or column.path != column.name:
            continue
        found = [footer.row_group(group).column(leaf).statistics for group in range(footer.num_row_groups)]
        if not found or any(one is None or not one.has_null_count for one in found):
            continue
        nulls[column.name] = sum(one.null_count for one in found)
        filled = [one for one in found if one.num_values]
        if filled and all(one.has_min_max for one in filled):
            low = written(min(one.min for one in filled))
            high = written(max(one.max for one in filled), up=True)
            if low is not None and high is not None:
                least[column.name], greatest[column.name] = low, high
    stats = {"numRecords": footer.num_rows, "minValues": least, "maxValues": greatest, "nullCount": nulls}
    return json.dumps(stats, separators=(",", ":"))


def written(value: Any, *, up: bool = False) -> Any:
    """A bound as JSON has it, times in milliseconds, up or down; None where there is none that is exact enough."""
    if isinstance(value, bool) or (isinstance(value, str) and len(value) > MAX_TEXT):
        return None
    if isinstance(value, datetime):
        try:
            value = value + timedelta(microseconds=999) if up else value
            value = value.astimezone(UTC) if value.tzinfo else value
        except OverflowError:
            return None
        text = value.replace(tzinfo=None).isoformat(timespec="milliseconds")
        return f"{text}Z" if value.tzinfo else text
    if isinstance(value, date):
        return value.isoformat()
    return value if isinstance(value, int | str) else None
