"""A command whose processes were ended by rows accounts for all of them: rows, seconds, error rows, and their cost."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from tests.batch.command import Ended, tandem
from tests.batch.hurting_models import CALLS
from tests.batch.places import Folder, part_keys, put_table, read_json

MODEL = "tests.batch.hurting_models:HurtingModel"
ROWS = 40


@pytest.fixture(autouse=True)
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(CALLS, str(tmp_path / "calls"))
    return tmp_path / "calls"


def put_shards(folder: Folder, *hurting: dict[int, str]) -> None:
    """A shard of ROWS rows for each, which go in this order."""
    for shard, deeds in enumerate(hurting):
        texts = [f"{shard * ROWS + row} {deeds.get(row, 'is fine')}" for row in range(ROWS)]
        put_table(folder, f"in/p={shard}/a.parquet", pa.table({"text": texts}))


def run(folder: Folder, *more: str) -> Ended:
    places = ("--input", folder.url + "in/", "--output", folder.url + "out/")
    return tandem("run", "--model", MODEL, *places, "--stall-s", "3", "--shard-mb", "0.0001", *more, within_s=300)


def test_the_account_is_of_the_whole_command_and_names_what_isolating_took(folder: Folder) -> None:
    put_shards(folder, {}, {3: "raises"}, {5: "segfaults"}, {})
    end = run(folder, "--profile")
    assert end.code == 0, end.err
    manifest = read_json(folder, "out/_tandem/manifest.json")
    found = manifest["run"]
    assert found["rows"] == 4 * ROWS, "those of the process that died are among them"
    assert found["micro_batches"] == manifest["work"]["micro_batches"]
    isolate_s = found["spent_s"]["isolate"]
    assert isolate_s > 0.2, "processes were started"
    assert found["start_s"] + isolate_s <= found["seconds"]
    assert found["bottleneck"] == ("isolate" if isolate_s > found["start_s"] else "start")
    assert manifest["work"]["spent_s"]["isolate"] == pytest.approx(isolate_s, abs=0.01)
    assert "  isolate" in end.out
    times = sorted((part["began"], part["ended"]) for part in manifest["parts"])
    assert times[0][0] >= found["started"][:19]


def test_a_bound_of_error_rows_counts_those_of_a_process_that_died(folder: Folder) -> None:
    put_shards(folder, {1: "raises"}, {2: "raises"}, {3: "segfaults"}, {}, {})
    end = run(folder, "--max-errors", "2")
    assert end.code == 4, end.err
    assert "3 of 120 rows are error rows, more than --max-errors 2 allows" in end.complaint
    assert len(part_keys(folder)) == 3, "no further shard was run"


@pytest.mark.parametrize("bound", [("--max-errors", "1"), ("--max-error-rate", "0.02")])
def test_a_bound_of_error_rows_counts_those_of_runs_before(folder: Folder, bound: tuple[str, str]) -> None:
    put_shards(folder, {1: "raises"}, {2: "raises"}, {3: "raises"}, {}, {}, {}, {}, {})
    first = run(folder, *bound)
    assert first.code == 4, first.err
    parts = part_keys(folder)
    assert len(parts) == {"--max-errors": 2, "--max-error-rate": 3}[bound[0]]
    second = run(folder, *bound)
    assert second.code == 4, second.err
    assert second.complaint.split(" are error rows")[0] == first.complaint.split(" are error rows")[0]
    assert part_keys(folder) == parts, "not one shard more was run"
    assert run(folder, bound[0], {"--max-errors": "3", "--max-error-rate": "0.1"}[bound[0]]).code == 0
