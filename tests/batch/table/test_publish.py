"""Readers of a table see all of a finished job or nothing, and every move of theirs is one version of its log."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import duckdb
import pandas as pd
import pyarrow as pa
import pytest
from deltalake.exceptions import TableNotFoundError

from batch.errors import StoreUnavailable, TableRefused, TooManyErrors, UsageError
from batch.run import run_job
from batch.status import read_head, read_status
from tests.batch.command import Command, assert_refused, job, started
from tests.batch.places import WORD_COUNT, Bucket, Folder, Place, part_keys, put_table, read_json, texts
from tests.batch.table.models import CONTRARY, MENDABLE, VECTORS
from tests.batch.table.tables import entries, opened, reading, rows, run
from tests.fault_proxy import FaultProxy, Rule


@pytest.fixture
def two(place: Place) -> Place:
    """Input of two objects, one row group of which makes a shard."""
    put_table(place, "in/a.parquet", texts(30), row_group_size=10)
    put_table(place, "in/b.parquet", texts(20, first=30), row_group_size=10)
    return place


@pytest.fixture
def local(folder: Folder) -> Folder:
    put_table(folder, "in/a.parquet", texts(30), row_group_size=10)
    return folder


SMALL = {"shard_mb": 0.0001}


def test_a_finished_job_is_a_table_that_every_reader_reads(two: Place) -> None:
    manifest = run(two, **SMALL)
    assert manifest["shards"] == 5
    plain = run_job({"model": WORD_COUNT, "input": two.url + "in/", "output": two.url + "plain/"})
    assert plain["rows"] == 50
    found = rows(two)
    assert found["id"].to_pylist() == [*range(50)]
    assert set(found["label"].to_pylist()) == {"few", "many"}
    table = opened(two)
    assert table.version() == 0
    frame = table.to_pandas()
    assert isinstance(frame, pd.DataFrame)
    assert len(frame) == 50
    dataset = table.to_pyarrow_dataset()
    counted = duckdb.sql("select label, count(*) from dataset where id < 40 group by label order by label").fetchall()
    labels = found.slice(0, 40)["label"].to_pylist()
    assert counted == [("few", labels.count("few")), ("many", labels.count("many"))]
    assert dataset.count_rows() == 50


def test_of_a_job_that_is_not_done_readers_see_nothing(two: Place) -> None:
    put_table(two, "in/c.parquet", pa.table({"id": [50], "text": pa.array([None], pa.string())}))
    with pytest.raises(TooManyErrors):
        run(two, **SMALL, max_error_rate=0.0)
    assert len(part_keys(two)) == 6
    with pytest.raises(TableNotFoundError):
        opened(two)
    run(two, **SMALL)
    assert rows(two).num_rows == 51


def test_another_model_is_a_new_version_made_by_one_commit(two: Place) -> None:
    run(two, **SMALL)
    old = {key: etag for key, etag in two.etags("out/").items() if key in part_keys(two)}
    run(two, CONTRARY, **SMALL)
    assert opened(two).version() == 1
    before, now = rows(two, version=0), rows(two)
    assert now["id"].to_pylist() == before["id"].to_pylist() == [*range(50)]
    assert all(a != b for a, b in zip(before["label"].to_pylist(), now["label"].to_pylist(), strict=True))
    kinds = [next(iter(action)) for action in entries(two)[1]]
    assert (kinds.count("remove"), kinds.count("add"), kinds.count("txn")) == (5, 5, 1)
    assert {key: etag for key, etag in two.etags("out/").items() if key in old} == old
    assert len({key.split("/")[1] for key in part_keys(two)}) == 2


def test_a_model_with_other_columns_brings_them_with_its_rows(two: Place) -> None:
    run(two)
    run(two, VECTORS)
    assert "label" in rows(two, version=0).column_names
    now = rows(two)
    assert "label" not in now.column_names
    assert len(now["embedding"][0]) == 256


def test_a_reader_in_a_loop_never_sees_a_mixture(two: Place, command: Command) -> None:
    run(two, **SMALL)
    seen: list[pa.Table] = []
    with reading(two, seen):
        run(two, CONTRARY, **SMALL)
        moves = 0
        while moves < 6 or (len(seen) < 4 and moves < 60):  # the reader's turns come when the machine has time for them
            assert command("rollback", two.url + "out/", "--version", str(moves % 2)).code == 0
            moves += 1
    answers = [rows(two, version=version).select(["id", "label"]) for version in (0, 1)]
    assert len(seen) >= 4
    assert [table for table in seen if table not in answers] == []
    assert opened(two).version() == 1 + moves


@pytest.mark.parametrize("fault", ["lose_answer", "error_after"])
def test_a_commit_that_was_applied_though_its_answer_was_lost_is_one_version(
    s3_place: Bucket, proxy: FaultProxy, fault: str
) -> None:
    put_table(s3_place, "in/a.parquet", texts(10))
    rule = proxy.add(Rule(fault=fault, method="PUT", path="_delta_log/"))  # type: ignore[arg-type]
    run(s3_place, endpoint_url=proxy.url)
    assert rule.matched >= 2
    assert len(entries(s3_place)) == 1
    assert run(s3_place)["run"]["rows"] == 0
    assert len(entries(s3_place)) == 1


@pytest.mark.parametrize("held", ["hold", "hold_answer"])
def test_killed_in_the_middle_of_the_commit_the_same_command_makes_the_one_version(
    s3_place: Bucket, proxy: FaultProxy, held: str
) -> None:
    put_table(s3_place, "in/a.parquet", texts(10))
    rule = proxy.add(Rule(fault=held, method="PUT", path="_delta_log/"))  # type: ignore[arg-type]
    with started(*job(s3_place, "--table", "delta", "--endpoint-url", proxy.url)) as process:
        rule.wait_until_held()
        process.kill()
    rule.release(forward=False)
    assert read_status(s3_place.url + "out/")["finished"]
    assert len(entries(s3_place)) == (0 if held == "hold" else 1)
    for _ in range(2):
        assert run(s3_place)["run"]["rows"] == 0
    assert len(entries(s3_place)) == 1
    assert rows(s3_place).num_rows == 10


def test_where_the_log_cannot_be_written_the_job_says_to_come_again(
    s3_place: Bucket, proxy: FaultProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_table(s3_place, "in/a.parquet", texts(10))
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    proxy.add(Rule(fault="error", method="PUT", path="_delta_log/", times=None))
    with pytest.raises(StoreUnavailable, match=r"_delta_log/.*run the same command again"):
        run(s3_place, endpoint_url=proxy.url)


def test_of_several_that_finish_at_once_one_commits(two: Place) -> None:
    run(two, promote=False)
    with ThreadPoolExecutor(4) as pool:
        assert [done["rows"] for done in pool.map(lambda _: run(two), range(4))] == [50] * 4
    assert len(entries(two)) == 1


def test_two_models_that_finish_at_once_make_two_versions_of_whole_jobs(two: Place) -> None:
    for model in (WORD_COUNT, CONTRARY):
        run(two, model, promote=False, **SMALL)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda model: run(two, model, **SMALL), (WORD_COUNT, CONTRARY)))
    assert opened(two).version() == 1
    one, other = (rows(two, version=version) for version in (0, 1))
    assert one["id"].to_pylist() == other["id"].to_pylist() == [*range(50)]
    assert all(a != b for a, b in zip(one["label"].to_pylist(), other["label"].to_pylist(), strict=True))


def test_a_job_that_is_done_moves_readers_once_and_grown_input_moves_them_again(two: Place, command: Command) -> None:
    run(two, **SMALL)
    run(two, CONTRARY, **SMALL)
    assert command("rollback", two.url + "out/").out == "version 2: the files of version 0\n"
    run(two, CONTRARY, **SMALL)
    assert opened(two).version() == 2
    put_table(two, "in/c.parquet", texts(5, first=50))
    run(two, CONTRARY, **SMALL)
    assert opened(two).version() == 3
    assert rows(two)["id"].to_pylist() == [*range(55)]
    kinds = [next(iter(action)) for action in entries(two)[3]]
    assert (kinds.count("remove"), kinds.count("add")) == (5, 6)
    put_table(two, "in/d.parquet", texts(5, first=55))
    run(two, CONTRARY, **SMALL)
    kinds = [next(iter(action)) for action in entries(two)[4]]
    assert (kinds.count("remove"), kinds.count("add")) == (0, 1)


def test_while_added_input_is_not_done_readers_see_what_they_saw(two: Place, command: Command) -> None:
    run(two, **SMALL)
    put_table(two, "in/c.parquet", pa.table({"id": [50], "text": pa.array([None], pa.string())}))
    with pytest.raises(TooManyErrors):
        run(two, **SMALL, max_error_rate=0.0)
    assert len(part_keys(two)) == 6
    assert_refused(command("promote", two.url + "out/"), 2, "is not finished")
    assert rows(two)["id"].to_pylist() == [*range(50)]
    assert len(entries(two)) == 1


def test_a_job_that_is_held_back_waits_for_promote(two: Place, command: Command) -> None:
    run(two, promote=False)
    with pytest.raises(TableNotFoundError):
        opened(two)
    end = command("promote", two.url + "out/")
    assert (end.code, end.err) == (0, "")
    assert end.out.startswith("version 0: ")
    assert rows(two).num_rows == 50
    assert command("promote", two.url + "out/").out.rstrip().endswith(", as before")
    run(two, CONTRARY, promote=False)
    assert opened(two).version() == 0
    assert command("promote", two.url + "out/").out.startswith("version 1: ")
    run(two, VECTORS, promote=False)
    end = command("promote", two.url + "out/")
    assert_refused(end, 2, "it has several jobs that readers do not see", "--fingerprint")
    folders = {key.split("/")[1] for key in part_keys(two)}
    (vectors,) = [one for one in folders if "vectors" in read_json(two, f"out/{one}/_tandem/job.json")["model"]["tag"]]
    end = command("promote", two.url + "out/", "--fingerprint", vectors.removeprefix("job-"))
    assert end.out == f"version 2: {two.url}out/{vectors}/\n"
    assert "embedding" in rows(two).column_names


def test_rollback_goes_one_version_further_back_each_time(local: Place, command: Command) -> None:
    for model in (WORD_COUNT, CONTRARY, VECTORS):
        run(local, model)
    assert "embedding" in rows(local).column_names
    assert command("rollback", local.url + "out/").out == "version 3: the files of version 1\n"
    assert rows(local) == rows(local, version=1)
    assert command("rollback", local.url + "out/").out == "version 4: the files of version 0\n"
    assert_refused(command("rollback", local.url + "out/"), 2, "readers see version 0", "none before it")
    assert_refused(command("rollback", local.url + "out/", "--version", "9"), 2, "no version 9", "0 to 4")
    assert command("rollback", local.url + "out/", "--version", "2").code == 0
    assert rows(local) == rows(local, version=2)


def test_rollback_counts_the_versions_that_moved_readers(local: Place, command: Command) -> None:
    """Another program's entry that moves nobody is no version that readers were at, also behind a checkpoint."""
    run(local)
    run(local, CONTRARY)
    set_property(local)
    assert command("rollback", local.url + "out/").out == "version 3: the files of version 0\n"
    set_property(local)
    opened(local).create_checkpoint()
    assert_refused(command("rollback", local.url + "out/"), 2, "readers see version 0", "none before it")
    assert rows(local) == rows(local, version=0)


