"""Agreement: what two sets of answers have in common, measured as `answer_distance` measures two answers."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from models.compare import answer_distance
from models.decode import decode_outputs
from models.model import Encoded, Options, Outputs, RowFault
from models.parity.agreement import Agreement, measure_agreement
from models.spec import ModelSpec

ROWS = 40


def spec_of(task: str) -> ModelSpec:
    answers: dict[str, Any] = {"dimension": 8} if task == "text-embedding" else {"labels": tuple("abcdefg")}
    return ModelSpec.model_validate(
        {"name": "m", "family": "transformer", "task": task, "inputs": ({"name": "text", "kind": "text"},)} | answers
    )


def answer(
    spec: ModelSpec, raw: NDArray[Any], *, bad: tuple[int, ...] = (), top_k: int | None = None
) -> pa.RecordBatch:
    """What a model with these outputs answers."""
    rows = len(raw)
    encoded = Encoded(
        rows=rows,
        features={},
        piece_rows=np.arange(rows),
        lengths=np.ones(rows, dtype=np.int64),
        truncated=np.zeros(rows, dtype=np.bool_),
        faults={row: RowFault(kind="NullValue", message="null") for row in bad},
    )
    return decode_outputs(spec, Options(top_k=top_k), Outputs(arrays={"logits": raw}), encoded)


def random_outputs(spec: ModelSpec, rows: int = ROWS) -> NDArray[Any]:
    return np.random.default_rng(3).normal(size=(rows, spec.dimension or len(spec.labels)))


@pytest.mark.parametrize("task", ["text-embedding", "text-classification", "text-multi-label-classification"])
@pytest.mark.parametrize(("noise", "top_k"), [(0.0, None), (1e-3, None), (0.7, None), (0.7, 3), (2.0, 1)])
def test_the_largest_difference_is_that_of_answers_compared_one_by_one(
    task: str, noise: float, top_k: int | None
) -> None:
    spec = spec_of(task)
    outputs = random_outputs(spec)
    other = outputs + noise * np.random.default_rng(4).normal(size=outputs.shape)
    one, two = answer(spec, outputs, bad=(5,), top_k=top_k), answer(spec, other, bad=(5,), top_k=top_k)
    apart = [answer_distance(left, right) for left, right in zip(one.to_pylist(), two.to_pylist(), strict=True)]
    found = measure_agreement(spec, one, two)
    assert found.largest == pytest.approx(max(apart), rel=1e-9)
    assert found.worst == int(np.argmax(apart))
    assert found.rows == ROWS
    assert found.faults_differ == 0


def test_labels_that_changed_are_counted() -> None:
    spec = spec_of("text-classification")
    outputs = random_outputs(spec)
    other = outputs.copy()
    other[:10] = -other[:10]  # the least likely label becomes the likeliest
    found = measure_agreement(spec, answer(spec, outputs), answer(spec, other))
    assert found.labels_agree == pytest.approx(0.75)
    assert found.loss >= 0.25
    assert measure_agreement(spec, answer(spec, outputs), answer(spec, outputs)).labels_agree == 1.0


def test_sets_of_labels_agree_as_sets() -> None:
    spec = spec_of("text-multi-label-classification")
    outputs = np.full((4, 7), -3.0)
    other = outputs.copy()
    other[0, 2] = 3.0
    found = measure_agreement(spec, answer(spec, outputs), answer(spec, other))
    assert found.labels_agree == 0.75
    assert found.largest == pytest.approx(1 / (1 + math.exp(-3)) - 1 / (1 + math.exp(3)), abs=1e-6)


def test_embeddings_are_compared_by_cosine_and_by_their_neighbours() -> None:
    spec = spec_of("text-embedding")
    outputs = random_outputs(spec)
    turned = outputs.copy()
    turned[7] = -turned[7]
    found = measure_agreement(spec, answer(spec, outputs), answer(spec, turned))
    assert found.cosine_least == pytest.approx(-1.0)
    assert found.cosine_mean == pytest.approx(1 - 2 / ROWS)
    assert found.neighbours is not None
    assert 0.7 < found.neighbours < 0.99
    same = measure_agreement(spec, answer(spec, outputs), answer(spec, 3 * outputs))
    assert same.neighbours == 1.0
    assert same.cosine_least == pytest.approx(1.0)
    assert same.largest > 1, "a scaled vector is another answer, though its direction is the same"


def test_equal_rows_are_equally_near() -> None:
    spec = spec_of("text-embedding")
    outputs = np.repeat(random_outputs(spec, rows=2), 20, axis=0)
    other = outputs + 1e-9 * np.random.default_rng(5).normal(size=outputs.shape)
    assert measure_agreement(spec, answer(spec, outputs), answer(spec, other)).neighbours == 1.0


def test_a_row_that_only_one_answers_is_out_of_every_tolerance() -> None:
    spec = spec_of("text-embedding")
    outputs = random_outputs(spec)
    found = measure_agreement(spec, answer(spec, outputs, bad=(3,)), answer(spec, outputs, bad=(3, 9)))
    assert (found.faults_differ, found.worst, found.largest, found.loss) == (1, 9, math.inf, math.inf)
    assert (found.mean, found.cosine_mean) == (0.0, pytest.approx(1.0)), "the others are measured all the same"


def test_scores_named_otherwise_are_another_answer() -> None:
    spec = spec_of("text-classification")
    outputs = random_outputs(spec)
    renamed = spec.model_copy(update={"labels": tuple("hijklmn")})
    found = measure_agreement(spec, answer(spec, outputs), answer(renamed, outputs))
    assert found.labels_agree == 0.0
    assert found.largest == math.inf


def test_what_an_operators_class_answers_is_compared_too() -> None:
    spec = spec_of("text-embedding")
    one = pa.RecordBatch.from_pylist([{"mass": 1.0, "words": ["a", "b"]}, {"mass": 2.0, "words": ["c"]}])
    two = pa.RecordBatch.from_pylist([{"mass": 1.5, "words": ["a", "b"]}, {"mass": 2.0, "words": ["d"]}])
    found = measure_agreement(spec, one, two)
    assert (found.largest, found.worst, found.mean) == (math.inf, 1, 0.25)


def test_no_rows_agree() -> None:
    spec = spec_of("text-classification")
    nothing = answer(spec, random_outputs(spec, rows=0))
    found = measure_agreement(spec, nothing, nothing)
    assert (found.rows, found.largest, found.worst, found.labels_agree) == (0, 0.0, None, None)


def test_an_agreement_survives_json_and_a_table() -> None:
    spec = spec_of("text-embedding")
    outputs = random_outputs(spec)
    found = measure_agreement(spec, answer(spec, outputs, bad=(3,)), answer(spec, outputs))
    text = json.dumps(found.to_json(), allow_nan=False)
    assert Agreement.from_json(json.loads(text)) == found
    assert dict(found.lines())["largest difference"] == "inf"


def test_answers_to_other_rows_are_not_compared() -> None:
    spec = spec_of("text-embedding")
    with pytest.raises(ValueError, match=r"found 40 rows of embedding.* and 39 rows of embedding"):
        measure_agreement(spec, answer(spec, random_outputs(spec)), answer(spec, random_outputs(spec, rows=39)))
