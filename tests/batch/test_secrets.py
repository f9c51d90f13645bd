"""Secrets are in the environment, in files, in urls, and nowhere that a job writes or says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models.say import hide_secrets, one_line
from tests.batch.command import Ended, job, tandem
from tests.batch.conftest import ZOO
from tests.batch.places import WORD_COUNT, Bucket, put_table, texts
from tests.fault_proxy import FaultProxy, Rule

#: Each says by its name where it stands; none has a character that a url or a log would change.
KEY, TOKEN = "SECRETkeyInTheEnvironment0123456789", "SECRETtokenInTheEnvironment01234567"
PROFILE_KEY, USERINFO, SIGNATURE = (
    "SECRETkeyInTheProfile0123456789AB",
    "SECRETpasswordInTheUrl",
    "SECRETsignature",
)
SECRETS = [KEY, TOKEN, PROFILE_KEY, USERINFO, SIGNATURE]


def assert_kept(said: str | bytes, where: str) -> None:
    body = said.encode() if isinstance(said, str) else said
    for secret in SECRETS:
        assert secret.encode() not in body, f"{secret} is said in {where}"


@pytest.fixture
def environment(s3: str, tmp_path: Path) -> dict[str, str | None]:
    """What a job finds its credentials in."""
    credentials = tmp_path / "credentials"
    credentials.write_text(f"[other]\naws_access_key_id = other\naws_secret_access_key = {PROFILE_KEY}\n")
    return {
        "AWS_ENDPOINT_URL": s3,
        "AWS_SECRET_ACCESS_KEY": KEY,
        "AWS_SESSION_TOKEN": TOKEN,
        "AWS_SHARED_CREDENTIALS_FILE": str(credentials),
        "AWS_MAX_ATTEMPTS": "1",
        "BENTOML_HOME": str(tmp_path / "bentoml"),
    }


def run(where: str, *words: str, **environment: str | None) -> Ended:
    end = tandem(*words, within_s=120, **environment)
    assert_kept(end.out + end.err, where)
    assert "Traceback" not in end.err
    return end


@pytest.mark.moto("its secrets are no server's keys")
def test_a_job_that_is_done_holds_no_secret(s3_place: Bucket, environment: dict[str, str | None]) -> None:
    picture = pq.read_table(ZOO / "data" / "fashion.parquet")["image"][0].as_py()
    s3_place.put("pictures/1.png", picture)
    signed = f"https://s3.amazonaws.com/b/k?X-Amz-Credential={SIGNATURE}&X-Amz-Signature={SIGNATURE}"
    missing = f"{s3_place.url}pictures/2.png?X-Amz-Signature={SIGNATURE}"
    with_name = f"https://name:{USERINFO}@host/1.png"
    images = [f"{s3_place.url}pictures/1.png", signed, missing, with_name]
    put_table(s3_place, "in/a.parquet", pa.table({"id": range(4), "image": images}))
    words = job(s3_place, "--keep", "id", "--aws-profile", "other", model="fashion-resnet")
    assert run("a job with a profile", *words, **environment).code == 0
    keys = list(s3_place.etags("out/"))
    assert any("/part-" in key for key in keys)
    assert "out/_tandem/manifest.json" in keys
    for key in keys:
        assert_kept(s3_place.get(key), key)
    for command in ("status", "head"):
        assert run(command, command, f"{s3_place.url}out/", **environment).code == 0
    parts = [pq.read_table(pa.BufferReader(s3_place.get(key))) for key in keys if "/part-" in key]
    assert sum(error is not None for part in parts for error in part["error"].to_pylist()) == 3
    for part in parts:  # unpacked, too
        assert_kept(str(part.to_pylist()) + str(part.schema.metadata), "a part")


@pytest.mark.moto("its secrets are no server's keys")
def test_what_a_model_of_ones_own_raises_is_kept_without_secrets(
    s3_place: Bucket, environment: dict[str, str | None]
) -> None:
    put_table(s3_place, "in/a.parquet", texts(3))
    words = job(s3_place, model=WORD_COUNT.replace("WordCount", "TalkativeModel"))
    assert run("a model's error", *words, **environment).code == 0
    shown = run("tandem errors", "errors", f"{s3_place.url}out/", **environment)
    assert "https://b/k?X-Amz-Signature=***" in shown.out
    for key in s3_place.etags("out/"):
        assert_kept(s3_place.get(key), key)
        assert b"SECRET" not in s3_place.get(key), "nor the beginning of one, cut off"
        if "/part-" in key:
            assert "SECRET" not in str(pq.read_table(pa.BufferReader(s3_place.get(key))).to_pylist())


FAULTS: list[dict[str, Any]] = [
    {"status": 403, "code": "AccessDenied"},
    {"status": 403, "code": "SignatureDoesNotMatch"},
    {"status": 400, "code": "ExpiredToken"},
    {"status": 500, "code": "InternalError"},
    {"status": 400, "code": "InvalidRequest"},
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault["code"])
def test_a_store_that_fails_is_told_of_without_secrets(
    s3_place: Bucket, proxy: FaultProxy, environment: dict[str, str | None], fault: dict[str, Any]
) -> None:
    put_table(s3_place, "in/a.parquet", texts(3))
    proxy.add(Rule(fault="error", method="PUT", times=None, **fault))
    end = run(fault["code"], *job(s3_place), **environment | {"AWS_ENDPOINT_URL": proxy.url})
    assert end.code in (2, 75, 77)


def test_urls_with_passwords_are_refused_or_said_without(
    s3_place: Bucket, environment: dict[str, str | None], tmp_path: Path
) -> None:
    put_table(s3_place, "in/a.parquet", texts(3))
    bad = f"http://name:{USERINFO}@127.0.0.1:9"
    assert run("a flag", *job(s3_place, "--endpoint-url", bad), **environment).code == 2
    end = run("the environment", *job(s3_place), **environment | {"AWS_ENDPOINT_URL": bad})
    assert end.code in (2, 75)
    assert (
        run("an input", "run", "--model", WORD_COUNT, "--input", f"{bad}/x", "--output", "o", **environment).code == 2
    )
    path = tmp_path / "job.yaml"
    path.write_text(f"model: m\ninput: i\noutput: o\nsecret_access_key: {KEY}\nendpoint_url: [{bad}]\n")
    assert run("a job file", "run", str(path), **environment).code == 2


def test_a_damaged_credentials_file_is_told_of_without_its_content(
    s3_place: Bucket, environment: dict[str, str | None], tmp_path: Path
) -> None:
    put_table(s3_place, "in/a.parquet", texts(3))
    (tmp_path / "credentials").write_text(f"[other\naws_secret_access_key {PROFILE_KEY}\n")
    end = run("a damaged file", *job(s3_place, "--aws-profile", "other"), **environment)
    assert end.code in (2, 3, 77)


def test_a_model_in_a_bucket_that_may_not_be_read_is_told_of_without_secrets(
    s3_place: Bucket, environment: dict[str, str | None], proxy: FaultProxy
) -> None:
    put_table(s3_place, "in/a.parquet", texts(3))
    proxy.add(Rule(fault="error", method="GET", path="models/m", times=None, status=403, code="AccessDenied"))
    words = job(s3_place, "--endpoint-url", proxy.url, model=f"{s3_place.url}models/m")
    assert run("a model", *words, **environment).code == 77


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("http://name:pass@host/x", "http://***@host/x"),
        ("s3://bucket/a@b/c", "s3://bucket/a@b/c"),
        ("https://h/k?X-Amz-Date=1&X-Amz-Signature=abc&x=1", "https://h/k?X-Amz-Date=1&X-Amz-Signature=***&x=1"),
        ("https://h/k?AWSAccessKeyId=abc&Signature=d%2Fe", "https://h/k?AWSAccessKeyId=***&Signature=***"),
        ('{"SecretAccessKey": "abc", "n": 1}', '{"SecretAccessKey": "***", "n": 1}'),
        ("aws_secret_access_key = abc", "aws_secret_access_key = ***"),
        ("SignatureDoesNotMatch: check AWS_SECRET_ACCESS_KEY.", "SignatureDoesNotMatch: check AWS_SECRET_ACCESS_KEY."),
        ("not allowed\n to read", "not allowed to read"),
    ],
)
def test_what_is_said_keeps_its_sense_and_loses_its_secrets(said: str, expected: str) -> None:
    assert one_line(said) == expected


def test_the_environments_secrets_are_hidden_wherever_they_stand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEY)
    assert hide_secrets(f"the helper said {KEY}!") == "the helper said ***!"
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    assert hide_secrets("a test") == "a test"