def set_property(place: Place) -> None:
    opened(place).alter.set_table_properties({"delta.deletedFileRetentionDuration": "interval 60 days"})


def test_a_version_whose_files_were_removed_is_not_taken_up_again(local: Place, command: Command) -> None:
    run(local)
    old = part_keys(local)
    run(local, CONTRARY)
    local.delete(old[0])
    end = command("rollback", local.url + "out/")
    assert_refused(end, 2, "version 0 cannot be had back", old[0].removeprefix("out/"), "VACUUM")
    assert opened(local).version() == 1


def test_vacuum_removes_what_no_version_needs_and_no_account_of_a_job(local: Place) -> None:
    run(local)
    run(local, CONTRARY)
    table = opened(local)
    removed = table.vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False)
    assert len(removed) == 1
    assert run(local, CONTRARY)["run"]["rows"] == 0
    assert rows(local).num_rows == 30


def test_what_promote_and_rollback_are_asked_for_where_there_is_nothing(local: Place, command: Command) -> None:
    assert_refused(command("rollback", local.url + "out/"), 2, "nothing was promoted there yet")
    assert_refused(command("promote", local.url + "out/"), 2, "it has no job", "there are: none")
    put_table(local, "in/b.parquet", pa.table({"id": [50], "text": pa.array([None], pa.string())}))
    with pytest.raises(TooManyErrors):
        run(local, max_error_rate=0.0)
    assert_refused(command("promote", local.url + "out/"), 2, "is not finished", "tandem status")


