"""What lies below an input and is none: hidden names, and other jobs' parts. It is left out, and said."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from batch.errors import InputNotFound
from batch.run import run_job
from batch.stores.local_store import LocalStore
from batch.stores.storage import Listing, ObjectInfo, named_objects
from tests.batch.command import Command, assert_refused, job
from tests.batch.places import WORD_COUNT, Bucket, Folder, Place, part_keys, put_table, read_output, texts

HIDDEN = "names that begin with '_' or '.' are hidden"
PARTS = "parts of another job, whose output lies below the input"


def run(place: Place, source: str, output: str) -> int:
    """How many rows of a source a job answers."""
    places = {"input": place.url + source, "output": place.url + output}
    return run_job({"model": WORD_COUNT, "keep": ["text"], **places})["rows"]


def said(place: Place, command: Command, source: str = "in/") -> list[dict[str, object]]:
    """What a plan says of what is left out."""
    end = command("plan", *job(place, "--keep", "text", source=source)[1:], "--no-measure", "--json")
    assert end.code == 0, end.err
    found: list[dict[str, object]] = json.loads(end.out)["left_out"]
    return found


def test_parts_of_a_job_below_the_input_are_no_input_of_another_job(place: Place, command: Command) -> None:
    put_table(place, "in/lang=en/a.parquet", texts(4))
    put_table(place, "in/lang=de/a.parquet", texts(3))
    assert run(place, "in/", "in/lang=en/predicted/") == 7
    assert run(place, "in/", "out/") == 7
    parts = sorted(key for key in part_keys(place, "in/"))
    assert len(parts) == 2
    assert said(place, command) == [{"why": PARTS, "files": 2, "first": place.url + parts[0]}]
    put_table(place, "in/lang=en/b.parquet", texts(2))
    assert run(place, "in/", "out/") == 9, "and other files beside them are"
    assert run(place, "in/", "in/lang=en/predicted/") == 9


def test_a_jobs_output_is_an_input_where_it_is_named(place: Place) -> None:
    put_table(place, "in/a.parquet", texts(4))
    assert run(place, "in/", "jobs/one/") == 4
    put_table(place, "in/b.parquet", texts(1))
    assert run(place, "in/", "jobs/two/") == 5
    assert run(place, "jobs/one/", "out-1/") == 4
    assert run(place, "jobs/*/part-*.parquet", "out-2/") == 9
    with pytest.raises(InputNotFound, match=rf"all that is there: 2 files \({PARTS}\).*jobs/\*\*/part-\*.parquet"):
        run(place, "jobs/", "out-3/")
    assert run(place, "jobs/**/part-*.parquet", "out-3/") == 9


def test_what_is_hidden_by_its_name_is_counted(
    place: Place, command: Command, caplog: pytest.LogCaptureFixture
) -> None:
    for key in ("in/a.parquet", "in/_b.parquet", "in/.c/d.parquet", "in/_year=3/e.parquet", "in/_note.txt"):
        put_table(place, key, texts(1))
    place.delete("in/_year=3/e.parquet")
    assert said(place, command) == [{"why": HIDDEN, "files": 2, "first": f"{place.url}in/.c/d.parquet"}]
    line = f"left out  2 files ({HIDDEN}), such as {place.url}in/.c/d.parquet"
    assert line in command("plan", *job(place)[1:], "--no-measure").out
    assert command(*job(place)).code == 0
    assert f"left out files=2 why={HIDDEN} first={place.url}in/.c/d.parquet" in caplog.messages
    assert read_output(place).num_rows == 1


def test_where_nothing_is_left_out_nothing_is_said(
    folder: Folder, command: Command, caplog: pytest.LogCaptureFixture
) -> None:
    put_table(folder, "in/a.parquet", texts(1))
    folder.put("in/_SUCCESS", b"")
    assert said(folder, command) == []
    assert command(*job(folder)).code == 0
    assert "left out" not in caplog.text


@pytest.mark.moto("SeaweedFS keeps objects as files, whose names cannot be `..`")
def test_a_key_with_a_step_up_or_on_the_spot_is_counted(s3_place: Bucket, command: Command) -> None:
    for key in ("in/../a.parquet", "in/./b.parquet", "in/c//d.parquet"):
        put_table(s3_place, key, texts(1))
    assert said(s3_place, command) == [{"why": HIDDEN, "files": 2, "first": f"{s3_place.url}in/../a.parquet"}]


def test_an_input_of_hidden_files_alone_is_refused_with_the_reason(place: Place, command: Command) -> None:
    put_table(place, "in/_a.parquet", texts(1))
    assert_refused(command(*job(place)), 2, f"all that is there: 1 file ({HIDDEN})")


class SlowListing(LocalStore):
    """The store, in which another job begins and ends below while its folder is first listed."""

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        before = {info.key for info in super().list(prefix)}
        if not any("below/" in key for key in before):
            run_job({"model": WORD_COUNT, "input": f"{self.url}a.parquet", "output": f"{self.url}below/"})
            yield from (info for info in super().list(prefix) if info.key in before or "/_tandem/" not in info.key)
        else:
            yield from super().list(prefix)


def test_parts_of_a_job_that_began_while_the_input_was_listed_are_none_of_it(folder: Folder) -> None:
    put_table(folder, "in/a.parquet", texts(4))
    store = SlowListing(f"{folder.url}in/")
    listing = Listing(url=store.url, store=store, objects=list(store.list()))
    assert any("below/part-" in info.key for info in listing.objects)
    found = named_objects(listing)
    assert [info.key for info in found.objects] == ["a.parquet"]
    assert [some.why for some in found.left_out] == [PARTS]
