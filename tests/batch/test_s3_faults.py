"""What S3 and the way to it can do wrong, and that nothing is lost, doubled or left behind by it."""

import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from batch.errors import (
    AccessDenied,
    ConditionIgnored,
    InputChanged,
    InputNotFound,
    JobError,
    StoreUnavailable,
    UsageError,
)
from batch.stores.s3_store import S3Store
from tests.fault_proxy import FaultProxy, Rule

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_COMPLETE = {"method": "POST", "path": "uploadId="}


@pytest.fixture
def store(bucket: str, proxy: FaultProxy) -> S3Store:
    """A store behind the proxy that gives up soon; files go up in parts."""
    return S3Store(
        bucket,
        "out",
        endpoint_url=proxy.url,
        multipart_threshold_bytes=0,
        max_attempts=3,
        connect_timeout_s=2,
        read_timeout_s=2,
    )


@pytest.fixture
def direct(bucket: str, s3: str) -> S3Store:
    """The same place, without the proxy."""
    return S3Store(bucket, "out", endpoint_url=s3)


@pytest.fixture
def part(tmp_path: Path) -> Path:
    (tmp_path / "part").write_bytes(b"ours" * 1000)
    return tmp_path / "part"


@pytest.fixture(autouse=True)
def _nothing_is_left_behind(bucket: str, s3_client: "S3Client") -> Iterator[None]:
    yield
    assert s3_client.list_multipart_uploads(Bucket=bucket).get("Uploads", []) == []


@pytest.mark.parametrize("fault", ["lose_answer", "error_after"])
def test_a_put_that_was_applied_though_its_answer_was_lost_is_ours(
    store: S3Store, proxy: FaultProxy, fault: str
) -> None:
    proxy.add(Rule(fault=fault, method="PUT"))  # type: ignore[arg-type]
    assert store.put_if_absent("x", b"ours", attempt="one") is True
    assert [seen.status for seen in proxy.requests("PUT")][-1] == 412
    assert store.put_if_absent("x", b"theirs", attempt="two") is False


@pytest.mark.parametrize("fault", ["lose_answer", "error_after"])
def test_a_complete_that_was_applied_though_its_answer_was_lost_is_ours(
    store: S3Store, proxy: FaultProxy, part: Path, fault: str
) -> None:
    proxy.add(Rule(fault=fault, **_COMPLETE))  # type: ignore[arg-type]
    assert store.put_if_absent("x", part, attempt="one") is True
    assert store.read("x") == part.read_bytes()


def test_a_complete_whose_upload_is_gone_asks_whose_the_object_is(
    store: S3Store, direct: S3Store, proxy: FaultProxy, part: Path
) -> None:
    proxy.add(Rule(fault="error_after", status=404, code="NoSuchUpload", **_COMPLETE))  # type: ignore[arg-type]
    assert store.put_if_absent("x", part, attempt="one") is True
    proxy.add(Rule(fault="error", status=404, code="NoSuchUpload", **_COMPLETE))  # type: ignore[arg-type]
    assert store.put_if_absent("new", part, attempt="one") is True, "a new upload"
    direct.put_if_absent("taken", b"theirs", attempt="two")
    proxy.add(Rule(fault="error", status=404, code="NoSuchUpload", **_COMPLETE))  # type: ignore[arg-type]
    assert store.put_if_absent("taken", part, attempt="one") is False


def test_a_replacement_that_was_applied_though_its_answer_was_lost_is_ours(store: S3Store, proxy: FaultProxy) -> None:
    store.put_if_absent("x", b"first", attempt="one")
    first = store.head("x")
    assert first is not None
    proxy.add(Rule(fault="lose_answer", method="PUT"))
    assert store.put_if_match("x", b"second", etag=first.etag, attempt="one") is True
    assert store.put_if_match("x", b"third", etag=first.etag, attempt="two") is False
    assert store.read("x") == b"second"


