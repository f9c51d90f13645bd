"""Parts are of a working size, say what is in them, and are read by everybody while the job goes on."""

from __future__ import annotations

import io
import itertools
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from batch.errors import FingerprintMismatch, UsageError
from batch.report import Manifest
from batch.run import run_job
from batch.spec import make_job
from tests.batch.command import job, started
from tests.batch.places import WORD_COUNT, Bucket, Folder, part_keys, put_table, texts
from tests.batch.table.models import VECTORS
from tests.fault_proxy import FaultProxy, Rule


def run(place: Folder, **settings: Any) -> Manifest:
    places = {"model": WORD_COUNT, "input": place.url + "in/", "output": place.url + "out/"}
    return run_job(places | settings)


def sizes(place: Folder) -> list[int]:
    return [len(place.get(key)) for key in part_keys(place)]


def test_wide_answers_are_cut_to_parts_of_the_size_asked_for(folder: Folder) -> None:
    different = pa.table({"text": ["a " * number for number in range(1000)]})
    put_table(folder, "in/a.parquet", different, row_group_size=10)
    run(folder, model=VECTORS, part_size="100KB")
    assert 9 <= len(sizes(folder)) <= 11
    assert max(sizes(folder)) < 110_000
    assert sorted(sizes(folder))[1] > 85_000


def test_kept_columns_count_by_what_they_take(folder: Folder) -> None:
    numbers = np.random.default_rng(1)
    table = texts(2000, octets=[numbers.bytes(500) for _ in range(2000)])
    put_table(folder, "in/a.parquet", table, row_group_size=50)
    run(folder, part_size="200KB")
    assert 5 <= len(sizes(folder)) <= 8
    assert max(sizes(folder)) < 220_000
    put_table(folder, "in/a.parquet", table, row_group_size=50)
    run(folder, output=folder.url + "bare/", keep=["id"], part_size="200KB")
    assert len(part_keys(folder, "bare/")) == 1


def test_a_part_is_a_whole_row_group_at_least(folder: Folder) -> None:
    put_table(folder, "in/a.parquet", texts(300), row_group_size=100)
    run(folder, part_size="1KB")
    assert len(sizes(folder)) == 3


def test_the_size_of_parts_belongs_to_the_output_and_its_default_to_those_of_before(folder: Folder) -> None:
    put_table(folder, "in/a.parquet", texts(30))
    run(folder)
    assert run(folder, part_size="1000MB")["run"]["rows"] == 0
    with pytest.raises(FingerprintMismatch, match="part_size"):
        run(folder, part_size="1MB")
    with pytest.raises(UsageError, match=r"part_size: expected a size with its unit, .*found 'big'"):
        make_job({"model": "m", "input": "a", "output": "b", "part_size": "big"})


def test_row_groups_and_pages_say_what_is_in_them_and_the_file_how_it_is_sorted(folder: Folder) -> None:
    put_table(folder, "in/a.parquet", texts(20_000, price=np.linspace(0, 1, 20_000), wide=["x" * 400] * 20_000))
    run(folder)
    (key,) = part_keys(folder)
    file = pq.ParquetFile(io.BytesIO(folder.get(key)))
    assert file.num_row_groups >= 2
    names = [file.schema.column(leaf).name for leaf in range(len(file.schema))]
    bounds = []
    for group in range(file.num_row_groups):
        columns = {names[leaf]: file.metadata.row_group(group).column(leaf) for leaf in range(len(names))}
        for name in ("id", "price", "label", "_source", "_row"):
            assert columns[name].statistics.has_min_max, name
            assert columns[name].has_offset_index, name
            assert columns[name].has_column_index, name
        bounds.append((columns["_row"].statistics.min, columns["_row"].statistics.max))
        by = [(names[one.column_index], one.descending) for one in file.metadata.row_group(group).sorting_columns]
        assert by == [("_source", False), ("_row", False)]
    assert bounds == sorted(bounds)
    assert all(before[1] + 1 == after[0] for before, after in itertools.pairwise(bounds))
    fragment = next(ds.dataset(str(Path(folder.url) / key)).get_fragments())
    assert len(fragment.subset(pc.field("_row") == 19_999).row_groups) == 1
    assert fragment.to_table(filter=pc.field("id") == 77).num_rows == 1
    path = str(Path(folder.url) / key)
    assert duckdb.sql(f"select count(*) from '{path}' where _row between 5 and 14").fetchall() == [(10,)]


def test_what_is_committed_is_read_while_the_job_goes_on(s3_place: Bucket, proxy: FaultProxy, tmp_path: Path) -> None:
    put_table(s3_place, "in/a.parquet", texts(50), row_group_size=10)
    rule = proxy.add(Rule(fault="hold", method="PUT", path="/part-", skip=3, times=None))
    words = job(s3_place, "--shard-mb", "0.0001", "--endpoint-url", proxy.url)
    with started(*words, OMP_NUM_THREADS="1") as process:
        rule.wait_until_held()
        assert len(part_keys(s3_place)) == 3
        for key in part_keys(s3_place):
            (tmp_path / Path(key).name).write_bytes(s3_place.get(key))
        found = ds.dataset(str(tmp_path)).to_table()
        assert sorted(found["id"].to_pylist()) == [*range(30)]
        glob = f"{tmp_path}/part-*.parquet"
        assert duckdb.sql(f"select count(*), count(distinct _row) from '{glob}'").fetchall() == [(30, 30)]
        rule.release()
        assert process.wait(timeout=60) == 0
    assert len(part_keys(s3_place)) == 5
    assert pa.concat_tables(pq.read_table(io.BytesIO(s3_place.get(key))) for key in part_keys(s3_place)).num_rows == 50
