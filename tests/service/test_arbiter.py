"""The supervisor, as BentoML's own with our rules."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from service.supervise.arbiter import make_arbiter
from service.supervise.settings import SuperviseSettings


@pytest.fixture
def arbiter() -> Iterator[Any]:
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    arbiter = make_arbiter([], SuperviseSettings.read({}))
    yield arbiter
    arbiter.exit_stack.close()
    asyncio.set_event_loop(None)
    loop.close()


def test_while_processes_are_started_it_does_not_look_after_them(arbiter: Any) -> None:
    """Circus would raise, and its event loop log that with a traceback: in every start that takes a while."""
    arbiter._exclusive_running_command = "arbiter_start_watchers"
    assert arbiter.manage_watchers() is None
