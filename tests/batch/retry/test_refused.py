"""`tandem retry` where model, input, store or record are not as they were: one line, and nothing is touched."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pytest

from batch.errors import ConditionIgnored, FingerprintMismatch, UsageError
from batch.run import run_job
from batch.status import read_status
from tests.batch.command import Command, assert_refused
from tests.batch.places import Bucket, Folder, Place, put_table, read_json, read_output
from tests.batch.retry.faulty import OWN, errors_of, put_input, retry, run
from tests.fault_proxy import FaultProxy, Rule


@pytest.mark.parametrize("how", ["changed", "deleted"])
def test_input_that_changed_is_refused_by_name_and_the_output_stays_finished(
    place: Place, command: Command, how: str
) -> None:
    put_input(place)
    run(place)
    before = read_output(place)
    if how == "changed":
        put_table(place, "in/p=0/a.parquet", pa.table({"id": [1], "text": ["another"], "truth": ["few"]}))
    else:
        place.delete("in/p=0/a.parquet")
    assert_refused(command("retry", f"{place.url}out/", *OWN), 3, "in/p=0/a.parquet changed after it was planned")
    assert read_status(f"{place.url}out/")["finished"]
    assert read_output(place).drop(["error"]).equals(before.drop(["error"]))


def test_input_that_changed_where_no_row_failed_does_not_matter(finished: Place, mended: None) -> None:
    finished.delete("in/p=2/a.parquet")
    assert retry(finished)["errors"] == {"NullValue": 2}


def test_another_model_is_refused(folder: Folder, vowels: Path) -> None:
    put_input(folder)
    run(folder)
    with pytest.raises(FingerprintMismatch, match="model: "):
        retry(folder, str(vowels))


def test_a_model_named_by_a_relative_folder_is_found_from_elsewhere(
    folder: Folder, vowels: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_table(folder, "in/a.parquet", pa.table({"steps": pa.array([[[0.0] * 12] * 7, None])}))
    monkeypatch.chdir(vowels.parent)
    job = {"model": f"./{vowels.name}", "input": f"{folder.url}in/", "output": f"{folder.url}out/"}
    assert run_job(job)["error_rows"] == 1
    monkeypatch.chdir(tmp_path)
    assert retry(folder, None)["error_rows"] == 1
    assert errors_of(folder) == {("NullValue", 2): 1}


def test_a_store_that_ignores_if_match_is_found_before_anything_is_touched(
    finished_s3: Bucket, proxy: FaultProxy
) -> None:
    proxy.add(Rule(fault="strip", method="PUT", header="If-Match", times=None))
    before = finished_s3.etags("out/p=")
    with pytest.raises(ConditionIgnored, match="does not honour If-Match"):
        retry(finished_s3, endpoint_url=proxy.url)
    assert finished_s3.etags("out/p=") == before
    assert read_status(f"{finished_s3.url}out/")["finished"]


def test_an_output_of_a_version_without_these_notes_is_refused(folder: Folder) -> None:
    put_input(folder)
    run(folder)
    record = read_json(folder, "out/_tandem/job.json")
    del record["begun"]
    folder.put("out/_tandem/job.json", json.dumps(record).encode())
    with pytest.raises(UsageError, match="did not note where its model and input are"):
        retry(folder)


def test_a_class_is_not_imported_because_an_output_names_it(
    folder: Folder, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_input(folder)
    run(folder)
    (tmp_path / "theirs.py").write_text("raise AssertionError('their code runs here')")
    monkeypatch.syspath_prepend(tmp_path)
    record = read_json(folder, "out/_tandem/job.json")
    record["begun"]["model"] = "theirs:Model"
    folder.put("out/_tandem/job.json", json.dumps(record).encode())
    assert_refused(command("retry", f"{folder.url}out/"), 2, "is the class 'theirs:Model'", "name it with --model")


def test_a_class_that_no_error_row_is_of_is_told_with_those_that_there_are(
    finished: Place, command: Command, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="tandem")
    assert command("retry", f"{finished.url}out/", "--class", "Nope", *OWN).code == 0
    assert "asked=Nope there=ValueError (4 rows), NullValue (2 rows)" in caplog.text
    assert "nothing to retry" in caplog.text
