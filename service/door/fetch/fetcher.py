"""Fetcher: reads the rows of a request that name an address, `{"uri": "https://..."}`."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import Protocol

from models.model import RowFault
from service.door.fetch.address import resolve
from service.door.fetch.errors import FetchFault, FetchRefused, FetchUnreadable
from service.door.fetch.get_http import get
from service.door.fetch.get_s3 import Bucket
from service.door.fetch.prefix import Place, read_place

#: As many are read at a time, for all requests together.
AT_ONCE = 16
#: Of one request: its slow addresses leave turns to the others'.
AT_ONCE_EACH = 4
#: One address, and all those of one request.
ONE_S, ALL_S = 10.0, 30.0


class Room(Protocol):
    """Where what is read is kept: a request's body (service/door/bodies.py)."""

    def hold(self, size: int) -> None:
        """Count bytes that are about to be kept.

        Raises:
            ServiceError: there is no room for them.
        """

    def let_go(self, size: int) -> None:
        """So many of them are kept no longer."""


class Fetcher:
    """Reads addresses below the operator's prefixes; a fault costs its own row.

    Nothing is followed elsewhere, the address that a name means is checked and then used, and what is read counts as if
    it had come in the request's body.

    Args:
        allowed: prefixes; none of them: nothing is read.
        limit_bytes: of one address.
    """

    def __init__(self, allowed: Sequence[Place], *, limit_bytes: int) -> None:
        self.allowed, self.limit_bytes = tuple(allowed), limit_bytes
        self._turns = asyncio.Semaphore(AT_ONCE)
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="fetch-s3")
        self._bucket = Bucket(timeout_s=ONE_S / 2)

    async def fetch_all(self, uris: Sequence[str], room: Room) -> list[bytes | RowFault]:
        """What each address holds, or why it was not read, in the order given.

        Args:
            uris: as the rows have them.
            room: counts what is read while it comes, so that nothing comes for which there is no room.

        Raises:
            ServiceError: what the room says.
        """
        ends, own = asyncio.get_running_loop().time() + ALL_S, asyncio.Semaphore(AT_ONCE_EACH)
        tasks = [asyncio.ensure_future(self._fetch(uri, ends, own, room)) for uri in uris]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def _fetch(self, uri: str, ends: float, own: asyncio.Semaphore, room: Room) -> bytes | RowFault:
        held = 0

        def hold(size: int) -> None:
            nonlocal held
            room.hold(size)
            held += size

        try:
            place, listed = self.find(uri)
            async with asyncio.timeout_at(ends), own, self._turns, asyncio.timeout(ONE_S):
                return await self._get(place, listed, hold)
        except FetchFault as error:
            fault = RowFault(kind=error.kind, message=f"the address is not read: {error}")
        except TimeoutError:
            fault = RowFault(kind=FetchUnreadable.kind, message="the address is not read: it took too long")
        room.let_go(held)
        return fault

    def find(self, uri: str) -> tuple[Place, Place]:
        """The place that is meant, and the prefix that lets it be read.

        Raises:
            FetchRefused: there is none. Which there are is not said.
        """
        try:
            place = read_place(uri)
        except ValueError as error:
            raise FetchRefused(str(error)) from None
        listed = next((prefix for prefix in self.allowed if prefix.holds(place)), None)
        if listed is None:
            raise FetchRefused("it is not below one that this server reads (--allow-url)")
        return place, listed

    async def _get(self, place: Place, listed: Place, hold: Callable[[int], None]) -> bytes:
        if place.scheme == "s3":
            loop = asyncio.get_running_loop()
            found = await loop.run_in_executor(self._threads, self._bucket.open, place, self.limit_bytes)
            try:
                hold(found.size)
            except BaseException:
                found.close()
                raise
            return await loop.run_in_executor(self._threads, found.read)
        addresses = await resolve(place, listed=listed)
        return await get(place, addresses, context=self._context, limit_bytes=self.limit_bytes, hold=hold)

    @cached_property
    def _context(self) -> ssl.SSLContext:
        return ssl.create_default_context()

    def close(self) -> None:
        """Begin nothing more; what is being read from S3 ends by itself, within its time."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._bucket.close()
