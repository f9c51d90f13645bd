"""How fast a key may ask."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

from service.door.errors import TooFast
from service.door.key import Key, Rate


class Rates:
    """A bucket of tokens for each key that has a rate: full at first, filled evenly, one token a request."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._buckets: dict[tuple[str, Rate], tuple[float, float]] = {}

    def take(self, key: Key) -> None:
        """Let one request of this key in.

        Raises:
            TooFast: its bucket is empty; says when it no longer is.
        """
        if (rate := key.rate) is None:
            return
        now, each_s = self._clock(), rate.per_s / rate.requests
        tokens, filled = self._buckets.get((key.name, rate), (float(rate.requests), now))
        tokens = min(tokens + (now - filled) / each_s, float(rate.requests))
        if tokens < 1:
            self._buckets[key.name, rate] = tokens, now
            raise TooFast(key.name, rate=str(rate), retry_after_s=max(math.ceil((1 - tokens) * each_s), 1))
        self._buckets[key.name, rate] = tokens - 1, now
