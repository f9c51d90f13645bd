"""Does a variant answer as the reference does? Step by step over the same rows, so that what differs has a name."""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import pyarrow as pa

from models.errors import ParityBroken, SpecInvalid
from models.model import Encoded, Model, Outputs, Values
from models.parity.agreement import Agreement, measure_agreement
from models.parity.compositions import compose, compositions_of, pick_pieces
from models.parity.discrepancy import Discrepancy
from models.parity.encodings import find_encoding_fault
from models.parity.wording import describe_loss, describe_ratio, describe_row
from models.window import Watched, run_window

STAGES = ("encoding", "arithmetic", "batch-mates", "decoding")
#: Of a mean over a few rows, the standard errors that chance may add to it.
CHANCE_ERRORS = 3.0
#: What to do where the same rows are answered otherwise by the same model.
UNSTEADY = (
    "The runtime or this machine is at fault, not the variant: run the job again, on another machine if it comes back, "
    "or run the reference with: --runtime onnx --precision fp32."
)
#: How unlikely a number of changed labels must be, were their share the tolerated one, to be more than chance.
CHANCE = 1e-3


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """How far a variant may be from its reference.

    Attributes:
        value: the bound.
        of: `largest`, the largest difference of any answer; or `mean`, what a lower precision costs on average, as
            `Agreement.loss`, beyond what chance makes of so few rows.
    """

    value: float
    of: Literal["largest", "mean"] = "largest"

    def covers(self, agreement: Agreement) -> bool:
        """Whether an agreement is within the bound."""
        if self.of == "largest":
            return agreement.largest <= self.value
        if agreement.faults_differ:
            return False
        mean = agreement.mean if agreement.cosine_mean is None else 1 - agreement.cosine_mean
        if mean - CHANCE_ERRORS * agreement.error > self.value:
            return False
        changed = 0 if agreement.labels_agree is None else round((1 - agreement.labels_agree) * agreement.rows)
        return chance_of(changed, agreement.rows, self.value) >= CHANCE


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """A variant that answers as its reference does, as far as these rows show.

    Attributes:
        agreement: of all rows, in the micro-batches that were planned for them.
        movement: the largest difference that other batch-mates made to an answer of the variant.
        compositions: the batch-mates that were tried.
    """

    reference: str
    variant: str
    bound: Bound
    agreement: Agreement
    movement: float
    compositions: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """What a manifest says of it."""
        return {
            "reference": self.reference,
            "variant": self.variant,
            "rows": self.agreement.rows,
            "tolerance": self.bound.value,
            "tolerance_of": self.bound.of,
            "compared": list(STAGES),
            "compositions": list(self.compositions),
            "movement": self.movement,
            "agreement": self.agreement.to_json(),
        }


def check_parity(
    reference: Model,
    variant: Model,
    values: Values,
    *,
    bound: Bound,
    names: Sequence[str] | None = None,
    watched: Watched | None = None,
) -> Parity:
    """Send rows through both models and compare what each step makes of them.

    Costs the rows once through the reference, and through the variant once and, for 12 of them, three times more: each
    alone, in pairs, and all together, since int8 with scales of its own for each call depends on its batch-mates.
    Where they differ all of it is done once more, to tell a variant that is wrong from a machine that is.

    Args:
        reference: whose answers are right.
        variant: of the same model.
        values: rows of the input column; those at fault may be among them.
        bound: how far the answers may be apart.
        names: what each row is called in an error; by default its number.
        watched: is around every call over the rows; see run_window.

    Raises:
        ParityBroken: names the step, what differs, a row, and both values.
    """
    one, other = encode_watched(reference, values, watched), encode_watched(variant, values, watched)
    found = find_encoding_fault(reference, variant, values, one, other)
    if found is None:
        found_or_parity = compare_answers(reference, variant, one, other, bound, watched)
        if isinstance(found_or_parity, Parity):
            return found_or_parity
        found = found_or_parity
        if isinstance(compare_answers(reference, variant, one, other, bound, watched), Parity):
            found = replace(found, cause="unsteady", what=f"{found.what}; answered again, the same rows agree")
    where = "" if found.row is None else names[found.row] if names is not None else f"row {found.row}"
    raise ParityBroken(
        reference.tag,
        variant=variant.variant,
        reference=reference.variant,
        stage=found.stage,
        cause=found.cause,
        where=where,
        what=found.what,
        remedy=UNSTEADY if found.cause == "unsteady" else remedy_for(variant, reference),
    )


def encode_watched(model: Model, values: Values, watched: Watched | None) -> Encoded:
    """What a model makes of the rows, with whoever watches its calls around it."""
    with nullcontext() if watched is None else watched(np.arange(len(values)), 0.0):
        return model.encode(values)


