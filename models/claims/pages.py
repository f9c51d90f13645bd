"""Page headers, read as the bytes of a column chunk pass: what a page would unpack to is judged before it is unpacked.

A page of a few kilobytes may claim two gigabytes, and unpack to them; a dictionary may hold one long value that
a million rows refer to. pyarrow allocates what a header says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from struct import Struct

import pyarrow as pa
import pyarrow.parquet as pq

from models.claims.footer import FalseClaim
from models.claims.thrift import Malformed, TooShort, read_struct

MIB = 1 << 20
#: pyarrow's own bound on a header, which may hold statistics.
MOST_HEADER_BYTES = 16 * MIB
#: A page that unpacks to more than this, and to so many times what it takes in the file, is suspect: all suspect ones
#: that are held at once may take no more than the reader allows.
SUSPECT_BYTES, SUSPECT_TIMES = 8 * MIB, 20
#: What a value of a list takes while it is read: its levels, and itself.
LISTED_BYTES = 8
#: What stands before a text.
LENGTH = Struct("<I")
#: Parquet's name for a way of packing -> pyarrow's, where it is another.
CODECS = {"LZ4": "lz4_raw"}
#: Fields of PageHeader and what is in it; parquet.thrift.
UNPACKED, PACKED, DATA, DICTIONARY, DATA_V2 = 2, 3, 5, 7, 8
DELTA_BYTE_ARRAY = 7


class TooWide(Exception):
    """Rows that are read at once could become too much; `rows` of them would do."""

    def __init__(self, rows: int) -> None:
        super().__init__(rows)
        self.rows = rows


@dataclass(slots=True, kw_only=True, eq=False)
class Chunk:
    """A column chunk whose bytes are passing.

    Attributes:
        at: the next byte of the file that is expected.
        values_left: of the chunk; behind its last page nothing is read as one.
        skip: bytes until the next header, those of the page before.
        header: the beginning of a header whose end has not come.
        page_bytes, dictionary_bytes: what the page and the dictionary in hand take, where they are suspect.
        dictionary: the packed dictionary as far as it has come, where its longest value has to be found.
    """

    name: str
    start: int
    at: int
    stop: int
    values_left: int
    listed: bool
    texts: bool
    claims: pq.ColumnChunkMetaData
    skip: int = 0
    header: bytes = b""
    page_bytes: int = 0
    dictionary_bytes: int = 0
    dictionary: bytearray | None = None
    dictionary_sizes: tuple[int, int] = (0, 0)


@dataclass(slots=True, kw_only=True)
class PageWatch:
    """Follows the pages of a row group's chunks while its rows are read.

    Attributes:
        most_bytes: what suspect pages that are held at once may take.
        expanded_bytes: what the rows of one read may become where they repeat long values.
        rows: how many are read at once.
    """

    most_bytes: int
    expanded_bytes: int
    rows: int
    chunks: list[Chunk] = field(default_factory=list)

    def follow(self, group: pq.RowGroupMetaData, footer: pq.FileMetaData, leaves: Sequence[int]) -> None:
        """Begin with a row group; what was followed before is done."""
        self.chunks = []
        for leaf in leaves:
            chunk, column = group.column(leaf), footer.schema.column(leaf)
            start = chunk.data_page_offset
            if chunk.dictionary_page_offset:
                start = min(start, chunk.dictionary_page_offset)
            self.chunks.append(
                Chunk(
                    name=column.path,
                    start=start,
                    at=start,
                    stop=start + chunk.total_compressed_size,
                    values_left=chunk.num_values,
                    listed=column.max_repetition_level > 0,
                    texts=column.physical_type == "BYTE_ARRAY",
                    claims=chunk,
                )
            )

    def see(self, start: int, body: bytes) -> None:
        """Look at bytes of the file that are about to be handed out.

        Raises:
            FalseClaim: a page of theirs must not be unpacked.
            TooWide: the rows must be read in smaller steps; raised before the first of the chunk's rows is read.
        """
        chunk = next((one for one in self.chunks if one.start <= start < one.stop), None)
        if chunk is None or start > chunk.at or start + len(body) <= chunk.at:
            return
        data = memoryview(body)[chunk.at - start :]
        chunk.at += len(data)
        while data and (chunk.values_left > 0 or chunk.dictionary is not None):
            if chunk.skip:
                if chunk.dictionary is not None:
                    chunk.dictionary += data[: chunk.skip]
                passed = min(chunk.skip, len(data))
                chunk.skip, data = chunk.skip - passed, data[passed:]
                if not chunk.skip and chunk.dictionary is not None:
                    self.measure_dictionary(chunk)
                continue
            data = self.take_header(chunk, memoryview(chunk.header + bytes(data)) if chunk.header else data)

    def take_header(self, chunk: Chunk, data: memoryview) -> memoryview:
        """Read a header at the beginning of the data; returns what stands behind it."""
        try:
            header, end = read_struct(data)
        except TooShort:
            if len(data) > MOST_HEADER_BYTES:
                raise FalseClaim(f"column {chunk.name!r}: a page's header does not end") from None
            chunk.header = bytes(data)
            return data[:0]
        except Malformed as error:
            raise FalseClaim(f"column {chunk.name!r}: a page's header is damaged ({error})") from None
        chunk.header = b""
        self.judge(chunk, header)
        chunk.skip = header[PACKED]
        return data[end:]

    def judge(self, chunk: Chunk, header: dict[int, object]) -> None:
        """Decide whether a page may be unpacked."""
        unpacked, packed = header.get(UNPACKED), header.get(PACKED)
        inside = next((header[kind] for kind in (DATA, DATA_V2, DICTIONARY) if kind in header), {})
        values = inside.get(1, 0) if isinstance(inside, dict) else None
        if not (isinstance(unpacked, int) and isinstance(packed, int) and isinstance(values, int)):
            raise FalseClaim(f"column {chunk.name!r}: a page's header lacks its size")
        if unpacked < 0 or packed < 0 or values < 0:
            raise FalseClaim(
                f"column {chunk.name!r}: a page claims {unpacked:,} bytes in {packed:,}, {values:,} values"
            )
        weight = max(unpacked, values * LISTED_BYTES) if chunk.listed and DICTIONARY not in header else unpacked
        weight = weight if weight > max(SUSPECT_BYTES, SUSPECT_TIMES * packed) else 0
        if DICTIONARY in header:
            chunk.dictionary_bytes = weight
            if chunk.texts and unpacked * self.rows > self.expanded_bytes and weight <= self.most_bytes:
                chunk.dictionary, chunk.dictionary_sizes = bytearray(), (unpacked, values)
        elif DATA in header or DATA_V2 in header:
            chunk.values_left -= values
            chunk.page_bytes = weight
            encoding = inside.get(2 if DATA in header else 4) if isinstance(inside, dict) else None
            if encoding == DELTA_BYTE_ARRAY and unpacked * self.rows > 4 * self.expanded_bytes:
                raise FalseClaim(
                    f"column {chunk.name!r}: {self.rows} rows of a page of {unpacked:,} bytes in which values share "
                    "their beginnings could become any size; write it with smaller pages"
                )
        if (held := sum(one.page_bytes + one.dictionary_bytes for one in self.chunks)) > self.most_bytes:
            raise FalseClaim(
                f"column {chunk.name!r}: a page of {packed:,} bytes claims to unpack to {max(weight, unpacked):,}, and "
                f"{held:,} would be held where {self.most_bytes:,} may be (a decompression bomb?); write smaller pages"
            )

    def measure_dictionary(self, chunk: Chunk) -> None:
        """Find a dictionary's longest value, and see that as many rows of it as are read at once may be held."""
        assert chunk.dictionary is not None
        (unpacked, values), body = chunk.dictionary_sizes, bytes(chunk.dictionary)
        chunk.dictionary = None
        # Asked for only now: of a codec that there is not, pyarrow's answer is the end of the process, and before its
        # first read of a chunk it has refused such a one itself.
        longest = unpack_longest(body, unpacked, values, chunk.claims.compression)
        if longest * self.rows > self.expanded_bytes and self.rows > 1:
            raise TooWide(max(1, self.expanded_bytes // longest))


def unpack_longest(body: bytes, unpacked: int, values: int, codec: str) -> int:
    """The longest text of a packed dictionary; where it does not unpack, all of it could be one."""
    try:
        if codec != "UNCOMPRESSED":
            named = CODECS.get(codec, codec.lower())
            body = pa.decompress(body, decompressed_size=unpacked, codec=named, asbytes=True)
    except (pa.ArrowException, OSError, ValueError):  # damaged, which pyarrow will say, or packed otherwise
        return unpacked
    return longest_value(body, values)


def longest_value(body: bytes, values: int) -> int:
    """The longest of so many values, each behind its length in four bytes; a length beyond the end counts as it is."""
    at = longest = 0
    end, unpack = len(body) - 4, LENGTH.unpack_from
    for _ in range(values):  # written for speed: there may be 100,000 of them
        if at > end:
            break
        (size,) = unpack(body, at)
        if size > longest:
            longest = size
        at += 4 + size
    return min(longest, len(body))
