"""A real server under many clients: what each gets, and what the lanes say of it."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.schemas import answers_of
from tests.service.client import Connection, Reply, ask, predict, predict_body, predict_together
from tests.service.models import LetterModel
from tests.service.processes import held_bytes, processes_of
from tests.service.server import Server, serving

MODELS = ("LetterModel", "PoisonModel", "DroppingModel", "SlowModel", "GatedModel", "NaNModel")
QUEUE_ROWS = 128


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gate") / "closed"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, gate: Path) -> Iterator[Server]:
    settings = {
        "TANDEM_MODELS": ",".join(f"tests.service.models:{name}" for name in MODELS),
        "TANDEM_MAX_QUEUE_ROWS": str(QUEUE_ROWS),
        "TANDEM_LATENCY_SLO": "gated=60s",
        "TANDEM_TEST_GATE": str(gate),
    }
    with serving(tmp_path_factory.mktemp("serve") / "home", settings) as running:
        yield running


def alone(texts: list[str]) -> list[Any]:
    model = LetterModel()
    return [answers_of(model.predict_values([text]))[0] for text in texts]


def together(server: Server, model: str, texts: list[str], *, clients: int) -> list[Reply]:
    return asyncio.run(predict_together(server.port, model, texts, clients=clients))


@pytest.mark.parametrize("clients", [32, 64])
def test_many_clients_share_micro_batches_and_each_gets_its_own_answer(server: Server, clients: int) -> None:
    texts = [f"{'zebra' if i % 2 else 'ape'} {clients} {i}" for i in range(640)]
    names = ("micro_batch_rows_sum", "micro_batch_rows_count", "rows_total")
    before = [server.metric(name, "letters:1") for name in names]
    replies = together(server, "letters", texts, clients=clients)
    computed, micro_batches, answered = (
        server.metric(name, "letters:1") - start for name, start in zip(names, before, strict=True)
    )
    assert Counter(reply.status for reply in replies) == {200: 640}
    assert [reply.predictions for reply in replies] == [[answer] for answer in alone(texts)]
    assert answered == computed == 640
    assert computed / micro_batches > 4


def test_many_rows_of_one_request_come_back_in_their_order(server: Server) -> None:
    texts = [f"{'zebra' if i % 3 else 'ape'} of many {i}" for i in range(QUEUE_ROWS)]
    reply = predict(server.port, "letters:1", [{"text": text} for text in texts])
    assert reply.predictions == alone(texts)
    assert {key: value for key, value in reply.content.items() if key != "predictions"} == {
        "model": "letters:1",
        "digest": "letters-digest",
        "variant": "python-fp32",
    }


def test_what_was_answered_is_held_no_longer(server: Server) -> None:
    """BentoML's time limit alone would hold 5 KB of every request, 15 MB of these."""

    async def ask_often(times: int) -> None:
        async def one() -> None:
            async with Connection(server.port) as connection:
                for _ in range(times // 8):
                    assert (await connection.ask("GET", "/livez")).status == 200

        await asyncio.gather(*(one() for _ in range(8)))

    asyncio.run(ask_often(1000))
    before = held_bytes(processes_of(server.process.pid))
    asyncio.run(ask_often(3000))
    assert held_bytes(processes_of(server.process.pid)) - before < 5e6


def test_a_poison_row_fails_only_itself(server: Server) -> None:
    texts = [f"row {i}" if i % 10 else "poison" for i in range(40)]
    replies = together(server, "poison", texts, clients=40)
    answers = [answer for reply in replies for answer in reply.predictions]
    assert [i for i, answer in enumerate(answers) if "error" in answer] == [0, 10, 20, 30]
    assert answers[10]["error"]["class"] == "FloatingPointError"
    good = [i for i in range(40) if i % 10]
    assert [answers[i] for i in good] == alone([texts[i] for i in good])


def test_a_model_that_drops_a_row_gives_errors_and_never_shifted_answers(server: Server) -> None:
    texts = [f"{'zebra' if i % 2 else 'ape'} {i}" if i != 3 else "drop" for i in range(20)]
    replies = together(server, "dropping", texts, clients=20)
    expected = alone(texts)
    assert replies[3].status == 500
    for reply, answer in zip(replies, expected, strict=True):
        assert reply.status in (200, 500)
        if reply.status == 200:
            assert reply.predictions == [answer]
        else:
            assert "no answer can be told whose it is" in reply.content["error"]


def test_a_number_that_is_not_finite_is_an_error_row_and_the_reply_strict_json(server: Server) -> None:
    reply = predict(server.port, "nan", ["good", "nan", "also good"])
    assert [answer.get("error", {}).get("class") for answer in reply.predictions] == [None, "NonFiniteOutput", None]
    body = b'{"model": "nan", "rows": [NaN, {"text": Infinity}, "good"]}'

    async def check() -> Reply:
        async with Connection(server.port) as connection:
            return await connection.ask("POST", "/predict", body)

    reply = asyncio.run(check())
    assert [answer.get("error", {}).get("class") for answer in reply.predictions] == ["WrongType", "WrongType", None]


def test_callers_who_have_gone_are_never_computed(server: Server, gate: Path) -> None:
    async def check() -> None:
        gate.touch()
        try:
            async with Connection(server.port) as holder, Connection(server.port) as staying:
                holder.send("POST", "/predict", predict_body("gated", ["holder"]))
                await until(lambda: server.metric("wait_seconds_count", "gated:1") == 1)
                for i in range(10):
                    async with Connection(server.port) as leaving:
                        leaving.send("POST", "/predict", predict_body("gated", [f"gone {i}"]))
                        await leaving.writer.drain()
                        await until(lambda: server.metric("queue_rows", "gated:1") == 1)
                    await until(lambda: server.metric("queue_rows", "gated:1") == 0)
                staying.send("POST", "/predict", predict_body("gated", ["still here"]))
                await until(lambda: server.metric("queue_rows", "gated:1") == 1)
                gate.unlink()
                assert (await holder.read()).predictions == alone(["holder"])
                assert (await staying.read()).predictions == alone(["still here"])
        finally:
            gate.unlink(missing_ok=True)

    asyncio.run(asyncio.wait_for(check(), 60))
    assert server.metric("shed_rows_total", "gated:1", reason="left") == 10
    assert server.metric("micro_batch_rows_sum", "gated:1") == 2


def test_a_full_queue_answers_503_with_retry_after_while_those_inside_are_answered(server: Server, gate: Path) -> None:
    async def check() -> None:
        gate.touch()
        try:
            async with (
                Connection(server.port) as holder,
                Connection(server.port) as full,
                Connection(server.port) as late,
            ):
                begun = await asyncio.to_thread(server.metric, "wait_seconds_count", "gated:1")
                holder.send("POST", "/predict", predict_body("gated", ["holder"]))
                await until(lambda: server.metric("wait_seconds_count", "gated:1") == begun + 1)
                full.send("POST", "/predict", predict_body("gated", [f"inside {i}" for i in range(QUEUE_ROWS)]))
                await until(lambda: server.metric("queue_rows", "gated:1") == QUEUE_ROWS)
                refused = await late.ask("POST", "/predict", predict_body("gated", ["late"]))
                assert refused.status == 503
                assert int(refused.headers["retry-after"]) >= 1
                assert f"gated:1 is busy: {QUEUE_ROWS} rows wait" in refused.content["error"]
                gate.unlink()
                assert (await holder.read()).status == 200
                assert (await full.read()).predictions == alone([f"inside {i}" for i in range(QUEUE_ROWS)])
        finally:
            gate.unlink(missing_ok=True)

    asyncio.run(asyncio.wait_for(check(), 60))
    assert server.metric("shed_rows_total", "gated:1", reason="queue_full") == 1


def test_under_overload_the_model_stays_busy_with_callers_who_are_still_there(server: Server) -> None:
    """Twice what the model can do: BentoML's own dispatcher answered 18 of 200 a second here (BENTOML.md 3.2)."""
    seconds, rate, capacity = 3.0, 250, 133

    async def check() -> list[Reply]:
        async def one(i: int) -> Reply:
            await asyncio.sleep(i / rate)
            async with Connection(server.port) as connection:
                return await connection.ask("POST", "/predict", predict_body("slow", [f"overload {i}"]))

        return await asyncio.gather(*(one(i) for i in range(int(seconds * rate))))

    begun = time.monotonic()
    replies = asyncio.run(check())
    took = time.monotonic() - begun
    statuses = Counter(reply.status for reply in replies)
    assert set(statuses) <= {200, 503}
    assert all(int(reply.headers["retry-after"]) >= 1 for reply in replies if reply.status == 503)
    assert statuses[200] > 0.4 * capacity * min(took, seconds), f"{statuses} in {took:.1f} s"


async def until(condition: Any) -> None:
    """Wait for a condition of the server, asked from a thread: this event loop may be reading its answer."""
    ends = time.monotonic() + 60
    while not await asyncio.to_thread(condition):
        assert time.monotonic() < ends, "the condition never came true"
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("X-Request-Timeout: soon", "X-Request-Timeout: found 'soon'"),
        ("X-Request-Timeout: 0", "X-Request-Timeout: found '0'"),
        ("X-Request-Priority: urgent", "X-Request-Priority: found 'urgent'"),
    ],
)
def test_a_deadline_or_priority_that_is_none_is_400(server: Server, header: str, found: str) -> None:
    reply = ask(server.port, "POST", "/predict", predict_body("letters", ["ape"]), [header])
    assert reply.status == 400
    assert found in reply.content["error"]


