"""Wait for what another process brings about."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any


def wait_until(holds: Callable[[], Any], *, most_s: float = 120.0, seen: Callable[[], Any] = lambda: "") -> Any:
    """What it returns as soon as that is true.

    Raises:
        AssertionError: it has not been within `most_s`; says what is `seen` instead.
    """
    ends = time.monotonic() + most_s
    while not (found := holds()):
        assert time.monotonic() < ends, f"it did not come about: {seen()}"
        time.sleep(0.02)
    return found
