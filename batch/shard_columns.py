"""Many shards as columns: some 50 bytes each, where a Shard takes half a kilobyte; a Shard is made when asked for."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterable, Sequence
from itertools import chain, islice
from typing import Literal, overload

import pyarrow as pa

from batch.shard import Piece, Shard

#: Up to so many shards a plan is Shards in a tuple and JSON that people can read; beyond, it is columns.
FEW = 10_000
#: Bytes of a shard's id.
ID_BYTES = 10
#: Column -> what its numbers are, as `array` names types.
NUMBERS: dict[str, Literal["i", "I", "q", "Q"]] = {
    "folder": "I",
    "rows": "q",
    "end": "Q",
    "object": "I",
    "first": "i",
    "groups": "i",
    "stop": "q",
}


class Columns(Sequence[Shard]):
    """Shards by column.

    `ids` has 10 bytes a shard; `folder`, `rows` and `end` one number a shard, `end` the number of pieces up to and with
    it; `object`, `first`, `groups` and `stop` one a piece: its object, its first row group and how many, and the stop
    row or -1. `folders` are (partition, folder), `objects` are (key, ETag, bytes), each once.
    """

    def __init__(self, shards: Iterable[Shard] = ()) -> None:
        self.ids: bytearray | memoryview = bytearray()
        self.numbers: dict[str, array[int] | memoryview] = {name: array(kind) for name, kind in NUMBERS.items()}
        self.folders: list[tuple[str, str]] = []
        self.objects: list[tuple[str, str, int]] = []
        self._fill(shards)

    def _fill(self, shards: Iterable[Shard]) -> None:
        """Raises ValueError where a piece's row groups are not neighbours, which `cut` never makes."""
        ids = bytearray()
        folder, rows, end, at, first, groups, stop = columns = [array(kind) for kind in NUMBERS.values()]
        folders: dict[tuple[str, str], int] = {}
        objects: dict[tuple[str, str, int], int] = {}
        for shard in shards:
            ids += bytes.fromhex(shard.id)
            folder.append(folders.setdefault((shard.partition, shard.folder), len(folders)))
            rows.append(shard.rows)
            for piece in shard.pieces:
                taken = piece.row_groups
                if taken and taken[-1] - taken[0] + 1 != len(taken):
                    raise ValueError(f"row groups of {piece.key} are no neighbours: {taken}")
                at.append(objects.setdefault((piece.key, piece.etag, piece.size_bytes), len(objects)))
                first.append(taken[0] if taken else 0)
                groups.append(len(taken))
                stop.append(-1 if piece.stop_row is None else piece.stop_row)
            end.append(len(at))
        self.ids, self.numbers = ids, dict(zip(NUMBERS, columns, strict=True))
        self.folders, self.objects = list(folders), list(objects)

    def __len__(self) -> int:
        return len(self.ids) // ID_BYTES

    @overload
    def __getitem__(self, index: int) -> Shard: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Shard, ...]: ...
    def __getitem__(self, index: int | slice) -> Shard | tuple[Shard, ...]:
        if isinstance(index, slice):
            return tuple(self._shard(place) for place in range(*index.indices(len(self))))
        return self._shard(range(len(self))[index])

    def _shard(self, place: int) -> Shard:
        numbers = self.numbers
        partition, folder = self.folders[numbers["folder"][place]]
        pieces = range(numbers["end"][place - 1] if place else 0, numbers["end"][place])
        return Shard(
            id=self.ids[ID_BYTES * place : ID_BYTES * (place + 1)].hex(),
            partition=partition,
            folder=folder,
            pieces=tuple(self._piece(piece) for piece in pieces),
            rows=numbers["rows"][place],
        )

    def _piece(self, place: int) -> Piece:
        numbers = self.numbers
        key, etag, size_bytes = self.objects[numbers["object"][place]]
        first, stop = numbers["first"][place], numbers["stop"][place]
        return Piece(
            key=key,
            etag=etag,
            size_bytes=size_bytes,
            row_groups=tuple(range(first, first + numbers["groups"][place])),
            stop_row=None if stop < 0 else stop,
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and len(self) == len(other) and all(map(Shard.__eq__, self, other))

    __hash__ = None  # type: ignore[assignment]

    @property
    def rows(self) -> int:
        return sum(self.numbers["rows"])

    def to_arrow(self, header: bytes) -> bytes:
        """One row of an Arrow file, compressed: a column of bytes for each of ours, and the header."""
        names = json.dumps([self.folders, self.objects]).encode()
        columns: dict[str, bytes | bytearray | memoryview | array[int]] = {
            "header": header,
            "names": names,
            "ids": self.ids,
            **self.numbers,
        }
        sink = pa.BufferOutputStream()
        cells = [one_cell(pa.py_buffer(column)) for column in columns.values()]
        batch = pa.record_batch(cells, names=list(columns))
        with pa.ipc.new_file(sink, batch.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
            writer.write_batch(batch)
        return bytes(sink.getvalue())

    @classmethod
    def from_arrow(cls, body: bytes) -> tuple[bytes, Columns]:
        """The header and the shards. Raises ValueError or KeyError where it is none of ours."""
        batch = pa.ipc.open_file(pa.py_buffer(body)).get_batch(0)
        cells = {name: memoryview(batch.column(name)[0].as_buffer()) for name in ("header", "names", "ids", *NUMBERS)}
        found = cls()
        folders, objects = json.loads(bytes(cells["names"]))
        found.folders = [(partition, folder) for partition, folder in folders]
        found.objects = [(key, etag, size_bytes) for key, etag, size_bytes in objects]
        found.ids = cells["ids"]
        found.numbers = {name: cells[name].cast("B").cast(kind) for name, kind in NUMBERS.items()}
        if len({len(found), *(len(found.numbers[name]) for name in ("folder", "rows", "end"))}) != 1:
            raise ValueError("columns of a plan differ in length")
        return bytes(cells["header"]), found


def one_cell(body: pa.Buffer) -> pa.Array:
    """An array of one value, these bytes; they are not copied."""
    ends = pa.py_buffer(array("q", [0, body.size]))
    return pa.Array.from_buffers(pa.large_binary(), 1, [None, ends, body])


def hold(shards: Iterable[Shard]) -> Sequence[Shard]:
    """A tuple of few shards, columns of many; no more than FEW are ever there as Shards."""
    stream = iter(shards)
    few = tuple(islice(stream, FEW + 1))
    return few if len(few) <= FEW else Columns(chain(few, stream))
