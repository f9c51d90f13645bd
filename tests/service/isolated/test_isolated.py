"""Models in processes of their own: whatever happens to these, callers are answered, and rightly."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import time
from collections.abc import Iterator
from typing import Any

import pytest

from service.schemas import answers_of
from tests.service.client import Connection, ask, predict, predict_body, predict_together
from tests.service.models import LetterModel
from tests.service.processes import is_gone, listening_ports, processes_of, wait_until
from tests.service.server import Server, serving, tandem_command

DEADLY = "tests.service.isolated.models:DeadlyModel"
SETTINGS = {
    "TANDEM_MODELS": f"{DEADLY},tests.service.models:LetterModel",
    "TANDEM_PATIENCE_S": "2",
}
CLIENTS, REQUESTS, KILLS = 64, 1600, 3


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("isolated") / "home"
    with serving(home, SETTINGS, target=("--isolated",), command=tandem_command) as server:
        yield server


def model_pid(server: Server, tag: str) -> int:
    """The process that took the model last."""
    return int(re.findall(rf"model in a process of its own: {tag} in (\d+)", server.log.read_text())[-1])


def right(texts: list[str]) -> list[Any]:
    return answers_of(LetterModel().predict_values(texts))


def test_its_process_killed_again_and_again_every_caller_is_answered_rightly(server: Server) -> None:
    texts = [f"{chr(97 + i % 26)} text {i}" for i in range(REQUESTS)]
    killed: list[int] = []

    async def kill() -> None:
        for number in range(1, KILLS + 1):
            while await asyncio.to_thread(server.metric, "rows_total", "deadly:1") < number * REQUESTS / (KILLS + 1):
                await asyncio.sleep(0.02)
            killed.append(model_pid(server, "deadly:1"))
            os.kill(killed[-1], signal.SIGKILL)

    async def both() -> list[Any]:
        killing = asyncio.create_task(kill())
        replies = await predict_together(server.port, "deadly", texts, clients=CLIENTS)
        await asyncio.wait_for(killing, 30)
        return replies

    replies = asyncio.run(both())
    assert {reply.status for reply in replies} == {200}
    assert [reply.predictions[0]["label"] for reply in replies] == [answer["label"] for answer in right(texts)]
    assert len(set(killed)) == KILLS


def test_after_a_pause_the_same_process_answers(server: Server) -> None:
    predict(server.port, "deadly", ["before"])
    pid = model_pid(server, "deadly:1")
    time.sleep(6.5)  # it closes a connection over which nothing came for 5 s
    assert predict(server.port, "deadly", ["after"]).predictions == right(["after"])
    assert model_pid(server, "deadly:1") == pid


def test_a_row_that_ends_its_process_is_one_error_that_names_the_signal(server: Server) -> None:
    first, poison, second = predict(server.port, "deadly", ["early", "segfault 1", "late"]).predictions
    assert [first, second] == right(["early", "late"])
    assert poison["error"]["class"] == "WorkerDied"
    assert "SIGSEGV" in poison["error"]["message"]
    assert server.get("/readyz").status == 200


def test_a_row_that_never_returns_is_one_error_and_the_others_are_answered(server: Server) -> None:
    async def together() -> list[Any]:
        return await predict_together(server.port, "deadly", ["hang", *"abcdefg"], clients=8)

    hung, *others = [reply.predictions[0] for reply in asyncio.run(together())]
    assert hung["error"]["class"] == "RowHung"
    assert others == right(list("abcdefg"))


def test_while_a_model_hangs_the_other_answers_and_the_probes_do(server: Server) -> None:
    async def check() -> None:
        async with Connection(server.port) as hanging:
            hanging.send("POST", "/predict", predict_body("deadly", ["hang twice"]))
            async with Connection(server.port) as other:
                reply = await other.ask("POST", "/predict", predict_body("letters", ["early"]))
                assert reply.predictions == right(["early"])
                assert (await other.ask("GET", "/livez")).status == 200
                assert (await other.ask("GET", "/readyz")).status == 200
            assert (await asyncio.wait_for(hanging.read(), 60)).predictions[0]["error"]["class"] == "RowHung"

    asyncio.run(check())


def test_nothing_but_the_entry_listens_on_the_network(server: Server) -> None:
    processes = processes_of(server.process.pid)
    assert len(processes) >= 4, "two models, a spare one and the gateway"
    assert listening_ports(processes) == {server.port}


def test_a_model_that_is_loaded_takes_the_spare_process_and_leaves_it_again(server: Server) -> None:
    def load(name: str) -> int:
        return ask(server.port, "POST", "/models/load", json.dumps({"model": name}).encode()).status

    wait_until(lambda: load("vowels-bilstm") == 200, "the spare process is up", within_s=60)
    tag = next(card["model"] for card in server.get("/models").content["models"] if card["name"] == "vowels-bilstm")
    pid = model_pid(server, tag)
    assert pid in {process.pid for process in processes_of(server.process.pid)}
    assert "label" in predict(server.port, "vowels-bilstm", [[[0.1] * 12] * 5]).predictions[0]
    assert load("language-bigru") == 503
    assert ask(server.port, "POST", "/models/unload", json.dumps({"model": tag}).encode()).status == 200
    assert load("language-bigru") == 200


def test_it_ends_though_a_row_hangs(tmp_path_factory: pytest.TempPathFactory) -> None:
    async def hang_and_end(server: Server) -> None:
        async with Connection(server.port) as connection:
            connection.send("POST", "/predict", predict_body("deadly", ["hang"]))
            while await asyncio.to_thread(server.metric, "wait_seconds_count", "deadly:1") < 1:
                await asyncio.sleep(0.01)
            server.process.send_signal(signal.SIGTERM)
            await asyncio.to_thread(server.process.wait, 30)

    home = tmp_path_factory.mktemp("ends") / "home"
    settings = {"TANDEM_MODELS": DEADLY, "TANDEM_STOP_TIMEOUT_S": "3", "TANDEM_SPARE_PROCESSES": "0"}
    with serving(home, settings, target=("--isolated",), command=tandem_command) as server:
        every = processes_of(server.process.pid)
        asyncio.run(hang_and_end(server))
        assert all(map(is_gone, every))