def test_a_deadline_that_cannot_be_met_is_refused_and_one_that_passes_is_told(server: Server, gate: Path) -> None:
    rows = [f"hurried {i}" for i in range(64)]  # 64 rows of SlowModel take half a second
    reply = ask(server.port, "POST", "/predict", predict_body("slow", rows), ["X-Request-Timeout: 0.05"])
    assert reply.status == 503
    assert int(reply.headers["retry-after"]) >= 1
    assert "slow:1 cannot answer within the 0.05 s that you wait" in reply.content["error"]
    gate.touch()
    try:
        reply = ask(server.port, "POST", "/predict", predict_body("gated", ["held"]), ["X-Request-Timeout: 0.3"])
    finally:
        gate.unlink()
    assert reply.status == 504
    assert "gated:1 has not answered within the 0.3 s" in reply.content["error"]


def test_get_lanes_says_what_waits_and_what_was_done(server: Server) -> None:
    background = ["X-Request-Priority: background"]
    assert len(ask(server.port, "POST", "/predict", predict_body("nan", ["ape", "nan"]), background).predictions) == 2
    found = {lane["model"]: lane for lane in server.get("/lanes").content["lanes"]}
    assert list(found) == ["letters:1", "poison:1", "dropping:1", "slow:1", "gated:1", "nan:1"]
    assert [found[tag]["slo_s"] for tag in ("nan:1", "gated:1")] == [0.5, 60.0]
    lane = found["nan:1"]
    assert (lane["alive"], lane["queue_rows"], lane["queue_limit_rows"]) == (True, 0, QUEUE_ROWS)
    assert lane["requests"] >= 1
    assert lane["error_rows"] >= 1
    assert lane["latency_s"]["p50"] <= lane["latency_s"]["p99"]
    assert set(lane["shed"]) == {"queue_full", "too_many_rows", "predicted_wait", "deadline", "closed", "left"}