@pytest.mark.parametrize("in_parts", [False, True])
def test_whoever_is_first_while_our_put_is_under_way_wins(
    store: S3Store, direct: S3Store, proxy: FaultProxy, part: Path, in_parts: bool
) -> None:
    ours = proxy.add(Rule(fault="hold", **_COMPLETE) if in_parts else Rule(fault="hold", method="PUT"))  # type: ignore[arg-type]
    with ThreadPoolExecutor(1) as pool:
        putting = pool.submit(store.put_if_absent, "x", part if in_parts else b"ours", attempt="one")
        ours.wait_until_held()
        assert direct.put_if_absent("x", b"theirs", attempt="two") is True
        ours.release()
        assert putting.result(timeout=30) is False
    assert direct.read("x") == b"theirs"


def test_a_conflict_is_tried_again_and_a_multipart_one_with_a_new_upload(
    store: S3Store, proxy: FaultProxy, part: Path
) -> None:
    proxy.add(Rule(fault="error", method="PUT", status=409, code="ConditionalRequestConflict"))
    assert store.put_if_absent("whole", b"ours", attempt="one") is True
    proxy.add(Rule(fault="error", status=409, code="ConditionalRequestConflict", **_COMPLETE))  # type: ignore[arg-type]
    assert store.put_if_absent("parts", part, attempt="one") is True
    assert len(proxy.requests("POST", r"\?uploads")) == 2
    assert len(proxy.requests("DELETE", "uploadId=")) == 1


def test_a_put_that_never_gets_through_is_unavailable_and_its_parts_are_aborted(
    store: S3Store, direct: S3Store, proxy: FaultProxy, part: Path
) -> None:
    proxy.add(Rule(fault="error", method="PUT", times=None))
    for body in (b"ours", part):
        with pytest.raises(StoreUnavailable, match=r"cannot write s3://.*/out/x: SlowDown"):
            store.put_if_absent("x", body, attempt="one")
    assert direct.head("x") is None


def test_an_endless_conflict_ends(store: S3Store, proxy: FaultProxy) -> None:
    proxy.add(Rule(fault="error", method="PUT", status=409, code="ConditionalRequestConflict", times=None))
    with pytest.raises(StoreUnavailable, match="ConditionalRequestConflict again and again"):
        store.put_if_absent("x", b"ours", attempt="one")
    assert len(proxy.requests("PUT")) == 3


@pytest.mark.parametrize("fault", ["truncate", "stall", "reset", "error"])
def test_a_read_that_goes_wrong_once_is_whole_after_all(
    store: S3Store, direct: S3Store, proxy: FaultProxy, fault: str
) -> None:
    direct.put_if_absent("x", b"0123456789" * 100, attempt="one")
    proxy.add(Rule(fault=fault, method="GET"))  # type: ignore[arg-type]
    assert store.read("x", start=10, stop=990) == b"0123456789" * 98


@pytest.mark.parametrize("fault", ["truncate", "reset", "error"])
def test_a_read_that_goes_wrong_every_time_is_unavailable_within_its_bound(
    store: S3Store, direct: S3Store, proxy: FaultProxy, fault: str
) -> None:
    direct.put_if_absent("x", b"0123456789" * 100, attempt="one")
    proxy.add(Rule(fault=fault, method="GET", times=None))  # type: ignore[arg-type]
    began = time.monotonic()
    with pytest.raises(StoreUnavailable, match=r"cannot read s3://.*/out/x: ") as caught:
        store.read("x")
    assert len(proxy.requests("GET")) == 3
    assert time.monotonic() - began < 10
    assert caught.value.exit_code == 75


def test_an_object_that_changes_between_two_tries_is_not_mixed(
    store: S3Store, direct: S3Store, proxy: FaultProxy
) -> None:
    direct.put_if_absent("x", b"first" * 100, attempt="one")
    first = direct.head("x")
    assert first is not None
    again = proxy.add(Rule(fault="hold", method="GET", skip=1))
    proxy.add(Rule(fault="truncate", method="GET"))
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(store.read, "x", etag=first.etag)
        again.wait_until_held()
        direct.put_if_match("x", b"other" * 100, etag=first.etag, attempt="two")
        again.release()
        with pytest.raises(InputChanged, match="changed after it was planned"):
            reading.result(timeout=30)