def compare_answers(
    reference: Model, variant: Model, one: Encoded, other: Encoded, bound: Bound, watched: Watched | None = None
) -> Discrepancy | Parity:
    """Compare the arithmetic on equal arrays, then among other batch-mates, then the names given to its answers."""
    right = run_window(reference, one, watched=watched).outputs
    planned = run_window(variant, other, watched=watched).outputs
    expected = reference.decode(right, one)
    try:
        # The reference's own names for the variant's numbers: what differs here is arithmetic.
        answers = reference.decode(planned, one)
    except SpecInvalid as error:
        return Discrepancy(stage="arithmetic", cause="shape", row=None, what=error.problem)
    agreement = measure_agreement(reference.spec, expected, answers)

    pieces = pick_pieces(other, agreement.worst)
    rows = pa.array(np.unique(other.piece_rows[pieces]))
    tried: dict[str, pa.RecordBatch] = {}
    for name, groups in compositions_of(variant, other, pieces).items():
        tried[name] = reference.decode(compose(variant, other, groups, planned, watched), one).take(rows)
    among = {name: measure_agreement(reference.spec, expected.take(rows), batch) for name, batch in tried.items()}
    moved = {name: measure_agreement(reference.spec, answers.take(rows), batch) for name, batch in tried.items()}

    if not bound.covers(agreement) and not ("alone" in among and bound.covers(among["alone"])):
        return name_arithmetic(variant, bound, agreement, expected, answers, right, planned)
    measured = {"as planned": agreement} | among
    for name, found in measured.items():
        if not bound.covers(found) or (bound.of == "largest" and name in moved and moved[name].largest > bound.value):
            return name_mates(name, bound, found, moved, [int(row) for row in rows.to_pylist()])
    if (renamed := find_names(reference, variant, answers, planned, other)) is not None:
        return renamed
    return Parity(
        reference=reference.variant,
        variant=variant.variant,
        bound=bound,
        agreement=agreement,
        movement=max((found.largest for found in moved.values()), default=0.0),
        compositions=tuple(measured),
    )


def name_arithmetic(
    variant: Model,
    bound: Bound,
    agreement: Agreement,
    expected: pa.RecordBatch,
    answers: pa.RecordBatch,
    right: Outputs,
    planned: Outputs,
) -> Discrepancy:
    """Equal arrays, other answers: how far, in which row, and whether all numbers are off by one factor."""
    row = agreement.worst
    what = describe_loss(agreement, bound.value, of_mean=bound.of == "mean")
    if row is not None:
        what += f"; there {describe_row(expected.slice(row, 1), answers.slice(row, 1))}"
    what += describe_ratio(right, planned)
    precision = variant.variant.rpartition("-")[2]
    if precision == "int8":
        what += "; a scale of its int8 weights or activations does not fit these rows"
    return Discrepancy(stage="arithmetic", cause="int8 scale" if precision == "int8" else precision, row=row, what=what)


def name_mates(
    name: str, bound: Bound, found: Agreement, moved: dict[str, Agreement], rows: Sequence[int]
) -> Discrepancy:
    """The answer to a row depends on the rows beside it by more than the bound."""
    largest = max(moved, key=lambda one: moved[one].largest)
    worst = moved[largest].worst
    row = found.worst if name == "as planned" else rows[found.worst or 0]
    if worst is not None and moved[largest].largest > bound.value:
        row = rows[worst]
    what = f"{describe_loss(found, bound.value, of_mean=bound.of == 'mean')} with its batch-mates {name}"
    what += f"; among other batch-mates ({largest}) an answer of the variant moves by {moved[largest].largest:.3g}"
    return Discrepancy(stage="batch-mates", cause="padding or scales", row=row, what=what)


def find_names(
    reference: Model, variant: Model, answers: pa.RecordBatch, planned: Outputs, other: Encoded
) -> Discrepancy | None:
    """Whether the variant gives other names to the same numbers, or takes others of them."""
    one, two = reference.spec.labels, variant.spec.labels
    if one != two:
        place = next((i for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b), min(len(one), len(two)))
        said = [repr(labels[place]) if place < len(labels) else "none" for labels in (one, two)]
        cause = "order of labels" if sorted(one) == sorted(two) else "labels"
        what = f"label {place} is {said[0]} in the reference and {said[1]} in the variant"
        return Discrepancy(stage="decoding", cause=cause, row=None, what=what)
    if reference.schema != variant.schema:
        what = (
            f"the reference answers {', '.join(reference.schema.names)}, the variant {', '.join(variant.schema.names)}"
        )
        return Discrepancy(stage="decoding", cause="columns", row=None, what=what)
    named = variant.decode(planned, other)
    found = measure_agreement(reference.spec, answers, named)
    if found.worst is None or found.largest == 0:
        return None
    row = found.worst
    what = f"of the same numbers {describe_row(answers.slice(row, 1), named.slice(row, 1))}"
    settings = [
        f"{name} {getattr(reference.spec, name)} and {getattr(variant.spec, name)}"
        for name in ("normalize", "threshold")
        if getattr(reference.spec, name) != getattr(variant.spec, name)
    ]
    what += f": {', '.join(settings)}" if settings else ""
    return Discrepancy(stage="decoding", cause="settings", row=row, what=what)


def chance_of(changed: int, rows: int, share: float) -> float:
    """How likely at least so many rows of so many are changed, where each is with this probability."""
    share = min(max(share, 0.0), 1.0)
    return math.fsum(math.comb(rows, k) * share**k * (1 - share) ** (rows - k) for k in range(changed, rows + 1))


def remedy_for(variant: Model, reference: Model) -> str:
    """What to do where a variant is not to be trusted."""
    runtime, _, precision = variant.variant.partition("-")
    if variant.variant == reference.variant:
        return "Run it with --device cpu."
    anew = (
        ""
        if runtime == "torch"
        else f"Make the variant anew with: tandem model optimize {variant.spec.name} --runtime {runtime} "
        f"--precision {precision}; or run "
    )
    return f"{anew or 'Run '}the reference with: --runtime onnx --precision fp32."
