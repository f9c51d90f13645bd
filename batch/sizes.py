"""Sizes in words: 512MB, 1.5GB, 2GiB."""

from __future__ import annotations

import re

SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([KMGT]i?)?(B?)", re.IGNORECASE)
UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
UNITS |= {f"{unit}i": 1 << (10 * power) for power, unit in enumerate("kmgt", 1)}


def parse_size(text: str) -> int:
    """`512MB`, `1.5GB`, `2GiB` as bytes.

    Raises:
        ValueError: it is no size.
    """
    found = SIZE.fullmatch(text.strip()) if len(text) <= 40 else None
    if not found or not (found[2] or found[3]) or not float(found[1]):
        raise ValueError(f"expected a size with its unit, such as 512MB, 1.5GB or 2GiB, found {text[:40]!r}")
    return int(float(found[1]) * UNITS[(found[2] or "").lower()])
