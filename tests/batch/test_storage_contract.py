"""Every store keeps the promises of `Store`: the same tests against S3, S3 by multipart, and a folder."""

import pickle
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from batch.errors import InputChanged, InputNotFound
from batch.stores.s3_store import S3Store
from batch.stores.storage import Store, open_store

Body = Callable[[bytes], bytes | Path]


@pytest.fixture(params=[*(pytest.param(kind, marks=pytest.mark.s3) for kind in ("s3", "multipart")), "local"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def store(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if kind == "local":
        return open_store(str(tmp_path / "store"))
    bucket = request.getfixturevalue("bucket")
    return S3Store(bucket, "root", multipart_threshold_bytes=0 if kind == "multipart" else 2**26)


@pytest.fixture
def body(kind: str, tmp_path: Path) -> Body:
    """Bytes as a store takes them: a file where it is to upload in parts."""

    def make(content: bytes) -> bytes | Path:
        if kind == "s3":
            return content
        path = tmp_path / f"body-{hash(content)}"
        path.write_bytes(content)
        return path

    return make


def test_what_was_put_is_read_back(store: Store, body: Body) -> None:
    assert store.put_if_absent("a/b=1/c.parquet", body(b"0123456789"), attempt="one")
    head = store.head("a/b=1/c.parquet")
    assert head is not None
    assert head.size_bytes == 10
    assert store.read("a/b=1/c.parquet") == b"0123456789"
    assert store.read("a/b=1/c.parquet", etag=head.etag, start=2, stop=5) == b"234"
    assert store.read("a/b=1/c.parquet", start=8) == b"89"


def test_a_listing_says_when_an_object_was_written(store: Store) -> None:
    began = time.time()
    store.put_if_absent("x", b"0", attempt="one")
    (info,) = store.list()
    assert info.modified is not None
    assert began - 2 <= info.modified <= time.time() + 2  # S3 says it in whole seconds


def test_a_range_is_cut_off_at_the_end(store: Store) -> None:
    store.put_if_absent("x", b"0123456789", attempt="one")
    assert store.read("x", start=7, stop=99) == b"789"
    assert store.read("x", start=10) == b""
    assert store.read("x", start=3, stop=3) == b""


def test_an_empty_object_is_an_object(store: Store) -> None:
    assert store.put_if_absent("_SUCCESS", b"", attempt="one")
    assert store.read("_SUCCESS") == b""


def test_what_is_not_there_has_no_head_and_cannot_be_read(store: Store) -> None:
    assert store.head("nope") is None
    with pytest.raises(InputNotFound, match="nope"):
        store.read("nope")
    store.delete("nope")
    assert list(store.list()) == []


def test_the_first_put_counts(store: Store, body: Body) -> None:
    assert store.put_if_absent("x", body(b"first"), attempt="one") is True
    assert store.put_if_absent("x", body(b"second"), attempt="two") is False
    assert store.read("x") == b"first"


def test_asking_again_with_the_same_attempt_is_answered_the_same(store: Store, body: Body) -> None:
    assert store.put_if_absent("x", body(b"first"), attempt="one")
    assert store.put_if_absent("x", body(b"first"), attempt="one")
    assert not store.put_if_absent("x", body(b"first"), attempt="two")


def test_of_sixteen_that_race_one_wins(store: Store) -> None:
    def put(number: int) -> bool:
        return store.put_if_absent("x", b"%d" % number, attempt=f"attempt-{number}")

    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(put, range(16)))
    assert won.count(True) == 1
    assert store.read("x") == b"%d" % won.index(True)


def test_a_put_if_match_replaces_only_the_version_named(store: Store, body: Body) -> None:
    store.put_if_absent("x", body(b"first"), attempt="one")
    first = store.head("x")
    assert first is not None
    assert store.put_if_match("x", body(b"second"), etag=first.etag, attempt="two") is True
    assert store.put_if_match("x", body(b"third"), etag=first.etag, attempt="three") is False
    assert store.read("x") == b"second"
    assert store.put_if_match("gone", body(b"third"), etag=first.etag, attempt="three") is False
    assert store.head("gone") is None


def test_of_eight_that_replace_one_version_one_wins(store: Store) -> None:
    store.put_if_absent("x", b"first", attempt="one")
    first = store.head("x")
    assert first is not None

    def replace(number: int) -> bool:
        return store.put_if_match("x", b"next %d" % number, etag=first.etag, attempt=f"attempt-{number}")

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(replace, range(8)))
    assert won.count(True) == 1
    assert store.read("x") == b"next %d" % won.index(True)


def test_a_pinned_read_of_another_version_is_refused(store: Store) -> None:
    store.put_if_absent("x", b"first", attempt="one")
    first = store.head("x")
    assert first is not None
    store.put_if_match("x", b"later", etag=first.etag, attempt="two")
    with pytest.raises(InputChanged, match="x changed after it was planned"):
        store.read("x", etag=first.etag, start=1, stop=3)


def test_a_listing_is_sorted_complete_and_of_the_prefix(store: Store) -> None:
    keys = ["a-b", "a.b", "a/x", "a/é ü+%/y", "ab", "b/c=1/d", *(f"n/{number:02}" for number in range(45))]
    for key in reversed(keys):
        store.put_if_absent(key, key.encode(), attempt="one")
    listed = list(store.list())
    assert [info.key for info in listed] == sorted(keys)
    assert [info.key for info in store.list("a/")] == ["a/x", "a/é ü+%/y"]
    assert [info.key for info in store.list("a")] == sorted(key for key in keys if key.startswith("a"))
    for info in listed[:3]:
        head = store.head(info.key)
        assert head is not None
        assert (head.size_bytes, head.etag) == (info.size_bytes, info.etag)


def test_what_is_deleted_is_gone_and_may_be_put_again(store: Store) -> None:
    store.put_if_absent("x", b"first", attempt="one")
    store.delete("x")
    assert store.head("x") is None
    assert store.put_if_absent("x", b"second", attempt="two")
    assert store.read("x") == b"second"


def test_a_store_travels_to_another_process(store: Store) -> None:
    store.put_if_absent("x", b"first", attempt="one")
    travelled: Store = pickle.loads(pickle.dumps(store))
    assert travelled.url == store.url
    assert travelled.url.endswith("/")
    assert travelled.url_of("x") == store.url + "x"
    assert travelled.read("x") == b"first"


def test_metadata_travels_with_an_object_in_s3(bucket: str, tmp_path: Path) -> None:
    (tmp_path / "part").write_bytes(b"part")
    for prefix, threshold in (("whole", 2**26), ("parts", 0)):
        store = S3Store(bucket, prefix, multipart_threshold_bytes=threshold)
        store.put_if_absent("x", tmp_path / "part", attempt="one", metadata={"rows": "3"})
        head = store.head("x")
        assert head is not None
        assert head.metadata["rows"] == "3"


def test_a_large_file_goes_up_in_parts_and_comes_back_whole(bucket: str, tmp_path: Path) -> None:
    content = bytes(range(256)) * (11 * 4096)
    (tmp_path / "part").write_bytes(content)
    store = S3Store(bucket, multipart_threshold_bytes=2**20, part_size_bytes=5 * 2**20)
    assert store.put_if_absent("x", tmp_path / "part", attempt="one")
    head = store.head("x")
    assert head is not None
    assert head.etag.endswith("-3")
    assert store.read("x") == content
