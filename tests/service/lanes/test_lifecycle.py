"""Models loaded, unloaded and exchanged while a real server goes on answering."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from models.locate import zoo_folders
from models.store import save_model
from service.lanes.lifecycle import Lifecycle
from service.lanes.repository import open_lane, open_lanes, open_local_worker
from service.settings import read_settings
from tests.service.client import Connection, Reply, ask, predict, predict_body
from tests.service.models import LetterModel
from tests.service.server import Server, serving
from tests.service.test_serve import until

SECOND = "tests.service.models:SecondLetterModel"
NEVER_FINITE = "tests.service.models:NeverFiniteModel"
UNMAKEABLE = "tests.service.models:UnmakeableModel"
GATED = "tests.service.models:GatedModel"


@pytest.fixture(scope="module")
def gate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gate") / "closed"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, gate: Path) -> Iterator[Server]:
    home = tmp_path_factory.mktemp("lifecycle") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENTOML_HOME", str(home))
        home.mkdir()
        (zoo,) = [folder for folder in zoo_folders() if folder.name == "bbc-bert"]
        save_model(zoo, "bbc-bert")
        broken = home / "models" / "damaged" / "1"
        shutil.copytree(zoo, broken)
        (broken / "tandem.yaml").write_text((broken / "tandem.yaml").read_text() + "\n# changed\n")
    settings = {
        "TANDEM_MODELS": "tests.service.models:LetterModel",
        "TANDEM_MAY_LOAD": f"{SECOND},{UNMAKEABLE},{NEVER_FINITE},{GATED}",
        "TANDEM_TEST_GATE": str(gate),
    }
    with serving(home, settings) as running:
        yield running


def post(server: Server, path: str, **body: Any) -> Reply:
    return ask(server.port, "POST", path, json.dumps(body).encode())


def label(server: Server, model: str) -> str:
    (answer,) = predict(server.port, model, ["ape"]).predictions
    return str(answer["label"])


def served(server: Server) -> dict[str, bool]:
    """Tag -> whether the bare name means it."""
    return {card["model"]: card["default"] for card in server.get("/models").content["models"]}


def test_a_version_is_loaded_beside_the_old_one_made_the_default_and_taken_back_in_one_call_each(
    server: Server,
) -> None:
    loaded = post(server, "/models/load", model=SECOND, default=False)
    assert loaded.status == 200, loaded.body
    card = loaded.content
    assert (card["model"], card["default"], card["kept"]) == ("letters:2", False, False)
    assert card["versions"] == ["letters:1", "letters:2"]
    assert (label(server, "letters"), label(server, "letters:2")) == ("early", "late")
    assert post(server, "/models/default", model="letters:2").content["default"] is True
    assert (label(server, "letters"), label(server, "letters:1")) == ("late", "early")
    assert post(server, "/models/default", model="letters:1").content["default"] is True
    assert label(server, "letters") == "early"
    post(server, "/models/default", model="letters:2")
    left = post(server, "/models/unload", model="letters:2")
    assert {card["model"]: card["default"] for card in left.content["models"]} == {"letters:1": True}
    assert label(server, "letters") == "early"
    assert predict(server.port, "letters:2", ["ape"]).status == 404


def test_changes_said_twice_are_made_once(server: Server) -> None:
    for _ in range(2):
        assert post(server, "/models/load", model=SECOND).status == 200
        assert served(server) == {"letters:1": False, "letters:2": True}
    for _ in range(2):
        assert post(server, "/models/unload", model="letters:2").status == 200
        assert served(server) == {"letters:1": True}
    unknown = post(server, "/models/unload", model="letters:3")
    assert (unknown.status, "letters:1" in unknown.content["error"]) == (404, True)


def test_a_model_of_the_store_is_loaded_by_its_tag_once_however_many_ask_for_it_at_once(server: Server) -> None:
    async def check() -> list[Reply]:
        body = json.dumps({"model": "bbc-bert"}).encode()
        async with Connection(server.port) as one, Connection(server.port) as other, Connection(server.port) as third:
            replies = asyncio.gather(*(each.ask("POST", "/models/load", body) for each in (one, other)))
            answers = [await third.ask("POST", "/predict", predict_body("letters", [f"ape {i}"])) for i in range(20)]
            assert {answer.status for answer in answers} == {200}
            return list(await replies)

    replies = asyncio.run(check())
    assert [reply.status for reply in replies] == [200, 200]
    (tag,) = {reply.content["model"] for reply in replies}
    assert server.log.read_text().count(f"model ready: {tag}") == 1
    assert predict(server.port, "bbc-bert", ["The striker scored twice."]).predictions[0]["label"] == "sports"
    assert server.get(f"/models/{tag}").content == server.get("/models/bbc-bert").content
    assert post(server, "/models/unload", model="bbc-bert").status == 200
    assert post(server, "/models/load", model=tag).content["model"] == tag
    assert post(server, "/models/unload", model=tag).status == 200


@pytest.mark.parametrize(
    ("model", "status", "said"),
    [
        ("no-such-model", 404, "has no 'no-such-model'"),
        ("bbc-bert:0000", 404, "has no 'bbc-bert:0000'"),
        ("damaged:1", 422, "sha256"),
        (UNMAKEABLE, 422, "ZeroDivisionError"),
        (NEVER_FINITE, 422, "it answers no plain row: NonFiniteOutput"),
        ("tests.service.models:PoisonModel", 403, "is no tag of the model store"),
        ("os:System", 403, "is no tag of the model store"),
        ("../zoo/bbc-bert", 403, "is no tag of the model store"),
        ("s3://bucket/model", 403, "is no tag of the model store"),
        ("models", 404, "has no 'models'"),
        ("", 400, "model"),
    ],
)
def test_a_model_that_cannot_be_served_is_refused_with_its_reason_and_nothing_has_changed(
    server: Server, model: str, status: int, said: str
) -> None:
    before = server.get("/models").content
    refused = post(server, "/models/load", model=model)
    assert (refused.status, said in refused.content["error"]) == (status, True), refused.body
    assert not any(place in refused.content["error"] for place in ("/srv", "home"))
    assert server.get("/models").content == before
    assert label(server, "letters") == "early"


def test_unloading_answers_what_waits_first(server: Server, gate: Path) -> None:
    async def check() -> None:
        async with Connection(server.port) as holder, Connection(server.port) as waiting, Connection(server.port) as to:
            assert (await to.ask("POST", "/models/load", json.dumps({"model": GATED}).encode())).status == 200
            tried = await asyncio.to_thread(server.metric, "wait_seconds_count", "gated:1")
            gate.touch()
            holder.send("POST", "/predict", predict_body("gated", ["ape held"]))
            await until(lambda: server.metric("wait_seconds_count", "gated:1") == tried + 1)
            waiting.send("POST", "/predict", predict_body("gated", ["zebra waiting"]))
            await until(lambda: server.metric("queue_rows", "gated:1") == 1)
            to.send("POST", "/models/unload", json.dumps({"model": "gated:1"}).encode())
            await until(lambda: "gated:1" not in served(server))
            assert (await asyncio.to_thread(predict, server.port, "gated", ["new"])).status == 404
            gate.unlink()
            labels = [(await each.read()).predictions[0]["label"] for each in (holder, waiting)]
            assert labels == ["early", "late"]
            assert (await to.read()).status == 200

    try:
        asyncio.run(asyncio.wait_for(check(), 60))
    finally:
        gate.unlink(missing_ok=True)


def test_callers_of_the_bare_name_are_answered_by_one_version_or_the_other_while_it_is_exchanged(
    server: Server,
) -> None:
    async def check() -> set[tuple[int, str]]:
        seen: set[tuple[int, str]] = set()
        done = asyncio.Event()

        async def client(i: int) -> None:
            async with Connection(server.port) as connection:
                while not done.is_set():
                    reply = await connection.ask("POST", "/predict", predict_body("letters", [f"ape {i}"]))
                    seen.add((reply.status, json.loads(reply.body).get("model", "")))

        clients = [asyncio.create_task(client(i)) for i in range(8)]
        async with Connection(server.port) as admin:
            for _ in range(3):
                for path, model, version in (("load", SECOND, "letters:2"), ("unload", "letters:2", "letters:1")):
                    body = json.dumps({"model": model}).encode()
                    assert (await admin.ask("POST", f"/models/{path}", body)).status == 200
                    reply = await admin.ask("POST", "/predict", predict_body("letters", ["zebra"]))
                    seen.add((reply.status, reply.content["model"]))
                    assert reply.content["model"] == version
        done.set()
        await asyncio.gather(*clients)
        return seen

    assert asyncio.run(asyncio.wait_for(check(), 60)) == {(200, "letters:1"), (200, "letters:2")}


def test_the_first_version_comes_back_by_its_tag_after_it_was_unloaded(server: Server) -> None:
    assert post(server, "/models/unload", model="letters").status == 200
    assert server.get("/models").content == {"models": []}
    assert server.get("/readyz").status != 200
    assert post(server, "/models/load", model="letters:1").content["kept"] is True
    assert server.get("/readyz").status == 200
    assert label(server, "letters") == LetterModel.spec.labels[0]


def test_a_request_that_found_a_lane_just_before_it_was_unloaded_is_answered() -> None:
    settings = read_settings({"TANDEM_MODELS": "tests.service.models:LetterModel"})
    lanes = open_lanes(settings, open_local_worker)
    lifecycle = Lifecycle(
        lanes, settings, open_lane=partial(open_lane, open_worker=open_local_worker), check_room=lambda described: None
    )

    async def check() -> list[Any]:
        lane = lanes.find("letters")
        unloading = asyncio.create_task(lifecycle.unload("letters:1"))
        while lanes.tags:
            await asyncio.sleep(0)
        await asyncio.sleep(0.05)
        answers = await lane.submit(["ape"])
        await unloading
        assert not lane.alive
        return answers

    assert [answer["label"] for answer in asyncio.run(check())] == ["early"]


def test_a_change_that_was_begun_is_finished_when_its_caller_has_gone() -> None:
    settings = read_settings({"TANDEM_MODELS": "tests.service.models:LetterModel", "TANDEM_MAY_LOAD": SECOND})
    lanes = open_lanes(settings, open_local_worker)
    lifecycle = Lifecycle(
        lanes, settings, open_lane=partial(open_lane, open_worker=open_local_worker), check_room=lambda described: None
    )

    async def check() -> list[str]:
        loading = asyncio.create_task(lifecycle.load(SECOND, default=True, allowed=lambda tag: None))
        await asyncio.sleep(0)
        loading.cancel()
        await asyncio.gather(loading, return_exceptions=True)
        await lifecycle.stop()
        return lanes.tags

    assert asyncio.run(check()) == ["letters:1", "letters:2"]
    lanes.close()


def test_a_tag_is_loaded_as_that_version_though_the_name_at_the_start_means_a_newer_one_by_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BENTOML_HOME", str(tmp_path))
    folders = {folder.name: folder for folder in zoo_folders()}
    save_model(folders["bbc-bert"], "mine")
    settings = read_settings({"TANDEM_MODELS": "mine"})
    lanes = open_lanes(settings, open_local_worker)
    lifecycle = Lifecycle(
        lanes, settings, open_lane=partial(open_lane, open_worker=open_local_worker), check_room=lambda described: None
    )
    (old,) = lanes.tags

    async def check() -> tuple[str, str]:
        save_model(folders["language-bigru"], "mine")
        new = await lifecycle.load("mine", default=True, allowed=lambda tag: None)
        await lifecycle.unload(old)
        back = await lifecycle.load(old, default=True, allowed=lambda tag: None)
        await lifecycle.stop()
        return new.tag, back.tag

    new, back = asyncio.run(check())
    lanes.close()
    assert back == old != new
