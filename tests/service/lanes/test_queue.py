"""Who is let in, and whose turn it is, where what rows take is known."""

from __future__ import annotations

import math

import pytest

from service.errors import SettingsInvalid
from service.lanes.recent import Recent
from service.lanes.settings import LaneSettings
from tests.service.lanes.queues import fill, make_queue, put, take_all


def test_a_lone_request_is_let_in_however_long_it_takes() -> None:
    queue = make_queue(row_s=2.0, slo_s=0.5, max_wait_s=1.0)
    assert put(queue)[1] is None
    assert put(queue)[1] is not None
    take_all(queue)
    queue.rest()
    assert put(queue, rows=20)[1] is None


def test_one_who_comes_while_background_rows_are_answered_is_let_in_however_long_he_takes() -> None:
    queue = make_queue(row_s=1.0, slo_s=0.5)
    put(queue, priority="background", rows=3)
    queue.release()
    assert queue.take() is not None
    assert put(queue)[1] is None


def test_a_large_request_breaks_no_promise_that_was_given_before_it_came() -> None:
    queue = make_queue(row_s=0.01, slo_s=0.5)
    while (last := put(queue))[1] is None:
        pass
    assert last[1].reason == "predicted_wait"
    promised = queue.rows
    assert put(queue, rows=100)[1] is None
    before_s = 0.0
    for window in take_all(queue):
        before_s += window.seconds
        if any(part.request.due < math.inf for part in window.slices):
            promised -= sum(part.stop - part.start for part in window.slices if part.request.due < math.inf)
            assert before_s <= 0.9 * 0.5
    assert promised == 0


def test_a_clump_is_let_in_for_longer_than_a_crowd() -> None:
    queue = make_queue(row_s=0.008, slo_s=0.5)
    assert fill(queue) == 56  # 0.9 of the goal, at 8 ms a row
    for _ in range(20):
        put(queue)
    take_all(queue)
    queue.rest()
    assert fill(queue) == 46  # 0.85 of it, less a window of 50 ms


def test_a_crowd_is_forgotten_once_newcomers_find_room_again() -> None:
    queue = make_queue(row_s=0.008, slo_s=0.5)
    fill(queue)
    for _ in range(300):
        put(queue)
    for _ in range(1800):
        take_all(queue)
        queue.rest()
        put(queue)
    take_all(queue)
    queue.rest()
    assert fill(queue) == 56


def test_background_rows_are_in_no_window_with_interactive_ones() -> None:
    queue = make_queue(row_s=0.001, slo_s=0.5)
    background, interactive = put(queue, priority="background")[0], put(queue)[0]
    assert [[part.request for part in window.slices] for window in take_all(queue)] == [[interactive], [background]]


def test_a_window_of_rows_that_nothing_was_promised_is_short() -> None:
    queue = make_queue(row_s=0.004, slo_s=0.5)
    put(queue, rows=150)
    put(queue, rows=150, priority="background")
    windows = take_all(queue)
    assert max(window.seconds for window in windows) <= 0.05 + 1e-9
    assert sum(window.rows for window in windows) == 300
    assert all(len({part.request.priority for part in window.slices}) == 1 for window in windows)
    priorities = [window.slices[0].request.priority for window in windows]
    assert priorities == sorted(priorities, reverse=True)


def test_large_requests_take_turns() -> None:
    queue = make_queue(row_s=0.01, slo_s=0.5)
    first, second = put(queue, rows=60)[0], put(queue, rows=60)[0]
    queue.release()
    for _ in range(4):
        assert queue.take() is not None
    assert abs(first.rows_left - second.rows_left) <= 6


def test_more_rows_than_may_wait_are_refused_whatever_they_take() -> None:
    queue = make_queue(row_s=1e-6, slo_s=0.5, max_rows=8)
    assert put(queue, rows=8)[1] is None
    refusal = put(queue)[1]
    assert refusal is not None
    assert refusal.reason == "queue_full"


def test_no_kind_of_request_takes_the_others_room() -> None:
    queue = make_queue(row_s=0.01, slo_s=0.5, max_rows=64)
    assert put(queue, rows=64, priority="background")[1] is None
    assert put(queue, rows=64)[1] is None, "a large one"
    assert put(queue)[1] is None, "a small one"
    for refused in (put(queue, priority="background")[1], put(queue, rows=63)[1]):
        assert refused is not None
        assert refused.reason == "queue_full"


def test_a_queue_that_was_closed_lets_nobody_in() -> None:
    queue = make_queue(row_s=0.01, slo_s=0.5)
    queue.close()
    refusal = put(queue)[1]
    assert refusal is not None
    assert refusal.reason == "closed"
    assert queue.rows == 0


def test_a_lane_that_refuses_though_it_is_idle_doubts_what_it_has_measured() -> None:
    queue = make_queue(row_s=1.0, slo_s=0.5)
    refusal = put(queue, timeout_s=0.2)[1]
    assert refusal is not None
    assert refusal.reason == "deadline"
    assert queue._forecast.doubts == 1  # type: ignore[attr-defined]


def test_one_who_has_been_dropped_leaves_room_and_time() -> None:
    queue = make_queue(row_s=0.01, slo_s=0.5)
    requests = [put(queue)[0] for _ in range(20)]
    waited_s = queue.predicted_wait_s()
    for request in requests:
        assert queue.drop(request) == 1
    assert (queue.rows, queue.predicted_wait_s()) == (0, 0.0)
    assert waited_s == pytest.approx(0.2)


def test_latency_goals_are_read_by_model() -> None:
    slo = LaneSettings.read({"TANDEM_LATENCY_SLO": "bbc-bert=200ms, bbc-bert:2=50ms,1.5s"}).latency_slo
    assert [slo.of(tag) for tag in ("bbc-bert:1", "bbc-bert:2", "letters:1")] == [0.2, 0.05, 1.5]
    assert LaneSettings.read({}).latency_slo.of("letters:1") == 0.5


@pytest.mark.parametrize("said", ["500", "0ms", "fast", "=1s", "a=", "2h", "1e3ms"])
def test_a_latency_goal_that_is_none_is_refused(said: str) -> None:
    with pytest.raises(SettingsInvalid, match="expected a time such as 500ms"):
        LaneSettings.read({"TANDEM_LATENCY_SLO": said})


def test_only_the_last_minute_counts() -> None:
    now = [1000.0]
    recent = Recent(lambda: now[0])
    assert recent.quantiles((0.5,)) == [None]
    for _ in range(99):
        recent.answered(0.1)
    recent.answered(2.0)
    recent.busy(0.5)
    p50, p99, top = recent.quantiles((0.5, 0.99, 1.0))
    assert (p50, p99, top) == (pytest.approx(0.1, rel=0.05), pytest.approx(0.1, rel=0.05), pytest.approx(2.0, rel=0.05))
    assert recent.busy_share == 0.5
    now[0] += 60.0
    assert recent.quantiles((0.5,)) == [None]
    assert recent.busy_share == 0.0
