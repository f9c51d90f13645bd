"""Whatever a `--replace` did last, and whatever becomes of the input then: no row of a glob is there twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from batch.commit import NEXT
from batch.errors import FingerprintMismatch, InputChanged, ReplaceInterrupted, SchemaMismatch
from batch.report import Manifest
from batch.retry.retry import retry_job
from batch.run import run_job
from batch.stores.local_store import LocalStore
from batch.table import place as output
from tests.batch.places import WORD_COUNT, Folder, part_keys, put_table, read_output, texts


class Killed(BaseException):
    """The end of a process."""


class DyingStore(LocalStore):
    """The store, in which the process ends instead of its next write after so many; probes are not counted."""

    def __init__(self, folder: str, *, after: int) -> None:
        super().__init__(folder)
        self.left = after

    def count(self, key: str) -> None:
        if "probe" not in key:
            self.left -= 1
            if self.left < 0:
                raise Killed

    def put_if_absent(
        self, key: str, body: bytes | Path, *, attempt: str, metadata: Mapping[str, str] | None = None
    ) -> bool:
        self.count(key)
        return super().put_if_absent(key, body, attempt=attempt, metadata=metadata)

    def put_if_match(
        self, key: str, body: bytes | Path, *, etag: str, attempt: str, metadata: Mapping[str, str] | None = None
    ) -> bool:
        self.count(key)
        return super().put_if_match(key, body, etag=etag, attempt=attempt, metadata=metadata)

    def delete(self, key: str, *, etag: str | None = None) -> None:
        self.count(key)
        super().delete(key, etag=etag)


def run(place: Folder, *, replace: bool = False, **settings: Any) -> Manifest:
    places = {"model": WORD_COUNT, "input": place.url + "in/", "output": place.url + "out/"}
    return run_job(places | settings, replace=replace)


def is_killed(place: Folder, *, after: int, **settings: Any) -> bool:
    """Replace, and die after so many puts and deletes; False where there are no more."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(output, "open_store", lambda url, **_: DyingStore(url, after=after))
        try:
            run(place, replace=True, **settings)
        except Killed:
            return True
    return False


def refusal(place: Folder, *, replace: bool) -> str:
    """Run the job; what is said where it is refused."""
    try:
        run(place, replace=replace)
    except (FingerprintMismatch, InputChanged, ReplaceInterrupted, SchemaMismatch) as error:
        return str(error)
    return ""


def put(place: Folder, name: str, table: pa.Table) -> None:
    put_table(place, f"in/{name}.parquet", table)


def put_grown(place: Folder) -> None:
    """A finished job of two plans, of two shards, and of one that reads two small objects; then one input changes."""
    put(place, "p=0/a", texts(5))
    put(place, "p=1/b", texts(6))
    run(place)
    put(place, "p=2/c", texts(7))
    put(place, "p=2/d", texts(8))
    assert run(place)["plans"] == 2
    assert len(part_keys(place)) == 3
    (place.folder / "in/p=0/a.parquet").rename(place.folder / "before")
    put(place, "p=0/a", texts(9))


def rows(place: Folder) -> list[tuple[str, int]]:
    """Of which input rows the parts hold answers, as a glob over the output reads them."""
    if not part_keys(place):
        return []
    found = read_output(place)
    return list(zip(found["_source"].to_pylist(), found["_row"].to_pylist(), strict=True))


def input_rows(place: Folder) -> list[tuple[str, int]]:
    keys = sorted(place.etags("in/"))
    return [(place.url + key, row) for key in keys for row in range(pq.read_metadata(place.folder / key).num_rows)]


#: `_SUCCESS`, the manifest and what a retry keeps of it go first: after that it begins to matter.
FIRST = 3

#: What becomes of the input between the kill and the next run.
CHANGES: dict[str, Callable[[Folder], object]] = {
    "nothing": lambda place: None,
    "what is kept changes too": lambda place: put(place, "p=1/b", texts(10)),
    "what is kept is deleted": lambda place: place.delete("in/p=1/b.parquet"),
    "what was added is deleted": lambda place: place.delete("in/p=2/c.parquet"),
    "what is added is read with what is kept": lambda place: put(place, "p=2/e", texts(11)),
    "what had changed is as it was": lambda place: (place.folder / "before").rename(place.folder / "in/p=0/a.parquet"),
    "what is added has other types": lambda place: put(place, "p=3/e", pa.table({"id": [1.5], "text": ["one"]})),
}


CASES = [(change, replace, {}) for change in CHANGES for replace in (False, True)]
CASES += [("what is kept changes too", replace, {"top_k": 1}) for replace in (False, True)]


@pytest.mark.parametrize(("change", "replace", "settings"), CASES)
def test_whatever_a_replacement_did_last_no_row_is_there_twice(
    tmp_path: Path, change: str, replace: bool, settings: Mapping[str, Any]
) -> None:
    """`settings` are of the job that takes the output over; the one that is run then is that of before."""
    for after in range(FIRST, FIRST + 12):
        (tmp_path / str(after)).mkdir()
        place = Folder(tmp_path / str(after))
        put_grown(place)
        is_last = not is_killed(place, after=after, **settings)
        assert len({*rows(place)}) == len(rows(place))
        CHANGES[change](place)
        if refused := refusal(place, replace=replace):
            assert not replace
            assert "--replace" in refused
            assert len({*rows(place)}) == len(rows(place)), after
            run(place, replace=True)
        assert rows(place) == input_rows(place), after
        assert len({str(pq.read_schema(place.folder / key).field("id").type) for key in part_keys(place)}) == 1
        assert NEXT not in place.etags("out/")
        if is_last:
            break
    assert after > 10


def test_a_retry_does_not_finish_what_a_replacement_left_without_its_plan(folder: Folder) -> None:
    put_grown(folder)
    assert is_killed(folder, after=FIRST + 3)
    assert part_keys(folder)
    with pytest.raises(ReplaceInterrupted, match=r"part-.*kept by a --replace .*Run with --replace"):
        retry_job(folder.url + "out/", model=WORD_COUNT)


def test_another_output_below_of_the_same_job_stays_where_the_plans_cannot_be_read(folder: Folder) -> None:
    put(folder, "a", texts(5))
    run(folder, output=folder.url + "out/below/")
    run(folder)
    folder.put("out/_tandem/plan-0.json", b"none")
    put(folder, "a", texts(6))
    assert run(folder, replace=True)["rows"] == 6
    assert len(part_keys(folder, "out/below/")) == 1
    assert len(part_keys(folder)) == 2
