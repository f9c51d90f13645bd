"""A side as a process: ready, go, end; and what becomes of one that fails."""

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from benchmarks import environments
from benchmarks.cold import run_cold
from benchmarks.data import RowSet
from benchmarks.measure import run_rounds
from benchmarks.peer_process import Entrant, PeerFailed, PeerProcess, first_cores, without_folders

PLAIN = Entrant(name="plain", module="plain_copy", environment="tandem")
OURS = Entrant(
    name="Tandem",
    module="tandem",
    environment="tandem",
    settings={"job": {"model": "benchmarks.null_model:NullModel", "keep": ["id", "text"]}},
)


@pytest.fixture
def rows(tmp_path: Path) -> RowSet:
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"id": list(range(50)), "text": [f"row {i}" for i in range(50)]}), path)
    return RowSet(path=path, rows=50, digest="", about="fifty rows")


def test_both_sides_of_the_null_model_write_the_same_columns_and_answers(rows: RowSet) -> None:
    said: list[str] = []
    plain, ours = run_rounds([PLAIN, OURS], rows, rounds=2, say=said.append)
    assert (plain.failed, ours.failed) == ("", "")
    assert len(plain.seconds) == len(ours.seconds) == 2
    assert plain.reference
    assert ours.agreement == {"rows": 50, "labels": 1.0, "largest": 0.0}
    assert ours.peak_mb > 0
    assert ours.facts[-1]["run"]["rows"] == 50


def test_a_plain_copy_has_the_schema_of_a_part(rows: RowSet, tmp_path: Path) -> None:
    schemas = []
    for number, entrant in enumerate((PLAIN, OURS)):
        with PeerProcess(entrant, scratch=tmp_path) as side:
            side.go(rows.path, tmp_path / f"out-{number}")
        file = next((tmp_path / f"out-{number}").glob("*.parquet"))
        schemas.append({field.name: field.type for field in pq.read_schema(file)})
    assert schemas[0] == schemas[1]


def test_a_side_that_fails_is_named_and_the_others_go_on(rows: RowSet) -> None:
    wrong = Entrant(name="wrong", module="tandem", environment="tandem", settings={"job": {"model": "no-such-model"}})
    failed, plain = run_rounds([wrong, PLAIN], rows, rounds=1, say=lambda what: None)
    assert "no-such-model" in failed.failed
    assert not failed.seconds
    assert len(plain.seconds) == 1


def test_a_side_without_its_environment_says_how_it_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows: RowSet
) -> None:
    monkeypatch.setattr(environments, "ROOT", tmp_path)
    entrant = Entrant(name="peer", module="sentence_encode", environment="peers")
    (taken,) = run_rounds([entrant], rows, rounds=1, say=lambda what: None)
    assert taken.failed == ".venv-bench is not made yet: python -m benchmarks.environments"


def test_a_missing_file_says_what_makes_it(tmp_path: Path) -> None:
    entrant = Entrant(name="loop", module="plain_copy", environment="tandem", needs=(tmp_path / "x.xml", "make it so"))
    with pytest.raises(PeerFailed, match=r"there is no x\.xml \(make it so\)"):
        PeerProcess(entrant, scratch=tmp_path)


def test_a_reason_names_no_folder_of_the_machine() -> None:
    assert without_folders("no file at /somebody/home/models/model.onnx, sorry") == "no file at model.onnx, sorry"


def test_a_cold_process_is_timed_to_its_first_file_and_its_failure_is_said(tmp_path: Path) -> None:
    target = tmp_path / "there"
    script = f"import time; open({str(target)!r}, 'w').close(); time.sleep(0.3)"
    cold = run_cold([str(environments.python_of("tandem")), "-c", script], target.is_file)
    assert 0 < cold.first_s < cold.seconds
    assert cold.peak_mb > 0
    with pytest.raises(PeerFailed, match="no good"):
        run_cold([str(environments.python_of("tandem")), "-c", "raise SystemExit('no good')"], target.is_file)


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_a_side_of_one_core_is_given_one_and_the_others_all(tmp_path: Path) -> None:
    here = os.sched_getaffinity(0)
    for cores, given in ((1, {min(here)}), (None, here)):
        entrant = Entrant(name="plain", module="plain_copy", environment="tandem", cores=cores)
        with PeerProcess(entrant, scratch=tmp_path) as side:
            assert os.sched_getaffinity(side.process.pid) == given
    with pytest.raises(RuntimeError), first_cores(1):
        raise RuntimeError
    assert os.sched_getaffinity(0) == here
