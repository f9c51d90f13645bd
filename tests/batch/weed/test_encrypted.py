"""`--sse`: what lies on the server's own disk can be read only where nobody asked for encryption."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.batch.command import Command
from tests.batch.places import WORD_COUNT, Bucket, Folder, part_keys, put_table, read_output, texts
from tests.servers.weed import Weed

#: A column's name stands in a part's footer as it is.
LEGIBLE = "a_name_that_stands_nowhere_else"


@pytest.mark.parametrize(("words", "encrypted"), [((), False), (("--sse", "AES256"), True)])
def test_a_part_is_legible_on_the_servers_disk_only_without_sse(
    weed: Weed, weed_place: Bucket, folder: Folder, command: Command, words: tuple[str, ...], encrypted: bool
) -> None:
    put_table(folder, "in/a.parquet", texts(20, **{LEGIBLE: list(range(20))}))
    places = ("--input", f"{folder.url}in/", "--output", f"{weed_place.url}out/")
    assert command("run", "--model", WORD_COUNT, *places, *words).code == 0
    (key,) = part_keys(weed_place)
    head = weed_place.client.head_object(Bucket=weed_place.bucket, Key=key)
    assert head.get("ServerSideEncryption") == ("AES256" if encrypted else None)
    assert read_output(weed_place)[LEGIBLE].to_pylist() == list(range(20))
    assert (LEGIBLE.encode() in written(weed.folder, weed_place.bucket)) is not encrypted


def written(folder: Path, bucket: str) -> bytes:
    """Everything that the server keeps of a bucket, as it lies on its disk."""
    files = sorted(folder.glob(f"{bucket}_*.dat"))
    assert files
    return b"".join(path.read_bytes() for path in files)
