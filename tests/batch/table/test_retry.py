"""`tandem retry` of a table: parts are never written again; the answers come beside them, and readers move at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from batch.errors import StoreUnavailable
from batch.retry.retry import retry_job
from tests.batch.command import Command
from tests.batch.places import Bucket, Place, part_keys, put_table, texts
from tests.batch.table.models import CONTRARY, MENDABLE
from tests.batch.table.tables import entries, opened, rows, run
from tests.fault_proxy import FaultProxy, Rule

SMALL = {"shard_mb": 0.0001}


@pytest.fixture
def faulty(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    """A table of three parts with error rows in two, and a model that is mended since."""
    put_table(place, "in/a.parquet", texts(5), row_group_size=5)
    put_table(place, "in/b.parquet", texts(20, first=5), row_group_size=10)
    run(place, MENDABLE, **SMALL)
    assert error_ids(place) == [6, 13, 20]
    monkeypatch.setenv("MENDED", str(tmp_path))
    return place


def error_ids(place: Place, version: int | None = None) -> list[int]:
    return [row["id"] for row in rows(place, version=version).to_pylist() if row["error"] is not None]


def test_a_retry_adds_files_and_moves_readers_by_one_commit(faulty: Place) -> None:
    old = {key: faulty.etags("out/")[key] for key in part_keys(faulty)}
    manifest = retry_job(faulty.url + "out/", model=MENDABLE)
    assert (manifest["rows"], manifest["error_rows"]) == (25, 0)
    assert {key: etag for key, etag in faulty.etags("out/").items() if key in old} == old
    assert len(part_keys(faulty)) == 5
    kinds = [next(iter(action)) for action in entries(faulty)[1]]
    assert (kinds.count("remove"), kinds.count("add"), len(entries(faulty))) == (2, 2, 2)
    assert error_ids(faulty) == []
    assert error_ids(faulty, version=0) == [6, 13, 20]
    before, now = rows(faulty, version=0), rows(faulty)
    good = [row for row in before.to_pylist() if row["error"] is None]
    assert [row for row in now.to_pylist() if row["id"] not in (6, 13, 20)] == good


def test_after_a_retry_the_job_is_done_and_grows_as_before(faulty: Place) -> None:
    retry_job(faulty.url + "out/", model=MENDABLE)
    assert run(faulty, MENDABLE, **SMALL)["run"]["rows"] == 0
    assert opened(faulty).version() == 1
    put_table(faulty, "in/c.parquet", texts(5, first=25))
    assert run(faulty, MENDABLE, **SMALL)["rows"] == 30
    assert rows(faulty)["id"].to_pylist() == [*range(30)]
    assert error_ids(faulty) == []
    kinds = [next(iter(action)) for action in entries(faulty)[2]]
    assert (kinds.count("remove"), kinds.count("add")) == (0, 1)


def test_rows_that_fail_again_are_counted_up_in_a_file_of_their_own(
    faulty: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MENDED", "")
    for attempts in (2, 3):
        retry_job(faulty.url + "out/", model=MENDABLE)
        found = [row["error"]["attempts"] for row in rows(faulty).to_pylist() if row["error"] is not None]
        assert found == [attempts] * 3
    assert opened(faulty).version() == 2


def test_two_retries_at_once_make_one_table(faulty: Place) -> None:
    with ThreadPoolExecutor(2) as pool:
        retries = [pool.submit(retry_job, faulty.url + "out/", model=MENDABLE) for _ in range(2)]
        for one in retries:
            one.result(timeout=60)
    assert error_ids(faulty) == []
    assert rows(faulty)["id"].to_pylist() == [*range(25)]
    removed = [action["remove"]["path"] for entry in entries(faulty) for action in entry if "remove" in action]
    assert len(removed) == len(set(removed))


def test_the_retry_of_a_job_that_readers_do_not_see_moves_nobody(faulty: Place) -> None:
    folder = part_keys(faulty)[0].split("/")[1]
    run(faulty, CONTRARY, **SMALL)
    retry_job(f"{faulty.url}out/{folder}/", model=MENDABLE)
    assert opened(faulty).version() == 1
    assert len(part_keys(faulty)) == 8


def folder_of(place: Place, *others: str) -> str:
    """The one folder of a job that is none of these."""
    (folder,) = {key.split("/")[1] for key in part_keys(place)} - set(others)
    return folder


def test_neither_a_retry_nor_the_run_after_it_brings_a_job_back_that_readers_were_moved_from(
    faulty: Place, command: Command
) -> None:
    mine = folder_of(faulty)
    run(faulty, CONTRARY, **SMALL)
    theirs = folder_of(faulty, mine)
    assert command("rollback", faulty.url + "out/").code == 0
    assert command("rollback", faulty.url + "out/", "--version", "1").code == 0
    for _ in range(2):
        retry_job(f"{faulty.url}out/{mine}/", model=MENDABLE)
        assert run(faulty, MENDABLE, **SMALL)["error_rows"] == 0
    assert opened(faulty).version() == 3
    assert all(f"/{theirs}/" in uri for uri in opened(faulty).file_uris())


@pytest.mark.parametrize("seen", [True, False])
def test_a_retry_with_nothing_to_do_leaves_readers_where_they_were_rolled_back_to(
    faulty: Place, command: Command, seen: bool
) -> None:
    """Whether they saw the parts of the retry before it, or those were put while another job was to be seen."""
    mine = folder_of(faulty)
    if not seen:
        run(faulty, CONTRARY, **SMALL)
    retry_job(f"{faulty.url}out/{mine}/", model=MENDABLE)
    assert command("rollback", faulty.url + "out/", "--version", "0").code == 0
    retry_job(faulty.url + "out/", model=MENDABLE)
    run(faulty, MENDABLE, **SMALL)
    assert opened(faulty).version() == 2
    assert error_ids(faulty) == [6, 13, 20]
    assert command("promote", faulty.url + "out/", "--fingerprint", mine.removeprefix("job-")).code == 0
    assert error_ids(faulty) == []


def test_after_a_rollback_within_a_job_a_retry_that_changes_parts_shows_them(
    faulty: Place, command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MENDED", "")
    retry_job(faulty.url + "out/", model=MENDABLE)
    assert command("rollback", faulty.url + "out/").code == 0
    monkeypatch.setenv("MENDED", str(tmp_path))
    retry_job(faulty.url + "out/", model=MENDABLE)
    assert (opened(faulty).version(), error_ids(faulty)) == (3, [])


@pytest.mark.parametrize("how", ["held back", "rolled back"])
def test_rows_that_readers_do_not_see_are_not_shown_by_a_retry(faulty: Place, command: Command, how: str) -> None:
    put_table(faulty, "in/c.parquet", texts(5, first=25))
    run(faulty, MENDABLE, **SMALL, promote=how != "held back")
    if how == "rolled back":
        assert command("rollback", faulty.url + "out/").code == 0
    assert retry_job(faulty.url + "out/", model=MENDABLE)["rows"] == 30
    assert rows(faulty)["id"].to_pylist() == [*range(25)]
    assert error_ids(faulty) == []
    assert command("promote", faulty.url + "out/", "--fingerprint", folder_of(faulty).removeprefix("job-")).code == 0
    assert rows(faulty)["id"].to_pylist() == [*range(30)]


def test_rows_that_another_program_deleted_do_not_come_back_with_a_retry(faulty: Place) -> None:
    opened(faulty).delete("id < 10")
    retry_job(faulty.url + "out/", model=MENDABLE)
    assert rows(faulty)["id"].to_pylist() == [*range(10, 25)]


def test_parts_of_a_retry_that_the_input_leads_to_are_no_input(faulty: Place) -> None:
    """As a link or an access point may lead to them by another path than the output's own."""
    retry_job(faulty.url + "out/", model=MENDABLE)
    for key in part_keys(faulty):
        faulty.put(f"in/linked/{key.rpartition('/')[2]}", faulty.get(key))
    again = run(faulty, MENDABLE, **SMALL)
    assert (again["plans"], again["rows"], again["run"]["rows"]) == (1, 25, 0)


