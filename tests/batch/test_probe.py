"""A store that ignores conditions is found out before anything is paid for."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from batch.errors import ConditionIgnored
from batch.stores.probe import check_conditional_puts
from batch.stores.s3_store import S3Store
from batch.stores.storage import open_store
from tests.fault_proxy import FaultProxy, Rule


def test_a_store_that_keeps_its_promise_passes_and_the_second_check_is_cheap(bucket: str, proxy: FaultProxy) -> None:
    store = S3Store(bucket, "out", endpoint_url=proxy.url)
    check_conditional_puts(store)
    first = len(proxy.seen)
    check_conditional_puts(store)
    assert len(proxy.seen) - first == 3


def test_a_store_that_ignores_the_condition_on_put_is_named(bucket: str, proxy: FaultProxy) -> None:
    proxy.add(Rule(fault="strip", method="PUT", header="If-None-Match", times=None))
    store = S3Store(bucket, "out", endpoint_url=proxy.url)
    for _ in range(2):
        with pytest.raises(ConditionIgnored, match="does not honour If-None-Match on PUT") as caught:
            check_conditional_puts(store)
    assert caught.value.exit_code == 2


def test_a_store_that_ignores_it_on_complete_only_is_named_every_time(bucket: str, proxy: FaultProxy) -> None:
    proxy.add(Rule(fault="strip", method="POST", header="If-None-Match", times=None))
    store = S3Store(bucket, "out", endpoint_url=proxy.url)
    for _ in range(2):
        with pytest.raises(ConditionIgnored, match="a multipart Complete"):
            check_conditional_puts(store)


def test_eight_runs_that_check_at_once_do_not_disturb_each_other(bucket: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(check_conditional_puts, [S3Store(bucket, "out") for _ in range(8)]))


def test_a_folder_passes(tmp_path: Path) -> None:
    check_conditional_puts(open_store(str(tmp_path)))
    check_conditional_puts(open_store(str(tmp_path)))
