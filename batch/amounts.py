"""Amounts in words: 4.2 s, 45 s, 7.5 min, 3.1 h, 2.5 days; 1 part, 2,000 parts."""

from __future__ import annotations

#: From so many seconds on -> in this unit, of so many seconds.
UNITS = ((172_800.0, "days", 86_400.0), (6000.0, "h", 3600.0), (100.0, "min", 60.0), (0.0, "s", 1.0))


def spell(seconds: float) -> str:
    """In the unit that fits; two figures, or all of them before the point."""
    unit, length = next((unit, length) for least, unit, length in UNITS if seconds >= least)
    amount = seconds / length
    return f"{amount:.2g} {unit}" if amount < 10 else f"{amount:.0f} {unit}"


def counted(number: int, noun: str) -> str:
    """So many of something whose plural has an s."""
    return f"{number:,} {noun}{'s' * (number != 1)}"
