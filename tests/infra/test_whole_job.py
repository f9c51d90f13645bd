"""A whole job, from the zoo's model in the bucket to `_SUCCESS`, with nothing but the role of the stack."""

import io
from pathlib import Path

import boto3
import pyarrow.parquet as pq
import pytest

from batch.errors import AccessDenied
from batch.run import run_job
from tests.infra.conftest import REGION, ROOT, Stack, as_job_role

MODEL = ROOT / "models" / "zoo" / "vowels-bilstm"
ROWS = ROOT / "models" / "zoo" / "data" / "vowels.parquet"


def test_the_role_carries_a_job_to_its_end_and_again(
    stack: Stack, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    s3, bucket = boto3.client("s3", region_name=REGION), stack.outputs["BucketName"]
    for path in (path for path in MODEL.rglob("*") if path.is_file()):
        s3.upload_file(str(path), bucket, f"models/vowels/{path.relative_to(MODEL).as_posix()}")
    s3.upload_file(str(ROWS), bucket, "input/day=1/rows.parquet")
    monkeypatch.setenv("TANDEM_CACHE", str(tmp_path))
    job = {
        "model": f"s3://{bucket}/models/vowels",
        "input": f"s3://{bucket}/input/",
        "output": f"s3://{bucket}/output/vowels/",
        "column": {"sequence": "steps"},
    }
    rows = pq.read_metadata(ROWS).num_rows
    with as_job_role(stack):
        assert run_job(job)["rows"] == rows
        assert run_job(job)["run"]["rows"] == 0

    s3.upload_file(str(ROWS), bucket, "input/day=2/rows.parquet")
    with as_job_role(stack):
        assert run_job(job)["rows"] == 2 * rows
        with pytest.raises(AccessDenied):
            run_job({**job, "output": f"s3://{bucket}/elsewhere/"})
    keys = [found["Key"] for found in s3.list_objects_v2(Bucket=bucket, Prefix="output/vowels/")["Contents"]]
    assert "output/vowels/_SUCCESS" in keys
    parts = [s3.get_object(Bucket=bucket, Key=key)["Body"].read() for key in keys if key.endswith(".parquet")]
    assert sum(pq.read_metadata(io.BytesIO(part)).num_rows for part in parts) == 2 * rows
