"""The online comparison counts what it says it counts, and its clients do what they say."""

from __future__ import annotations

import asyncio
import json
import os
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from benchmarks.online.goodput import GOAL_MS, SETTLE_S, Step, capacity, judge, percentile
from benchmarks.online.load import Answered, Load, drive, send
from benchmarks.online.side import group
from benchmarks.online.soak import growth
from benchmarks.sections.online import has_ended


class Echo(BaseHTTPRequestHandler):
    """Answers with the body; refuses one that says no."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(503 if b"no" in body else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server.server_port
        server.shutdown()
        thread.join()


def answered(*cases: tuple[float, int, float]) -> list[Answered]:
    return [Answered(sent_s=sent, status=status, seconds=seconds) for sent, status, seconds in cases]


def test_goodput_counts_what_was_answered_in_time_after_the_filling_and_nothing_else() -> None:
    late = GOAL_MS / 1000 + 0.1
    filling = [(SETTLE_S / 2, 200, 0.1)] * 50
    found = judge(answered(*filling, (3, 200, 0.1), (3, 200, late), (3, 503, 0.01), (3, 500, 0.01), (3, 0, 1)), 12.0)
    assert found.offered == 0.5
    assert found.goodput == 0.1
    assert (found.refused, found.failed) == (0.2, 0.4)
    assert found.p99_ms == late * 1000
    assert not found.holds


def step(goodput: float, p99_ms: float, refused: float = 0.0) -> Step:
    return Step(offered=goodput, goodput=goodput, p99_ms=p99_ms, refused=refused, failed=0)


def test_capacity_is_the_best_step_that_holds_the_goal_and_turns_few_away() -> None:
    steps = [step(10, 90), step(20, 400), step(25, 450, refused=0.3), step(30, 700)]
    assert capacity(steps) is steps[1]
    assert capacity(steps[2:]) is steps[2], "a peer that has no such step is taken by what it has"
    assert capacity(steps[3:]) is steps[3]
    assert capacity([]) is None


def test_a_ladder_ends_where_more_load_brings_nothing() -> None:
    assert not has_ended([step(10, 90), step(20, 700)])
    assert has_ended([step(10, 90), step(20, 400), step(15, 700)])
    assert not has_ended([step(20, 400), step(25, 450, refused=0.15)])
    assert has_ended([step(20, 400), step(25, 450, refused=0.25)])


def test_a_percentile_of_nothing_is_without_end_and_the_last_value_is_reached() -> None:
    assert percentile([], 0.99) == float("inf")
    assert percentile([1.0, 2.0, 3.0], 0.99) == 3.0
    assert percentile(list(map(float, range(1, 1001))), 0.99) == 991.0


def test_the_same_seed_sends_the_same_texts_at_the_same_times(port: int) -> None:
    bodies = [json.dumps(number).encode() for number in range(50)]
    load = Load(kind="poisson", rate=200, seconds=0.3, seed=5)
    first, second = (asyncio.run(send(port, "/", bodies, load)) for _ in range(2))
    assert [sent for sent, _, _ in first] == [sent for sent, _, _ in second]
    assert 30 < len(first) < 100


def test_a_process_of_clients_gives_every_answer_its_status(port: int) -> None:
    answers = drive(port, "/", [b"yes", b"no"], Load(kind="lone", count=4), sorted(os.sched_getaffinity(0)))
    assert [one.status for one in answers] == [200, 503, 200, 503]
    answers = drive(port, "/", [b"yes"], Load(kind="burst", count=30), sorted(os.sched_getaffinity(0)))
    assert [one.status for one in answers] == [200] * 30


def test_growth_is_that_of_the_second_half() -> None:
    samples = [(float(s), 100.0 + 50 * (s < 100), 9) for s in range(0, 200, 10)]
    assert growth(samples) == (pytest.approx(0.0, abs=1e-6), 0)
    assert growth([(float(s), s / 3600, 9 + s // 100) for s in range(200)]) == (pytest.approx(1.0), 0)


def test_a_process_and_those_below_it_are_its_group() -> None:
    assert os.getpid() in group(os.getppid())
