"""A Delta table as input is the files of one of its versions, and what reading them would get wrong is refused."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from batch.errors import InputChanged, InputNotFound, TableRefused, UsageError
from batch.report import Manifest
from batch.run import run_job
from tests.batch.places import WORD_COUNT, Folder, Place, put_table, read_json, read_output, texts
from tests.batch.table.models import CONTRARY
from tests.batch.table.tables import OPTIONS, opened, run


def write(place: Place, table: pa.Table, mode: Any = "append", **options: Any) -> None:
    storage = OPTIONS if place.url.startswith("s3://") else None
    write_deltalake(place.url + "in/", table, mode=mode, storage_options=storage, **options)


def predict(place: Place, *, replace: bool = False, **settings: Any) -> Manifest:
    """A job from the table `in/` to plain output."""
    places = {"model": WORD_COUNT, "input": place.url + "in/", "output": place.url + "out/"}
    return run_job(places | settings, replace=replace)


def ids(place: Place) -> list[int]:
    return sorted(read_output(place)["id"].to_pylist())


def test_removed_files_are_not_read(place: Place) -> None:
    write(place, texts(10))
    write(place, texts(5, first=100), "overwrite")
    write(place, texts(5, first=200))
    assert predict(place)["rows"] == 10
    assert ids(place) == [*range(100, 105), *range(200, 205)]


def test_an_earlier_version_is_read_where_it_is_named(place: Place) -> None:
    write(place, texts(10))
    write(place, texts(5, first=100), "overwrite")
    assert predict(place, input_version=0)["rows"] == 10
    assert ids(place) == [*range(10)]


def test_a_later_version_adds_what_it_added(place: Place) -> None:
    write(place, texts(10))
    predict(place)
    write(place, texts(5, first=10))
    manifest = predict(place)
    assert (manifest["plans"], manifest["run"]["rows"], manifest["rows"]) == (2, 5, 15)
    assert ids(place) == [*range(15)]
    assert predict(place)["run"]["rows"] == 0


def test_a_file_that_a_later_version_removed_is_refused_and_the_version_helps(place: Place) -> None:
    write(place, texts(10))
    predict(place)
    opened(place, "in/").delete("id < 5")
    with pytest.raises(InputChanged, match=r"the Delta table no longer names it \(an earlier --input-version does\)"):
        predict(place)
    assert predict(place, input_version=0)["run"]["rows"] == 0
    assert predict(place, replace=True)["rows"] == 5
    assert ids(place) == [*range(5, 10)]


def test_partitions_of_a_table_are_the_outputs(place: Place) -> None:
    table = texts(12, lang=["en", "a b", "ü%", None] * 3, year=[2024, 2025, 2026] * 4)
    write(place, table, partition_by=["lang", "year"])
    assert predict(place)["rows"] == 12
    folders = {tuple(key.split("/")[1:3]) for key in place.etags("out/lang=")}
    assert len(folders) == 12
    assert ids(place) == [*range(12)]


def test_a_table_of_ours_is_input_like_any_other(place: Place) -> None:
    put_table(place, "in/a.parquet", texts(10))
    for model in (WORD_COUNT, CONTRARY):
        run(place, model)
    manifest = predict(
        place, input=place.url + "out/", output=place.url + "again/", keep=["id"], column={"text": "label"}
    )
    assert manifest["rows"] == 10
    assert sorted(read_output(place, "again/")["id"].to_pylist()) == [*range(10)]


def test_a_table_is_read_behind_its_checkpoint_without_the_entries_before_it(folder: Folder) -> None:
    for first in range(0, 50, 10):
        write(folder, texts(10, first=first))
    opened(folder, "in/").create_checkpoint()
    write(folder, texts(10, first=50))
    for version in range(4):
        folder.delete(f"in/_delta_log/{version:020}.json")
    assert predict(folder)["rows"] == 60
    with pytest.raises(TableRefused, match=r"version 2 .*is gone|no version 2: they are 4 to 5"):
        predict(folder, input_version=2, output=folder.url + "other/")


def act(place: Folder, *actions: dict[str, Any]) -> None:
    """Add a version to the log by hand."""
    version = len([key for key in place.etags("in/_delta_log/") if key.endswith(".json")])
    body = "\n".join(json.dumps(action) for action in actions).encode()
    place.put(f"in/_delta_log/{version:020}.json", body)


def add_action(place: Folder) -> dict[str, Any]:
    lines = place.get(f"in/_delta_log/{0:020}.json").splitlines()
    return next(action["add"] for action in map(json.loads, lines) if "add" in action)


def metadata(place: Folder) -> dict[str, Any]:
    lines = place.get(f"in/_delta_log/{0:020}.json").splitlines()
    return next(action["metaData"] for action in map(json.loads, lines) if "metaData" in action)


def test_deletion_vectors_are_refused(folder: Folder) -> None:
    write(folder, texts(10))
    vector = {"storageType": "u", "pathOrInlineDv": "x", "offset": 1, "sizeInBytes": 36, "cardinality": 2}
    features = {"readerFeatures": ["deletionVectors"], "writerFeatures": ["deletionVectors"]}
    protocol = {"protocol": {"minReaderVersion": 3, "minWriterVersion": 7, **features}}
    act(folder, protocol)
    assert predict(folder)["rows"] == 10
    act(folder, {"add": add_action(folder) | {"deletionVector": vector}})
    with pytest.raises(TableRefused, match=r"are deleted by a deletion vector.*PURGE"):
        predict(folder)


def test_column_mapping_is_refused(folder: Folder) -> None:
    write(folder, texts(10))
    act(folder, {"metaData": metadata(folder) | {"configuration": {"delta.columnMapping.mode": "name"}}})
    with pytest.raises(TableRefused, match=r"columns are mapped to other names"):
        predict(folder)


def test_what_is_newer_than_we_are_is_refused_by_its_name(folder: Folder) -> None:
    write(folder, texts(10))
    features = {"readerFeatures": ["typeWidening"], "writerFeatures": ["typeWidening"]}
    act(folder, {"protocol": {"minReaderVersion": 3, "minWriterVersion": 7, **features}})
    with pytest.raises(TableRefused, match=r"asks readers for typeWidening, which Tandem does not read"):
        predict(folder)


def test_files_that_lie_elsewhere_are_refused(folder: Folder) -> None:
    write(folder, texts(10))
    act(folder, {"add": add_action(folder) | {"path": "s3://elsewhere/x.parquet"}})
    with pytest.raises(TableRefused, match=r"s3://elsewhere/x\.parquet lies elsewhere"):
        predict(folder)


@pytest.mark.parametrize("path", ["../plain/a.parquet", "%2E%2E/plain/a.parquet"])
def test_a_log_does_not_lead_out_of_its_table(folder: Folder, path: str) -> None:
    write(folder, texts(10))
    put_table(folder, "plain/a.parquet", texts(1))
    act(folder, {"add": add_action(folder) | {"path": path}})
    with pytest.raises(UsageError, match=r"'\.\./plain/a\.parquet' leaves the folder"):
        predict(folder)


def test_files_that_do_not_lie_in_the_folders_of_their_partition_are_refused(folder: Folder) -> None:
    write(folder, texts(10, lang=["en"] * 10), partition_by=["lang"])
    act(folder, {"add": add_action(folder) | {"partitionValues": {"lang": "de"}}})
    with pytest.raises(TableRefused, match=r"belongs to the partition \{'lang': 'de'\}, which its folders do not say"):
        predict(folder)


def test_a_file_that_was_vacuumed_is_named(folder: Folder) -> None:
    write(folder, texts(10))
    write(folder, texts(5), "overwrite")
    opened(folder, "in/").vacuum(retention_hours=0, dry_run=False, enforce_retention_duration=False)
    with pytest.raises(InputNotFound, match=r"version 0 of the Delta table names it, and it was removed"):
        predict(folder, input_version=0)


@pytest.mark.parametrize(
    ("settings", "error", "reason"),
    [
        ({"input": "in/*.parquet"}, UsageError, "a glob would read files that were removed"),
        ({"input": ""}, UsageError, r"in/ is a Delta table, of which files that were removed would be read"),
        ({"input": "plain/", "input_version": 1}, UsageError, "--input-version 1: .*plain/ is no Delta table"),
        ({"input": "in/", "input_version": 7}, TableRefused, "no version 7: they are 0 to 0"),
    ],
)
def test_what_is_asked_for_beside_a_table_and_is_none(
    folder: Folder, settings: dict[str, Any], error: type[Exception], reason: str
) -> None:
    write(folder, texts(10))
    put_table(folder, "plain/a.parquet", texts(1))
    with pytest.raises(error, match=reason):
        predict(folder, **settings | {"input": folder.url + settings["input"], "output": folder.url + "else/"})


def test_a_log_that_is_none_is_named(folder: Folder) -> None:
    write(folder, texts(10))
    folder.put(f"in/_delta_log/{1:020}.json", b"no json")
    with pytest.raises(TableRefused, match=r"00001\.json is no entry of a Delta log"):
        predict(folder)


def test_a_table_below_a_folder_is_no_obstacle_where_it_is_the_jobs_own_output(folder: Folder) -> None:
    put_table(folder, "in/a.parquet", texts(10))
    for _ in range(2):
        assert run(folder, output=folder.url + "in/predicted/")["rows"] == 10
    put_table(folder, "in/b.parquet", texts(10, first=10))
    assert run(folder, output=folder.url + "in/predicted/")["rows"] == 20
    assert opened(folder, "in/predicted/").version() == 1
    (plan,) = [key for key in folder.etags("in/predicted/job-") if key.endswith("plan-1.json")]
    assert read_json(folder, plan)["objects"].keys() == {"b.parquet"}
