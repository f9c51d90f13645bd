"""A model that fails: a row at fault costs itself only, and a model that breaks its contract ends the job by name."""

from __future__ import annotations

import threading
from typing import Any

import pyarrow as pa
import pytest

from batch.errors import Interrupted, RuntimeMissing
from batch.report import Manifest
from batch.run import run_job
from models.errors import ContractBroken, PredictionMismatch, RuntimeUnavailable
from tests.batch.places import Folder, part_keys, put_table, read_output, texts

THIRTEEN = " ".join(["word"] * 13)


def run(folder: Folder, model: str, **settings: Any) -> Manifest:
    places = {"input": folder.url + "in/", "output": folder.url + "out/"}
    return run_job({"model": f"tests.batch.own_models:{model}", **places, **settings})


@pytest.fixture
def marked(folder: Folder) -> Folder:
    """Two objects of 40 rows; rows 7 and 31 of each have thirteen words."""
    words = [THIRTEEN if row in (7, 31) else f"row {row}" for row in range(40)]
    for key in ("in/p=0/a.parquet", "in/p=1/a.parquet"):
        put_table(folder, key, pa.table({"text": words}))
    return folder


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("model", "kind", "message"),
    [
        ("PoisonModel", "ValueError", "thirteen words"),
        ("NanModel", "NonFiniteOutput", "NaN or infinity"),
        ("LeavingModel", "SystemExit", "0"),
        ("RaisingEncoder", "KeyError", "'thirteen'"),
        ("InterruptingModel", "KeyboardInterrupt", "thirteen"),
        ("InterruptingEncoder", "GeneratorExit", "thirteen"),
        ("RaisingDecoder", "LookupError", "thirteen"),
        ("NanDecoder", "NonFiniteOutput", "NaN or infinity"),
    ],
)
def test_a_row_at_fault_is_an_error_row_and_its_neighbours_are_answered(
    marked: Folder, model: str, kind: str, message: str, workers: int
) -> None:
    manifest = run(marked, model, workers=workers)
    assert (manifest["rows"], manifest["errors"]) == (80, {kind: 4})
    for row in read_output(marked).to_pylist():
        if row["_row"] in (7, 31):
            assert (row["label"], row["score"], row["scores"]) == (None, None, None)
            assert row["error"]["class"] == kind
            assert message in row["error"]["message"]
        else:
            assert row["label"] == "few"
            assert row["error"] is None


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("model", "error", "message"),
    [
        ("DroppingModel", PredictionMismatch, r"was given \d+ rows and returned \d+ answers"),
        ("RaisingAlways", ContractBroken, r"breaks the contract: encode never raises.*KeyError: 'whatever'"),
        ("RaisingArithmetic", ContractBroken, r"forward never raises.*none of the first .* RuntimeError: whatever"),
        ("RaisingDecoderAlways", ContractBroken, r"decode never raises.*KeyError: 'whatever'"),
        ("OtherColumns", ContractBroken, r"decode answers with the columns label string, .*; found: label string"),
        ("NothingNamed", ContractBroken, r"decode answers with a pyarrow RecordBatch; found: .* NoneType"),
    ],
)
def test_a_model_that_breaks_its_contract_ends_the_job_and_writes_no_answer(
    marked: Folder, model: str, error: type[Exception], message: str, workers: int
) -> None:
    with pytest.raises(error, match=message):
        run(marked, model, workers=workers)
    assert not part_keys(marked)
    assert "out/_SUCCESS" not in marked.etags()


@pytest.mark.parametrize("model", ["DroppingModel", "RaisingAlways"])
def test_a_job_that_fails_leaves_no_thread_behind(folder: Folder, model: str) -> None:
    put_table(folder, "in/a.parquet", pa.table({"text": [*texts(2000)["text"].to_pylist(), THIRTEEN] * 4}))
    with pytest.raises((ContractBroken, PredictionMismatch)) as raised:
        run(folder, model, window_rows=100)
    steps = {"read", "encode", "arithmetic"}
    assert raised.value.__traceback__ is not None  # which keeps alive whatever its frames hold
    assert not [thread.name for thread in threading.enumerate() if thread.name in steps]


def test_a_job_of_rows_that_are_all_at_fault_is_done(folder: Folder) -> None:
    put_table(folder, "in/a.parquet", pa.table({"text": [THIRTEEN, None, THIRTEEN + " "] * 5}))
    assert run(folder, "PoisonModel")["errors"] == {"NullValue": 5, "ValueError": 10}
    assert read_output(folder)["label"].null_count == 15


STEPS = {"RaisingEncoder": "KeyError", "PoisonModel": "ValueError", "RaisingDecoder": "LookupError"}


@pytest.mark.parametrize(("model", "kind"), STEPS.items())
@pytest.mark.parametrize("bad", [2, 200])
def test_a_window_of_rows_that_all_raise_is_answered_with_errors(
    folder: Folder, model: str, kind: str, bad: int
) -> None:
    """Though no row has passed before: those that the model is checked with do."""
    put_table(folder, "in/a.parquet", pa.table({"text": [THIRTEEN + " " * row for row in range(bad)]}))
    put_table(folder, "in/b.parquet", pa.table({"text": ["a goal"] * 5}))
    assert run(folder, model, window_rows=max(bad, 5), shard_mb=0.0001)["errors"] == {kind: bad}
    found = read_output(folder)
    assert (found.num_rows, found["label"].null_count) == (bad + 5, bad)


@pytest.mark.parametrize(
    ("model", "errors"),
    [
        ("RaisingAlways", {"KeyError": 6}),
        ("RaisingArithmetic", {"NullValue": 1, "RuntimeError": 5}),
        ("RaisingDecoderAlways", {"KeyError": 5, "NullValue": 1}),
    ],
)
def test_a_few_rows_that_raise_tell_nothing_of_the_model(folder: Folder, model: str, errors: dict[str, int]) -> None:
    put_table(folder, "in/a.parquet", pa.table({"text": [None, *(f"row {row}" for row in range(5))]}))
    assert run(folder, model)["errors"] == errors


def test_workers_that_vanish_without_a_word_do_not_pass_for_done(marked: Folder) -> None:
    with pytest.raises(Interrupted, match="none passed"):
        run(marked, "VanishingModel", workers=2)
    assert part_keys(marked) == []


def test_a_device_that_is_not_there_is_found_before_the_output_is_claimed(folder: Folder) -> None:
    put_table(folder, "in/a.parquet", pa.table({"text": ["a goal"]}))
    job = {"model": "bbc-bert", "input": folder.url + "in/", "output": folder.url + "out/"}
    with pytest.raises(RuntimeUnavailable, match="--device cuda needs onnxruntime-gpu"):
        run_job({**job, "device": "cuda"})
    assert run_job({**job, "top_k": 2})["rows"] == 1
    with pytest.raises(RuntimeMissing, match=r"the job's runtime is onnx-fp32, which this host lacks: .*--device cuda"):
        run_job({**job, "device": "cuda", "top_k": 2})
