"""Facts: what is told of a shard that has its part; log lines, metrics and spans all take it from here."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from batch.predict import Spent
from batch.write import Part

#: The steps of a row's journey whose seconds are told.
STEPS = ("read", "encode", "arithmetic", "decode", "write", "commit")


def shard_facts(shard: str, part: Part, *, seconds: float) -> dict[str, object]:
    """Told of a shard when its part is committed.

    Args:
        shard: its id.
        part: as it was written, with what its rows cost.
        seconds: from its first row read to the part's commit.
    """
    stats = part.stats
    began = datetime.now(UTC) - timedelta(seconds=seconds)
    return {
        "shard": shard,
        "rows": part.rows,
        "errors": sum(part.errors.values()),
        "seconds": round(seconds, 2),
        "errors_by_class": dict(part.errors),
        "spent_s": spent_seconds(part.spent),
        "work": {
            "began": began.isoformat(timespec="milliseconds"),
            "micro_batches": stats.micro_batches,
            "pieces": stats.rows,
            "padded": stats.padded,
            "real": stats.real,
            "repeated": stats.repeated,
        },
    }


def spent_seconds(spent: Spent) -> dict[str, float]:
    """Seconds by step; as steps overlap, together they may be more than passed on the clock."""
    return {step: round(getattr(spent, step), 3) for step in STEPS}
