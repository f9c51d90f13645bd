"""What is much is done in a thread, where others run meanwhile."""

from __future__ import annotations

import asyncio
import threading

import pytest

from service.aside import aside


@pytest.mark.parametrize("is_much", [True, False])
def test_only_what_is_much_leaves_the_event_loop(is_much: bool) -> None:
    def act(first: int, *, second: int) -> tuple[int, bool]:
        return first + second, threading.current_thread() is threading.main_thread()

    assert asyncio.run(aside(is_much, act, 1, second=2)) == (3, not is_much)


@pytest.mark.parametrize("is_much", [True, False])
def test_what_it_raises_is_raised(is_much: bool) -> None:
    with pytest.raises(ValueError, match="a"):
        asyncio.run(aside(is_much, int, "a"))
