"""A part above the multipart threshold, on a server that keeps uploads apart from objects."""

from __future__ import annotations

import random

import pytest

from batch.run import run_job
from batch.stores.s3_store import MIB
from tests.batch.places import WORD_COUNT, Bucket, part_keys, put_table, read_output, texts
from tests.fault_proxy import Fault, FaultProxy, Rule
from tests.servers.weed import Weed

ROWS = 66


def noises() -> list[bytes]:
    """A MiB a row that does not compress, the same each time."""
    chance = random.Random(0)
    return [chance.randbytes(MIB) for _ in range(ROWS)]


@pytest.mark.parametrize("fault", ["lose_answer", "error_after"])
def test_a_large_part_goes_up_in_parts_and_a_complete_whose_answer_was_lost_is_ours(
    weed: Weed, weed_place: Bucket, fault: Fault
) -> None:
    put_table(weed_place, "in/a.parquet", texts(ROWS, noise=noises()))
    settings = {"model": WORD_COUNT, "input": f"{weed_place.url}in/", "output": f"{weed_place.url}out/"}
    with FaultProxy(weed.url) as proxy:
        proxy.add(Rule(fault=fault, method="POST", path="/part-.*uploadId="))
        manifest = run_job(settings | {"endpoint_url": proxy.url})
        uploaded = len(proxy.requests("PUT", "/part-.*partNumber="))
    assert manifest["rows"] == ROWS
    (key,) = part_keys(weed_place)
    assert uploaded >= ROWS * MIB // (16 * MIB)
    assert weed_place.client.head_object(Bucket=weed_place.bucket, Key=key)["ETag"].endswith(f'-{uploaded}"')
    output = read_output(weed_place)
    assert output["id"].to_pylist() == list(range(ROWS))
    assert output["noise"].to_pylist() == noises()
    assert weed_place.client.list_multipart_uploads(Bucket=weed_place.bucket).get("Uploads", []) == []
