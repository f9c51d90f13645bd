"""`--replace` removes what the last job wrote there and is no longer true, and nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch.commit import MANIFEST, SUCCESS, agree_on_plan, is_finished, read_plans, withdraw
from batch.errors import TooManyErrors
from batch.run import run_job
from batch.stores.local_store import LocalStore
from batch.stores.storage import ObjectInfo
from tests.batch.places import WORD_COUNT


def put(folder: Path, name: str, **columns: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), folder / name)


def job(source: Path, output: Path, **more: Any) -> dict[str, Any]:
    return {"model": WORD_COUNT, "input": str(source), "output": str(output), **more}


def parts(output: Path) -> set[Path]:
    return set(output.glob("part-*.parquet"))


def test_another_jobs_output_below_this_one_stays(tmp_path: Path) -> None:
    put(tmp_path / "in", "a.parquet", text=["one", "two words"])
    out = tmp_path / "out"
    run_job(job(tmp_path / "in", out / "sub"))
    run_job(job(tmp_path / "in", out))
    below = parts(out / "sub")
    run_job(job(tmp_path / "in", out, top_k=1), replace=True)
    assert parts(out / "sub") == below != set()
    assert len(parts(out)) == 1


def test_an_output_has_one_schema_also_after_a_replacement(tmp_path: Path) -> None:
    put(tmp_path / "in", "a.parquet", id=[1, 2], text=["one", "two words"])
    run_job(job(tmp_path / "in", tmp_path / "out", shard_mb=0.0001))
    put(tmp_path / "in", "b.parquet", id=[1.5], text=["three"])
    run_job(job(tmp_path / "in", tmp_path / "out", shard_mb=0.0001), replace=True)
    found = parts(tmp_path / "out")
    assert len(found) == 2
    assert {str(pq.read_schema(part).field("id").type) for part in found} == {"double"}


def test_a_part_that_was_removed_from_a_finished_output_is_made_again(tmp_path: Path) -> None:
    put(tmp_path / "in", "a.parquet", text=["one", "two words"])
    run_job(job(tmp_path / "in", tmp_path / "out"))
    before = parts(tmp_path / "out")
    for part in before:
        part.unlink()
    assert run_job(job(tmp_path / "in", tmp_path / "out"))["run"]["rows"] == 2
    assert parts(tmp_path / "out") == before


def test_a_stale_success_goes_before_a_run_that_may_not_finish(tmp_path: Path) -> None:
    put(tmp_path / "in", "a.parquet", text=["one"] * 200)
    run_job(job(tmp_path / "in", tmp_path / "out", max_error_rate=0.0))
    put(tmp_path / "in", "b.parquet", text=pa.nulls(200, pa.string()))
    stale = (tmp_path / "out" / SUCCESS).read_bytes()
    with pytest.raises(TooManyErrors):
        run_job(job(tmp_path / "in", tmp_path / "out", max_error_rate=0.0))
    (tmp_path / "out" / SUCCESS).write_bytes(stale)  # as a run leaves it that knew nothing of b
    with pytest.raises(TooManyErrors):
        run_job(job(tmp_path / "in", tmp_path / "out", max_error_rate=0.0))
    assert not (tmp_path / "out" / SUCCESS).exists()


class FinishingStore(LocalStore):
    """The store, in which another run finishes what it knows of while a new plan is being put."""

    def __init__(self, folder: str, success: bytes, manifest: bytes) -> None:
        super().__init__(folder)
        self.others = {SUCCESS: success, MANIFEST: manifest}

    def put_if_absent(self, key: str, body: Any, *, attempt: str, metadata: Any = None) -> bool:
        if key.endswith("plan-1.json"):
            for name, content in self.others.items():
                super().put_if_absent(name, content, attempt="another")
        return super().put_if_absent(key, body, attempt=attempt, metadata=metadata)


def test_a_run_that_finishes_while_a_plan_is_added_leaves_no_success_behind(tmp_path: Path) -> None:
    put(tmp_path / "in", "a.parquet", text=["one"])
    run_job(job(tmp_path / "in", tmp_path / "out"))
    out = tmp_path / "out"
    store = FinishingStore(str(out), (out / SUCCESS).read_bytes(), (out / MANIFEST).read_bytes())
    (plan,) = read_plans(store)
    agree_on_plan(store, type(plan)(number=1, objects={}, shards=(), schema=plan.schema), attempt="mine")
    assert not (out / SUCCESS).exists()
    assert not is_finished(store, 2)


class OvertakenStore(LocalStore):
    """The store, in which another run puts a newer `_SUCCESS` between our look and our delete."""

    def delete(self, key: str, *, etag: str | None = None) -> None:
        if key == SUCCESS:
            Path(self.url, key).write_bytes(b'{"plans": 2}')
        super().delete(key, etag=etag)


def test_a_newer_success_is_not_withdrawn(tmp_path: Path) -> None:
    put(tmp_path / "in", "a.parquet", text=["one"])
    run_job(job(tmp_path / "in", tmp_path / "out"))
    withdraw(OvertakenStore(str(tmp_path / "out")), plans=1)
    assert (tmp_path / "out" / SUCCESS).read_bytes() == b'{"plans": 2}'


def test_a_conditional_delete_removes_that_version_only(tmp_path: Path) -> None:
    store = LocalStore(str(tmp_path))
    store.put_if_absent("x", b"old", attempt="a")
    (info,) = [found for found in store.list() if isinstance(found, ObjectInfo)]
    store.delete("x", etag="another")
    assert store.head("x") is not None
    store.delete("x", etag=info.etag)
    assert store.head("x") is None
