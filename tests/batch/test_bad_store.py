"""A store that is missing, closed, down or careless: one line says so before a model is loaded, and what to do."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import boto3
import pyarrow as pa
import pytest

from batch.errors import AccessDenied
from batch.prepare import prepare_job
from batch.run import run_job
from batch.spec import make_job
from batch.stores.storage import open_store
from tests.batch.command import Command, assert_refused, job, tandem
from tests.batch.places import Bucket, parquet_bytes, put_table, read_output, texts
from tests.fault_proxy import FaultProxy, Rule
from tests.servers.moto import serving_moto


def test_a_bucket_that_is_missing_is_named(s3_place: Bucket, command: Command, unloadable: str) -> None:
    put_table(s3_place, "in/a.parquet", pa.table({"steps": [[[0.5] * 12] * 9]}))
    words = ("run", "--model", unloadable, "--input")
    end = command(*words, "s3://no-such-bucket/in/", "--output", s3_place.url + "out/")
    assert_refused(end, 2, "s3://no-such-bucket/in/", "there is no bucket 'no-such-bucket'")
    end = command(*words, s3_place.url + "in/", "--output", "s3://no-such-bucket/out/")
    assert_refused(end, 2, "s3://no-such-bucket/out/", "there is no bucket 'no-such-bucket'")


def test_without_credentials_the_command_ends_with_77(s3_place: Bucket, unloadable: str, tmp_path: Path) -> None:
    nothing = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None, "HOME": str(tmp_path)}
    end = tandem(*job(s3_place, model=unloadable), **nothing)
    assert_refused(end, 77, f"{s3_place.url}", "no credentials", "AWS_ACCESS_KEY_ID")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, dict[str, dict[str, str]]]]:
    """A moto server that enforces IAM, with a bucket `guarded` that has input: its url, and the keys of its users."""
    with serving_moto(tmp_path_factory.mktemp("guarded")) as url:
        anyone = boto3.Session(aws_access_key_id="any", aws_secret_access_key="one", region_name="us-east-1")
        s3, iam = anyone.client("s3", endpoint_url=url), anyone.client("iam", endpoint_url=url)
        s3.create_bucket(Bucket="guarded")
        s3.put_object(Bucket="guarded", Key="in/a.parquet", Body=parquet_bytes(pa.table({"steps": [[[0.5] * 12] * 9]})))
        users = {}
        output = ["arn:aws:s3:::guarded", "arn:aws:s3:::guarded/out/*"]
        for user, (allowed, where) in {
            "reader": (["s3:GetObject", "s3:ListBucket"], "*"),
            "nobody": (["sts:GetCallerIdentity"], "*"),
            "writer": (["s3:GetObject", "s3:ListBucket", "s3:PutObject", "s3:DeleteObject"], output),
            "owner": (["s3:*"], "*"),
        }.items():
            iam.create_user(UserName=user)
            statement = {"Effect": "Allow", "Action": allowed, "Resource": where}
            document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
            iam.put_user_policy(UserName=user, PolicyName="its", PolicyDocument=document)
            key = iam.create_access_key(UserName=user)["AccessKey"]
            users[user] = {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}
        s3.close()
        iam.close()
        urlopen(
            Request(f"{url}/moto-api/reset-auth", data=b"0", headers={"Content-Type": "text/plain"}, method="POST"),
            timeout=10,
        ).close()
        yield url, users


@pytest.mark.moto("SeaweedFS has identities of its own: tests/batch/weed/test_access.py")
@pytest.mark.parametrize(
    ("user", "refused"),
    [
        ("reader", "not allowed to write s3://guarded/out/_tandem/"),
        ("nobody", "not allowed to read s3://guarded/out/_tandem/job.json"),
        ("writer", "not allowed to read s3://guarded/in/a.parquet"),
        ("stranger", "s3://guarded/out/_tandem/job.json"),
    ],
)
def test_who_may_not_is_told_what_before_the_model_is_loaded(
    guarded: tuple[str, dict[str, dict[str, str]]],
    command: Command,
    unloadable: str,
    monkeypatch: pytest.MonkeyPatch,
    s3: str,
    user: str,
    refused: str,
) -> None:
    url, users = guarded
    unknown = {"AWS_ACCESS_KEY_ID": "AKIAUNKNOWN", "AWS_SECRET_ACCESS_KEY": "unknown"}
    for name, value in users.get(user, unknown).items():
        monkeypatch.setenv(name, value)
    words = ("--input", "s3://guarded/in/", "--output", "s3://guarded/out/", "--endpoint-url", url)
    assert_refused(command("run", "--model", unloadable, *words), 77, refused)


def test_who_may_no_longer_read_what_was_planned_is_told_before_the_model_is_loaded(
    guarded: tuple[str, dict[str, dict[str, str]]], vowels: Path, monkeypatch: pytest.MonkeyPatch, s3: str
) -> None:
    url, users = guarded
    output = "s3://guarded/out/resumed/"
    settings = {"model": str(vowels), "input": "s3://guarded/in/", "output": output, "endpoint_url": url}

    def become(user: str) -> None:
        for name, value in users[user].items():
            monkeypatch.setenv(name, value)

    become("owner")
    (part,) = run_job(settings)["parts"]
    for key in (part["key"], "_SUCCESS"):
        open_store(output, endpoint_url=url).delete(key)
    become("writer")
    with pytest.raises(AccessDenied, match=r"not allowed to read s3://guarded/in/a\.parquet"):
        prepare_job(make_job(settings))


def test_a_store_that_is_down_is_worth_another_try(
    command: Command, unloadable: str, monkeypatch: pytest.MonkeyPatch, s3: str
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "2")
    words = ("--input", "s3://b/in/", "--output", "s3://b/out/", "--endpoint-url", "http://127.0.0.1:9")
    end = command("run", "--model", unloadable, *words)
    assert_refused(end, 75, "s3://b/out/_tandem/job.json", "http://127.0.0.1:9", "run the same command again")


def test_a_store_that_ignores_conditions_is_named(s3_place: Bucket, proxy: FaultProxy, command: Command) -> None:
    put_table(s3_place, "in/a.parquet", texts(3))
    proxy.add(Rule(fault="strip", method="PUT|POST", header="If-None-Match", times=None))
    end = command(*job(s3_place, "--endpoint-url", proxy.url))
    assert_refused(end, 2, "does not honour If-None-Match", f"{s3_place.url}out/_tandem/probe-")
    assert not [key for key in s3_place.etags("out/") if "probe" not in key]


def test_a_store_that_stumbles_is_borne_with(s3_place: Bucket, proxy: FaultProxy, command: Command) -> None:
    put_table(s3_place, "in/a.parquet", texts(30))
    proxy.add(Rule(fault="error", path="in/a.parquet", times=2))
    proxy.add(Rule(fault="lose_answer", method="PUT", path="/part-"))
    proxy.add(Rule(fault="error_after", method="PUT", path="/plan-0"))
    assert command(*job(s3_place, "--endpoint-url", proxy.url)).code == 0
    assert read_output(s3_place).num_rows == 30
