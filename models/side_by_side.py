"""A variant beside its reference, over the same rows: how it answers, and how fast."""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from models.model import Model, Values
from models.parity.agreement import Agreement, measure_agreement
from models.parity.compositions import compose, compositions_of, pick_pieces
from models.window import run_window

#: Each model answers the rows so often, in turn; the middle one counts.
ROUNDS = 5
#: Seconds that one answer of the reference to the timed rows may take: of a slow model, fewer rows are timed.
TIMED_S = 4.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SideBySide:
    """What was measured.

    Attributes:
        agreement: over all rows and all batch-mates that were tried, the worst of each measure.
        compositions: batch-mates -> what was measured among them.
        rows_per_s: the variant's, encoding included.
        reference_rows_per_s: the reference's, in alternation with it.
    """

    agreement: Agreement
    compositions: Mapping[str, Agreement]
    rows_per_s: float
    reference_rows_per_s: float

    def to_json(self) -> dict[str, Any]:
        """What variant.json says of it: the fields of the agreement, the speeds, and each composition's agreement."""
        return {
            **self.agreement.to_json(),
            "rows_per_s": round(self.rows_per_s, 2),
            "reference_rows_per_s": round(self.reference_rows_per_s, 2),
            "compositions": {name: found.to_json() for name, found in self.compositions.items()},
        }


def measure_side_by_side(reference: Model, variant: Model, values: Values) -> SideBySide:
    """Send rows through a variant and its reference: as planned, and again among other batch-mates.

    Int8 with scales of its own for each call depends on its batch-mates, so some rows, the shortest and the longest
    among them, go through again alone, in pairs and all together.

    Args:
        reference: whose answers are right.
        variant: of the same model.
        values: rows of the input column, which neither was made or calibrated with.
    """
    began = time.perf_counter()
    expected = reference.predict_values(values)
    share = min(1.0, TIMED_S / (time.perf_counter() - began))
    encoded = variant.encode(values)
    planned = run_window(variant, encoded).outputs
    found = {"as planned": measure_agreement(reference.spec, expected, variant.decode(planned, encoded))}
    pieces = pick_pieces(encoded, found["as planned"].worst)
    rows = pa.array(sorted({int(row) for row in encoded.piece_rows[pieces]}))
    for name, groups in compositions_of(variant, encoded, pieces).items():
        answers = variant.decode(compose(variant, encoded, groups, planned), encoded).take(rows)
        found[name] = measure_agreement(reference.spec, expected.take(rows), answers)
    timed = values[: max(1, round(len(values) * share))]
    speeds = time_in_turn({"reference": reference, "variant": variant}, timed)
    return SideBySide(
        agreement=worst_of(found),
        compositions=found,
        rows_per_s=speeds["variant"],
        reference_rows_per_s=speeds["reference"],
    )


def worst_of(found: Mapping[str, Agreement]) -> Agreement:
    """What all rows have among the batch-mates that were planned for them, with the worst that others do to any."""
    planned, every = found["as planned"].to_json(), list(found.values())
    least = [one.cosine_least for one in every if one.cosine_least is not None]
    return Agreement.from_json(
        {
            **planned,
            "largest": max(one.largest for one in every),
            "cosine_least": min(least, default=None),
            "faults_differ": max(one.faults_differ for one in every),
        }
    )


def time_in_turn(models: Mapping[str, Model], values: Values) -> dict[str, float]:
    """Rows/s of several models over the same rows, in alternation: what else the machine does meets all alike."""
    took: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(ROUNDS):
        for name, model in models.items():
            began = time.perf_counter()
            model.predict_values(values)
            took[name].append(time.perf_counter() - began)
    return {name: len(values) / statistics.median(seconds) for name, seconds in took.items()}
