"""`tandem retry` of rows that end their process: whatever else happens to the output, the others are run as ever."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from batch.commit import MANIFEST
from batch.retry.retry import retry_job
from batch.run import run_job
from batch.status import read_status
from tests.batch.command import tandem
from tests.batch.hurting_jobs import put_rows
from tests.batch.hurting_models import NOW
from tests.batch.places import Folder, put_table, read_json, read_output
from tests.batch.retry.faulty import OWN, errors_of, put_input, run, without_footer
from tests.batch.told import Told

MODEL = "tests.batch.hurting_models:ChangingModel"
#: Four error rows in two parts; when they are run again, row 5 ends its process.
AT_FIRST, WORSE = (
    {3: "is missing", 5: "raises", 9: "raises", 33: "raises"},
    "5 segfaults,3 is fine,9 is fine,33 is fine",
)
#: A worker is started for each try; on a busy machine that takes seconds.
PATIENCE_S = 240.0


@pytest.fixture
def faulty(folder: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Folder:
    """A finished job with error rows."""
    put_rows(folder, 60, AT_FIRST, files=2)
    job = {"model": MODEL, "input": f"{folder.url}in/", "output": f"{folder.url}out/"}
    assert run_job(job)["errors"] == {"LookupError": 1, "ValueError": 3}
    return folder


def errors_by_id(place: Folder) -> dict[int, tuple[str, int]]:
    """Row -> class and attempts."""
    found = read_output(place).to_pylist()
    return {row["id"]: (row["error"]["class"], row["error"]["attempts"]) for row in found if row["error"]}


def test_a_row_that_another_retry_settles_meanwhile_does_not_shift_the_blame(
    faulty: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Row 3 stands before row 5; with it settled, what was found of the second row to be run again is row 9's."""
    output = f"{faulty.url}out/"

    def another() -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(NOW, "3 is fine")
            assert "LookupError" not in retry_job(output, model=MODEL, classes=["LookupError"])["errors"]

    monkeypatch.setenv(NOW, WORSE)
    told = Told(**{"row isolated": another})
    retry_job(output, model=MODEL, workers=2, progress=told)
    assert told.facts("row isolated")["error"] == "WorkerDied"
    assert {row: kind for row, (kind, _) in errors_by_id(faulty).items()} == {5: "WorkerDied"}


def test_a_retry_whose_process_dies_leaves_the_job_finished_also_with_too_many_error_rows(faulty: Folder) -> None:
    end = tandem(
        "retry", f"{faulty.url}out/", "--model", MODEL, "--max-error-rate", "0.01", within_s=PATIENCE_S,
        **{NOW: WORSE},
    )  # fmt: skip
    assert end.code == 4, end.err
    assert errors_by_id(faulty).keys() == {5}
    assert read_status(f"{faulty.url}out/")["finished"]


def test_where_every_row_ends_its_process_a_retry_stops_and_blames_none(faulty: Folder) -> None:
    """Rows that were answered before are tried too: else each error row in turn would be convicted."""
    end = tandem("retry", f"{faulty.url}out/", "--model", MODEL, within_s=PATIENCE_S, **{NOW: "all segfaults"})
    assert end.code == 75, end.err
    assert "3 rows that were answered before ended a worker each" in end.complaint
    assert {attempts for _, attempts in errors_by_id(faulty).values()} == {1}
    assert read_status(f"{faulty.url}out/")["finished"]


@pytest.mark.parametrize(
    ("now", "code"),
    [("all segfaults", 75), (",".join([*(f"{row} segfaults" for row in (0, 1, 2, 3, 5, 9)), "33 is fine"]), 0)],
)
def test_rows_that_the_filter_leaves_out_are_not_asked_by_a_retry(
    folder: Folder, tmp_path: Path, now: str, code: int
) -> None:
    """They have no answers: nulls among them would pass on any machine, and rows that hurt would end any."""
    put_rows(folder, 60, AT_FIRST, files=2)
    texts = [None if row < 3 and code else f"{row} {AT_FIRST.get(row, 'is fine')}" for row in range(30)]
    put_table(folder, "in/p=0/a.parquet", pa.table({"id": range(30), "text": texts}))
    places = {"input": f"{folder.url}in/", "output": f"{folder.url}out/"}
    assert run_job({"model": MODEL, **places, "where": "id > 2"})["errors"] == {"LookupError": 1, "ValueError": 3}
    end = tandem("retry", f"{folder.url}out/", "--model", MODEL, within_s=PATIENCE_S, **{NOW: now})
    assert end.code == code, end.err
    found = {row: kind for row, (kind, _) in errors_by_id(folder).items()}
    assert set(found) == ({*AT_FIRST} if code else {3, 5, 9})
    assert ("WorkerDied" in found.values()) == (not code)


@pytest.mark.parametrize("how", ["changed", "deleted"])
def test_answered_rows_whose_object_changed_are_not_asked_by_a_retry(folder: Folder, how: str) -> None:
    """Nor does it matter that they changed: it is the rows of another object of the shard that are run again."""
    for name, numbers in (("a", range(30)), ("b", range(30, 60))):
        texts = [f"{row} {'raises' if row in (33, 40) else 'is fine'}" for row in numbers]
        put_table(folder, f"in/{name}.parquet", pa.table({"id": numbers, "text": texts}))
    places = {"input": f"{folder.url}in/", "output": f"{folder.url}out/"}
    assert run_job({"model": MODEL, **places})["errors"] == {"ValueError": 2}
    if how == "changed":
        put_table(folder, "in/a.parquet", pa.table({"id": [0], "text": ["0 is another"]}))
    else:
        folder.delete("in/a.parquet")
    now = "33 segfaults,40 is fine"
    end = tandem("retry", f"{folder.url}out/", "--model", MODEL, within_s=PATIENCE_S, **{NOW: now})
    assert end.code == 0, end.err
    assert {row: kind for row, (kind, _) in errors_by_id(folder).items()} == {33: "WorkerDied"}


def test_a_row_whose_device_fails_again_costs_itself_only(faulty: Folder) -> None:
    now = WORSE.replace("segfaults", "breaks the device")
    end = tandem("retry", f"{faulty.url}out/", "--model", MODEL, within_s=PATIENCE_S, **{NOW: now})
    assert end.code == 0, end.err
    assert {row: kind for row, (kind, _) in errors_by_id(faulty).items()} == {5: "DeviceFailed"}
    assert read_status(f"{faulty.url}out/")["finished"]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_rows_that_end_the_process_when_they_are_run_again_cost_themselves_only(folder: Folder, workers: str) -> None:
    put_input(folder)
    jobs_own = run(folder)["run"]
    before = without_footer(folder, "out/")
    end = tandem("retry", f"{folder.url}out/", *OWN, "--workers", workers, within_s=240, WORSE="yes")
    assert end.code == 0, end.err
    found = errors_of(folder)
    assert sum(found.values()) == 6
    assert found["NullValue", 2] == 2
    assert all(attempts > 1 for _, attempts in found)
    assert "ValueError" not in {kind for kind, _ in found}
    assert read_status(f"{folder.url}out/")["finished"]
    assert read_json(folder, f"out/{MANIFEST}")["run"] == jobs_own
    for key, table in without_footer(folder, "out/").items():
        assert table.drop(["error"]).equals(before[key].drop(["error"]))
