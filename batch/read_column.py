"""Read column: the values of one column, outside any job, with the care that a job takes with files that lie."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from batch.bounds import Bounds
from batch.errors import UnreadableParquet, UsageError
from batch.parquet_source import BUFFER_BYTES, PinnedFile, read_footer, wanted_leaves
from batch.plan import source_schema
from batch.read import fetched_ahead, first_line, group_batches
from batch.stores.storage import ObjectInfo, Store
from models.claims.pages import TooWide


class ObjectColumn:
    """One column of one Parquet object.

    Attributes:
        row_groups: how many there are.

    Raises:
        UnreadableParquet: it is damaged, or claims what cannot be.
        UsageError: it has no such column.
    """

    def __init__(self, store: Store, info: ObjectInfo, column: str, *, flag: str) -> None:
        self._store, self._info, self._column = store, info, column
        self._url = store.url_of(info.key)
        self._footer = read_footer(store, info)
        names = source_schema(self._url, self._footer).names
        if column not in names:
            raise UsageError(
                f"{flag} {self._url} has no column {column!r}; it has {', '.join(names)}. Name one with --column."
            )
        self.row_groups = int(self._footer.num_row_groups)

    def read(self, row_groups: Sequence[int] | None = None) -> Iterator[pa.Array]:
        """The values of some row groups, or of all, a bounded number of bytes at once; without nulls.

        Raises:
            UnreadableParquet: a page is damaged or unpacks to more than may be held, or a text is none.
        """
        groups = range(self.row_groups) if row_groups is None else row_groups
        leaves, bounds = wanted_leaves(self._footer, [self._column]), Bounds()
        with PinnedFile(self._store, self._info) as file:
            try:
                parquet = pq.ParquetFile(
                    file,
                    metadata=self._footer,
                    page_checksum_verification=True,
                    pre_buffer=False,
                    buffer_size=BUFFER_BYTES,
                )
                for group in fetched_ahead(file, self._footer, groups, [self._column]):
                    for batch in group_batches(file, parquet, group, [self._column], leaves, bounds):
                        batch.validate(full=True)
                        yield batch.column(0).drop_null()
            except (pa.ArrowException, OSError, UnicodeDecodeError, TooWide) as error:
                raise UnreadableParquet(self._url, first_line(error)) from None
