"""`tandem retry` beside other retries and runs: of two that replace a part, the first put counts."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from batch.commit import MANIFEST, SUCCESS
from batch.progress import LogProgress
from batch.retry.prepare_retry import prepare_retry
from batch.retry.retry import finish_retry, retry_job
from batch.status import read_status
from batch.stores.local_store import LocalStore
from batch.stores.storage import ObjectInfo
from tests.batch.places import Bucket, Folder, part_keys, read_json
from tests.batch.retry.faulty import OWN, errors_of, put_input, retry, run
from tests.fault_proxy import FaultProxy, Rule


def test_of_two_retries_at_once_the_first_put_counts_and_the_loser_looks_again(
    finished_s3: Bucket, proxy: FaultProxy
) -> None:
    rule = proxy.add(Rule(fault="hold", method="PUT", path="/p=0/part-"))
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(retry, finished_s3, endpoint_url=proxy.url)
        rule.wait_until_held()
        assert retry(finished_s3)["errors"] == {"NullValue": 2, "ValueError": 4}
        rule.release()
        late = slow.result(timeout=60)
    assert [seen.status for seen in proxy.requests("PUT", "/p=0/part-")] == [412]
    # p=1 was tried by the slow one after the quick one: that is a third attempt.
    assert errors_of(finished_s3) == {
        ("NullValue", 2): 1, ("ValueError", 2): 2, ("NullValue", 3): 1, ("ValueError", 3): 2,
    }  # fmt: skip
    assert late["retries"] == 3
    assert read_json(finished_s3, f"out/{MANIFEST}") == late
    assert read_status(f"{finished_s3.url}out/")["finished"]


def test_what_another_retry_settled_meanwhile_stays_and_the_rest_is_put_beside_it(
    finished_s3: Bucket, proxy: FaultProxy, mended: None
) -> None:
    rule = proxy.add(Rule(fault="hold", method="PUT", path="/p=0/part-"))
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(retry, finished_s3, endpoint_url=proxy.url)
        rule.wait_until_held()
        assert retry(finished_s3, classes=["NullValue"])["errors"] == {"NullValue": 2, "ValueError": 4}
        rule.release()
        assert slow.result(timeout=60)["errors"] == {"NullValue": 2}
    assert errors_of(finished_s3) == {("NullValue", 2): 1, ("NullValue", 3): 1}
    assert [seen.status for seen in proxy.requests("PUT", "/p=0/part-")] == [412, 200]


class OvertakenStore(LocalStore):
    """The store, in which a retry replaces parts while a run writes the manifest that it made before."""

    def put_if_absent(self, key: str, body: Any, **more: Any) -> bool:
        put = super().put_if_absent(key, body, **more)
        if key == SUCCESS:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("MENDED", "yes")
                retry_job(self.url, model=OWN[1])
        return put


def test_a_manifest_made_before_a_part_was_replaced_does_not_stay(folder: Folder) -> None:
    from batch.commit import commit_manifest, withdraw

    put_input(folder)
    run(folder)
    stale = read_json(folder, f"out/{MANIFEST}")
    store = OvertakenStore(f"{folder.url}out/")
    withdraw(store, plans=1)
    assert not commit_manifest(store, stale, attempt="late")
    assert read_json(folder, f"out/{MANIFEST}")["errors"] == {"NullValue": 2}
    assert read_status(f"{folder.url}out/")["error_rows"] == 2


def test_a_manifest_that_tells_of_other_parts_is_not_taken_for_true(folder: Folder, mended: None) -> None:
    """As a killed retry leaves it beside a run that finished at that moment."""
    put_input(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MENDED")
        run(folder)
    stale = {name: folder.get(f"out/{name}") for name in (MANIFEST, SUCCESS)}
    retry(folder)
    for name, body in stale.items():
        folder.put(f"out/{name}", body)
    assert not read_status(f"{folder.url}out/")["finished"]
    assert run(folder)["errors"] == {"NullValue": 2}
    assert read_status(f"{folder.url}out/")["finished"]


class LateStore(LocalStore):
    """The store, in which a run puts its last part behind a listing."""

    def __init__(self, folder: str, key: str, body: bytes) -> None:
        super().__init__(folder)
        self.late = key, body

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        found = list(super().list(prefix))
        self.put_if_absent(*self.late, attempt="a run")
        yield from found


def test_a_part_that_is_put_while_a_retry_counts_them_is_one(folder: Folder) -> None:
    put_input(folder)
    run(folder)
    prepared, _ = prepare_retry(f"{folder.url}out/", {"model": OWN[1]})
    key = part_keys(folder)[0]
    store = LateStore(f"{folder.url}out/", key.removeprefix("out/"), folder.get(key))
    manifest = read_json(folder, f"out/{MANIFEST}")
    for gone in (key, f"out/{MANIFEST}", f"out/{SUCCESS}"):
        folder.delete(gone)
    done = finish_retry(replace(prepared, target=store), None, manifest["run"], LogProgress())
    assert done["digest"] == manifest["digest"]