def test_killed_before_the_log_the_same_command_moves_readers(
    s3_place: Bucket, proxy: FaultProxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_table(s3_place, "in/a.parquet", texts(10))
    run(s3_place, MENDABLE)
    monkeypatch.setenv("MENDED", str(tmp_path))
    with monkeypatch.context() as once:
        once.setenv("AWS_MAX_ATTEMPTS", "1")
        proxy.add(Rule(fault="error", method="PUT", path="_delta_log/", times=None))
        with pytest.raises(StoreUnavailable):
            retry_job(s3_place.url + "out/", model=MENDABLE, endpoint_url=proxy.url)
    assert error_ids(s3_place) == [6]
    retry_job(s3_place.url + "out/", model=MENDABLE)
    assert error_ids(s3_place) == []
    assert len(entries(s3_place)) == 2


def test_a_rollback_stays_after_another_programs_entry_that_moves_nobody(faulty: Place, command: Command) -> None:
    retry_job(faulty.url + "out/", model=MENDABLE)
    assert command("rollback", faulty.url + "out/").code == 0
    opened(faulty).alter.set_table_properties({"delta.deletedFileRetentionDuration": "interval 60 days"})
    for _ in range(2):
        assert run(faulty, MENDABLE, **SMALL)["run"]["rows"] == 0
        assert opened(faulty).version() == 3
    opened(faulty).create_checkpoint()
    run(faulty, MENDABLE, **SMALL)
    assert error_ids(faulty) == [6, 13, 20]
