"""What a caller is told holds no places of the machine, and is one line."""

from __future__ import annotations

import pytest

from service.errors import ModelFailed, UnknownModel, hide_places


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("[Errno 2] No such file: '/srv/models/bbc/model.onnx'", "[Errno 2] No such file: 'model.onnx'"),
        ("s3://bucket/in/a.parquet: damaged", "s3://bucket/in/a.parquet: damaged"),
        ("no answer from https://host/a/b", "no answer from https://host/a/b"),
        ("3/4 of the rows", "3/4 of the rows"),
    ],
)
def test_a_place_on_this_machine_is_told_by_its_last_part_and_an_address_whole(said: str, told: str) -> None:
    assert hide_places(said) == told


def test_what_a_model_raises_is_one_line() -> None:
    error = ModelFailed("a:1", rows=2, cause=ValueError("first\nsecond\tpassword=hunter2"))
    assert str(error) == "a:1 failed over 2 rows: ValueError: first second password=***"


def test_a_name_is_told_only_as_far_as_anybody_reads() -> None:
    assert len(str(UnknownModel("x" * 1_000_000, known=["a"]))) < 500
