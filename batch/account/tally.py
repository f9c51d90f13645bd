"""Tally: what a part's footer says of it, counted while its rows pass."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from batch.account.counts import count_answers
from batch.account.histogram import SCORE_CLASSES
from batch.columns import OWN_ROW, OWN_SOURCE
from batch.predict import PredictedRows, Spent
from models.window import WindowStats

#: A part names so many rows of each class of errors, of so many classes; `tandem errors` reads all of them.
EXAMPLES, EXAMPLE_CLASSES, MOST_CHARACTERS = 3, 12, 200
#: Predicted labels that are counted by name; further ones are left out of `labels`.
MOST_LABELS = 1000
#: The steps whose seconds a footer holds; it is written before the part is committed.
STEPS = ("read", "encode", "arithmetic", "decode", "write")


class Tally:
    """Counts of one part. Everything in it is small whatever the part's size, and adds up with other parts'."""

    def __init__(self, *, isolate_s: float = 0.0) -> None:
        """Begin; the part was begun so many seconds ago, which went into rows that hurt."""
        self.rows = self.truncated = 0
        self.errors: Counter[str] = Counter()
        self.confusion: Counter[tuple[str, str]] = Counter()
        self.labels: Counter[str] = Counter()
        self.lengths: Counter[int] = Counter()
        self.scores = np.zeros(SCORE_CLASSES, np.int64)
        self.examples: list[dict[str, Any]] = []
        self.named: Counter[str] = Counter()
        self.first_error = ""
        self.spent, self.stats = Spent(isolate=isolate_s), WindowStats()
        self.write_s = 0.0
        self.began = now(ago_s=isolate_s)

    def count(self, window: PredictedRows, label: str | None) -> None:
        predictions = window.predictions
        self.rows += window.rows.num_rows
        self.truncated += pc.sum(predictions.column("truncated")).as_py() or 0
        self.count_errors(window)
        if label is not None:
            self.confusion.update(count_pairs(window.rows.column(label), predictions.column("label")))
        counts = window.counts or count_answers(predictions, window.lengths)
        self.labels.update(counts.labels)
        if len(self.labels) > 4 * MOST_LABELS:
            self.labels = Counter(dict(self.labels.most_common(MOST_LABELS)))
        self.scores += counts.scores
        self.lengths.update(counts.lengths)
        self.spent.add(window.spent)
        self.stats.add(window.stats)

    def count_errors(self, window: PredictedRows) -> None:
        errors = window.predictions.column("error")
        if errors.null_count == len(errors):
            return
        kinds = pc.struct_field(errors.drop_null(), 0).to_pylist()
        self.errors.update(kinds)
        for row, kind in zip(np.flatnonzero(errors.is_valid()).tolist(), kinds, strict=True):
            if self.named[kind] == EXAMPLES or (kind not in self.named and len(self.named) == EXAMPLE_CLASSES):
                continue
            self.named[kind] += 1
            message = errors[row].as_py()["message"]
            source, number = (window.rows.column(name)[row].as_py() for name in (OWN_SOURCE, OWN_ROW))
            self.examples.append({"class": kind, "message": message[:MOST_CHARACTERS], "source": source, "row": number})
            self.first_error = self.first_error or f"{kind}: {message}"

    def footer(self) -> dict[str, object]:
        stats = self.stats
        seconds = {step: getattr(self.spent, step) for step in STEPS} | {"write": self.write_s}
        if self.spent.isolate:
            seconds["isolate"] = self.spent.isolate
        return {
            "rows": self.rows,
            "errors": dict(sorted(self.errors.items())),
            "truncated": self.truncated,
            "confusion": [[*pair, rows] for pair, rows in sorted(self.confusion.items())],
            "labels": dict(self.labels.most_common(MOST_LABELS)),
            "scores": self.scores.tolist() if self.scores.any() else [],
            "lengths": {str(edge): count for edge, count in sorted(self.lengths.items())},
            "examples": self.examples,
            "work": {
                "began": self.began,
                "ended": now(),
                "spent_s": {step: round(spent, 3) for step, spent in seconds.items()},
                "micro_batches": stats.micro_batches,
                "pieces": stats.rows,
                "padded": stats.padded,
                "real": stats.real,
                "repeated": stats.repeated,
            },
        }


def now(*, ago_s: float = 0.0) -> str:
    return (datetime.now(UTC) - timedelta(seconds=ago_s)).isoformat(timespec="milliseconds")


def count_pairs(truth: pa.Array, found: pa.Array) -> dict[tuple[str, str], int]:
    """How many rows have each (true label, predicted label); those that lack one count nowhere."""
    both = pc.and_(truth.is_valid(), found.is_valid())
    # As bytes: a label that is no UTF-8 counts under what can be shown of it.
    expected = truth.filter(both).cast(pa.string()).cast(pa.binary()).dictionary_encode()
    predicted = found.filter(both).dictionary_encode()
    width = max(len(predicted.dictionary), 1)
    codes, rows = np.unique(
        expected.indices.to_numpy().astype(np.int64) * width + predicted.indices.to_numpy(), return_counts=True
    )
    labels = [label.decode("utf-8", "replace") for label in expected.dictionary.to_pylist()]
    answers = predicted.dictionary.to_pylist()
    counted: Counter[tuple[str, str]] = Counter()
    for code, count in zip(codes.tolist(), rows.tolist(), strict=True):
        counted[labels[code // width], answers[code % width]] += count
    return counted
