"""How long a store that fails is asked again: by time, not by tries, and not by every step anew."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from batch.errors import AccessDenied, StoreUnavailable, UsageError
from batch.stores.patience import Patience
from batch.stores.s3_store import S3Store
from tests.fault_proxy import FaultProxy, Rule


@pytest.fixture
def store(bucket: str, proxy: FaultProxy) -> S3Store:
    """A store behind the proxy that is patient for two seconds."""
    return S3Store(bucket, "out", endpoint_url=proxy.url, patience_s=2.0, read_timeout_s=1.0)


def test_a_store_that_is_away_for_a_while_is_waited_for(bucket: str, proxy: FaultProxy) -> None:
    store = S3Store(bucket, "out", endpoint_url=proxy.url)
    store.put_if_absent("x", b"ours", attempt="one")
    proxy.add(Rule(fault="reset", times=5))
    assert store.read("x") == b"ours"
    assert len(proxy.requests("GET")) == 6


def test_what_fails_at_once_and_what_hangs_are_given_up_after_the_same_time(store: S3Store, proxy: FaultProxy) -> None:
    for fault in ("error", "hold"):
        rule = proxy.add(Rule(fault=fault, times=None))  # type: ignore[arg-type]
        began, before = time.monotonic(), len(proxy.seen)
        with pytest.raises(StoreUnavailable):
            store.read("x")
        assert 2.0 <= time.monotonic() - began < 10.0
        assert len(proxy.seen) - before > 1 or fault == "hold"
        rule.times = 0
        assert store.head("x") is None


def test_a_store_that_answers_nobody_is_not_waited_for_at_each_step_anew(store: S3Store, proxy: FaultProxy) -> None:
    proxy.add(Rule(fault="error", times=None))
    with pytest.raises(StoreUnavailable):
        store.read("x")
    before = len(proxy.seen)
    for ask in (lambda: store.head("x"), lambda: list(store.list()), lambda: store.read("x")):
        with pytest.raises(StoreUnavailable):
            ask()
    assert len(proxy.seen) == before + 3


def test_one_good_answer_restores_the_patience(store: S3Store, proxy: FaultProxy) -> None:
    rule = proxy.add(Rule(fault="error", times=None))
    with pytest.raises(StoreUnavailable):
        store.head("x")
    rule.times = 0
    assert store.head("x") is None
    proxy.add(Rule(fault="error", times=1))
    assert store.head("x") is None


def test_a_refusal_is_no_reason_for_patience(store: S3Store, proxy: FaultProxy) -> None:
    proxy.add(Rule(fault="error", status=403, code="AccessDenied", times=None))
    with pytest.raises(AccessDenied):
        list(store.list())
    assert len(proxy.seen) == 1


def test_one_object_that_fails_among_good_ones_is_given_up_too(store: S3Store, proxy: FaultProxy) -> None:
    store.put_if_absent("good", b"", attempt="one")
    proxy.add(Rule(fault="error", path="/bad", times=None))
    with ThreadPoolExecutor(1) as pool:
        failing = pool.submit(store.read, "bad")
        while not failing.done():
            assert store.read("good") == b""
            time.sleep(0.05)
        with pytest.raises(StoreUnavailable, match="/bad"):
            failing.result()


def test_tries_may_be_bounded_by_their_number_too() -> None:
    assert list(Patience(attempts=3).tries()) == [0, 1, 2]
    assert list(Patience(seconds=0.0).tries()) == [0]


def test_a_page_that_is_no_answer_of_s3s_is_one_line(store: S3Store, proxy: FaultProxy) -> None:
    page = proxy.add(Rule(fault="gibberish", status=407, times=None))
    with pytest.raises(UsageError, match=r"cannot list s3://.*/out/: 407: Proxy Authentication Required"):
        list(store.list())
    page.status = 200
    with pytest.raises(StoreUnavailable, match="cannot list"):
        list(store.list())


@pytest.mark.parametrize(
    ("status", "code", "advice"), [(403, "RequestTimeTooSkewed", "clock is wrong"), (400, "ExpiredToken", "Renew")]
)
def test_what_a_head_cannot_say_is_asked_for(
    store: S3Store, proxy: FaultProxy, status: int, code: str, advice: str
) -> None:
    proxy.add(Rule(fault="error", status=status, code=code, times=None))
    with pytest.raises(AccessDenied, match=f"{code}.*{advice}"):
        store.head("x")


def test_a_head_that_gives_no_reason_at_all_is_worth_another_try(store: S3Store, proxy: FaultProxy) -> None:
    proxy.add(Rule(fault="error", method="HEAD", status=400, times=None))
    with pytest.raises(StoreUnavailable, match="HTTP 400"):
        store.head("x")
