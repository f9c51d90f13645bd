"""How long something takes or took, and how many there are, as people read it."""

from __future__ import annotations

import pytest

from batch.amounts import counted, spell


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0 s"), (0.00036, "0.00036 s"), (4.24, "4.2 s"), (9.96, "10 s"), (44.6, "45 s"), (99, "99 s"),
        (100, "1.7 min"), (450, "7.5 min"), (600, "10 min"), (5999, "100 min"), (11_160, "3.1 h"), (90_000, "25 h"),
        (216_000, "2.5 days"),
    ],
)  # fmt: skip
def test_durations_are_words(seconds: float, words: str) -> None:
    assert spell(seconds) == words


def test_one_is_no_plural() -> None:
    assert [counted(number, "part") for number in (0, 1, 2, 2000)] == ["0 parts", "1 part", "2 parts", "2,000 parts"]
