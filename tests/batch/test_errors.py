"""Every error is one line, knows its exit code and crosses processes."""

import pickle

import pytest

from batch import errors

EVERY = [
    (2, errors.UsageError("no --output")),
    (2, errors.SchemaMismatch("s3://b/f", expected={"text": "string", "id": "int64"}, found={"id": "string"})),
    (2, errors.InputNotFound("s3://b/in/")),
    (2, errors.UnreadableParquet("s3://b/f", "it is empty (0 bytes)")),
    (2, errors.WhereError("n = ", "this is no SQL condition")),
    (2, errors.TableRefused("s3://b/out/", "it is append-only", advice="Name another --output.")),
    (2, errors.Unfinished("s3://b/out/", left=1, shards=3, rows=2)),
    (2, errors.ConditionIgnored("s3://b/f", "PUT")),
    (2, errors.EncryptionRefused("s3://b/out/", "AES256", found="it answered NotImplemented")),
    (3, errors.ModelProblem("no model minilm")),
    (3, errors.RuntimeMissing("openvino", "it is not installed", advice="pip install tandem-inference[openvino]")),
    (3, errors.ReferenceMissing("onnx-int8", reference="onnx-fp32", reason="no graph")),
    (3, errors.FingerprintMismatch("s3://b/out/", expected="a1", found="b2", differences="model")),
    (3, errors.InputChanged("s3://b/f", expected="e1", found="e2")),
    (3, errors.ReplaceInterrupted("s3://b/out/part-1.parquet", parts=2)),
    (4, errors.TooManyErrors(errors=30, rows=100, max_error_rate=0.1, first="null text")),
    (75, errors.StoreUnavailable("read", "s3://b/f", "SlowDown")),
    (75, errors.Interrupted("SIGTERM")),
    (77, errors.AccessDenied("read", "s3://b/f", code="ExpiredToken", advice="Renew the credentials.")),
]


@pytest.mark.parametrize(("exit_code", "error"), EVERY)
def test_an_error_is_one_line_and_crosses_processes_with_its_fields(exit_code: int, error: errors.JobError) -> None:
    assert "\n" not in str(error)
    assert error.exit_code == exit_code
    travelled = pickle.loads(pickle.dumps(error))
    assert type(travelled) is type(error)
    assert str(travelled) == str(error)
    assert vars(travelled) == vars(error)


def test_every_error_stands_in_the_tree_that_is_drawn() -> None:
    kinds = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.JobError)}
    assert kinds == {type(error) for _, error in EVERY} | {errors.JobError}
    for kind in kinds:
        assert kind.__name__ in (errors.__doc__ or "")


def test_a_schema_that_does_not_fit_says_what_is_missing_and_what_is_there() -> None:
    message = str(EVERY[1][1])
    assert "lacks text (string) and has id as string instead of int64; its columns are: id (string)" in message
    assert "--column" in message
