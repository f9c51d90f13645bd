"""When the client asks again, and when it does not: against a server of the tests' own that answers by a list."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from service.client import AsyncClient, Busy, Client, DeadlinePassed, Job, Patience, RowsInvalid, ServerFailed
from service.client.errors import AnswerInvalid, ClientError, Unreachable
from service.client.patience import Attempts

QUICK = Patience(first_pause_s=0.001, longest_pause_s=0.002, total_s=5.0)
GOOD = httpx.Response(200, json={"model": "m:1", "digest": "d", "variant": "v", "predictions": [{"label": "x"}]})
BUSY = httpx.Response(503, json={"error": "later"}, headers={"Retry-After": "0"})
LOST = httpx.ReadError("reset by peer")
NOBODY = httpx.ConnectError("refused")
JOB: dict[str, Any] = {"id": "7", "status": "running", "spec": {}, "submitted": "2026-11-01T00:00:00.000+00:00"}

Said = httpx.Response | Exception


class Script:
    """A server that gives one answer after another, the last of them again and again, and keeps what it was asked."""

    def __init__(self, *said: Said) -> None:
        self.said, self.asked = list(said), list[httpx.Request]()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        said = self.said.pop(0) if len(self.said) > 1 else self.said[0]
        if isinstance(said, Exception):
            raise said
        return httpx.Response(said.status_code, headers=said.headers, content=said.content)


def ask(script: Script, call: Callable[[Client], Any], patience: Patience = QUICK) -> Any:
    with Client("http://server", patience=patience, transport=httpx.MockTransport(script)) as client:
        return call(client)


def predict(client: Client) -> Any:
    return client.predict("m", ["row"])


@pytest.mark.parametrize("rows", ["abc", b"abc", {"text": "abc"}, 7, None])
def test_what_is_no_list_of_rows_is_refused_before_anything_is_sent(rows: Any) -> None:
    script = Script(GOOD)
    for call in (lambda client: client.predict("m", rows), lambda client: client.stream("m", rows)):
        with pytest.raises(RowsInvalid, match="expected a list of rows"):
            ask(script, call)
    assert not script.asked


def test_a_busy_server_is_asked_again_as_often_as_it_says_so() -> None:
    """Far more often than a call has tries."""
    script = Script(*[BUSY] * 20, GOOD)
    assert ask(script, predict).answers[0].label == "x"
    assert len(script.asked) == 21


def test_a_busy_server_that_asks_for_more_time_than_there_is_is_not_waited_for() -> None:
    script = Script(httpx.Response(429, json={"error": "slowly"}, headers={"Retry-After": "60"}))
    with pytest.raises(Busy, match="slowly") as error:
        ask(script, predict)
    assert error.value.retry_after_s == 60
    assert len(script.asked) == 1


def test_a_connection_that_fails_is_tried_a_few_times() -> None:
    for said in (LOST, NOBODY, httpx.Response(503), httpx.Response(502)):
        assert ask(Script(said, said, GOOD), predict).model == "m:1"
        script = Script(said)
        with pytest.raises(ClientError):
            ask(script, predict)
        assert len(script.asked) == QUICK.tries


def test_what_may_have_been_done_is_not_done_again() -> None:
    script = Script(LOST)
    with pytest.raises(Unreachable, match="may have been done"):
        ask(script, lambda client: client.unload("m:1"))
    assert len(script.asked) == 1
    for said in (NOBODY, BUSY):
        assert ask(Script(said, httpx.Response(200, json={"models": []})), lambda client: client.unload("m:1")) == []


def test_a_job_that_is_sent_twice_has_one_key() -> None:
    script = Script(LOST, BUSY, httpx.Response(201, json=JOB))
    assert ask(script, lambda client: client.submit({"model": "m"})).id == "7"
    keys = {request.headers["idempotency-key"] for request in script.asked}
    assert (len(script.asked), len(keys)) == (3, 1)


def test_a_server_that_broke_down_is_not_asked_again() -> None:
    script = Script(httpx.Response(500, json={"error": "broke"}))
    with pytest.raises(ServerFailed, match="broke"):
        ask(script, predict)
    assert len(script.asked) == 1


def test_a_deadline_goes_along_and_bounds_the_tries() -> None:
    script = Script(BUSY, httpx.Response(504, json={"error": "too late"}))
    with pytest.raises(DeadlinePassed):
        ask(script, lambda client: client.predict("m", ["row"], timeout_s=2.0, priority="background"))
    first, second = (float(request.headers["x-request-timeout"]) for request in script.asked)
    assert 2.0 >= first > second
    assert script.asked[0].headers["x-request-priority"] == "background"
    script = Script(httpx.Response(503, json={"error": "later"}, headers={"Retry-After": "2"}))
    with pytest.raises(Busy):
        ask(script, lambda client: client.predict("m", ["row"], timeout_s=1.0))
    assert len(script.asked) == 1


@pytest.mark.parametrize(
    "said",
    [
        httpx.Response(200, json={"model": "m:1", "digest": "d", "variant": "v", "predictions": []}),
        httpx.Response(200, json={"predictions": [{"label": "x"}]}),
        httpx.Response(200, json=[1]),
        httpx.Response(200, content=b"<html>"),
        httpx.Response(200, content=b"\xff"),
    ],
)
def test_an_answer_of_something_else_is_told_apart(said: httpx.Response) -> None:
    with pytest.raises(AnswerInvalid):
        ask(Script(said), predict)


def test_pauses_grow_and_never_fall_below_what_was_asked_for() -> None:
    for chance in (0.0, 1.0):
        patience = Patience(total_s=100.0, tries=5, first_pause_s=1.0, longest_pause_s=3.0)
        attempts = Attempts(patience, repeatable=True, clock=lambda: 0.0, chance=lambda: chance)  # noqa: B023
        pauses = [attempts.pause_s(Unreachable("x", why="y", sent=True)) for _ in range(5)]
        assert pauses == [pause and pause * (0.5 + chance / 2) for pause in (1.0, 2.0, 3.0, 3.0, None)]
        assert attempts.pause_s(Busy(503, "x", retry_after_s=4.0)) == 4.0 * (1 + chance / 4)


def events(*jobs: tuple[int, str], rest: str = "") -> httpx.Response:
    said = "retry: 2000\n\n" + "".join(
        f"id: {revision}\ndata: {json.dumps({**JOB, 'status': status})}\n\n" for revision, status in jobs
    )
    return httpx.Response(200, content=said + rest, headers={"Content-Type": "text/event-stream"})


WATCHED = (
    events((1, "queued"), (2, "running"), rest="id: 3\ndata: {"),
    LOST,
    events((2, "running")),
    BUSY,
    events((2, "running"), (4, "done")),
)


def check_watched(script: Script, seen: list[Job]) -> None:
    assert [job.status for job in seen] == ["queued", "running", "done"]
    assert [request.headers.get("last-event-id") for request in script.asked] == [None, "2", "2", "2", "2"]


def test_watching_goes_on_over_lost_connections_and_says_nothing_twice() -> None:
    script = Script(*WATCHED)
    check_watched(script, ask(script, lambda client: list(client.watch("7"))))


def test_the_async_client_watches_and_asks_again_as_well() -> None:
    async def check() -> None:
        script = Script(*WATCHED)
        async with AsyncClient("http://server", patience=QUICK, transport=httpx.MockTransport(script)) as client:
            check_watched(script, [job async for job in client.watch("7")])
        script = Script(*[BUSY] * 10, LOST, GOOD)
        async with AsyncClient("http://server", patience=QUICK, transport=httpx.MockTransport(script)) as client:
            assert (await client.predict("m", ["row"]))[0].label == "x"

    asyncio.run(check())


def test_watching_ends_where_the_server_says_that_nothing_comes() -> None:
    script = Script(events((1, "running")), httpx.Response(204))
    assert [job.status for job in ask(script, lambda client: list(client.watch("7")))] == ["running"]


def test_a_stream_that_is_left_asks_for_nothing_more() -> None:
    taken = 0

    def rows() -> Iterator[str]:
        nonlocal taken
        while True:
            taken += 1
            yield "row"

    script = Script(httpx.Response(500, json={"error": "broke"}))
    with pytest.raises(ServerFailed):
        ask(script, lambda client: list(client.stream("m", rows())))
    assert taken < 1000


@pytest.mark.parametrize("key", ["", "two words", "line\nbreak", "ä"])
def test_a_key_that_no_header_holds_is_refused_and_not_shown(key: str) -> None:
    with pytest.raises(ValueError, match="api_key") as error:
        Client(api_key=key)
    assert not key or key not in str(error.value)


def test_the_key_goes_along_and_to_no_other_place() -> None:
    moved = httpx.Response(302, headers={"Location": "http://elsewhere/predict"})
    script = Script(moved)
    with (
        Client("http://server/", api_key="k3y", transport=httpx.MockTransport(script)) as client,
        pytest.raises(ServerFailed),
    ):
        client.predict("m", ["row"])
    (request,) = script.asked
    assert (request.url, request.headers["authorization"]) == ("http://server/predict", "Bearer k3y")


def test_an_address_without_a_scheme_is_refused() -> None:
    with pytest.raises(ValueError, match="base_url"):
        Client("127.0.0.1:3000")
