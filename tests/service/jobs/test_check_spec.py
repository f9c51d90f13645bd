"""What is asked for is judged by the schema that the command publishes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

import service.jobs
from batch.spec import JobSpec
from service.errors import RequestInvalid
from service.jobs.check_spec import SERVERS_OWN, check_spec, find_fault, full_schema, job_schema

JOB = {"model": "bbc-bert", "input": "s3://b/in/", "output": "s3://b/out/"}
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-2, 300), st.floats(allow_nan=False, allow_infinity=False, width=16),
    st.sampled_from(["", "auto", "int8", "text", "onnx", "delta", "1.5GB"]), st.lists(st.text("ab", max_size=2)),
    st.dictionaries(st.text("ab", max_size=2), st.one_of(st.text("ab"), st.integers()), max_size=2),
)  # fmt: skip


def test_the_file_is_what_the_command_publishes() -> None:
    text = (Path(service.jobs.__file__).parent / "job.schema.json").read_text(encoding="utf-8")
    published = json.dumps(JobSpec.model_json_schema(), indent=1)
    assert text == published + "\n", "write it again with: tandem schema job > service/jobs/job.schema.json"


@given(st.dictionaries(st.sampled_from([*JobSpec.model_fields, "other"]), VALUES))
def test_it_judges_as_a_validator_of_json_schema_does(changes: dict[str, Any]) -> None:
    asked = {**JOB, **changes}
    assert (find_fault(asked, full_schema(), "") is None) == jsonschema.Draft202012Validator(full_schema()).is_valid(
        asked
    )


def test_every_setting_that_is_not_the_servers_own_may_be_asked_for() -> None:
    assert job_schema()["properties"].keys() == JobSpec.model_fields.keys() - set(SERVERS_OWN)
    assert check_spec(JOB | {"column": {"text": "body"}, "limit": 5, "workers": "auto"})["limit"] == 5


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"top_k": "x"}, 'top_k: expected a whole number from 1 to 1048576 or null, found "x".'),
        ({"top_k": 0}, "top_k: expected a whole number from 1 to 1048576, found 0."),
        ({"limit": True}, "limit: expected a whole number from 1 to 9007199254740992 or null, found true."),
        ({"shard_mb": 0}, "shard_mb: expected a number above 0 to 4096, found 0."),
        ({"runtime": "gpu"}, 'runtime: expected one of auto, onnx, openvino, torch, found "gpu".'),
        ({"keep": ["id", 1]}, "keep[1]: expected text, found 1."),
        ({"column": {"text": 1}}, "column.text: expected text, found 1."),
        ({"input": ""}, 'input: expected text that is not empty, found "".'),
        ({"output": "s3://b/\ud800"}, "output: holds a character that no text can hold."),
        ({"column": {"\x00": "a"}}, "column: holds a name that no text can hold."),
        ({"endpoint_url": "http://a"}, "endpoint_url: is the server's to say, not a request's. Leave it out."),
        ({"aws_profile": "a"}, "aws_profile: is the server's to say, not a request's. Leave it out."),
        ({"max_error_rate": float("inf")}, "max_error_rate: expected a number from 0 to 1, found Infinity."),
        ({"outputs": "a"}, "'outputs' is no setting; there are: model, input, output"),
        ({"\ud800": "a"}, "'\\ud800' is no setting; there are: model, input, output"),
    ],
)
def test_a_fault_is_told_by_its_setting(change: dict[str, Any], said: str) -> None:
    with pytest.raises(RequestInvalid) as refused:
        check_spec(JOB | change)
    assert str(refused.value).startswith(said)
    assert str(refused.value).encode(), "it goes out as UTF-8"


@pytest.mark.parametrize(
    ("asked", "said"),
    [({}, "model: is missing."), ([], "body: expected an object, found []."), (None, "body: expected an object")],
)
def test_what_is_no_job_at_all_is_told_so(asked: Any, said: str) -> None:
    with pytest.raises(RequestInvalid) as refused:
        check_spec(asked)
    assert str(refused.value).startswith(said)
