"""Starting worker processes, whatever becomes of them while they start."""

from __future__ import annotations

import threading

from batch.workers import Worker, start_process


def echo(content: bytes, pipe: object) -> None:
    pipe.send(len(content))  # type: ignore[attr-defined]


def test_a_process_that_dies_before_it_has_read_what_it_is_given_holds_nobody_up() -> None:
    """What it is given is larger than a pipe holds, as the shards of a large job are."""
    from tests.batch import dying_module  # not above: this module is imported by the other test's process

    workers: list[Worker] = []
    content = (b"x" * 1_000_000,)
    starting = threading.Thread(
        target=lambda: workers.append(start_process(dying_module.body, content, name="dying")), daemon=True
    )
    starting.start()
    starting.join(30)
    assert not starting.is_alive(), "it still writes to a process that is gone"
    workers[0].process.join(30)
    assert workers[0].process.exitcode == 7


def test_what_a_process_is_given_comes_whole() -> None:
    worker = start_process(echo, (b"x" * 1_000_000,), name="echo")
    assert worker.pipe.poll(30)
    assert worker.pipe.recv() == 1_000_000
    worker.process.join(30)
    assert worker.process.exitcode == 0
