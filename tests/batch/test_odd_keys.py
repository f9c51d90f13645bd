"""Keys with odd characters: what is listed is read, said in `_source`, and written under its partition, or refused."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch.errors import UsageError
from batch.stores.local_store import LocalStore
from batch.stores.storage import list_sources, split_url
from tests.batch.command import Command, assert_refused, job
from tests.batch.places import (
    WORD_COUNT,
    Bucket,
    Folder,
    Place,
    parquet_bytes,
    part_keys,
    put_table,
    read_output,
    texts,
)
from tests.servers.serve import server_name

NAMES = [
    "with space", "ü-日本語", "emoji 😀", "100%", "%41%2F", "what?", "a#b", "a+b&c=d", "new\nline", "tab\there",
    "'single'", '"double"', "back\\slash", "trailing ", " leading", "a;b,c", "a:b", "(a)[b]{c}", "*star*", "~tilde",
    "e\u0301 decomposed", "\u202eright to left", "\x1b[31mred", "a..b", "...", "semi;colon", "$HOME`id`", "a|b<c>d",
]  # fmt: skip
#: S3 takes these; a file's name on Linux cannot be one.
IN_S3_ONLY = ["double//slash", "/leading", "x" * 900]


#: moto's server finds no way to a key with a line's end in it; SeaweedFS keeps files, and takes `\\` for `/`.
NOT_THERE = {"moto": {"new\nline"}, "weed": {"back\\slash"}}
FILES = "SeaweedFS keeps objects as files, whose names are shorter and cannot be `..`"


def readable(place: Place) -> list[str]:
    """The names without those that are hidden by their first character, or that the store cannot have."""
    return [name for name in possible(place) if not name.startswith((".", "_"))]


def possible(place: Place) -> list[str]:
    return [name for name in NAMES if not (isinstance(place, Bucket) and name in NOT_THERE[server_name()])]


def round_trip(place: Place, command: Command, names: list[str]) -> None:
    for number, name in enumerate(names):
        put_table(place, f"in/{name}.parquet", texts(2, first=10 * number))
    assert command(*job(place)).code == 0
    rows = read_output(place).to_pylist()
    found = {row["_source"]: row["id"] // 10 for row in rows}
    assert found == {f"{place.url}in/{name}.parquet": number for number, name in enumerate(names)}
    assert len(rows) == 2 * len(names)


def test_odd_names_of_objects_are_read_and_said(place: Place, command: Command) -> None:
    round_trip(place, command, readable(place))


@pytest.mark.moto(FILES)
def test_names_that_only_a_store_can_have_are_read_and_said(s3_place: Bucket, command: Command) -> None:
    round_trip(s3_place, command, IN_S3_ONLY)


def test_odd_values_of_partitions_are_kept_and_read_by_others(place: Place, command: Command) -> None:
    names = possible(place)
    for number, name in enumerate(names):
        put_table(place, f"in/kind={name}/a.parquet", texts(1, first=number))
    assert command(*job(place)).code == 0
    keys = part_keys(place)
    assert {key.removeprefix("out/").partition("/part-")[0] for key in keys} == {f"kind={name}" for name in names}
    assert sorted(read_output(place)["id"].to_pylist()) == list(range(len(names)))


def test_a_filter_sees_a_partitions_value_decoded(folder: Folder, command: Command) -> None:
    for number, name in enumerate(["a%20b", "a b", "a%2Fb"]):
        put_table(folder, f"in/kind={name}/a.parquet", texts(1, first=number))
    assert command(*job(folder, "--where", "kind = 'a b'")).code == 0
    assert sorted(read_output(folder)["id"].to_pylist()) == [0, 1]


def test_an_object_may_be_named_by_itself_whatever_its_name(place: Place, command: Command) -> None:
    for number, name in enumerate(["a b.parquet", "ü?#.parquet", "100%.parquet"]):
        put_table(place, f"in/{name}", texts(1))
        url = f"{place.url}in/{name}"
        if "?" in name and place.url.startswith("s3://"):
            continue  # a wildcard there, which only the store could tell from a name
        assert command(*job(place, source=f"in/{name}")[:-1], f"{place.url}out{number}/").code == 0, url


@pytest.mark.parametrize("url", ["s3://bucket/../other/", "s3://bucket/a/./b", "s3://../x", "s3://bucket/..", "in\0"])
def test_a_place_that_somebody_could_follow_elsewhere_is_refused(url: str, command: Command) -> None:
    with pytest.raises(UsageError):
        split_url(url)
    words = ("run", "--model", WORD_COUNT)
    assert command(*words, "--input", url, "--output", "out").code == 2
    assert command(*words, "--input", "s3://bucket/in", "--output", url).code == 2


@pytest.mark.parametrize("key", ["../x", "a/../../x", "/etc/x", "..", "a/..", "a\0b"])
def test_a_folder_is_never_left_by_a_key(key: str, tmp_path: Path) -> None:
    store = LocalStore(tmp_path / "root")
    with pytest.raises(UsageError):
        store.put_if_absent(key, b"x", attempt="one")
    with pytest.raises(UsageError):
        store.read(key)
    with pytest.raises(UsageError):
        store.delete(key)
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} <= {"lock"}


@pytest.mark.moto(FILES)
def test_a_key_with_a_step_up_is_no_input(s3_place: Bucket, command: Command) -> None:
    put_table(s3_place, "in/../a.parquet", texts(1))
    put_table(s3_place, "in/p=../b.parquet", texts(1, first=5))
    assert command(*job(s3_place)).code == 0
    assert read_output(s3_place)["id"].to_pylist() == [5]


@pytest.mark.moto(FILES)
def test_a_step_up_in_a_bucket_never_leaves_a_local_output(s3_place: Bucket, command: Command, tmp_path: Path) -> None:
    for key in ("in/p=../../a.parquet", "in/p=x/../../q=y/a.parquet", "in/p=../a.parquet"):
        put_table(s3_place, key, texts(1))
    out = tmp_path / "deep" / "out"
    words = ("run", "--model", WORD_COUNT, "--input", f"{s3_place.url}in/", "--output", str(out))
    assert command(*words).code == 0
    assert all(path.is_relative_to(out) for path in tmp_path.rglob("*") if path.is_file())


def test_a_name_that_is_no_text_is_named(folder: Folder, command: Command) -> None:
    path = os.fsencode(folder.folder / "in") + b"/\xff\xfe.parquet"
    (folder.folder / "in").mkdir()
    Path(os.fsdecode(path)).write_bytes(parquet_bytes(texts(1)))
    end = command(*job(folder))
    assert_refused(end, 2, "has a name that is no UTF-8")
    end.err.encode()


@pytest.mark.parametrize("name", ["x" * 300, "a/" * 3000])
def test_a_local_name_that_is_too_long_is_named(name: str, command: Command) -> None:
    words = ("run", "--model", WORD_COUNT)
    assert_refused(command(*words, "--input", name, "--output", "out"), 2, "was not found")


def test_what_a_terminal_would_obey_is_spelt_out(folder: Folder, command: Command) -> None:
    folder.put("in/\x1b[2Jx\u202e.parquet", b"no parquet")
    end = command(*job(folder))
    assert_refused(end, 2, r"in/\x1b[2Jx\u202e.parquet is not readable as Parquet")
    folder.delete("in/\x1b[2Jx\u202e.parquet")
    odd = pa.table({"text": ["a"], "[/red]": ["[/nobody] [bold]x\x1b[2J"], "b\x1b": [b"\x00"]})
    folder.put("in/a.parquet", parquet_bytes(odd))
    assert command(*job(folder)).code == 0
    shown = command("head", f"{folder.url}out/")
    assert shown.code == 0
    assert "[/nobody]" in shown.out
    assert "\x1b" not in shown.out


def test_listing_names_what_was_listed(place: Place) -> None:
    for name in readable(place):
        place.put(f"in/{name}.parquet", b"x")
    objects = list_sources(f"{place.url}in/").objects
    assert sorted(info.key for info in objects) == sorted(f"{name}.parquet" for name in readable(place))


def test_columns_with_odd_names_are_kept(folder: Folder, command: Command) -> None:
    names = ["a.b", "", " ", "a b", "ü", "new\nline", "'", '"', "error", "_source", "a.b.c", "\x00", "x" * 5000]
    put_table(folder, "in/a.parquet", pa.table({"text": ["a b"], **{name: [name] for name in names}}))
    assert command(*job(folder)).code == 0
    (row,) = read_output(folder).to_pylist()
    for name in names:
        assert row[f"input_{name}" if name in ("error", "_source") else name] == name
    (part,) = part_keys(folder)
    assert pq.read_schema(folder.folder / part).names[: len(names)][0] == "a.b"
