"""A step that runs ahead in a thread: whoever waits for it hears signals."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator

import pytest

from batch.overlap import overlap


@pytest.fixture
def heard() -> Iterator[threading.Event]:
    """Set once the main thread has heard SIGUSR1."""
    event = threading.Event()
    before = signal.signal(signal.SIGUSR1, lambda number, frame: event.set())
    yield event
    signal.signal(signal.SIGUSR1, before)


def take_signal(heard: threading.Event) -> bool:
    """Take the signal in this thread, as the kernel may have any thread do; was it heard while this one had no item?"""
    time.sleep(0.3)  # the main thread waits by now
    signal.pthread_kill(threading.get_ident(), signal.SIGUSR1)
    return heard.wait(20)


def test_a_signal_that_another_thread_took_is_heard_before_the_next_item_comes(heard: threading.Event) -> None:
    assert list(overlap((take_signal(heard) for _ in range(1)), ahead=1, name="step")) == [True]


def test_a_signal_that_another_thread_took_is_heard_before_the_step_has_ended(heard: threading.Event) -> None:
    was_heard = []

    def step() -> Iterator[int]:
        yield 1
        was_heard.append(take_signal(heard))

    items = overlap(step(), ahead=1, name="step")
    assert next(items) == 1
    items.close()
    assert was_heard == [True]
