"""Words: numbers as people read them."""

from __future__ import annotations

from datetime import UTC, datetime


def number(value: float) -> str:
    """`1,384`, `12.5`, `0.031`; three digits that count below a hundred."""
    if abs(value) >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.3g}"


def rough(value: float) -> str:
    """Two or three digits that count: `1,380`, `37`, `0.54`."""
    return number(float(f"{value:.3g}")) if value >= 100 else f"{value:.2g}"


def short(value: float) -> str:
    """A tick of an axis: `25`, `1.5k`, `20M`."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(value) >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def percent(part: float, whole: float = 1.0) -> str:
    """Never 0 % of what there is, never 100 % of what is not all."""
    share = part / whole if whole else 0.0
    if 0 < share < 0.001:
        return "under 0.1 %"
    if 0.999 < share < 1:
        return "over 99.9 %"
    return f"{100 * share:.1f} %" if share != int(share) else f"{100 * share:.0f} %"


def size(size_bytes: float) -> str:
    for unit, bytes_ in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size_bytes >= bytes_:
            return f"{size_bytes / bytes_:.1f} {unit}"
    return f"{size_bytes:.0f} B"


def count(amount: int, noun: str, plural: str | None = None) -> str:
    """`1 row`, `2,000 rows`, `no row`."""
    return f"no {noun}" if amount == 0 else f"{amount:,} {noun if amount == 1 else plural or noun + 's'}"


def cut(text: str, characters: int) -> str:
    """So much of a text; names are cut in the middle, since their ends tell them apart."""
    if len(text) <= characters:
        return text
    tail = characters // 3
    return f"{text[: characters - tail - 1]}…{text[-tail:]}"


def moment(iso: str | None) -> str:
    """`2026-11-22 12:01:07 UTC`."""
    return f"{datetime.fromisoformat(iso).astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if iso else ""
