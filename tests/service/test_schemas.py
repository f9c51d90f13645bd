"""Rows as they come over HTTP, and predictions as they go."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from models.model import RowFault
from models.spec import ERROR_TYPE, InputColumn
from service.schemas import answers_of, merge_answers, read_rows

TEXT = InputColumn(name="text", kind="text")
IMAGE = InputColumn(name="image", kind="image")
STEPS = InputColumn(name="steps", kind="sequence")
PNG = b"\x89PNG not really"


def test_a_row_is_an_object_with_the_column_or_the_bare_value() -> None:
    values, faults = read_rows(TEXT, [{"text": "a"}, "b", {"text": "c", "id": 7}, None, {"text": None}])
    assert values == ["a", "b", "c", None, None]
    assert faults == {}
    assert read_rows(STEPS, [{"steps": [[1, 2]]}, [[3, 4]]]) == ([[[1, 2]], [[3, 4]]], {})


def test_a_row_without_the_column_is_at_fault_and_named() -> None:
    values, faults = read_rows(TEXT, [{"txt": "a"}, {"text": "b"}, {}])
    assert values == ["b"]
    assert {row: fault.kind for row, fault in faults.items()} == {0: "MissingColumn", 2: "MissingColumn"}
    assert faults[0].message == "the row lacks 'text'; it has 'txt'"


@pytest.mark.parametrize(
    "sent",
    [
        base64.b64encode(PNG).decode(),
        base64.encodebytes(PNG * 9).decode(),
        "data:image/png;base64," + base64.b64encode(PNG).decode(),
    ],
)
def test_an_image_is_base64_alone_or_in_a_data_url(sent: str) -> None:
    values, faults = read_rows(IMAGE, [{"image": sent}])
    assert not faults
    assert values[0].startswith(PNG)


@pytest.mark.parametrize(
    "sent",
    [
        "s3://bucket/cat.png", "http://127.0.0.1/cat.png", "/etc/hostname", "", "data:text/plain,hi", "häh", {},
        {"path": "/etc/passwd"}, {"bytes": "AAAA"}, {"bytes": None, "path": "/etc/passwd"},
    ],
)  # fmt: skip
def test_a_place_or_a_stray_string_is_no_image_and_is_never_read(sent: Any) -> None:
    values, faults = read_rows(IMAGE, [{"image": sent}])
    assert values == []
    assert faults[0].kind == "UndecodableImage"
    assert "Files and addresses are not read over HTTP" in faults[0].message


def test_an_image_as_numbers_passes() -> None:
    assert read_rows(IMAGE, [[[0, 1], [2, 3]]]) == ([[[0, 1], [2, 3]]], {})


def test_answers_and_faults_come_in_the_order_of_the_rows() -> None:
    fault = RowFault(kind="MissingColumn", message="why")
    assert merge_answers(3, [{"label": "a"}, {"label": "b"}], {1: fault}) == [
        {"label": "a"},
        {"error": {"class": "MissingColumn", "message": "why", "attempts": 1}},
        {"label": "b"},
    ]


def test_scores_become_an_object_by_label_and_an_error_row_is_its_error_alone() -> None:
    batch = pa.RecordBatch.from_arrays(
        [
            pa.array(["x", None]),
            pa.array([[("x", 0.75), ("y", 0.25)], None], pa.map_(pa.string(), pa.float32())),
            pa.array([np.float32([0.5, 1]), None], pa.list_(pa.float32(), 2)),
            pa.array([True, False]),
            pa.array([None, {"class": "TooLong", "message": "m", "attempts": 1}], ERROR_TYPE),
        ],
        names=["label", "scores", "embedding", "truncated", "error"],
    )
    answers = answers_of(batch)
    assert answers == [
        {"label": "x", "scores": {"x": 0.75, "y": 0.25}, "embedding": [0.5, 1.0], "truncated": True},
        {"error": {"class": "TooLong", "message": "m", "attempts": 1}},
    ]
    json.dumps(answers, allow_nan=False)
