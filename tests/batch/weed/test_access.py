"""A server that checks who asks: whoever may not is refused before a model is loaded, and told what is wrong."""

from __future__ import annotations

import pyarrow as pa
import pytest

from batch.run import run_job
from tests.batch.command import Command, assert_refused, job, tandem
from tests.batch.places import WORD_COUNT, Bucket, part_keys, put_table, texts
from tests.servers.weed import ADMIN, READER

STEPS = pa.table({"steps": [[[0.5] * 12] * 9]})


def be(keys: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in zip(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"), keys, strict=True):
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("workers", ["1", "2", "auto"])
def test_who_may_only_read_is_refused_before_the_model_is_loaded(
    weed_place: Bucket, command: Command, unloadable: str, monkeypatch: pytest.MonkeyPatch, workers: str
) -> None:
    put_table(weed_place, "in/a.parquet", STEPS)
    words = job(weed_place, "--workers", workers, model=unloadable)
    be(READER, monkeypatch)
    refusal = f"not allowed to write {weed_place.url}out/_tandem/"
    assert_refused(command(*words), 77, refusal, "AccessDenied", "s3:PutObject")
    assert not weed_place.etags("out/")
    be(ADMIN, monkeypatch)
    assert command(*words).code == 3, "who may write comes to the model, which does not load"


def test_who_may_only_read_is_told_that_a_finished_job_is_done(
    weed_place: Bucket, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_table(weed_place, "in/p=0/a.parquet", texts(10))
    put_table(weed_place, "in/p=1/a.parquet", texts(10))
    assert command(*job(weed_place)).code == 0
    be(READER, monkeypatch)
    end = command(*job(weed_place))
    assert end.code == 0, end.err
    weed_place.delete(part_keys(weed_place)[0])
    weed_place.delete("out/_SUCCESS")
    assert_refused(command(*job(weed_place)), 77, f"not allowed to write {weed_place.url}out/")


@pytest.mark.parametrize(
    ("keys", "code", "advice"),
    [
        (("tandem", "not the secret"), "SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY"),
        (("nobody", "tandem-secret"), "InvalidAccessKeyId", "AWS_ACCESS_KEY_ID"),
    ],
)
def test_a_wrong_secret_and_an_unknown_key_are_told_apart(
    weed_place: Bucket, unloadable: str, keys: tuple[str, str], code: str, advice: str
) -> None:
    put_table(weed_place, "in/a.parquet", STEPS)
    access, secret = keys
    end = tandem(*job(weed_place, model=unloadable), AWS_ACCESS_KEY_ID=access, AWS_SECRET_ACCESS_KEY=secret)
    assert_refused(end, 77, f"{weed_place.url}out/_tandem/job.json", code, advice)
    assert secret not in end.err
    assert not weed_place.etags("out/")


def test_rights_that_end_in_mid_job_are_no_access_and_the_same_command_goes_on(
    weed_place: Bucket, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job was begun by who may write; who may only read comes to its second part, and no further."""
    put_table(weed_place, "in/p=0/a.parquet", texts(10))
    put_table(weed_place, "in/p=1/a.parquet", texts(10))
    settings = {"model": WORD_COUNT, "input": f"{weed_place.url}in/", "output": f"{weed_place.url}out/"}
    digest = run_job(settings)["digest"]
    for key in (part_keys(weed_place)[1], "out/_SUCCESS", "out/_tandem/manifest.json"):
        weed_place.delete(key)
    before = weed_place.etags()
    be(READER, monkeypatch)
    assert_refused(command(*job(weed_place)), 77, "not allowed to write")
    assert weed_place.etags() == before
    be(ADMIN, monkeypatch)
    assert run_job(settings)["digest"] == digest
