"""How far two sets of answers to the same rows agree, measured column by column."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from models.compare import FAR
from models.parity.differences import Floats, are_equal, is_vector, label_sets, row_differences, to_numbers
from models.parity.neighbours import neighbour_overlap, row_cosines
from models.spec import ModelSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Agreement:
    """What two sets of answers to the same rows have in common.

    Attributes:
        rows: how many were compared.
        largest: the largest difference between two answers to one row, as `models.compare.answer_distance` has it;
            infinite where one is an error row and the other is not.
        mean: over the rows that both answered, the mean of a row's largest difference between numbers: scores, or the
            elements of an embedding.
        error: the standard error of `cosine_mean`, or, without embeddings, of `mean`: how far chance moves it.
        worst: the row of the largest difference; None where there are no rows.
        labels_agree: share of rows with the same label, or the same set of labels; None without labels.
        cosine_mean: of two embeddings of one row; None without embeddings.
        cosine_least: of them the least.
        neighbours: how many of a row's 10 nearest rows are the same, as a share; None below 12 rows.
        faults_differ: rows that are error rows of one class in one, and not in the other.
    """

    rows: int
    largest: float
    mean: float
    worst: int | None = None
    labels_agree: float | None = None
    cosine_mean: float | None = None
    cosine_least: float | None = None
    neighbours: float | None = None
    faults_differ: int = 0
    error: float = 0.0

    @property
    def loss(self) -> float:
        """What a lower precision costs: 1 - cosine_mean, or the larger of 1 - labels_agree and the mean difference.

        Infinite where error rows differ.
        """
        if self.faults_differ:
            return math.inf
        if self.cosine_mean is not None:
            return 1 - self.cosine_mean
        changed = 0.0 if self.labels_agree is None else 1 - self.labels_agree
        return max(self.mean, round(changed, 9))  # 1 - 0.99 is above 0.01

    def lines(self) -> list[tuple[str, str]]:
        """The measures that there are, each as (name, value), for a table or a sentence."""
        shares = {
            "labels agree": self.labels_agree,
            "cosine, mean": self.cosine_mean,
            "cosine, least": self.cosine_least,
            "10 nearest shared": self.neighbours,
        }
        return [
            ("rows", str(self.rows)),
            ("largest difference", f"{self.largest:.3g}"),
            ("mean difference", f"{self.mean:.3g}"),
            *((name, f"{value:.4f}") for name, value in shares.items() if value is not None),
            *([("error rows differ", str(self.faults_differ))] if self.faults_differ else []),
        ]

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON has them: an infinite difference is None, which no tolerance covers."""
        return {name: None if value in (math.inf, -math.inf) else value for name, value in asdict(self).items()}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Agreement:
        """The Agreement that `to_json` wrote."""
        infinite = {name: math.inf for name in ("largest", "mean") if content.get(name) is None}
        return cls(**({name: content[name] for name in cls.__slots__ if name in content} | infinite))


def measure_agreement(spec: ModelSpec, reference: pa.RecordBatch, variant: pa.RecordBatch) -> Agreement:
    """Compare two sets of answers, as `Model.decode` makes them, to the same rows in the same order.

    Args:
        spec: of the model that both are variants of.
        reference: the answers that are right.
        variant: those that are measured.

    Raises:
        ValueError: they have not the same columns and number of rows, so nothing can be compared.
    """
    if reference.num_rows != variant.num_rows or reference.schema.names != variant.schema.names:
        found = [f"{one.num_rows} rows of {', '.join(one.schema.names)}" for one in (reference, variant)]
        raise ValueError(f"{spec.name}: expected answers to the same rows, found {found[0]} and {found[1]}")
    faults = fault_classes(reference), fault_classes(variant)
    differ = faults[0] != faults[1]
    good = (faults[0] == "") & (faults[1] == "")
    one, other = (batch.filter(pa.array(good)) for batch in (reference, variant))
    numbers, answers = row_differences(one, other)
    every = np.where(differ, FAR, 0.0)
    every[good] = answers
    left, right = embeddings(one), embeddings(other)
    cosines = row_cosines(left, right) if left is not None and right is not None else None
    return Agreement(
        rows=reference.num_rows,
        largest=float(every.max(initial=0.0)),
        mean=float(numbers.mean()) if len(numbers) else 0.0,
        worst=int(every.argmax()) if len(every) else None,
        labels_agree=labels_agree(one, other),
        cosine_mean=float(cosines.mean()) if cosines is not None and len(cosines) else None,
        cosine_least=float(cosines.min()) if cosines is not None and len(cosines) else None,
        neighbours=neighbour_overlap(left, right) if left is not None and right is not None else None,
        faults_differ=int(differ.sum()),
        error=standard_error(numbers if cosines is None else cosines),
    )


def standard_error(samples: Floats) -> float:
    """Of the samples' mean; 0 where there are too few to tell."""
    return float(samples.std(ddof=1) / math.sqrt(len(samples))) if len(samples) > 1 else 0.0


def fault_classes(batch: pa.RecordBatch) -> NDArray[Any]:
    """Each row's class of error, "" for a good row."""
    if "error" not in batch.schema.names:
        return np.full(batch.num_rows, "", dtype=object)
    classes = pc.fill_null(pc.struct_field(batch.column("error"), "class"), "")
    return np.asarray(classes.to_numpy(zero_copy_only=False), dtype=object)


def embeddings(batch: pa.RecordBatch) -> Floats | None:
    """The vectors, (rows, dimension), where the answer is one."""
    if "embedding" not in batch.schema.names or not is_vector(batch.schema.field("embedding").type):
        return None
    return to_numbers(batch.column("embedding"))


def labels_agree(one: pa.RecordBatch, other: pa.RecordBatch) -> float | None:
    """Share of rows with the same label or the same set of them; None without labels or rows."""
    name = next((name for name in ("label", "labels") if name in one.schema.names), None)
    if name is None or not one.num_rows:
        return None
    left, right = one.column(name), other.column(name)
    if not pa.types.is_list(left.type):
        return float(np.mean(are_equal(left, right)))
    labels = pc.unique(pa.chunked_array([left.flatten(), right.flatten()]))
    return float(np.mean((label_sets(left, labels) == label_sets(right, labels)).all(axis=1)))