def test_plain_output_and_tables_do_not_mix(local: Folder) -> None:
    run(local)
    plain = {"model": WORD_COUNT, "input": local.url + "in/", "output": local.url + "out/"}
    with pytest.raises(UsageError, match=r"is a Delta table, .*Add --table delta"):
        run_job(plain)
    run_job(plain | {"output": local.url + "plain/"})
    with pytest.raises(UsageError, match=r"--table delta: .*plain/ holds a job's plain output"):
        run(local, output=local.url + "plain/")


def test_another_programs_table_is_not_replaced(local: Folder) -> None:
    from deltalake import write_deltalake

    write_deltalake(local.url + "out/", pa.table({"x": [1, 2, 3]}))
    with pytest.raises(TableRefused, match="made by another program"):
        run(local)
    assert opened(local).version() == 0


def test_a_table_that_asks_writers_for_more_is_left_as_it_is(local: Folder) -> None:
    run(local)
    opened(local).alter.set_table_properties({"delta.enableChangeDataFeed": "true"})
    with pytest.raises(TableRefused, match=r"asks writers for .*, which Tandem does not write"):
        run(local, CONTRARY)
    assert set(rows(local)["id"].to_pylist()) == {*range(30)}


def test_status_and_head_of_a_table_are_of_the_job_that_readers_see(local: Place, command: Command) -> None:
    run(local)
    run(local, CONTRARY)
    out = local.url + "out/"
    assert read_status(out)["fingerprint"][:8] == opened(local).file_uris()[0].split("/job-")[1][:8]
    label = read_head(out, 1)["label"][0].as_py()
    assert command("rollback", out).code == 0
    assert read_head(out, 1)["label"][0].as_py() != label
    folders = sorted({key.split("/")[1] for key in part_keys(local)})
    assert all(read_status(f"{out}{folder}/")["finished"] for folder in folders)


