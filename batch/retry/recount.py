"""Recount: a part's account, brought from what was true of it before its error rows were run again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from batch.account.counts import count_values
from batch.account.histogram import count_scores
from batch.account.tally import EXAMPLE_CLASSES, EXAMPLES, MOST_CHARACTERS, count_pairs
from batch.columns import ROW, SOURCE
from batch.retry.again import Again


class Recount:
    """What the new part's footer says: the old one's account, without the rows as they were, with them as they are.

    Times, micro-batches and lengths stay those of the run that wrote the part.
    """

    def __init__(self, before: Mapping[str, Any], again: Again) -> None:
        self._account = dict(before)
        self._again = again
        self._errors = Counter(before["errors"])
        self._truncated = int(before["truncated"])
        self._confusion = Counter({(truth, found): rows for truth, found, rows in before["confusion"]})
        self._labels = Counter(before.get("labels", {}))
        self._scores = list(before.get("scores", []))
        self._examples: list[dict[str, Any]] = list(before.get("examples", []))
        self.applied = 0

    def replace(self, before: pa.Table, after: pa.Table) -> None:
        """Take out error rows as they were and put them in as they are: their `_source`, `_row` and predictions."""
        self.applied += after.num_rows
        self._errors.subtract(pc.struct_field(before.column("error").combine_chunks(), "class").to_pylist())
        for table, sign in ((before, -1), (after, 1)):
            self._truncated += sign * (pc.sum(table.column("truncated")).as_py() or 0)
        # An error row has no label and no score, so it was in none of these.
        if "label" in after.column_names:
            self._labels.update(count_values(after.column("label").combine_chunks()))
            if (truth := self._truth(after)) is not None:
                self._confusion.update(count_pairs(truth, after.column("label").combine_chunks()))
        if "labels" in after.column_names:
            self._labels.update(count_values(after.column("labels").combine_chunks().flatten()))
        if "score" in after.column_names:
            scores = count_scores(after.column("score").combine_chunks())
            self._scores = [a + int(b) for a, b in zip(self._scores or [0] * len(scores), scores, strict=True)]
        self._count_errors(before, after)

    def account(self) -> dict[str, Any]:
        """What the footer is to say."""
        return self._account | {
            "errors": {kind: rows for kind, rows in sorted(self._errors.items()) if rows},
            "truncated": self._truncated,
            "confusion": [[*pair, rows] for pair, rows in sorted(self._confusion.items())],
            "labels": dict(self._labels),
            "scores": self._scores if any(self._scores) else [],
            "examples": self._examples,
            "retries": self._account.get("retries", 0) + 1,
        }

    def _count_errors(self, before: pa.Table, after: pa.Table) -> None:
        """Rows that failed again, and examples: those of before that were run again give way to those of now."""
        tried = set(zip(before.column(SOURCE).to_pylist(), before.column(ROW).to_pylist(), strict=True))
        self._examples = [one for one in self._examples if (one["source"], one["row"]) not in tried]
        failed = after.select([SOURCE, ROW, "error"]).filter(after.column("error").is_valid()).to_pylist()
        self._errors.update(row["error"]["class"] for row in failed)
        named = Counter(one["class"] for one in self._examples)
        for row in failed:
            kind, message = row["error"]["class"], row["error"]["message"]
            if named[kind] < EXAMPLES and (kind in named or len(named) < EXAMPLE_CLASSES):
                named[kind] += 1
                example = {"class": kind, "message": message[:MOST_CHARACTERS], "source": row[SOURCE], "row": row[ROW]}
                self._examples.append(example)

    def _truth(self, found: pa.Table) -> pa.Array | None:
        """The true labels: read with the rows, or the name of their folder; None without labels."""
        columns, shard = self._again.columns, self._again.shard
        if columns.label is None:
            return None
        kept = columns.kept(self._again.plan.schema, shard.values)
        if columns.label in kept:
            return found.column(kept[columns.label].name).combine_chunks()
        return pa.repeat(pa.scalar(shard.values[columns.label]), found.num_rows)
