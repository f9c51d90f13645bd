"""A part's columns are stored as suits what is in them, and no more is read than a limit lets in."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from batch.errors import UnreadableParquet
from batch.run import run_job
from tests.batch.places import WORD_COUNT, Folder, parquet_bytes, part_keys, put_table, texts


def test_only_what_repeats_is_stored_with_a_dictionary(folder: Folder) -> None:
    put_table(folder, "in/a.parquet", texts(500, price=np.linspace(0, 1, 500), desk=["x", "y"] * 250))
    run_job({"model": WORD_COUNT, "input": folder.url + "in/", "output": folder.url + "out/"})
    (key,) = part_keys(folder)
    group = pq.read_metadata(io.BytesIO(folder.get(key))).row_group(0)
    stored = {group.column(i).path_in_schema: group.column(i).encodings for i in range(group.num_columns)}
    plain = {path for path, encodings in stored.items() if "RLE_DICTIONARY" not in encodings}
    assert {"_row", "score", "scores.key_value.value"} <= plain
    assert not plain & {"desk", "price", "label", "scores.key_value.key", "_source"}


def test_behind_the_limit_nothing_is_unpacked(folder: Folder) -> None:
    options: dict[str, Any] = {
        "row_group_size": 50_000,
        "data_page_size": 4096,
        "use_dictionary": False,
        "compression": "none",
    }
    body = bytearray(parquet_bytes(texts(50_000), write_page_checksum=True, **options))
    end = pq.read_metadata(io.BytesIO(bytes(body))).row_group(0).column(1)
    body[end.data_page_offset + end.total_compressed_size - 40] ^= 255  # in the last page: its checksum tells
    folder.put("in/a.parquet", bytes(body))
    places = {"model": WORD_COUNT, "input": folder.url + "in/"}
    assert run_job({**places, "output": folder.url + "out/", "limit": 100})["rows"] == 100
    with pytest.raises(UnreadableParquet):
        run_job({**places, "output": folder.url + "all/"})