def test_status_of_a_table_of_several_jobs_and_no_version_names_them(local: Place, command: Command) -> None:
    run(local, promote=False)
    assert read_status(local.url + "out/")["finished"]
    run(local, CONTRARY, promote=False)
    assert_refused(command("status", local.url + "out/"), 2, "readers see none of them yet", "job-")


def test_a_run_and_status_say_what_readers_see(local: Place, command: Command) -> None:
    words = job(local, "--table", "delta")
    end = command(*words)
    first = part_keys(local)[0].split("/")[1]
    assert end.out.endswith(f"table     readers see version 0, {first}\n")
    end = command(*job(local, "--table", "delta", "--no-promote", model=CONTRARY))
    (other,) = {key.split("/")[1] for key in part_keys(local)} - {first}
    besides = f"besides: {other}; tandem status {local.url}out/{other}/, tandem promote\n"
    assert end.out.endswith(f"table     readers see version 0, {first}\n          {besides}")
    assert command("status", local.url + "out/").out.endswith(besides)
    assert "table" not in command("status", f"{local.url}out/{other}/").out


def test_replace_begins_a_job_anew_beside_what_readers_of_before_still_see(two: Place) -> None:
    run(two)
    old = part_keys(two)
    put_table(two, "in/b.parquet", texts(7, first=100))
    manifest = run(two, replace=True)
    assert (manifest["rows"], manifest["run"]["rows"]) == (37, 37)
    assert rows(two, version=0)["id"].to_pylist() == [*range(50)]
    assert rows(two)["id"].to_pylist() == [*range(30), *range(100, 107)]
    assert set(old) < set(part_keys(two))
    assert run(two)["run"]["rows"] == 0
    assert {key.split("/")[1] for key in set(part_keys(two)) - set(old)} == {old[0].split("/")[1] + "-2"}


def test_a_job_finds_its_folder_again_whatever_was_run_meanwhile(two: Place) -> None:
    for model in (WORD_COUNT, CONTRARY, WORD_COUNT, CONTRARY):
        run(two, model)
    assert opened(two).version() == 1
    assert len({key.split("/")[1] for key in part_keys(two)}) == 2
    assert len([key for key in two.etags("out/_tandem/") if "asked-" in key]) == 2
    assert read_json(two, sorted(two.etags("out/_tandem/asked-"))[0])["folder"].startswith("job-")


def test_an_error_row_is_a_row_of_the_table(local: Place) -> None:
    run(local, MENDABLE)
    found = rows(local)
    bad = [row["id"] for row in found.to_pylist() if row["error"] is not None]
    assert bad == [row for row in range(30) if row % 7 == 6]
    assert found.num_rows == 30
