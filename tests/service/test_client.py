"""The client against a real server: what it sends is understood, and what comes back is typed."""

from __future__ import annotations

import asyncio
import base64
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from service.client import (
    Answer,
    AsyncClient,
    Client,
    Conflict,
    JobStillRuns,
    NotFound,
    Patience,
    RequestRefused,
    RowsInvalid,
    Unreachable,
)
from service.client.windows import WINDOW_ROWS
from tests.service.server import ROOT, Server, free_port, serving

LETTERS = "tests.service.models:LetterModel"
WORDS = "tests.service.jobs.models:GatedWordCount"
COUNTS = "tests.service.models:EmbeddingModel"
#: What a machine that only asks need not have.
HEAVY = ("bentoml", "torch", "numpy", "pyarrow", "pydantic", "pandas", "starlette", "onnxruntime", "models", "batch")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("client")
    models = ",".join((LETTERS, COUNTS, "fashion-resnet", WORDS))
    with serving(folder / "home", {"TANDEM_MODELS": models, "TANDEM_JOBS_ALLOW": str(folder)}) as found:
        yield found


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    with Client(f"http://127.0.0.1:{server.port}") as found:
        yield found


def test_the_client_needs_nothing_but_httpx() -> None:
    script = (
        "import sys\n"
        f"heavy = {HEAVY!r}\n"
        "class Blocked:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.partition('.')[0] in heavy: raise ImportError(name)\n"
        "sys.meta_path.insert(0, Blocked())\n"
        "from service.client import AsyncClient, Client\n"
        "Client('http://127.0.0.1:1').close()\n"
        "assert not set(heavy) & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True, timeout=60)


def test_each_row_has_a_typed_answer_or_its_own_error(client: Client) -> None:
    found = client.predict("letters", ["apple", None, {"text": "zebra"}, {"txt": "bad"}], timeout_s=30)
    assert [answer.label for answer in found] == ["early", None, "late", None]
    assert {place: error.kind for place, error in found.errors.items()} == {1: "NullValue", 3: "MissingColumn"}
    assert (found.model, found.digest, found.variant) == ("letters:1", "letters-digest", "python-fp32")
    assert found[0].ok
    assert found[0].scores is not None
    assert found[0].score == found[0].scores["early"]
    (embedded,) = client.predict("counts", ["abba"], priority="background")
    assert embedded.embedding == pytest.approx([2 / 3, 2 / 3, 0, 0])


def test_pictures_and_arrays_go_as_they_are(client: Client, tmp_path: Path) -> None:
    Image.new("L", (28, 28), 200).save(tmp_path / "grey.png")
    picture = (tmp_path / "grey.png").read_bytes()
    grey = np.full((28, 28), 200, np.uint8)
    found = client.predict("fashion-resnet", [picture, {"image": base64.b64encode(picture).decode()}, grey])
    assert found[0].ok
    assert found[0] == found[1] == found[2]


def test_a_number_that_json_has_none_for_is_its_row_s_fault(client: Client) -> None:
    assert set(client.predict("letters", [float("nan"), "apple"]).errors) == {0}


def test_what_is_refused_says_status_words_and_request(client: Client) -> None:
    with pytest.raises(NotFound, match="is not served here; known: letters:1") as unknown:
        client.predict("nope", ["a"])
    assert unknown.value.status == 404
    assert unknown.value.request_id
    with pytest.raises(RequestRefused) as refused:
        client.predict("", ["a"])
    assert refused.value.detail


def test_models_and_lanes_are_typed(client: Client) -> None:
    cards = client.models()
    assert [card.model.partition(":")[0] for card in cards[:3]] == ["letters", "counts", "fashion-resnet"]
    assert client.model("letters") == cards[0]
    assert cards[0].input == {"name": "text", "kind": "text"}
    assert client.default("letters:1").default
    client.predict("letters", ["apple"])
    load = client.lanes()[0]
    assert (load.model, load.alive, load.queue_rows) == ("letters:1", True, 0)
    assert load.requests > 0
    assert load.latency_s is not None
    assert 0 < load.latency_s.p50 <= load.latency_s.p99
    with pytest.raises(NotFound):
        client.load("no-such-model:1")
    with pytest.raises(NotFound):
        client.unload("letters:9")


def test_a_stream_is_answered_in_order_and_only_a_few_rows_ahead(client: Client) -> None:
    taken = 0

    def rows() -> Iterator[str]:
        nonlocal taken
        for _ in range(500):
            taken += 1
            yield "apple" if taken % 3 else "zebra"

    answers = client.stream("letters", rows())
    next(answers)
    assert taken <= 4 * WINDOW_ROWS
    labels = ["early", *(answer.label for answer in answers)]
    assert labels == ["early" if row % 3 else "late" for row in range(1, 501)]


def test_a_slow_source_is_answered_row_by_row(client: Client) -> None:
    """Every row's answer is there before the source is asked for the row after the next."""
    answered: list[Answer] = []

    def rows() -> Iterator[str]:
        for row in range(4):
            assert len(answered) >= row
            time.sleep(0.05)
            yield "apple"

    for answer in client.stream("letters", rows()):
        answered.append(answer)
    assert len(answered) == 4


def test_the_async_client_does_the_same(server: Server) -> None:
    async def rows() -> AsyncIterator[str]:
        for row in range(200):
            yield "apple" if row % 2 else "zebra"

    async def check() -> None:
        async with AsyncClient(f"http://127.0.0.1:{server.port}") as client:
            many = await asyncio.gather(*(client.predict("letters", [word]) for word in ("apple", "zebra") * 20))
            assert [found[0].label for found in many] == ["early", "late"] * 20
            labels = [answer.label async for answer in client.stream("letters", rows())]
            assert labels == ["late", "early"] * 100
            assert len([answer async for answer in client.stream("letters", ["a"] * 70)]) == 70
            assert [card.name for card in await client.models()][:2] == ["letters", "counts"]
            with pytest.raises(RowsInvalid):
                await client.predict("letters", "abc")
            with pytest.raises(NotFound):
                [job async for job in client.watch("nope")]

    asyncio.run(check())


def test_a_job_is_submitted_once_watched_to_its_end_and_reported(client: Client, server: Server) -> None:
    folder = server.log.parent / "data"
    folder.mkdir()
    pq.write_table(pa.table({"text": ["apple", "zebra", None]}), folder / "rows.parquet")
    spec = {"model": WORDS, "input": str(folder), "output": str(server.log.parent / "predictions")}
    first, again = (client.submit(spec, key="one-key") for _ in range(2))
    assert first.id == again.id
    with pytest.raises(JobStillRuns):
        client.wait(first, timeout_s=0)
    seen = list(client.watch(first))
    assert seen[-1].status == "done", seen[-1]
    assert seen[-1].progress is not None
    assert (seen[-1].progress.rows, seen[-1].progress.error_rows) == (3, 1)
    assert client.wait(first.id) == client.job(first.id) == seen[-1]
    assert [job.id for job in client.jobs(limit=5)] == [first.id]
    assert "<html" in client.report(first).lower()
    with pytest.raises(Conflict):
        client.cancel(first)


def test_a_server_that_is_not_there_is_unreachable() -> None:
    patience = Patience(tries=2, first_pause_s=0.01)
    with Client(f"http://127.0.0.1:{free_port()}", patience=patience) as client, pytest.raises(Unreachable) as error:
        client.models()
    assert not error.value.sent
