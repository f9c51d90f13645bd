"""`tandem retry` of rows that end their process: whatever else happens to the output, the others are run as ever."""

from __future__ import annotations

from pathlib import Path

import pytest

from batch.retry.retry import retry_job
from batch.run import run_job
from tests.batch.hurting_models import NOW
from tests.batch.places import Folder, read_output
from tests.batch.test_isolation import put_rows
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


def errors_of(place: Folder) -> dict[int, tuple[str, int]]:
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
    assert {row: kind for row, (kind, _) in errors_of(faulty).items()} == {5: "WorkerDied"}