def test_a_server_that_knows_no_ranges_is_read_right(store: S3Store, direct: S3Store, proxy: FaultProxy) -> None:
    direct.put_if_absent("x", b"0123456789", attempt="one")
    proxy.add(Rule(fault="strip", method="GET", header="Range", times=None))
    assert store.read("x", start=2, stop=5) == b"234"


@pytest.mark.parametrize(
    ("status", "code", "advice"),
    [
        (403, "AccessDenied", "Grant s3:GetObject"),
        (400, "ExpiredToken", "Renew the credentials"),
        (403, "InvalidAccessKeyId", "AWS_ACCESS_KEY_ID"),
        (403, "SignatureDoesNotMatch", "secret key"),
        (403, "RequestTimeTooSkewed", "clock"),
    ],
)
def test_no_access_says_what_where_and_what_to_do(
    store: S3Store, proxy: FaultProxy, status: int, code: str, advice: str
) -> None:
    proxy.add(Rule(fault="error", status=status, code=code, times=None))
    for operation, ask in (
        ("read", lambda: store.read("x")),
        ("write", lambda: store.put_if_absent("x", b"", attempt="one")),
        ("list", lambda: list(store.list())),
        ("delete", lambda: store.delete("x")),
    ):
        with pytest.raises(AccessDenied, match=f"not allowed to {operation} s3://.*/out/x?: {code}") as caught:
            ask()
        assert caught.value.exit_code == 77
        assert advice in str(caught.value) or operation != "read"


def test_a_head_that_says_only_400_is_asked_why(store: S3Store, proxy: FaultProxy) -> None:
    proxy.add(Rule(fault="error", status=400, code="ExpiredToken", times=None))
    with pytest.raises(AccessDenied, match="ExpiredToken"):
        store.head("x")


def test_no_credentials_at_all_is_no_access(bucket: str, s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(AccessDenied, match="no credentials"):
        S3Store(bucket).head("x")


def test_a_missing_bucket_is_named(s3: str) -> None:
    store = S3Store("there-is-none")
    for ask in (
        lambda: list(store.list()),
        lambda: store.read("x"),
        lambda: store.put_if_absent("x", b"", attempt="one"),
    ):
        with pytest.raises(InputNotFound, match="there is no bucket 'there-is-none'"):
            ask()


@pytest.mark.parametrize(
    ("store", "message"),
    [
        (S3Store("no bucket!"), "no bucket!"),
        (S3Store("bucket", profile="nobody"), "nobody"),
        (S3Store("bucket", endpoint_url="localhost"), "localhost"),
    ],
)
def test_what_boto3_refuses_is_an_error_of_ours(
    s3: str, store: S3Store, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    with pytest.raises(UsageError, match=message) as caught:
        store.head("x")
    assert "\n" not in str(caught.value)


def test_a_server_that_is_not_there_is_unavailable(s3: str) -> None:
    with pytest.raises(StoreUnavailable, match="Could not connect"):
        S3Store("bucket", endpoint_url="http://127.0.0.1:9", max_attempts=1).head("x")


def test_a_store_that_knows_no_conditions_is_named(store: S3Store, proxy: FaultProxy) -> None:
    proxy.add(Rule(fault="error", method="PUT", status=501, code="NotImplemented"))
    with pytest.raises(ConditionIgnored, match="NotImplemented"):
        store.put_if_absent("x", b"", attempt="one")


def test_a_long_listing_is_paged_and_a_page_that_fails_is_asked_again(
    store: S3Store, direct: S3Store, proxy: FaultProxy, page_keys: int
) -> None:
    keys = [f"{number:04}" for number in range(page_keys + 5)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: direct.put_if_absent(key, b"", attempt="one"), keys))
    proxy.add(Rule(fault="reset", method="GET", skip=1))
    assert [info.key for info in store.list()] == keys
    assert [seen.status for seen in proxy.requests("GET")] == [200, 0, 200]


def test_every_error_is_one_line(store: S3Store, proxy: FaultProxy) -> None:
    proxy.add(Rule(fault="error", status=400, code="Strange", times=None))
    with pytest.raises(JobError) as caught:
        store.read("x")
    assert str(caught.value).startswith("cannot read s3://")
    assert "\n" not in str(caught.value)
